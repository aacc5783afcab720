"""The mean section of a data set."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from slams.figures.colours import TEMPERATURE
from slams.figures.style import COLOURS, level_axis, look, new_figure


def levels(fields: xr.DataArray) -> Figure:
    """Zonal (and time) mean temperature against latitude and pressure, K.

    `fields` has the dimensions level and latitude, and any others, over which it averages. With
    one or two levels there is no section to fill, and each level is a line.
    """
    section = fields.mean([d for d in fields.dims if d not in ("level", "latitude")])
    section = section.sortby("level").transpose("level", "latitude")
    with look():
        figure = new_figure(6.0, 3.6)
        axes = figure.subplots()
        if section.sizes["level"] < 3:
            for values, line in zip(section, ("-", "--"), strict=False):
                label = f"{float(values['level']):g} hPa"
                axes.plot(section["latitude"], values, line, color=COLOURS[0], label=label)
            axes.set_ylabel("mean air temperature (K)")
            axes.legend()
        else:
            steps = np.arange(*_rounded(section.values, 5.0), 5.0)
            image = axes.contourf(
                section["latitude"], section["level"], section, steps, cmap=TEMPERATURE
            )
            axes.contour(
                section["latitude"],
                section["level"],
                section,
                steps[::4],
                colors="white",
                linewidths=0.5,
            )
            level_axis(axes, [float(level) for level in section["level"]])
            axes.set_ylim(float(section["level"].max()), float(section["level"].min()))
            axes.set_ylabel("pressure (hPa)")
            figure.colorbar(image, ax=axes, label="mean air temperature (K)")
        axes.set_xlim(float(section["latitude"].min()), float(section["latitude"].max()))
        axes.set_xticks(range(-60, 61, 30))
        axes.set_xlabel("latitude (degrees north)")
    return figure


def _rounded(values: np.ndarray, step: float) -> tuple[float, float]:
    """The multiples of `step` that enclose the values, with one beyond the upper."""
    low, high = np.nanmin(values), np.nanmax(values)
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step + step)
