"""Two arms on the same cases: by how much one is better, level by level, with intervals.

    python benchmarks/paired.py results/nature pixel-background pixel-stations

prints for every axis value that both arms have the difference of the CRPS, second arm less first,
in per cent of the first's, and its 95 % interval over bootstrap resamples of the cases: what both
have in common, the weather of the case, cancels. An interval without zero is marked.
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

from slams import verification

RESAMPLES, SEED = 2000, 20261123


def by_case(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """CRPS (case, level), K, the mean over steps; and the levels."""
    with xr.open_dataset(path) as data:
        scores = [
            verification.crps(case["analysis"], case["truth"]).mean("step").values
            for _, case in data.groupby("case")
        ]
        return np.squeeze(np.stack(scores)), data["level"].values


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("first")
    parser.add_argument("second")
    arguments = parser.parse_args()
    draws: np.ndarray | None = None
    for path in sorted((arguments.results / "cells" / arguments.first).glob("*/analysis.nc")):
        other = arguments.results / "cells" / arguments.second / path.parent.name / "analysis.nc"
        if not other.is_file():
            continue
        (one, levels), (two, _) = by_case(path), by_case(other)
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
