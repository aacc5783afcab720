"""One window in motion: truth, analysis, spread and error, step by step."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from slams.figures.colours import DEPARTURE, SPREAD, TEMPERATURE
from slams.figures.moments import cell_title, level_of, moment, when_title
from slams.figures.sphere import common, draw_field, from_zero, projection, symmetric
from slams.figures.style import look, new_figure
from slams.provenance import atomic

MILLISECONDS_A_FRAME: Final = 800
GIF_DOTS_PER_INCH: Final = 100
INCHES: Final = (8.0, 5.2)


class Window:
    """One case of a cell, drawn one step at a time on scales that all steps share."""

    def __init__(
        self,
        analysis: xr.Dataset,
        classical: xr.Dataset,
        case: int = 0,
        level: float | None = None,
        land_mask: xr.DataArray | None = None,
    ) -> None:
        """`analysis`, `classical`, `case`, `level` and `land_mask` as for `slams.figures.maps`."""
        self.level = level_of(analysis, level)
        self.name, self.land_mask = cell_title(analysis), land_mask
        steps = range(analysis.sizes["step"])
        self.moments = [moment(analysis, classical, case, step, self.level) for step in steps]
        self.whens = [
            when_title(analysis[["time"]].isel(case=case, step=step), self.level) for step in steps
        ]

    def figure(self, step: int = 0) -> Figure:
        """The still of one step."""
        with look():
            figure = new_figure(*INCHES)
            grid = figure.subplots(2, 2, subplot_kw={"projection": projection()})
            for axes, image in zip(grid.ravel(), self._draw(grid, step), strict=True):
                if image is not None:
                    figure.colorbar(
                        image,
                        ax=axes,
                        location="bottom",
                        shrink=0.8,
                        aspect=32,
                        pad=0.02,
                        label="K",
                    )
        return figure

    def _draw(self, grid: Any, step: int) -> list[Any]:
        now, every = self.moments[step], self.moments
        temperature = common(*(m.truth for m in every), *(m.mean for m in every))
        departure = symmetric(*(m.mean - m.truth for m in every))
        width = [m.spread for m in every if m.spread is not None]
        panels: list[tuple[str, xr.DataArray, Any, Normalize]] = [
            ("truth", now.truth, TEMPERATURE, temperature),
            ("analysis mean", now.mean, TEMPERATURE, temperature),
            ("error, analysis minus truth", now.mean - now.truth, DEPARTURE, departure),
        ]
        if now.spread is not None:
            scale = from_zero(xr.concat(width, "step"))
            panels.insert(2, ("spread of the members", now.spread, SPREAD, scale))
        images: list[Any] = [None] * grid.size
        for number, (axes, panel) in enumerate(zip(grid.ravel(), panels, strict=False)):
            title, field, colours, scale = panel
            axes.clear()
            images[number] = draw_field(axes, field, colours, scale, self.land_mask)
            axes.set_title(title)
        for axes in grid.ravel()[len(panels) :]:
            axes.set_axis_off()
        grid[0, 0].figure.suptitle(
            f"{self.name}: {self.whens[step]}", fontsize=10, x=0.01, ha="left"
        )
        return images

    def save(self, stem: str | Path) -> Path:
        """Write `stem`.gif, whole or not at all, with every step once; its path."""
        path = Path(stem).parent / (Path(stem).name + ".gif")
        with look():
            figure = self.figure(0)
            figure.set_dpi(GIF_DOTS_PER_INCH)
            canvas = FigureCanvasAgg(figure)
            grid = np.array(figure.axes[:4]).reshape(2, 2)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # the panels must not move between frames
            frames = []
            for step in range(len(self.moments)):
                self._draw(grid, step)
                canvas.draw()
                frames.append(_in_palette(np.asarray(canvas.buffer_rgba())))
        with atomic(path) as temporary:
            frames[0].save(
                temporary,
                save_all=True,
                append_images=frames[1:],
                duration=MILLISECONDS_A_FRAME,
                loop=0,
            )
        return path


def _in_palette(pixels: np.ndarray) -> Image.Image:
    """A frame in 256 colours: those of the colour maps, so that the scales stay true, and greys."""
    maps = [colormaps[TEMPERATURE], colormaps[SPREAD], DEPARTURE]
    colours = [np.asarray(m(np.linspace(0, 1, 78)))[:, :3] for m in maps]
    colours.append(np.repeat(np.linspace(0, 1, 256 - 3 * 78)[:, None], 3, axis=1))
    palette = Image.new("P", (1, 1))
    palette.putpalette((255 * np.concatenate(colours)).round().astype(np.uint8).tobytes())
    frame = Image.fromarray(pixels).convert("RGB")
    return frame.quantize(palette=palette, dither=Image.Dither.NONE)
