"""Both ends of the workflow for `scaling.py`: raw files read in, and analyses made into figures.

Everything is made by a process of its own (`make_…`), so that its memory counts for nothing, and
measured as the public function that the rule's script calls.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from slams import series
from slams.grid import Grid
from slams.netcdf import load_dataset, open_dataset

LEVELS = (300.0, 500.0, 700.0, 850.0)
MONTH = datetime(2001, 1, 1)
MEMBERS, STEPS = 8, 3
AXIS = (2.0, 4.0, 8.0, 16.0)
WEEKS = 8
# Of each table: what grows, its sizes, what is made first, and the rules that work on it.
TABLES: tuple[tuple[str, tuple[int, ...], str, tuple[str, ...]], ...] = (
    ("raw fields", (62, 124, 248), "make_raw_fields", ("ingest_era5",)),
    ("stations", (250, 500, 1000), "make_raw_stations", ("ingest_stations",)),
    ("cases", (8, 32, 128), "make_cell", ("verify_cell",)),
    (
        "cells",
        (512, 2048, 8192),
        "make_globe",
        ("draw_maps", "draw_increments", "draw_animation", "draw_series"),
    ),
    (
        "arms",
        (3, 6, 12),
        "make_scores",
        ("draw_ablation", "draw_cells", "compare_arms", "draw_comparisons"),
    ),
    ("reports", (50_000, 200_000, 800_000), "make_reports", ("draw_stations",)),
    ("residuals", (12_500, 50_000, 200_000), "make_residuals", ("draw_operators",)),
    ("steps", (4_000, 16_000, 64_000), "make_losses", ("draw_losses",)),
    ("cells of statistics", (2_048, 8_192, 32_768), "make_statistics", ("draw_climate",)),
)
STATIONS_OF_REPORTS = 1000
STREAMS = ("stations", "irwin_cdr", "persistence-1")
NETWORKS = ("autoencoder", "prior-pixel", "prior-latent", "imagery")
LOGGED_EVERY = 10  # steps of a training


def make_raw_fields(count: int, folder: Path) -> None:
    """A raw file of ERA5 at 1.40625 degrees: a month of so many times."""
    from slams.archives import planet  # noqa: PLC0415 - the rules of the other end do without

    planet.write(
        folder,
        start=MONTH,
        end=MONTH + timedelta(days=30),
        levels=LEVELS,
        hours=list(range(0, 24, 744 // count)),
        spacing=1.40625,
        imagery_spacing=45.0,
        stations=1,
    )


def ingest_era5(folder: Path) -> None:
    from slams.archives import era5  # noqa: PLC0415

    era5.inspect(folder / "era5/2001/era5_t_2001-01.nc", limit=series.PIECE)


def make_raw_stations(count: int, folder: Path) -> None:
    """Files of so many stations, which report every three hours of some weeks."""
    from slams.archives import planet  # noqa: PLC0415

    planet.write(
        folder,
        start=MONTH,
        end=MONTH + timedelta(weeks=WEEKS),
        levels=[850.0],
        hours=list(range(0, 24, 3)),
        spacing=45.0,
        imagery_spacing=45.0,
        stations=count,
    )


def ingest_stations(folder: Path) -> None:
    from slams.archives import inventory, station_ingest, station_lists  # noqa: PLC0415

    raw = folder / "isd"
    files = inventory.files([raw], 2001, "*")
    history = station_lists.read_list(raw / "isd-history.csv")
    target = folder / "reports.parquet"
    station_ingest.ingest(
        files, history, "2001-01-01", "2001-12-31", target, hours=list(range(0, 24, 3))
    )


def make_cell(count: int, folder: Path, spacing: float = 5.625) -> None:
    """The analyses of so many cases, as assimilate_cell and analyse_classically leave them."""
    rng = np.random.default_rng(0)
    grid = Grid(spacing)
    field = ("case", "step", "level", "latitude", "longitude")
    shape = (count, STEPS, len(LEVELS), *grid.shape)
    days = np.arange(count)[:, None] * 10 + np.arange(STEPS)
    time = {"time": (("case", "step"), np.datetime64(MONTH, "ns") + days * np.timedelta64(1, "D"))}
    coordinates = time | {"level": list(LEVELS), **grid.coordinates()}

    def noise(*more: int) -> np.ndarray:
        return rng.standard_normal((*more, *shape), np.float32)

    estimate = 260 + noise()
    ensemble = np.moveaxis(estimate + noise(MEMBERS), 0, 1)
    labels = {"arm": "made", "axis": "coarse", "axis_value": AXIS[0], "streams": "background"}
    analysis = xr.Dataset(
        {
            "analysis": (("case", "member", *field[1:]), ensemble),
            "truth": (field, estimate + noise()),
            "observations_used": (("case", "stream"), np.full((count, 1), 9)),
        },
        coordinates | {"stream": ["background"]},
        labels,
    )
    analysis.to_netcdf(folder / "analysis.nc")
    names = ("climatology", "interpolation", "oi", "letkf")
    classical = xr.Dataset(dict.fromkeys(names, (field, estimate)), coordinates)
    classical["climatology_spread"] = (field[2:], np.full(shape[2:], 1.4, np.float32))
    for name in ("oi_spread", "letkf_spread"):
        classical[name] = (field, np.ones(shape, np.float32))
    classical.to_netcdf(folder / "classical.nc")
    levels = {"global_standard_deviation": ("level", np.full(len(LEVELS), 2.0))}
    xr.Dataset(levels, {"level": list(LEVELS), **grid.coordinates()}).to_netcdf(
        folder / "statistics.nc"
    )


def make_globe(count: int, folder: Path) -> None:
    """The analyses of four cases on a grid of so many cells."""
    make_cell(4, folder, (180 * 360 / count) ** 0.5)


def score(folder: Path) -> pd.DataFrame:
    """The table of the cell."""
    from slams.verification import score_cell  # noqa: PLC0415

    with (
        open_dataset(folder / "analysis.nc") as analysis,
        open_dataset(folder / "classical.nc") as classical,
    ):
        return score_cell(analysis, classical, load_dataset(folder / "statistics.nc"))


def verify_cell(folder: Path) -> None:
    score(folder).to_parquet(folder / "scores.parquet", index=False)


def make_scores(count: int, folder: Path) -> None:
    """The table of so many arms, each at four values of two axes, 24 cases a cell."""
    make_cell(24, folder, 22.5)
    cell = score(folder)
    tables = [
        cell.assign(arm=f"arm-{arm}", axis=axis, axis_value=value)
        for arm in range(count)
        for axis in ("coarse", "noise")
        for value in AXIS
    ]
    pd.concat(tables, ignore_index=True).to_parquet(folder / "scores.parquet", index=False)


def make_reports(count: int, folder: Path) -> None:
    """So many reports of a thousand stations, and counts of rejected ones."""
    rng = np.random.default_rng(0)
    names = [f"{number:06d}" for number in range(STATIONS_OF_REPORTS)]
    which = rng.integers(0, STATIONS_OF_REPORTS, count)
    latitude = np.degrees(np.arcsin(rng.uniform(-1, 1, STATIONS_OF_REPORTS)))
    longitude = rng.uniform(0, 360, STATIONS_OF_REPORTS)
    pd.DataFrame(
        {
            "station_id": pd.Categorical.from_codes(which, names),
            "latitude": latitude[which],
            "longitude": longitude[which],
        }
    ).to_parquet(folder / "reports.parquet", index=False)
    reasons = ("no temperature", "quality flag", "implausible")
    rows = [
        {"file": f"{name}.gz", "station_id": name, "reason": reason, "rows": 1 + count // 10_000}
        for name in names
        for reason in reasons
    ]
    pd.DataFrame(rows).to_csv(folder / "rejected.csv", index=False)


def make_residuals(count: int, folder: Path) -> None:
    """So many residuals of each of some streams."""
    rng = np.random.default_rng(0)
    tables = []
    for stream in STREAMS:
        spread = rng.uniform(1, 3, count)
        residual = spread * rng.standard_normal(count)
        tables.append(
            pd.DataFrame(
                {
                    "stream": stream,
                    "unit": "K",
                    "residual": residual,
                    "predicted_sd": spread,
                    "assimilated_sd": 1.5 * spread,
                    "refused": np.abs(residual) > 3 * spread,
                }
            )
        )
    pd.concat(tables, ignore_index=True).to_parquet(folder / "residuals.parquet", index=False)


def make_losses(count: int, folder: Path) -> None:
    """The loss curves of trainings of so many steps."""
    rng = np.random.default_rng(0)
    steps = np.arange(LOGGED_EVERY, count + 1, LOGGED_EVERY)
    for name in NETWORKS:
        loss = steps**-0.3 * rng.uniform(0.9, 1.1, len(steps))
        seen = np.where(steps % (20 * LOGGED_EVERY) == 0, loss, np.nan)
        columns = {"step": steps, "train_loss": loss, "validation_loss": seen, "seconds": steps}
        pd.DataFrame(columns).to_csv(folder / f"{name}.csv", index=False)


def make_statistics(count: int, folder: Path) -> None:
    """A climatology of two harmonics, of so many cells."""
    rng = np.random.default_rng(0)
    grid = Grid((180 * 360 / count) ** 0.5)
    values = 260 + rng.standard_normal((5, len(LEVELS), *grid.shape))
    field = ("term", "level", "latitude", "longitude")
    coordinates = {"level": list(LEVELS), **grid.coordinates()}
    xr.Dataset({"climatology": (field, values)}, coordinates).to_netcdf(folder / "statistics.nc")


def compare_arms(folder: Path) -> None:
    from slams.verification import compare  # noqa: PLC0415

    scores = pd.read_parquet(folder / "scores.parquet")
    compared = compare(scores, reference="arm-0")
    compared.to_parquet(folder / "comparisons.parquet", index=False)


def draw_comparisons(folder: Path) -> None:
    from slams.figures import comparisons, save  # noqa: PLC0415

    table = pd.read_parquet(folder / "comparisons.parquet")
    save(comparisons(table), folder / "comparisons")


def draw_stations(folder: Path) -> None:
    from slams.archives import station_set  # noqa: PLC0415
    from slams.figures import save, stations  # noqa: PLC0415

    places = station_set.places([folder / "reports.parquet"])
    save(stations(places, pd.read_csv(folder / "rejected.csv")), folder / "stations")


def draw_operators(folder: Path) -> None:
    from slams.figures import operator_fit, save  # noqa: PLC0415

    save(operator_fit(pd.read_parquet(folder / "residuals.parquet")), folder / "operators")


def draw_losses(folder: Path) -> None:
    from slams.figures import losses, save  # noqa: PLC0415

    save(losses({n: pd.read_csv(folder / f"{n}.csv") for n in NETWORKS}), folder / "losses")


def draw_climate(folder: Path) -> None:
    from slams.figures import levels, save  # noqa: PLC0415

    with open_dataset(folder / "statistics.nc") as statistics:
        figure = levels(statistics["climatology"].isel(term=0))
    save(figure, folder / "climate")


def draw_ablation(folder: Path) -> None:
    from slams.figures import ablation_curves, ablation_levels, save  # noqa: PLC0415

    scores = pd.read_parquet(folder / "scores.parquet")
    for name, draw in (("averaged", ablation_curves), ("levels", ablation_levels)):
        save(draw(scores, "crps"), folder / name)


def draw_cells(folder: Path) -> None:
    from slams.figures import profiles, rank_histograms, save, spectra  # noqa: PLC0415

    scores = pd.read_parquet(folder / "scores.parquet")
    for draw in (profiles, rank_histograms, spectra):
        save(draw(scores, "coarse", AXIS[0]), folder / draw.__name__)


def _opened(folder: Path) -> tuple[xr.Dataset, xr.Dataset]:
    return open_dataset(folder / "analysis.nc"), open_dataset(folder / "classical.nc")


def draw_maps(folder: Path) -> None:
    from slams.figures import maps, save  # noqa: PLC0415

    save(maps(*_opened(folder), land_mask=None), folder / "maps")


def draw_increments(folder: Path) -> None:
    from slams.figures import increments, save  # noqa: PLC0415

    save(increments(*_opened(folder), land_mask=None), folder / "increments")


def draw_animation(folder: Path) -> None:
    from slams.figures import Window, save  # noqa: PLC0415

    window = Window(*_opened(folder), land_mask=None)
    save(window.figure(), folder / "still")
    window.save(folder / "film")


def draw_series(folder: Path) -> None:
    from slams.figures import arm_styles, lines, save, series, shown_cases  # noqa: PLC0415

    analysis, classical = _opened(folder)
    cases = shown_cases(analysis.sizes["case"], analysis.sizes["step"])
    found = lines(analysis, classical, cases, place=None, stations=None)
    save(series(found, arm_styles(["made"])["made"], "made"), folder / "series")


MAKERS: dict[str, Callable[[int, Path], None]] = {
    made.__name__: made
    for made in (
        make_raw_fields,
        make_raw_stations,
        make_cell,
        make_globe,
        make_scores,
        make_reports,
        make_residuals,
        make_losses,
        make_statistics,
    )
}
RULES: dict[str, Callable[[Path], None]] = {
    rule.__name__: rule
    for rule in (
        ingest_era5,
        ingest_stations,
        verify_cell,
        draw_maps,
        draw_increments,
        draw_animation,
        draw_series,
        draw_ablation,
        draw_cells,
        compare_arms,
        draw_comparisons,
        draw_stations,
        draw_operators,
        draw_losses,
        draw_climate,
    )
}


def measured(name: str, count: int, folder: Path) -> None:
    """Make what a rule needs, or do the rule's work on what was made."""
    if name in MAKERS:
        MAKERS[name](count, folder)
    else:
        RULES[name](folder)
