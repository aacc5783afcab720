"""Two arms on the same cases: by how much one is better, level by level, with intervals.

    python benchmarks/paired.py results/nature pixel-background pixel-stations
    python benchmarks/paired.py results/nature interpolation pixel-background --score rmse

prints for every axis value that both arms have the difference of the CRPS (or of the RMSE of the
mean of --members of them), second arm less first, in per cent of the first's, and its 95 % interval
over bootstrap resamples of the cases: what both have in common, the weather of the case, cancels.
An interval without zero is marked.
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

from slams import verification

RESAMPLES, SEED = 2000, 20261123


# Of the other arm's observations: these stand in the file of its streams.
CLASSICAL = ("climatology", "interpolation", "oi", "letkf", "persistence")


def by_case(
    path: Path, score: str, members: int | None, method: str = "analysis"
) -> tuple[np.ndarray, np.ndarray]:
    """Score (case, level), K, over the steps of a case; and the levels."""
    with xr.open_dataset(path) as analysis:
        data = analysis
        if method in CLASSICAL:
            streams = analysis.attrs["streams"].replace(" ", "+")
            cell = path.parent
            beside = cell.parents[2] / "classical" / streams / cell.name / "classical.nc"
            data = analysis.assign({method: xr.load_dataset(beside)[method]})
        scores = []
        for _, case in data.groupby("case"):
            drawn = case[method]
            drawn = drawn.isel(member=slice(members)) if "member" in drawn.dims else drawn
            if score == "crps":
                scores.append(verification.crps(drawn, case["truth"]).mean("step").values)
            else:
                drawn = drawn if "member" in drawn.dims else drawn.expand_dims("member")
                square = verification.rmse(drawn, case["truth"]) ** 2
                scores.append(np.sqrt(square.mean("step")).values)
        return np.squeeze(np.stack(scores)), data["level"].values


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("first", help=f"an arm, or of the second's observations {CLASSICAL}")
    parser.add_argument("second")
    parser.add_argument("--score", choices=["crps", "rmse"], default="crps")
    parser.add_argument("--members", type=int, help="so many of each (default: all)")
    arguments = parser.parse_args()
    score, members, alone = arguments.score, arguments.members, arguments.first in CLASSICAL
    if alone and score == "crps":
        parser.error(f"{arguments.first} is no ensemble: compare it by --score rmse")
    folder = arguments.results / "cells"
    draws: np.ndarray | None = None
    for other in sorted((folder / arguments.second).glob("*/analysis.nc")):
        path = other if alone else folder / arguments.first / other.parent.name / "analysis.nc"
        if not path.is_file():
            continue
        one, levels = by_case(path, score, members, arguments.first if alone else "analysis")
        two, _ = by_case(other, score, members)
        if draws is None:
            draws = np.random.default_rng(SEED).integers(len(one), size=(RESAMPLES, len(one)))
            heads = [f"{level:g} hPa" for level in levels]
            print(f"{'':12}" + "".join(f"{head:>22}" for head in [*heads, "all"]))
        one, two = (np.column_stack([a, a.mean(1)]) for a in (one, two))
        change = 100 * (two - one).mean(0) / one.mean(0)
        sampled = 100 * (two - one)[draws].mean(1) / one[draws].mean(1)
        low, high = np.quantile(sampled, [0.025, 0.975], axis=0)
        texts = [
            f"{c:+.1f} ({a:+.1f} {b:+.1f}){'*' if a * b > 0 else ' '}"
            for c, a, b in zip(change, low, high, strict=True)
        ]
        print(f"{path.parent.name:12}" + "".join(f"{text:>22}" for text in texts))


if __name__ == "__main__":
    main()
