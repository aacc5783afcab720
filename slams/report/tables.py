"""The report's other tables: facts, comparisons, all scores, quality control, rejections, cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from slams.netcdf import open_dataset
from slams.report.headline import NAMES, Row
from slams.verification import STATION_LEVEL, summary

SCORES: Final = ("rmse", "bias", "crps", "spread", "spread_skill", "wasserstein")
COUNTS: Final = ("used", "refused", "deweighted")


def facts(scores: pd.DataFrame) -> dict[str, str]:
    """How large the experiment is."""
    cells = scores[["arm", "axis", "axis_value"]].drop_duplicates()
    rows = summary(scores)
    ensembles = rows.loc[rows["method"] == "analysis", "members"]
    levels = [
        level for level in dict.fromkeys(rows["level"]) if level not in ("all", STATION_LEVEL)
    ]

    def span(values: pd.Series) -> str:
        low, high = int(values.min()), int(values.max())
        return f"{low}" if low == high else f"{low} to {high}"

    return {
        "arms": str(cells["arm"].nunique()),
        "cells": str(len(cells)),
        "cases a cell": span(rows.loc[rows["level"] == "all", "cases"]),
        "members": span(ensembles),
        "levels (hPa)": ", ".join(levels),
    }


def verdicts(scores: pd.DataFrame) -> list[str]:
    """In how many cells the analysis beats each classical one of the same observations."""
    rows = summary(scores)
    chosen = rows[(rows["score"] == "crps") & (rows["level"] == "all")]
    keys = ["arm", "axis", "axis_value"]
    by_cell = chosen.pivot(index=keys, columns="method", values="value")
    said = {
        "oi": "optimal interpolation (OI)",
        "letkf": "the LETKF",
        "interpolation": "interpolation",
        "persistence": "persistence",
        "climatology": "climatology",
    }
    found = []
    for method, name in said.items():
        pairs = by_cell.reindex(columns=["analysis", method]).dropna()
        if len(pairs):
            wins = int((pairs["analysis"] < pairs[method]).sum())
            found.append(f"than {name} in {wins} of {len(pairs)} cells")
    return found


def paired(comparisons: pd.DataFrame | None) -> list[dict[str, Any]]:
    """CRPS of all levels: one row an arm and what it is compared with.

    `better`, `worse` and `undecided` count the cells by whether the 95 % interval of the
    difference holds zero; `median`, `least` and `most` are changes in percent.
    """
    if comparisons is None or comparisons.empty:
        return []
    chosen = comparisons[(comparisons["score"] == "crps") & (comparisons["level"] == "all")]
    other = chosen["against_arm"].where(chosen["against_method"] == "analysis", "")
    rows = []
    for key, group in chosen.assign(other=other).groupby(
        ["arm", "against_method", "other"], sort=False
    ):
        arm, method, other_arm = map(str, key)
        better, worse = int((group["upper"] < 0).sum()), int((group["lower"] > 0).sum())
        rows.append(
            {
                "arm": arm,
                "against": f"arm {other_arm}" if other_arm else NAMES.get(method, method),
                "cells": len(group),
                "better": better,
                "worse": worse,
                "undecided": len(group) - better - worse,
                "median": float(group["percent"].median()),
                "least": float(group["percent"].min()),
                "most": float(group["percent"].max()),
            }
        )
    return rows


def wide(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """All scores, one row a cell, method and level, each score with its interval."""
    keys = ("arm", "axis", "axis_value", "method", "level")
    table = summary(scores)
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in table[table["score"].isin(SCORES)].itertuples(index=False):
        groups.setdefault(tuple(getattr(row, key) for key in keys), {})[row.score] = row
    rows = []
    for key, found in groups.items():
        names = dict(zip(keys, key, strict=True))
        names["cell"] = Row(names["axis"], names["axis_value"], {}).label
        rows.append(names | {"scores": [found.get(score) for score in SCORES]})
    return rows


def controlled(counts: pd.DataFrame | None) -> list[dict[str, Any]]:
    """What quality control did with each arm's streams, summed over its cells and cases.

    `counts` has the columns arm, stream, used, refused and deweighted.
    """
    if counts is None or counts.empty:
        return []
    table = counts.groupby(["arm", "stream"], sort=False)[list(COUNTS)].sum().reset_index()
    rows = []
    for row in table.itertuples(index=False):
        seen = int(row.used + row.refused)
        share = 100 * int(row.refused) / seen if seen else np.nan
        rows.append({**row._asdict(), "share": share})
    return rows


def counts(paths: Sequence[str | Path]) -> pd.DataFrame:
    """What became of the observations of every cell, from its `analysis.nc`.

    Columns arm, stream, used, refused and deweighted, summed over cases.
    """
    frames = []
    for path in paths:
        with open_dataset(path) as analysis:
            numbers = {name: analysis[f"observations_{name}"].sum("case").values for name in COUNTS}
            streams = analysis["stream"].values.astype(str)
            frames.append(
                pd.DataFrame({"arm": analysis.attrs["arm"], "stream": streams, **numbers})
            )
    return pd.concat(frames, ignore_index=True)


def by_reason(rejected: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rejected rows of station files by reason, the most frequent first."""
    if rejected is None or rejected.empty:
        return []
    groups = rejected.groupby("reason", sort=False)
    table = groups.agg(
        rows=("rows", "sum"), stations=("station_id", "nunique"), files=("file", "nunique")
    )
    records = table.sort_values("rows", ascending=False).reset_index().to_dict("records")
    return [{str(k): v for k, v in record.items()} for record in records]


def reconstruction(provenance: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The reconstruction error by level of every autoencoder among the cards."""
    key = "reconstruction_rmse_K"
    cards = {name: card for name, card in provenance.items() if isinstance(card, Mapping)}
    return {name.replace("_", " "): card[key] for name, card in cards.items() if key in card}


def costs(benchmarks: str | Path) -> pd.DataFrame | None:
    """Jobs, seconds, processor seconds and peak memory of every rule, by Snakemake's benchmarks.

    A rule's files are ``rule.tsv`` or lie in a folder of its name. None where there are none.
    """
    folder = Path(benchmarks)
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t", na_values="-")
        rule = path.relative_to(folder).with_suffix("").parts[0]
        numbers = (table["s"].sum(), table["cpu_time"].sum(), table["max_rss"].max())
        rows.append((rule, *map(float, numbers)))
    if not rows:
        return None
    table = pd.DataFrame(rows, columns=["rule", "seconds", "cpu_seconds", "max_rss_MB"])
    grouped = table.groupby("rule", sort=False)
    return grouped.agg(
        jobs=("seconds", "size"),
        seconds=("seconds", "sum"),
        cpu_seconds=("cpu_seconds", "sum"),
        max_rss_MB=("max_rss_MB", "max"),
    ).reset_index()


def with_total(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The costs, the dearest rule first, and their sum."""
    if table is None or table.empty:
        return []
    ordered = table.sort_values("seconds", ascending=False)
    rows = [{str(k): v for k, v in row.items()} for row in ordered.to_dict("records")]
    total: dict[str, Any] = {name: table[name].sum() for name in ("jobs", "seconds", "cpu_seconds")}
    return [*rows, {"rule": "all", **total, "max_rss_MB": table["max_rss_MB"].max()}]
