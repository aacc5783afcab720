"""What classical analyses are held to: dense matrices, written out, in double precision."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from worlds import GRID, LEVELS, IdealPrior, days, store, thermometers, weather

from slams.cases import Case
from slams.classical.blocks import Found, Points, analyse_blocks, no_points, partition
from slams.classical.ensemble import Sample
from slams.classical.innovations import Innovations, innovations
from slams.observation import BlockMean, EveryNth, Identity, Observation, Observations
from slams.observation.degraded import degrade
from slams.observation.stations import StationOperator
from slams.observing import Observed
from slams.statistics import Normalisation
from slams.tapers import cell_places, unit_vectors

STEPS, FIELDS = 2, 60
NORMALISATION: Normalisation = IdealPrior(STEPS).normalisation
TIMES = days("2001-04-01", FIELDS)
PLACES = cell_places(GRID.latitude, GRID.longitude)
WIDE = 1e12  # km: no taper
RNG = np.random.default_rng(7)
STATIONS = (
    np.degrees(np.arcsin(RNG.uniform(-1, 1, 12))),
    RNG.uniform(0, 360, 12),
)


def sample(folder: Path, count: int = 50, **more) -> Sample:
    """Windows of a small planet's training period."""
    training = store(folder, "train", TIMES, weather(FIELDS, seed=11))
    return Sample(training, NORMALISATION, steps=STEPS, step_hours=24.0, count=count, **more)


def streams(kinds: list[str], truth: np.ndarray, times: np.ndarray) -> Observations:
    """Observations of ``truth`` by the ``kinds`` of streams, a part of them missing."""
    made = []
    for kind in kinds:
        if kind == "stations":
            operator = StationOperator(thermometers(*STATIONS), NORMALISATION, times)
            exact = operator(torch.from_numpy(truth)[None])[0]
            value = exact + torch.from_numpy(np.random.default_rng(3).normal(size=exact.shape))
            value[0, ::4] = torch.nan
            made.append(Observation(operator, value, torch.linspace(0.5, 2, 12), times, kind))
        else:
            operator = {"blocks": BlockMean(2), "every": EveryNth(3), "all": Identity()}[kind]
            seen = degrade(truth, operator, times, noise=0.3, every=2, seed=5)
            seen.drop(torch.arange(len(seen)) % 7 == 3)
            made.append(seen)
    return Observations(made)


def observed(kinds: list[str], folder: Path) -> Observed:
    """A case about a climatology of zero, and what was seen of it."""
    times = days("2003-04-01", STEPS)
    test = store(folder, "test", times, weather(STEPS, seed=21))
    case = Case(test, 0, STEPS)
    zero = np.zeros_like(case.truth)
    return Observed(case, streams(kinds, case.truth, times), [], zero, zero, 0)


def doubled(seen: Innovations) -> Innovations:
    """With everything in double precision."""
    names = ("value", "variance", "images", "mean")
    return replace(seen, **{name: getattr(seen, name).double() for name in names})


def seen_by(of: Observed, windows: Sample) -> Innovations:
    return doubled(innovations(of, windows, GRID.latitude, GRID.longitude))


def matrix(of: Observed) -> np.ndarray:
    """H (m, size), a column for each number of a state."""
    size = of.case.truth.size
    basis = torch.eye(size).view(size, *of.case.truth.shape)
    with torch.no_grad():
        rows = of.observations.predict(basis) - of.observations.predict(0 * basis[:1])
    return rows.numpy().astype(float).T


def states(windows: Sample) -> np.ndarray:
    """The sample's states about their mean (size, n)."""
    flat = torch.cat(list(windows.windows())).flatten(1).double().numpy()
    return (flat - flat.mean(0)).T


def run(analyser, windows: Sample, cases: int = 1, points: Points | None = None) -> Found:
    """Every block of the grid; a few cells a block."""
    points = points or no_points(windows)
    blocks = partition(GRID.latitude, GRID.longitude, points, side_km=6000.0)
    assert len(blocks) > 6
    return analyse_blocks([analyser], [cases], windows, blocks, points, PLACES)[0]


def points_of(windows: Sample) -> Points:
    """The stations as what is asked for."""
    fit = thermometers(*STATIONS)
    operator = StationOperator(fit, NORMALISATION, days("2003-04-01", STEPS))
    zero = np.zeros((STEPS, len(LEVELS), *GRID.shape))
    cells = fit["indices"].values[np.arange(12), fit["weights"].values.argmax(1)]
    return Points(unit_vectors(*STATIONS), cells, windows.images(operator, zero))


def places_of(of: Observed) -> Tensor:
    """The place (m, 3) of every value, found from which cells it sees."""
    rows = np.abs(matrix(of)).reshape(-1, STEPS * len(LEVELS), PLACES.shape[0]).sum(1)
    middle = torch.from_numpy(rows) @ PLACES
    return middle / middle.norm(dim=1, keepdim=True)
