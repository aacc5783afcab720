"""Maps of an analysis: what it says, how far off it is, and what the observations changed."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from slams.figures.colours import DEPARTURE, SPREAD, TEMPERATURE
from slams.figures.moments import Moment, cell_title, level_of, moment
from slams.figures.sphere import (
    common,
    draw_field,
    draw_places,
    from_zero,
    projection,
    symmetric,
)
from slams.figures.style import WIDTH_INCHES, look, new_figure
from slams.verification import area_weights, bias, rmse

MAPS_INCHES = (8.0, 7.6)


def maps(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    case: int = 0,
    step: int = 0,
    level: float | None = None,
    land_mask: xr.DataArray | None = None,
) -> Figure:
    """Truth, background, analysis mean, optimal interpolation, spread and error of one moment, K.

    `analysis` and `classical` as `analysis.nc` and the `classical.nc` beside it
    (docs/architecture.md); `case` and `step` by position, `level` in hPa (the lowest by default);
    `land_mask` (latitude, longitude) is the share of land, whose half contour is drawn as the
    coast. The four temperatures share one colour scale.
    """
    now = moment(analysis, classical, case, step, level)
    fields = {"truth": now.truth, now.guess_name: now.guess, "analysis mean": now.mean}
    if now.oi is not None:
        fields["optimal interpolation"] = now.oi
    scale = common(*fields.values())
    error = now.mean - now.truth
    with look():
        figure = new_figure(*MAPS_INCHES)
        grid = figure.subplots(3, 2, subplot_kw={"projection": projection()})
        warm = grid[:2].ravel()
        for axes, (title, field) in zip(warm, fields.items(), strict=False):
            image = draw_field(axes, field, TEMPERATURE, scale, land_mask)
            axes.set_title(title if field is now.truth else f"{title}: {_skill(field, now)}")
        for axes in warm[len(fields) :]:
            _nothing(axes, "no optimal interpolation")
        _bar(figure, image, grid[:2], "air temperature (K)", "both", shrink=0.5)
        _draw_spread(figure, grid[2, 0], analysis, now, land_mask)
        image = draw_field(grid[2, 1], error, DEPARTURE, symmetric(error), land_mask)
        grid[2, 1].set_title(f"error of the analysis mean: {_skill(now.mean, now)}")
        _bar(figure, image, grid[2, 1], "analysis minus truth (K)", "both")
        _heading(figure, now.title)
    return figure


def _bar(
    figure: Figure, image: Any, axes: Any, label: str, extend: str, shrink: float = 0.8
) -> None:
    figure.colorbar(
        image,
        ax=axes,
        location="bottom",
        extend=extend,
        shrink=shrink,
        aspect=30,
        pad=0.02,
        label=label,
    )


def increments(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    case: int = 0,
    step: int = 0,
    land_mask: xr.DataArray | None = None,
) -> Figure:
    """What the observations changed: analysis minus first guess, and what it should have been.

    At the lowest level and at a middle one: truth minus first guess, analysis mean minus first
    guess, and optimal interpolation minus first guess, on one scale a level, with the stations
    that were assimilated. The first guess is the background, or the climatology without one.
    """
    heights = analysis["level"].values
    lowest, middle = level_of(analysis, None), float(np.sort(heights)[(len(heights) - 1) // 2])
    levels = list(dict.fromkeys([lowest, middle]))
    places = station_places(analysis, case, step)
    with look():
        figure = new_figure(WIDTH_INCHES, 0.5 + 1.72 * len(levels))
        shape = {"projection": projection()}
        grid = figure.subplots(len(levels), 3, squeeze=False, subplot_kw=shape)
        for row, level in zip(grid, levels, strict=True):
            now = moment(analysis, classical, case, step, level)
            _increment_row(figure, row, now, level, land_mask)
            for axes in row if len(places[0]) else ():
                draw_places(axes, *places)
        dots = f"; dots: {len(places[0])} stations assimilated" if len(places[0]) else ""
        _heading(figure, f"{cell_title(analysis)}, {now.title.rpartition(', ')[2]}{dots}")
    return figure


def _increment_row(
    figure: Figure, row: Any, now: Moment, level: float, land_mask: xr.DataArray | None
) -> None:
    guess = now.guess_name.split(",")[0]
    wanted = {
        f"truth minus {guess}": now.truth - now.guess,
        f"analysis minus {guess}": now.mean - now.guess,
    }
    if now.oi is not None:
        wanted[f"OI minus {guess}"] = now.oi - now.guess
    scale = symmetric(*wanted.values())
    for axes, (title, field) in zip(row, wanted.items(), strict=False):
        image = draw_field(axes, field, DEPARTURE, scale, land_mask)
        axes.set_title(f"{level:g} hPa: {title}")
    for axes in row[len(wanted) :]:
        _nothing(axes, "no optimal interpolation")
    figure.colorbar(
        image, ax=row, location="right", extend="both", shrink=0.9, aspect=15, pad=0.01, label="K"
    )


def station_places(analysis: xr.Dataset, case: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (n,) of the stations that entered a moment; none without any."""
    if "station_used" not in analysis:
        return np.empty(0), np.empty(0)
    used = analysis["station_used"].isel(case=case, step=step).values > 0
    where = (analysis[f"station_{name}"].values[used] for name in ("latitude", "longitude"))
    latitude, longitude = where
    return latitude, longitude


def _draw_spread(
    figure: Figure, axes: Any, analysis: xr.Dataset, now: Moment, land_mask: xr.DataArray | None
) -> None:
    if now.spread is None:
        _nothing(axes, "one member: no spread")
        return
    image = draw_field(axes, now.spread, SPREAD, from_zero(now.spread), land_mask)
    size = float(np.sqrt((now.spread**2).weighted(area_weights(now.spread["latitude"])).mean()))
    axes.set_title(f"spread of {analysis.sizes['member']} members: rms {size:.2f} K")
    _bar(figure, image, axes, "standard deviation of the members (K)", "max")


def _skill(field: xr.DataArray, now: Moment) -> str:
    return f"RMSE {float(rmse(field, now.truth)):.2f} K, bias {float(bias(field, now.truth)):+.2f}"


def _nothing(axes: Any, why: str) -> None:
    axes.set_axis_off()
    axes.set_title(why)


def _heading(figure: Figure, text: str) -> None:
    figure.suptitle(text, fontsize=10, x=0.01, ha="left")
