"""One moment of a cell's case: the fields that maps, increments and animations show."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from slams.errors import SlamsError


@dataclass(frozen=True)
class Moment:
    """The fields (latitude, longitude) of one case, step and level, in K.

    ``guess`` is the first guess: the background interpolated to the cells, or the climatology
    where there is none, as ``guess_name`` says. ``oi`` is None where no optimal interpolation was
    made; ``spread`` where there is one member.
    """

    truth: xr.DataArray
    guess: xr.DataArray
    guess_name: str
    mean: xr.DataArray
    spread: xr.DataArray | None
    oi: xr.DataArray | None
    title: str


def moment(
    analysis: xr.Dataset, classical: xr.Dataset, case: int, step: int, level: float | None
) -> Moment:
    """One moment of `analysis.nc` and of `classical.nc` beside it (docs/architecture.md).

    `case` and `step` by position, `level` in hPa (the lowest by default). Raises SlamsError where
    the level is none of the analysis.
    """
    now, beside = (
        data.isel(case=case, step=step).sel(level=level_of(analysis, level)).load()
        for data in (_shown(analysis), _shown(classical))
    )
    ensemble = now["analysis"]
    guess = now.get("background")
    seen = guess is not None and bool(np.isfinite(guess).all())
    return Moment(
        truth=now["truth"],
        guess=now["background"] if seen else beside["climatology"],
        guess_name="background" if seen else "climatology, no background",
        mean=ensemble.mean("member"),
        spread=ensemble.std("member", ddof=1) if ensemble.sizes["member"] > 1 else None,
        oi=beside.get("oi"),
        title=f"{cell_title(analysis)}: {when_title(now, level_of(analysis, level))}",
    )


def _shown(data: xr.Dataset) -> xr.Dataset:
    """Without the variables that have no level, which need not be read."""
    return data[[name for name in data if {"case", "step", "level"} <= set(data[name].dims)]]


def level_of(analysis: xr.Dataset, level: float | None) -> float:
    """The level asked for, or the lowest; SlamsError where the analysis does not have it."""
    heights = analysis["level"].values
    if level is None:
        return float(heights.max())
    if level not in heights:
        raise SlamsError(
            f"the analysis has no level {level:g} hPa; it has "
            f"{', '.join(f'{height:g}' for height in heights)}"
        )
    return level


def cell_title(analysis: xr.Dataset) -> str:
    """The arm and its cell: "latent-both, coarse 4"."""
    name = str(analysis.attrs.get("arm", "analysis"))
    if analysis.attrs.get("axis", "none") == "none":
        return name
    return f"{name}, {analysis.attrs['axis']} {float(analysis.attrs['axis_value']):g}"


def when_title(now: xr.Dataset, level: float) -> str:
    """Level and time of a moment."""
    where = f"{level:g} hPa"
    if "time" not in now.coords:
        return where
    return f"{where}, {pd.Timestamp(now['time'].values).strftime('%Y-%m-%d %H:%M UTC')}"
