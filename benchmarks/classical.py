"""What the classical analyses of one case cost at the size of the experiment.

    python benchmarks/classical.py

A case of config/config.yaml: 120 x 240 cells, 10 levels, a window of 5 steps, with 28,800
observations of a background (block means of 4 x 4 cells at all levels of steps 0 and 4, a fifth of
them missing) and 5,000 of stations (as many stations, at step 0), drawn of synthetic weather, whose
400 training windows are daily and overlap. Radii are the largest of the configuration, the other
settings its own. Prints wall-clock and processor seconds of each part on --threads threads (2),
and the peak of memory. Writing the store to the folder of temporary files (0.5 GB) is not counted.
Where there is little time, --every n takes every n-th block of the grid alone.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import xarray as xr

from slams.cases import Case
from slams.classical.blocks import analyse_blocks, no_points, partition
from slams.classical.ensemble import Sample
from slams.classical.innovations import innovations
from slams.classical.tuning import Tuned
from slams.config import load
from slams.grid import Grid, bilinear
from slams.observation import BlockMean, Observation, Observations
from slams.observation.degraded import degrade
from slams.observation.stations import StationOperator
from slams.observing import Observed
from slams.store import Store, StoreWriter
from slams.tapers import cell_places

CONFIG = Path(__file__).parents[1] / "config/config.yaml"
STEPS, LEVELS, STATIONS, SEED = 5, 10, 5000, 20261127
WAVES = (9, 13)  # along a meridian, along a parallel
MEMORY = 0.8  # of a step in the next


def weather(grid: Grid, count: int, rng: np.random.Generator) -> np.ndarray:
    """Fields (count, level, latitude, longitude) of variance one, smooth, that last for days."""
    rows, columns = grid.shape
    along = np.cos(np.outer(np.arange(WAVES[0]), np.linspace(0, np.pi, rows)))
    around = np.exp(2j * np.pi * np.outer(np.arange(WAVES[1]), np.arange(columns)) / columns)
    size = 1 / (1 + (np.arange(WAVES[0])[:, None] ** 2 + np.arange(WAVES[1]) ** 2) / 20)
    mixing = 0.7 ** np.abs(np.subtract.outer(np.arange(LEVELS), np.arange(LEVELS)))
    state = np.zeros((LEVELS, *WAVES), complex)
    fields = np.empty((count, LEVELS, rows, columns), np.float32)
    for number in range(-20, count):
        drawn = rng.standard_normal((2, LEVELS, *WAVES)) * size
        state = MEMORY * state + np.tensordot(mixing, drawn[0] + 1j * drawn[1], axes=1)
        if number >= 0:
            fields[number] = np.einsum("lab,ay,bx->lyx", state, along, around, optimize=True).real
    return fields / fields.std()


def store(folder: Path, name: str, fields: np.ndarray) -> Store:
    """A store of daily fields."""
    times = np.datetime64("2001-01-01", "ns") + np.arange(len(fields)) * np.timedelta64(1, "D")
    writer = StoreWriter(folder / f"{name}.nc", fields.shape[1:], len(fields))
    writer.add(fields)
    number = np.zeros(len(fields), int)
    writer.close(xr.Dataset(coords={"time": ("field", times), "number": ("field", number)}))
    return Store(folder / f"{name}.nc")


def thermometers(grid: Grid, rng: np.random.Generator) -> xr.Dataset:
    """A fit of stations that read the lowest level."""
    latitude = np.degrees(np.arcsin(rng.uniform(-1, 1, STATIONS)))
    longitude = rng.uniform(0, 360, STATIONS)
    indices, weights = bilinear(grid, latitude, longitude)
    return xr.Dataset(
        {
            "coefficient": ("predictor", np.array([0.0, 1.0, 1.0, 0.0, 0.0])),
            "bias": ("station", np.zeros(STATIONS)),
            "latitude": ("station", latitude),
            "longitude": ("station", longitude),
            "indices": (("station", "corner"), indices),
            "weights": (("station", "corner"), weights),
            "fixed": (("station", "place"), np.zeros((STATIONS, 2))),
        },
        attrs={"levels_hPa": np.arange(LEVELS)[-1:]},
    )


def observe(case: Case, grid: Grid, normalisation: object, rng: np.random.Generator) -> Observed:
    """The case's observations; its climatology is zero."""
    background = degrade(case.truth, BlockMean(4), case.times, noise=0.1, every=4, seed=SEED)
    background.drop(torch.arange(len(background)) % 5 == 4)
    operator = StationOperator(thermometers(grid, rng), normalisation, case.times)
    value = operator(torch.from_numpy(case.truth)[None])[0]
    value = value + 0.5 * torch.from_numpy(rng.standard_normal(value.shape))
    value[1:] = torch.nan
    stations = Observation(operator, value, 0.25, case.times, "stations")
    zero = np.zeros_like(case.truth)
    return Observed(case, Observations([background, stations]), [], zero, zero, SEED)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print what a part took."""
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what:24}{wall:8.1f} s{processor:8.1f} s of processors", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="only every n-th block")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    section, grid, rng = load(CONFIG)["classical"], Grid(1.5), np.random.default_rng(SEED)
    nothing = np.zeros((1, LEVELS, *grid.shape))
    dataset = xr.Dataset(
        dict.fromkeys(("reference", "climatology"), (("t", "l", "y", "x"), nothing))
    )
    normalisation = SimpleNamespace(
        dataset=dataset,
        coefficients=nothing,
        levels=np.arange(LEVELS),
        scale=np.ones(LEVELS),
    )
    with tempfile.TemporaryDirectory() as folder:
        training = store(Path(folder), "train", weather(grid, section["samples"] + STEPS - 1, rng))
        test = store(Path(folder), "test", weather(grid, STEPS, rng))
        case = Case(test, 0, STEPS)
        seen = observe(case, grid, normalisation, rng)
        counts = {stream.name: len(stream) for stream in seen.observations}
        print(f"{grid.shape[0]} x {grid.shape[1]} x {LEVELS}, {STEPS} steps, observations {counts}")
        places = cell_places(grid.latitude, grid.longitude)
        with timed("sample and its images"):
            sample = Sample(
                training, normalisation, steps=STEPS, step_hours=24.0, count=section["samples"]
            )
            found = innovations(seen, sample, grid.latitude, grid.longitude)
        points = no_points(sample)
        side = section["block_km"]
        blocks = partition(grid.latitude, grid.longitude, points, side)[:: arguments.every]
        radii = (section["oi"]["radii_km"][-1], section["letkf"]["radii_km"][-1])
        with timed("members of the LETKF"):
            analysers = Tuned(*radii, section["letkf"]["inflations"][0]).analysers(
                [found], section["oi"]["observations"], section["letkf"]["members"]
            )
        for name, analyser in zip(("OI", "LETKF"), analysers, strict=True):
            with timed(f"{name}, {len(blocks)} blocks"):
                analyse_blocks([analyser], [1], sample, blocks, points, places)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak of memory {peak:.1f} GB")


if __name__ == "__main__":
    main()
