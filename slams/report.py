"""The offline report of one experiment: one HTML file, and the table for the terminal."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np
import pandas as pd
import yaml

from slams.errors import SlamsError
from slams.provenance import atomic

BASELINES: Final = ("interpolation", "climatology")
SCORES: Final = ("crps", "rmse", "bias", "spread", "spread_skill")
HEADLINES: Final = {"crps": "CRPS", "rmse": "RMSE of the ensemble mean"}
TERMINAL_WIDTH: Final = 110


@dataclass(frozen=True)
class Entry:
    """One number of a headline table: of an arm or a baseline, in one cell."""

    value: float
    lower: float
    upper: float
    best: bool
    own_interpolation: float | None


@dataclass(frozen=True)
class Row:
    """One row of a headline table: the cells of all arms at one axis value."""

    axis: str
    value: float
    entries: dict[str, Entry | None]

    @property
    def label(self) -> str:
        """The row's name: axis and value, or that there is no background."""
        return "no background" if self.axis == "none" else f"{self.axis} {self.value:g}"


def write(
    path: str | Path,
    *,
    title: str,
    notes: Sequence[str],
    scores: pd.DataFrame,
    figures: Sequence[Mapping[str, Any]],
    rejected: pd.DataFrame | None,
    costs: pd.DataFrame | None,
    provenance: Mapping[str, Any],
    configuration: Mapping[str, Any],
) -> None:
    """Write the report: one HTML file that opens offline and asks for nothing else.

    `notes` are the warnings a reader needs before the numbers. `scores` is the merged table
    (`slams.verification.COLUMNS`). `figures` are mappings with path (of a PNG file), caption and
    alt (the text for those who do not see it). `rejected` has the columns file, station_id,
    reason and rows; `costs` rule, jobs, seconds and max_rss_MB; either may be None. `provenance`
    holds the models' cards by name; an autoencoder's gives the table of reconstruction errors.

    The file appears whole or not at all. Raises SlamsError where there is no score or where a
    figure is missing or no PNG.
    """
    if scores.empty:
        raise SlamsError("there is no score to report: run at least one cell")
    page = _template().render(
        title=title,
        notes=list(notes),
        facts=_facts(scores),
        verdicts=_verdicts(scores),
        arms=list(dict.fromkeys(scores["arm"])),
        headlines={name: headline(scores, score) for score, name in HEADLINES.items()},
        figures=[_embedded(figure) for figure in figures],
        table=_wide(scores),
        rejected=_by_reason(rejected),
        reconstruction=_reconstruction(provenance),
        costs=_costs(costs),
        provenance={str(k): _text(v) for k, v in provenance.items()},
        configuration=yaml.safe_dump(_plain(configuration), sort_keys=False, allow_unicode=True),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    with atomic(Path(path)) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")


def costs(benchmarks: str | Path) -> pd.DataFrame | None:
    """Jobs, seconds and peak memory of every rule, from the folder of Snakemake's benchmarks.

    A rule's files are ``rule.tsv`` or lie in a folder of its name. None where there are none.
    """
    folder = Path(benchmarks)
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        table = pd.read_csv(path, sep="\t", na_values="-")
        rule = path.relative_to(folder).with_suffix("").parts[0]
        rows.append((rule, float(table["s"].sum()), float(table["max_rss"].max())))
    if not rows:
        return None
    table = pd.DataFrame(rows, columns=["rule", "seconds", "max_rss_MB"])
    grouped = table.groupby("rule", sort=False)
    return grouped.agg(
        jobs=("seconds", "size"), seconds=("seconds", "sum"), max_rss_MB=("max_rss_MB", "max")
    ).reset_index()


def headline(scores: pd.DataFrame, score: str) -> list[Row]:
    """`score` at level "all": rows axis values, entries the arms and the two baselines.

    The baseline interpolation is that of the row's first arm; an arm with other observations has
    its own beside its value. The smallest value of a row is marked best, whoever has it.
    """
    chosen = scores[(scores["score"] == score) & (scores["level"] == "all")]
    arms = list(dict.fromkeys(scores["arm"]))
    rows = []
    for axis, value in dict.fromkeys(zip(chosen["axis"], chosen["axis_value"], strict=True)):
        here = chosen[(chosen["axis"] == axis) & (chosen["axis_value"] == value)]
        numbers = {(row.arm, row.method): row for row in here.itertuples(index=False)}
        first = next(arm for arm in arms if arm in set(here["arm"]))
        columns = {arm: (arm, "analysis") for arm in arms}
        columns |= {baseline: (first, baseline) for baseline in BASELINES}
        found = [float(numbers[key].value) for key in columns.values() if key in numbers]
        least = min((v for v in found if np.isfinite(v)), default=np.nan)
        common = numbers.get((first, "interpolation"))
        entries = {
            name: _entry(numbers.get(key), least, numbers.get((name, "interpolation")), common)
            for name, key in columns.items()
        }
        rows.append(Row(str(axis), float(value), entries))
    return rows


def summary_table(scores: pd.DataFrame, score: str = "crps", width: int = TERMINAL_WIDTH) -> str:
    """The headline table as plain text, at most `width` characters wide.

    Rows are axis values, columns arms and baselines (too many columns continue in a further
    block); a star marks the best of each row.
    """
    rows = headline(scores, score)
    if not rows:
        raise SlamsError(f"the table has no score {score} at level all: run at least one cell")
    names = list(rows[0].entries)
    heads = {name: name.split("-") for name in names}
    wide = {name: max(7, *(len(word) + 1 for word in heads[name])) for name in names}
    label = max(len(row.label) for row in rows)
    blocks: list[list[str]] = [[]]
    for name in names:
        if blocks[-1] and label + sum(wide[n] + 1 for n in [*blocks[-1], name]) > width:
            blocks.append([])
        blocks[-1].append(name)
    cases = sorted(set(scores["cases"]))
    lines = [
        f"{HEADLINES.get(score, score)} (K), mean of levels, "
        f"{'-'.join(str(n) for n in cases)} cases a cell; * the best of each row"
    ]
    for block in blocks:
        depth = max(len(heads[name]) for name in block)
        for i in range(depth):
            # Short names stand on the lowest line of the head, next to their numbers.
            words = [["", *heads[n]][max(0, i - depth + len(heads[n]) + 1)] for n in block]
            lines.append(
                " " * label
                + "".join(f" {w:>{wide[n] - 1}} " for w, n in zip(words, block, strict=True))
            )
        for row in rows:
            numbers = "".join(f" {_terminal(row.entries[n]):>{wide[n]}}" for n in block)
            lines.append(f"{row.label:<{label}}{numbers}")
    return "\n".join(line.rstrip() for line in lines)


def _entry(row: Any, least: float, own: Any, common: Any) -> Entry | None:
    if row is None:
        return None
    differs = own is not None and not (
        common is not None and np.isclose(own.value, common.value, rtol=1e-6, equal_nan=True)
    )
    return Entry(
        value=float(row.value),
        lower=float(row.lower),
        upper=float(row.upper),
        best=bool(row.value == least),
        own_interpolation=float(own.value) if differs else None,
    )


def _terminal(entry: Entry | None) -> str:
    if entry is None:
        return "· "
    return f"{number(entry.value)}{'*' if entry.best else ' '}"


def number(value: float, digits: int = 2) -> str:
    """A value with fixed decimals; a dash where it is missing."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def _facts(scores: pd.DataFrame) -> dict[str, str]:
    cells = scores[["arm", "axis", "axis_value"]].drop_duplicates()
    ensembles = scores.loc[scores["method"] == "analysis", "members"]
    levels = [level for level in dict.fromkeys(scores["level"]) if level != "all"]

    def span(values: pd.Series) -> str:
        low, high = int(values.min()), int(values.max())
        return f"{low}" if low == high else f"{low} to {high}"

    return {
        "arms": str(cells["arm"].nunique()),
        "cells": str(len(cells)),
        "cases a cell": span(scores["cases"]),
        "members": span(ensembles),
        "levels (hPa)": ", ".join(levels),
    }


def _verdicts(scores: pd.DataFrame) -> list[str]:
    """In how many cells the analysis beats each baseline, said in words."""
    chosen = scores[(scores["score"] == "crps") & (scores["level"] == "all")]
    by_cell = chosen.pivot(index=["arm", "axis", "axis_value"], columns="method", values="value")
    verdicts = []
    for baseline in BASELINES:
        pairs = by_cell.reindex(columns=["analysis", baseline]).dropna()
        if len(pairs):
            wins = int((pairs["analysis"] < pairs[baseline]).sum())
            of = (
                "the interpolation of the same observations"
                if baseline != "climatology"
                else baseline
            )
            verdicts.append(f"a smaller CRPS than {of} in {wins} of {len(pairs)} cells")
    return verdicts


def _wide(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """All scores, one row a cell, method and level, each score with its interval."""
    keys = ["arm", "axis", "axis_value", "method", "level"]
    rows = []
    for key, group in scores.groupby(keys, sort=False):
        found = {row.score: row for row in group.itertuples(index=False)}
        cells = [found.get(score) for score in SCORES]
        names = dict(zip(keys, key, strict=True))
        names["cell"] = Row(names["axis"], names["axis_value"], {}).label
        rows.append(names | {"scores": cells})
    return rows


def _by_reason(rejected: pd.DataFrame | None) -> list[dict[str, Any]]:
    if rejected is None or rejected.empty:
        return []
    groups = rejected.groupby("reason", sort=False)
    table = groups.agg(
        rows=("rows", "sum"), stations=("station_id", "nunique"), files=("file", "nunique")
    )
    records = table.sort_values("rows", ascending=False).reset_index().to_dict("records")
    return [{str(k): v for k, v in record.items()} for record in records]


def _reconstruction(provenance: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The reconstruction error by level of every autoencoder among the cards."""
    key = "reconstruction_rmse_K"
    cards = {name: card for name, card in provenance.items() if isinstance(card, Mapping)}
    return {name.replace("_", " "): card[key] for name, card in cards.items() if key in card}


def _costs(costs: pd.DataFrame | None) -> list[dict[str, Any]]:
    if costs is None or costs.empty:
        return []
    ordered = costs.sort_values("seconds", ascending=False)
    rows = [{str(k): v for k, v in row.items()} for row in ordered.to_dict("records")]
    total = {"rule": "all", "jobs": costs["jobs"].sum(), "seconds": costs["seconds"].sum()}
    return [*rows, total | {"max_rss_MB": costs["max_rss_MB"].max()}]


def _embedded(figure: Mapping[str, Any]) -> dict[str, str]:
    path = Path(figure["path"])
    if not path.is_file():
        raise SlamsError(f"the figure {path} is not there: run the rule that draws it")
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG"):
        raise SlamsError(
            f"the figure {path} is not a PNG: give the .png that slams.figures.save wrote"
        )
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    return {
        "data": base64.b64encode(content).decode("ascii"),
        "width": str(width),
        "height": str(height),
        "caption": " ".join(str(figure["caption"]).split()),
        "alt": str(figure["alt"]),
        "name": path.stem,
    }


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    return json.dumps(_plain(value), indent=1, ensure_ascii=False)


def _template() -> jinja2.Template:
    source = resources.files("slams").joinpath("report_template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = number
    return environment.from_string(source)
