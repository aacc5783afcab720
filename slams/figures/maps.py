"""Figures of places: maps of an analysis, station networks, the mean section of a data set."""

from typing import Any, Final

import cartopy.crs as ccrs
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from slams.errors import SlamsError
from slams.figures.style import WIDTH_INCHES, level_axis, look, new_figure
from slams.verification import bias, rmse, spread

PLATE: Final = ccrs.PlateCarree()
TEMPERATURE: Final = "viridis"
SPREAD: Final = "magma_r"
ERROR: Final = "RdBu_r"
COAST: Final = {"colors": "black", "linewidths": 0.7}


def maps(
    analysis: xr.Dataset,
    case: int = 0,
    step: int = -1,
    level: float | None = None,
    land_mask: xr.DataArray | None = None,
) -> Figure:
    """Truth, interpolation, analysis mean, one member, spread and error of one moment, in K.

    `analysis` as `analysis.nc` (docs/architecture.md); `case` and `step` by position, `level` in
    hPa (the lowest by default); `land_mask` (latitude, longitude) is the share of land, whose
    half contour is drawn as the coast. The first four maps share one colour scale.
    """
    heights = analysis["level"].values
    level = float(heights.max()) if level is None else level
    if level not in heights:
        raise SlamsError(
            f"the analysis has no level {level:g} hPa; it has "
            f"{', '.join(f'{height:g}' for height in heights)}"
        )
    now = analysis.isel(case=case, step=step).sel(level=level)
    mean = now["analysis"].mean("member")
    fields = {
        "truth": now["truth"],
        "interpolated observations": now["interpolation"],
        "analysis mean": mean,
        f"member 1 of {now.sizes['member']}": now["analysis"].isel(member=0),
    }
    warmth = np.concatenate([field.values.ravel() for field in fields.values()])
    scale = Normalize(*np.nanquantile(warmth, [0.002, 0.998]))
    error = mean - now["truth"]
    skill = float(rmse(mean, now["truth"])), float(bias(mean, now["truth"]))
    with look():
        figure = new_figure(WIDTH_INCHES, 3.7)
        grid = figure.subplots(2, 3, subplot_kw={"projection": ccrs.EqualEarth()})
        for axes, (title, field) in zip(grid[:, :2].ravel(), fields.items(), strict=True):
            image = _draw(axes, field, TEMPERATURE, scale, land_mask)
            axes.set_title(title)
        figure.colorbar(
            image,
            ax=grid[:, :2],
            location="bottom",
            shrink=0.6,
            aspect=40,
            label="air temperature (K)",
        )
        _draw_spread(figure, grid[0, 2], now["analysis"], land_mask)
        worst = float(np.nanquantile(abs(error), 0.998)) or 1.0
        image = _draw(grid[1, 2], error, ERROR, Normalize(-worst, worst), land_mask)
        grid[1, 2].set_title(
            f"error of the mean\n(RMSE {skill[0]:.2f} K, bias {skill[1]:+.2f} K)", fontsize=8
        )
        figure.colorbar(image, ax=grid[1, 2], location="right", shrink=0.9, label="K")
        figure.suptitle(_moment(analysis, now, level), fontsize=10, x=0.01, ha="left")
    return figure


def _draw_spread(
    figure: Figure, axes: Any, ensemble: xr.DataArray, land_mask: xr.DataArray | None
) -> None:
    if ensemble.sizes["member"] < 2:
        axes.set_axis_off()
        axes.set_title("one member: no spread")
        return
    width = ensemble.std("member", ddof=1)
    top = float(np.nanquantile(width, 0.998)) or 1.0
    image = _draw(axes, width, SPREAD, Normalize(0, top), land_mask)
    axes.set_title(f"spread\n(rms {float(spread(ensemble)):.2f} K)", fontsize=8)
    figure.colorbar(image, ax=axes, location="right", shrink=0.9, label="K")


def _moment(analysis: xr.Dataset, now: xr.Dataset, level: float) -> str:
    parts = [f"{analysis.attrs.get('arm', 'analysis')}"]
    if analysis.attrs.get("axis", "none") != "none":
        parts.append(f"{analysis.attrs['axis']} {float(analysis.attrs['axis_value']):g}")
    parts.append(f"air temperature at {level:g} hPa")
    if "time" in now.coords:
        parts.append(pd.Timestamp(now["time"].values).strftime("%Y-%m-%d %H:%M UTC"))
    return ", ".join(parts)


def _draw(
    axes: Any, field: xr.DataArray, colours: str, scale: Normalize, land_mask: xr.DataArray | None
) -> Any:
    """Cells of one field in their true shape, missing ones light grey."""
    field = _from_date_line(field)
    axes.set_facecolor("#e8e8e8")
    axes.set_global()
    image = axes.pcolormesh(
        _edges(field["longitude"].values),
        _edges(field["latitude"].values).clip(-90, 90),
        np.ma.masked_invalid(field.transpose("latitude", "longitude").values),
        cmap=colours,
        norm=scale,
        transform=PLATE,
        rasterized=True,
    )
    if land_mask is not None:
        _coast(axes, land_mask)
    axes.spines["geo"].set_linewidth(0.6)
    return image


def _coast(axes: Any, land_mask: xr.DataArray) -> None:
    mask = _from_date_line(land_mask).transpose("latitude", "longitude")
    # One column more on either side, or the coast would break at the date line.
    around = mask.pad(longitude=1, mode="wrap")
    longitude = np.pad(mask["longitude"].values, 1, mode="wrap")
    longitude[0] -= 360
    longitude[-1] += 360
    inside = longitude.clip(-180, 180)
    axes.contour(inside, mask["latitude"].values, around.values, [0.5], transform=PLATE, **COAST)


def _from_date_line(field: xr.DataArray) -> xr.DataArray:
    """Longitudes -180..180 in order, so that no cell crosses the map's rim."""
    east = (field["longitude"].astype(np.float64) + 180) % 360 - 180
    return field.assign_coords(longitude=east).sortby("longitude")


def _edges(centres: np.ndarray) -> np.ndarray:
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def stations(
    table: pd.DataFrame, rejected: pd.DataFrame, land_mask: xr.DataArray | None = None
) -> Figure:
    """Where the stations are and how much they report; why observations were rejected.

    `table` has one row an observation (station_id, latitude, longitude, …); `rejected` the
    columns file, station_id, reason and rows.
    """
    if table.empty:
        raise SlamsError("no station observation is left to draw: see the rejected observations")
    places = table.groupby("station_id").agg(
        latitude=("latitude", "first"), longitude=("longitude", "first"), rows=("latitude", "size")
    )
    reasons = rejected.groupby("reason")["rows"].sum().sort_values() if len(rejected) else None
    with look():
        figure = new_figure(WIDTH_INCHES, 3.4)
        shape = figure.add_gridspec(1, 2, width_ratios=[1.7, 1])
        chart = figure.add_subplot(shape[0], projection=ccrs.EqualEarth())
        chart.set_global()
        chart.spines["geo"].set_linewidth(0.6)
        chart.gridlines(color="#dddddd", linewidth=0.5)
        if land_mask is not None:
            _coast(chart, land_mask)
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
        chart.set_title(f"{len(places):,} stations, {len(table):,} observations kept")
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
                axes.plot(section["latitude"], values, line, color="#0072B2", label=label)
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
