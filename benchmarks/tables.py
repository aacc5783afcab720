r"""An ablation's scores as tables of Markdown: the arms, and the classical analyses by streams.

    python benchmarks/tables.py results/nature [--scores crps rmse spread_skill] [--level all] \
        [--arms pixel-background pixel-both] [--arms latent-background latent-both] [--title TEXT]

Rows are axis values, numbers with their 95 % intervals. Every --arms has tables of its own. Arms of
the same streams share their classical analyses, which stand once, called by the first such arm.
Then, where there is a comparisons.parquet, the arms against the OI and the LETKF of their own
observations and against the reference arm, on the same cases: change in per cent, with an asterisk
where its 95 % interval does not hold zero. With a --title it is a page of its own.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ALONE = ("climatology", "persistence", "interpolation")  # of the background, where there is one
BY_STREAMS = {"oi": "OI", "letkf": "LETKF"}
TITLES = {"crps": "CRPS, K", "rmse": "RMSE, K", "spread_skill": "spread/skill"}
NOTE = """\
{cases} cases a cell, {members} members. Intervals are 95 %, by a bootstrap over cases; an asterisk
says that the interval of a paired difference does not hold zero. Means of the levels, weighted by
area. Made by `benchmarks/tables.py`."""


def entry(row: pd.Series) -> str:
    """A value with its interval."""
    if not np.isfinite(row["value"]):
        return ""
    text = f"{row['value']:.2f}"
    if np.isfinite(row["lower"]):
        text += f" ({row['lower']:.2f}-{row['upper']:.2f})"
    return text


def change(row: Any) -> str:
    """A change, and whether it is sure."""
    return f"{row.percent:+.1f}" + ("*" if row.lower > 0 or row.upper < 0 else "")


def markdown(title: str, columns: dict[str, dict[str, str]], labels: list[str]) -> None:
    """Print one table of entries by row; rows and columns that have nothing are left out."""
    columns = {name: rows for name, rows in columns.items() if any(rows.values())}
    if not columns:
        return
    print("| " + " | ".join([title, *columns]) + " |")
    print("|" + "---|" * (1 + len(columns)))
    for label in labels:
        found = [rows.get(label, "") for rows in columns.values()]
        if any(found):
            print("| " + " | ".join([label, *found]) + " |")
    print()


def label_of(axis: str, value: float) -> str:
    """An axis value as rows are called."""
    return "no background" if axis == "none" else f"{axis} {value:g}"


def by_label(rows: pd.DataFrame) -> dict[str, str]:
    """The entries of a column."""
    return {label: entry(row) for label, row in rows.set_index("label").iterrows()}


def classical(of: pd.DataFrame, arms: list[str]) -> Iterator[dict[str, dict[str, str]]]:
    """The columns of a table of what sees the background alone, then of one a method."""
    found: dict[str, dict[str, str]] = {}
    for method in ALONE:
        for arm in arms:
            rows = by_label(of[(of["arm"] == arm) & (of["method"] == method)])
            found[method] = rows | found.get(method, {})
    yield found
    for method, name in BY_STREAMS.items():
        found = {}
        for arm in arms:
            rows = by_label(of[(of["arm"] == arm) & (of["method"] == method)])
            # Arms of other spaces with the same streams have the same numbers.
            if rows not in found.values():
                found[f"{name} of {arm}"] = rows
        yield found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--scores", nargs="+", default=["crps", "rmse", "spread_skill"])
    parser.add_argument("--level", default="all")
    parser.add_argument("--arms", nargs="+", action="append", help="in tables of their own")
    parser.add_argument("--title", help="of a page")
    options = parser.parse_args()
    table = pd.read_parquet(options.results / "scores.parquet")
    table = table[(table["case"] == "all") & (table["bin"] < 0)]
    table = table[table["level"] == options.level]
    table["label"] = list(map(label_of, table["axis"], table["axis_value"]))
    labels = list(dict.fromkeys(table["label"]))
    groups = options.arms or [list(dict.fromkeys(table["arm"]))]
    compared, pairs = options.results / "comparisons.parquet", pd.DataFrame()
    if compared.is_file():
        pairs = pd.read_parquet(compared)
        pairs["label"] = list(map(label_of, pairs["axis"], pairs["axis_value"]))
    if options.title:
        analyses = table[table["method"] == "analysis"]
        said = {name: analyses[name].max() for name in ("cases", "members")}
        print(f"# {options.title}\n{NOTE.format(**said)}\n")
    for score in options.scores:
        of, title = table[table["score"] == score], TITLES.get(score, score)
        if options.title:
            print(f"## {title[0].upper()}{title[1:]}")
        analyses = of[of["method"] == "analysis"]
        for arms in groups:
            columns = {arm: by_label(analyses[analyses["arm"] == arm]) for arm in arms}
            markdown(title, columns, labels)
        for columns in classical(of, [arm for arms in groups for arm in arms]):
            markdown(title, columns, labels)
        if pairs.empty:
            continue
        rows = pairs[(pairs["score"] == score) & (pairs["level"] == options.level)]
        for method, rival in {**BY_STREAMS, "analysis": "the reference arm"}.items():
            against = rows[rows["against_method"] == method]
            for arms in groups:
                columns = {arm: {} for arm in arms}
                for row in against[against["arm"].isin(arms)].itertuples(index=False):
                    columns[row.arm][row.label] = change(row)
                markdown(f"{title.partition(',')[0]} against {rival}, %", columns, labels)


if __name__ == "__main__":
    main()
