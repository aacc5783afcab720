"""Two arms with as many members each: by how much one is better on the same cases.

    python benchmarks/paired.py results/nature-paper paper-pixel pixel-background --members 2

An experiment's own comparisons, with all members, are in its comparisons.parquet. The RMSE of an
ensemble's mean depends on how many members it has, though; here the first so many of each are
taken. Prints for every axis value that both arms have the second's score less the first's in per
cent of that, its 95 % interval and the p-value, as slams.verification.compare has them.
"""

import argparse
from pathlib import Path

import pandas as pd

from slams import verification
from slams.netcdf import open_dataset

SEED = 20261123


def scores_of(path: Path, members: int | None) -> pd.DataFrame:
    """The scores of the first members of an analysis, by case."""
    with open_dataset(path) as analysis:
        return verification.score_ensemble(analysis, members=members, bootstrap=10, seed=SEED)


def compared(
    results: Path, first: str, second: str, members: int | None = None, score: str = "crps"
) -> pd.DataFrame:
    """The comparisons of the second arm with the first, a row a cell and level."""
    tables = []
    for path in sorted((results / "cells" / second).glob("*/analysis.nc")):
        other = results / "cells" / first / path.parent.name / "analysis.nc"
        if other.is_file():
            tables += [scores_of(other, members), scores_of(path, members)]
    if not tables:
        raise SystemExit(f"{results} has no cell that both {first} and {second} have")
    table = verification.compare(
        pd.concat(tables, ignore_index=True), reference=first, bootstrap=2000, seed=SEED
    )
    return table[table["score"] == score]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("first", help="the arm to compare with")
    parser.add_argument("second", help="the arm that is compared")
    parser.add_argument("--score", choices=["crps", "rmse"], default="crps")
    parser.add_argument("--members", type=int, help="so many of each (default: all)")
    arguments = parser.parse_args()
    table = compared(
        arguments.results, arguments.first, arguments.second, arguments.members, arguments.score
    )
    for (axis, value), rows in table.groupby(["axis", "axis_value"], sort=False):
        print(f"{axis} {value:g}")
        for row in rows.itertuples(index=False):
            base = row.percent / row.difference if row.difference else float("nan")
            print(
                f"  {row.level:>5} {row.percent:+6.1f} % ({row.lower * base:+.1f} "
                f"{row.upper * base:+.1f}), p {row.p_value:.3g}"
            )


if __name__ == "__main__":
    main()
