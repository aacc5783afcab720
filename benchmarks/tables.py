r"""An ablation's scores as tables of Markdown: the arms, and the classical analyses by streams.

    python benchmarks/tables.py results/nature [--scores crps rmse spread_skill] [--level all] \
        [--arms pixel-background pixel-both]

Rows are axis values, numbers with their 95 % intervals. Arms of the same streams share their
classical analyses, which stand once, called by the first such arm. Then, where there is a
comparisons.parquet, the arms against the OI and the LETKF of their own observations and against
the reference arm, on the same cases: change in per cent, with an asterisk where its 95 % interval
does not hold zero.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ALONE = ("climatology", "persistence", "interpolation")  # of the background, where there is one
BY_STREAMS = ("oi", "letkf")
NAMES = {"oi": "OI", "letkf": "LETKF"}
TITLES = {"crps": "CRPS, K", "rmse": "RMSE, K", "spread_skill": "spread/skill"}


def entry(row: pd.Series) -> str:
    """A value with its interval."""
    if not np.isfinite(row["value"]):
        return ""
    text = f"{row['value']:.2f}"
    if np.isfinite(row["lower"]):
        text += f" ({row['lower']:.2f}-{row['upper']:.2f})"
    return text


def markdown(score: str, columns: dict[str, pd.DataFrame], labels: list[str]) -> Iterator[str]:
    """The lines of one table; columns that have nothing are left out."""
    columns = {name: rows for name, rows in columns.items() if rows["value"].notna().any()}
    if not columns:
        return
    yield "| " + " | ".join([TITLES.get(score, score), *columns]) + " |"
    yield "|" + "---|" * (1 + len(columns))
    for label in labels:
        found = [entry(rows.loc[label]) if label in rows.index else "" for rows in columns.values()]
        if any(found):
            yield "| " + " | ".join([label, *found]) + " |"


def label_of(axis: str, value: float) -> str:
    """An axis value as rows are called."""
    return "no background" if axis == "none" else f"{axis} {value:g}"


def paired(comparisons: pd.DataFrame, score: str, level: str) -> Iterator[str]:
    """The lines of the tables of a score's changes, one table a rival."""
    table = comparisons[(comparisons["score"] == score) & (comparisons["level"] == level)]
    arms, labels = list(dict.fromkeys(table["arm"])), list(dict.fromkeys(table["label"]))
    rivals = [(method, table["against_method"] == method) for method in BY_STREAMS]
    rivals.append(("the reference arm", table["against_method"] == "analysis"))
    for rival, chosen in rivals:
        rows = table[chosen]
        if rows.empty:
            continue
        found = {(row.label, row.arm): change(row) for row in rows.itertuples(index=False)}
        shown = [arm for arm in arms if arm in set(rows["arm"])]
        title = TITLES.get(score, score).partition(",")[0]
        yield f"| {title} against {NAMES.get(rival, rival)}, % | " + " | ".join(shown) + " |"
        yield "|" + "---|" * (1 + len(shown))
        for label in labels:
            line = [found.get((label, arm), "") for arm in shown]
            if any(line):
                yield "| " + " | ".join([label, *line]) + " |"
        yield ""


def change(row: Any) -> str:
    """A change, and whether it is sure."""
    return f"{row.percent:+.1f}" + ("*" if row.lower > 0 or row.upper < 0 else "")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--scores", nargs="+", default=["crps", "rmse", "spread_skill"])
    parser.add_argument("--level", default="all")
    parser.add_argument("--arms", nargs="+", help="these alone")
    options = parser.parse_args()
    table = pd.read_parquet(options.results / "scores.parquet")
    table = table[(table["case"] == "all") & (table["bin"] < 0)]
    table = table[table["level"] == options.level]
    table["label"] = list(map(label_of, table["axis"], table["axis_value"]))
    labels = list(dict.fromkeys(table["label"]))
    arms = options.arms or list(dict.fromkeys(table["arm"]))
    for score in options.scores:
        of = table[table["score"] == score]

        def column(arm: str, method: str, of: pd.DataFrame = of) -> pd.DataFrame:
            rows = of[(of["arm"] == arm) & (of["method"] == method)]
            return rows.set_index("label")

        print("\n".join(markdown(score, {arm: column(arm, "analysis") for arm in arms}, labels)))
        print()
        classical: dict[str, pd.DataFrame] = {}
        for method in (*ALONE, *BY_STREAMS):
            for arm in arms:
                rows = column(arm, method)
                # Arms of other spaces with the same streams have the same numbers.
                known = [r for n, r in classical.items() if n.startswith(NAMES.get(method, method))]
                if any(same(rows, other) for other in known):
                    continue
                name = NAMES.get(method, method)
                if method in BY_STREAMS:
                    name += f" of {arm}"
                elif known:
                    continue
                classical[name] = rows
        print("\n".join(markdown(score, classical, labels)))
        print()
        compared = options.results / "comparisons.parquet"
        if compared.is_file():
            rows = pd.read_parquet(compared)
            rows["label"] = list(map(label_of, rows["axis"], rows["axis_value"]))
            rows = rows[rows["arm"].isin(arms)]
            print("\n".join(paired(rows, score, options.level)))


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two columns say the same of the same axis values."""
    return list(one.index) == list(other.index) and np.allclose(
        one["value"], other["value"], rtol=1e-6, equal_nan=True
    )


if __name__ == "__main__":
    main()
