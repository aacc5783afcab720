"""Memory and processor time of the rules' work as functions of years, grid and members.

    python benchmarks/scaling.py [--prior results/demo/models/prior-pixel.pt \
        --store results/demo/store/test.nc]

Every measurement is a process of its own, on synthetic fields, of the public function that a
rule's script calls: its largest resident memory, that of the imports included, and its
processor time, which on shared cores says more than the clock. With --piece the pieces in which
fields are read are so many MB instead of 256: what then still grows with the fields is held whole.
Three sizes each of the number of
fields (at 5.625 degrees) and of the grid (of 200 fields), 4 levels; of what `scaling_ends.py`
reads in and draws; with a prior, of the members.
The slopes go into docs/scaling.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import scaling_ends
import xarray as xr

from slams import series
from slams.grid import Grid
from slams.netcdf import load_dataset
from slams.statistics import fit
from slams.store import Store, build, read_fields

LEVELS = (300.0, 500.0, 700.0, 850.0)
FIELDS = (400, 800, 1600)
SPACINGS = (11.25, 5.625, 2.8125)
MEMBERS = (4, 8, 16)
STATIONS = 500
BLOCK = 50  # fields that are made at once
PERIOD = (datetime(1990, 1, 1), datetime(2030, 1, 1))


def made(count: int, grid: Grid) -> Iterator[xr.Dataset]:
    """Fields of a season and noise, some at a time."""
    rng = np.random.default_rng(0)
    for first in range(0, count, BLOCK):
        times = start_times(count)[first : first + BLOCK]
        season = 10 * np.cos(2 * np.pi * np.arange(first, first + len(times)) / 365.25)
        shape = (len(times), len(LEVELS), *grid.shape)
        values = 260 + season[:, None, None, None] + rng.normal(0, 5, shape)
        yield xr.Dataset(
            {"air_temperature": (("time", "level", "latitude", "longitude"), values.astype("f4"))},
            {"time": times, "level": list(LEVELS), **grid.coordinates()},
        )


def start_times(count: int) -> np.ndarray:
    """Days from 2000 on."""
    return np.datetime64("2000-01-01", "ns") + np.arange(count) * np.timedelta64(1, "D")


def write_fields(folder: Path, count: int, grid: Grid) -> Path:
    """The output of regrid_era5."""
    path = folder / "era5.nc"
    if not path.exists():
        series.write(path, start_times(count), made(count, grid), {})
    return path


def measured(rule: str, count: int, spacing: float, folder: Path) -> None:
    """Do the work of a rule, after what it needs has been made by another process."""
    grid = Grid(spacing)
    if rule == "regrid_era5":
        write_fields(folder, count, grid)
    if rule in ("fit_statistics", "build_store"):
        fields = [folder / "era5.nc"]
        statistics = folder / "statistics.nc"
        if rule == "fit_statistics":
            found = fit(read_fields(fields, PERIOD), grid.area_weights, harmonics=0)
            found.to_netcdf(statistics)
        else:
            build(fields, load_dataset(statistics), PERIOD, folder / "train.nc", {})
    if rule == "encode_latents":
        from slams.autoencoder import Autoencoder, encode_store  # noqa: PLC0415 - loads torch

        store = Store(folder / "train.nc")
        coder = Autoencoder(*store.shape, latent_channels=8, width=16, depth=0)
        encode_store(coder, store, folder / "latents.nc", {})
    if rule == "train_prior":
        store = Store(folder / "train.nc")
        starts = store.starts(3, 24.0)
        rng = np.random.default_rng(0)
        for _ in range(200):  # the batches of 200 steps; the network does not depend on years
            store.batch(rng.choice(starts, 16), 3)
    if rule == "fit_base":
        from slams.gaussian import GaussianBase  # noqa: PLC0415

        store = Store(folder / "train.nc")
        starts = store.starts(3, 24.0)
        base = GaussianBase(3, *store.shape, modes=300, joint=64)
        base.fit(store, starts, store, starts[::4])
    if rule == "fit_persistence":
        from slams.observation.persistence_fit import fit as fit_persistence  # noqa: PLC0415

        statistics_of = load_dataset(folder / "statistics.nc")
        store = Store(folder / "train.nc")
        fit_persistence(store, statistics_of, steps=1, step_hours=24.0, coarse=4)
    if rule == "fit_stations":
        from slams.observation.stations_fit import fit as fit_stations  # noqa: PLC0415

        fit_stations(
            reports,
            Store(folder / "train.nc"),
            load_dataset(folder / "statistics.nc"),
            grid,
            levels_used=2,
            held_out=0.2,
            minimum_observations=10,
            seed=0,
        )
    if rule == "analyse_classically":
        analyse_classically(folder)
    if rule == "fit_imagery":
        fit_imagery(folder, partial(images, count, grid))


def reports(times: np.ndarray) -> pd.DataFrame:
    """What STATIONS reported at some times, as a table of the station archive."""
    rng = np.random.default_rng(1)
    places = {
        "station_id": [f"{number:06d}" for number in range(STATIONS)],
        "latitude": np.degrees(np.arcsin(rng.uniform(-1, 1, STATIONS))),
        "longitude": rng.uniform(0, 360, STATIONS),
        "elevation": rng.uniform(0, 2000, STATIONS),
    }
    table = pd.DataFrame({name: np.tile(place, len(times)) for name, place in places.items()})
    table["station_id"] = table["station_id"].astype("category")
    drawn = np.random.default_rng(int(times[0].astype("i8") % 2**32))
    return table.assign(
        time=np.repeat(times, STATIONS), air_temperature=drawn.normal(285, 8, len(table))
    )


def images(count: int, grid: Grid) -> Iterator[xr.DataArray]:
    """Brightness temperatures, some at a time."""
    for piece in made(count, grid):
        image = piece["air_temperature"].isel(level=[0], drop=True).rename(level="channel")
        yield image.assign_coords(channel=["irwin_cdr"])


def fit_imagery(folder: Path, pieces: Callable[[], Iterator[xr.DataArray]]) -> None:
    """A few steps of the imagery operator, which do not depend on years, and what goes before."""
    import torch  # noqa: PLC0415

    from slams.observation.imagery_fit import train_imagery  # noqa: PLC0415
    from slams.training import Settings  # noqa: PLC0415

    store = Store(folder / "train.nc")
    train_imagery(
        store,
        store,
        folder / "imagery.pt",
        statistics=load_dataset(folder / "statistics.nc"),
        channels=["irwin_cdr"],
        pieces=pieces,
        checks=pieces,
        architecture={"width": 16, "depth": 1},
        harmonics=0,
        settings=Settings(
            steps=10, batch=16, learning_rate=1e-3, validate_every=10, checkpoint_every=10
        ),
        seed=0,
        checkpoints=folder / "checkpoints",
        fingerprint="",
        device=torch.device("cpu"),
        attributes={},
    )


def analyse_classically(folder: Path) -> None:
    """A small cell: two cases and one window of tuning, block means of the background alone."""
    from slams.classical.cells import analyse_cell  # noqa: PLC0415
    from slams.observing import Observer, Streams  # noqa: PLC0415
    from slams.statistics import Normalisation  # noqa: PLC0415

    store = Store(folder / "train.nc")
    observer = Observer(
        Normalisation(load_dataset(folder / "statistics.nc")),
        store,
        store,
        names=["background"],
        axis="coarse",
        value=4,
        settings={"noise": 0.1, "every": 1},
        streams=Streams(),
        cases=2,
        steps=3,
        step_hours=24.0,
        quality={"gross_error": 5.0, "robust": None},
        seed=0,
        label="scaling",
    )
    settings = {
        "samples": 100,
        "rotations": 0,
        "validation_windows": 1,
        "block_km": 3000,
        "oi": {"radii_km": [6000], "observations": 400},
        "letkf": {"members": 40, "radii_km": [3000], "inflations": [1.5]},
    }
    analyse_cell(observer, store, settings)


def sampled(prior_file: Path, store_file: Path, members: int) -> None:
    """Do the sampling of one case of assimilate_cell."""
    from slams import posterior  # noqa: PLC0415 - loads torch
    from slams.observation import BlockMean, degrade  # noqa: PLC0415
    from slams.prior import Prior  # noqa: PLC0415

    prior, store = Prior.load(prior_file), Store(store_file)
    truth, times = store.window(0, prior.window), store.times[: prior.window]
    seen = degrade(truth, BlockMean(4), times, noise=0.2)
    posterior.sample(prior, seen, members=members, steps=4, seed=1, chunk=members)


def in_a_process(*arguments: str, piece: int = series.PIECE >> 20) -> dict[str, float]:
    """Memory (MB) and processor seconds of one measurement, with pieces of so many MB."""
    call = [sys.executable, __file__, "--piece", str(piece), "--child", *arguments]
    begin = time.perf_counter()
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"wall": time.perf_counter() - begin}


def child(arguments: list[str]) -> None:
    """One measurement, told as JSON."""
    if arguments[0] == "sample":
        sampled(Path(arguments[1]), Path(arguments[2]), int(arguments[3]))
    elif arguments[0] == "imports":
        import torch  # noqa: F401, PLC0415
    elif arguments[0] in (*scaling_ends.MAKERS, *scaling_ends.RULES):
        scaling_ends.measured(arguments[0], int(arguments[1]), Path(arguments[2]))
    elif arguments[0] != "nothing":
        measured(arguments[0], int(arguments[1]), float(arguments[2]), Path(arguments[3]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"memory": used.ru_maxrss / 1024, "seconds": used.ru_utime + used.ru_stime}))


STORE = ("regrid_era5", "fit_statistics", "build_store")  # which make what the others read
RULES = (
    "regrid_era5",
    "fit_statistics",
    "build_store",
    "encode_latents",
    "train_prior",
    "fit_base",
    "fit_persistence",
    "fit_stations",
    "fit_imagery",
    "analyse_classically",
)


def report(name: str, values: list[float], rows: dict[str, list[dict[str, float]]]) -> None:
    """A table of one dependence."""
    print(f"\n{name:18s}" + "".join(f"{value:>20g}" for value in values))
    for rule, found in rows.items():
        cells = (f"{row['memory']:8.0f} MB {row['seconds']:6.1f} s" for row in found)
        print(f"{rule:18s}" + "".join(f"{cell:>20s}" for cell in cells))


def of_fields(piece: int, wanted: list[str] | None) -> None:
    """The rules between raw files and analyses, by fields and by cells: the ``wanted``, or all."""
    for name, sizes in (
        ("fields", [(count, 5.625) for count in FIELDS]),
        ("cells", [(200, spacing) for spacing in SPACINGS]),
    ):
        rows: dict[str, list[dict[str, float]]] = {rule: [] for rule in RULES}
        for count, spacing in sizes:
            with tempfile.TemporaryDirectory() as folder:
                for rule in RULES:
                    size = (str(count), str(spacing))
                    if rule in STORE or not wanted or rule in wanted:
                        rows[rule].append(in_a_process(rule, *size, folder, piece=piece))
        values = [c if name == "fields" else float(np.prod(Grid(s).shape)) for c, s in sizes]
        report(name, values, {rule: found for rule, found in rows.items() if found})


def of_ends(piece: int, wanted: list[str] | None) -> None:
    """Those before and after, by what each grows with: the ``wanted``, or all."""
    for name, counts, made, rules in scaling_ends.TABLES:
        if wanted and name not in wanted:
            continue
        rows: dict[str, list[dict[str, float]]] = {rule: [] for rule in rules}
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                in_a_process(made, str(count), folder)
                for rule in rules:
                    rows[rule].append(in_a_process(rule, str(count), folder, piece=piece))
        report(name, list(map(float, counts)), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs="+")
    parser.add_argument("--prior", type=Path)
    parser.add_argument("--piece", type=int, default=series.PIECE >> 20, help="MB")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--only", choices=("fields", "ends"), help="measure these alone")
    parser.add_argument("--rules", nargs="+", choices=RULES, help="of the fields, these alone")
    parser.add_argument(
        "--tables", nargs="+", help="of the ends, these alone, by what they grow with"
    )
    given = parser.parse_args()
    if given.child:
        series.PIECE = given.piece << 20
        child(given.child)
        return
    base = {name: in_a_process(name) for name in ("nothing", "imports")}
    print(
        f"of these, imports: {base['nothing']['memory']:.0f} MB, with torch "
        f"{base['imports']['memory']:.0f} MB"
    )
    if given.only != "ends":
        of_fields(given.piece, given.rules)
    if given.only != "fields":
        of_ends(given.piece, given.tables)
    if given.prior and given.store:
        found = [
            in_a_process("sample", str(given.prior), str(given.store), str(n)) for n in MEMBERS
        ]
        report("members", list(map(float, MEMBERS)), {"sample": found})


if __name__ == "__main__":
    main()
