"""Many analyses with learned priors, over operators, errors and streams: does any diverge?

    python benchmarks/robustness.py results/nature
    snakemake benchmark_robustness --cores 1 --configfile config/nature.yaml

draws, for every analysis, a prior (pixel or latent), a method (mmps or gaussian), a window of the
test period, a set of streams, the background's operator and its noise (0.01 to 4, normalised
units, log-uniform), and looks at every member: finite, and how many standard deviations from
climatology in the units of `sampler.plausible` (whose check is off, so that all are seen). An
analysis that the sampler refuses counts with its reason. Writes one row an analysis to
benchmarks-robustness/ in the results folder, and prints a summary; a second call goes on where the
first was stopped.
"""

import argparse
import csv
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm import tqdm

from slams.archives import station_set
from slams.cases import Case, validation_cases
from slams.errors import SlamsError
from slams.netcdf import load_dataset
from slams.observation import BlockMean, EveryNth, Identity, Masked, Observations
from slams.observation.background import Degraded
from slams.observation.imagery import ImageryModel, read
from slams.observation.representation import DecoderError
from slams.observing import Streams, observe_case
from slams.posterior import sample
from slams.posterior.checks import deviations
from slams.prior import Prior
from slams.provenance import atomic, code_hash, config_hash, file_hash
from slams.store import Store

ANALYSES, MEMBERS = 1000, 2
STEPS, SOLVER_ITERATIONS = 12, 2
FAR = 8.0  # standard deviations from climatology beyond which no member may lie
OPERATORS = ("identity", "block 2", "block 4", "block 8", "every 2", "every 4", "every 8", "mask")
STREAMS = ("background", "background+stations", "background+imagery")
STREAMS += ("background+stations+imagery", "stations+imagery")
SPACES = ("pixel", "latent")
METHODS = ("mmps", "gaussian")
COLUMNS = ("number", "space", "streams", "operator", "noise", "every", "method", "largest")
COLUMNS += ("refused", "seconds")


def operator_of(name: str, shape: tuple[int, int], rng: np.random.Generator):
    """The background's operator called ``name``; a mask sees one cell in ten."""
    if name == "identity":
        return Identity()
    if name == "mask":
        return Masked(rng.random(shape) < 0.1)
    kind, number = name.split()
    return BlockMean(int(number)) if kind == "block" else EveryNth(int(number))


class World:
    """What the analyses of one finished experiment draw from."""

    def __init__(self, folder: Path) -> None:
        self.priors = {s: Prior.load(folder / f"models/prior-{s}.pt") for s in SPACES}
        self.test = Store(folder / "store/test.nc")
        tables = sorted((folder / "stations").glob("year=*/reports.parquet"))
        fields = sorted((folder / "fields").glob("imagery-*.nc"))
        model = ImageryModel.load(folder / "operators/imagery.pt")
        self.streams = Streams(
            stations=station_set.read(tables),
            station_fit=load_dataset(folder / "operators/stations.nc"),
            imagery=xr.concat(list(read(fields, model.channels)), dim="time"),
            imagery_model=model,
        )
        prior = self.priors["latent"]
        known = validation_cases(
            Store(folder / "store/validation.nc"), prior.window, prior.step_hours, None
        )
        self.windows = torch.from_numpy(np.stack([case.truth for case in known]))
        self.rebuilt = torch.cat([prior.decode(prior.encode(w[None])) for w in self.windows])

    def observe(self, row: dict[str, Any], case: Case, rng: np.random.Generator) -> Observations:
        """The observations of ``case`` that ``row`` asks for."""
        prior, background = self.priors[row["space"]], None
        names = row["streams"].split("+")
        if "background" in names:
            operator = operator_of(row["operator"], case.truth.shape[-2:], rng)
            background = Degraded(operator, row["noise"], row["every"])
        observations = observe_case(
            prior.normalisation,
            case,
            names=names,
            background=background,
            streams=self.streams,
            seed=row["number"],
        )
        if row["space"] == "latent":
            DecoderError(self.windows, self.rebuilt).add_to(observations)
        return observations


def draw(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """What analysis ``number`` is of."""
    return {
        "number": number,
        "space": SPACES[number % 2],
        "streams": STREAMS[rng.integers(len(STREAMS))],
        "operator": OPERATORS[rng.integers(len(OPERATORS))],
        "noise": round(float(np.exp(rng.uniform(np.log(0.01), np.log(4)))), 4),
        "every": int(rng.choice([1, 4])),
        "method": METHODS[rng.integers(len(METHODS))],
    }


def analyse(world: World, number: int) -> dict[str, Any]:
    """One analysis: what it was of, how far its members lie from climatology, or the refusal."""
    rng = np.random.default_rng([20261123, number])
    row = draw(number, rng)
    prior = world.priors[row["space"]]
    starts = world.test.starts(prior.window, prior.step_hours)
    case = Case(world.test, int(starts[rng.integers(len(starts))]), prior.window)
    began = time.monotonic()
    try:
        observations = world.observe(row, case, rng)
        ensemble = sample(
            prior,
            observations,
            MEMBERS,
            steps=STEPS,
            seed=number,
            solver_iterations=SOLVER_ITERATIONS,
            method=row["method"],
            plausible=np.inf,
        )
        row |= {"largest": round(float(deviations(prior, ensemble).max()), 3), "refused": ""}
    except SlamsError as error:
        row |= {"largest": "", "refused": " ".join(str(error).split())}
    return row | {"seconds": round(time.monotonic() - began, 2)}


def fingerprint(results: Path) -> str:
    """Of what decides the analyses: trained networks, fits, the test period, and the code."""
    parts = ["models/prior-pixel.pt", "models/prior-latent.pt", "operators/stations.nc"]
    parts += ["operators/imagery.pt", "store/test.nc", "store/validation.nc"]
    hashes = [file_hash(results / part) for part in parts]
    return config_hash([code_hash(__file__), *hashes])[:12]


def run(results: Path, folder: Path, analyses: int) -> str:
    """Make what is left of the analyses into a table in ``folder``; a summary of all of them.

    The table's name says what it was made with: with other networks or code it begins anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"analyses-{fingerprint(results)}.csv"
    rows: list[dict[str, Any]] = []
    if path.exists():
        # A line that was cut off by a kill has no end, and is made anew.
        whole = path.read_text()
        whole = whole[: whole.rfind("\n") + 1]
        rows = list(csv.DictReader(io.StringIO(whole)))
    with atomic(path) as partial:
        _table(rows).to_csv(partial, index=False)
    world = World(results)
    with path.open("a", newline="") as file:
        for number in tqdm(range(len(rows), analyses), unit="analysis", mininterval=10):
            csv.DictWriter(file, COLUMNS).writerow(analyse(world, number))
            file.flush()
    return summary(pd.read_csv(path))


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summary(table: pd.DataFrame) -> str:
    """How many were refused, not finite, or beyond the limit."""
    refused = table["refused"].notna()
    largest = table.loc[~refused, "largest"]
    by = table[~refused].groupby(["space", "method", "streams"])["largest"]
    lines = [
        f"{len(table)} analyses of {MEMBERS} members, {refused.sum()} refused",
        *(f"{count} x {why}" for why, count in table["refused"].value_counts().items()),
        f"finite: {np.isfinite(largest).sum()} of {len(largest)}; beyond {FAR:g} standard "
        f"deviations: {(largest > FAR).sum()}; largest {largest.max():.2f}",
        by.agg(["size", "median", "max"]).round(2).to_string(),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is left of the analyses, and sum them up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of a finished experiment")
    parser.add_argument("--analyses", type=int, default=ANALYSES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.results / "benchmarks-robustness"
    print(run(arguments.results, folder, arguments.analyses), end="")


if __name__ == "__main__":
    main()
