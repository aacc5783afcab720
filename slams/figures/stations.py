"""Station networks: where they are, how much they report, why reports were rejected."""

from typing import Any

import cartopy.crs as ccrs
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from slams.errors import SlamsError
from slams.figures.sphere import PLATE, draw_coast
from slams.figures.style import WIDTH_INCHES, look, new_figure


def stations(
    places: pd.DataFrame, rejected: pd.DataFrame, land_mask: xr.DataArray | None = None
) -> Figure:
    """Where the stations are and how much they report; why observations were rejected.

    `places` has one row a station: latitude, longitude and the number of its rows
    (`slams.archives.station_set.places`); `rejected` the columns file, station_id, reason and rows.
    """
    if places.empty:
        raise SlamsError("no station observation is left to draw: see the rejected observations")
    reasons = rejected.groupby("reason")["rows"].sum().sort_values() if len(rejected) else None
    with look():
        figure = new_figure(WIDTH_INCHES, 3.4)
        shape = figure.add_gridspec(1, 2, width_ratios=[1.7, 1])
        chart = figure.add_subplot(shape[0], projection=ccrs.EqualEarth())
        chart.set_global()
        chart.spines["geo"].set_linewidth(0.6)
        chart.gridlines(color="#dddddd", linewidth=0.5)
        if land_mask is not None:
            draw_coast(chart, land_mask)
        # Counts that are nearly alike have no tick at a power of ten.
        uneven = places["rows"].max() > 10 * places["rows"].min()
        points = chart.scatter(
            places["longitude"],
            places["latitude"],
            c=places["rows"],
            s=float(np.clip(4000 / len(places), 3, 30)),
            cmap="viridis",
            norm=LogNorm() if uneven else None,
            edgecolors="black",
            linewidths=0.2,
            transform=PLATE,
            zorder=3,
        )
        kept = int(places["rows"].sum())
        chart.set_title(f"{len(places):,} stations, {kept:,} observations kept")
        figure.colorbar(
            points,
            ax=chart,
            location="bottom",
            shrink=0.7,
            aspect=35,
            pad=0.03,
            label="observations a station",
        )
        _reasons(figure.add_subplot(shape[1]), reasons)
    return figure


def _reasons(axes: Any, reasons: pd.Series | None) -> None:
    if reasons is None or reasons.empty:
        axes.set_axis_off()
        axes.set_title("no observation was rejected")
        return
    bars = axes.barh(range(len(reasons)), reasons.to_numpy(), color="#7a7a7a", height=0.65)
    axes.set_yticks(
        range(len(reasons)), [str(reason).replace("_", " ") for reason in reasons.index]
    )
    axes.bar_label(bars, [f"{int(n):,}" for n in reasons], padding=3, fontsize=8)
    axes.set_ylim(-0.8, max(len(reasons), 4) - 0.2)  # few bars stay bars
    axes.set_xscale("log")
    axes.set_xlim(0.8, float(reasons.max()) * 6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("rows rejected")
    axes.set_title(f"{int(reasons.sum()):,} rows rejected")
