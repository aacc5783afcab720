"""The page itself: what the templates are filled with."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from slams.errors import SlamsError
from slams.provenance import atomic
from slams.report import tables
from slams.report.headline import HEADLINES, NAMES, headline, number
from slams.report.pictures import embedded
from slams.verification import STATION_LEVEL


def write(
    path: str | Path,
    *,
    title: str,
    notes: Sequence[str],
    scores: pd.DataFrame,
    comparisons: pd.DataFrame | None,
    figures: Sequence[Mapping[str, Any]],
    counts: pd.DataFrame | None,
    rejected: pd.DataFrame | None,
    costs: pd.DataFrame | None,
    provenance: Mapping[str, Any],
    configuration: Mapping[str, Any],
) -> None:
    """Write the report: one HTML file that opens offline and asks for nothing else.

    `notes` are the warnings a reader needs before the numbers. `scores` and `comparisons` are the
    merged tables (docs/architecture.md). `figures` are mappings as `slams.report.embedded` takes
    them; those of one section stand together. `counts` has the columns arm, stream, used, refused
    and deweighted; `rejected` file, station_id, reason and rows; `costs` as `slams.report.costs`
    gives; each may be None, `rejected` where no station file was read. `provenance` holds the
    models' cards by name; an autoencoder's gives the table of reconstruction errors.

    The file appears whole or not at all. Raises SlamsError where there is no score or where a
    figure is missing or no PNG.
    """
    if scores.empty:
        raise SlamsError("there is no score to report: run at least one cell")
    sections: dict[str, list[dict[str, str]]] = {}
    for figure in embedded(figures):
        sections.setdefault(figure["section"], []).append(figure)
    # Numbered as they stand, section by section.
    for number_of, figure in enumerate((f for group in sections.values() for f in group), 1):
        figure["number"] = str(number_of)
    arms = list(dict.fromkeys(scores["arm"]))
    page = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            notes=list(notes),
            facts=tables.facts(scores),
            verdicts=tables.verdicts(scores),
            arms=arms,
            names={arm: arm for arm in arms} | NAMES,
            headlines={name: headline(scores, score) for score, name in HEADLINES.items()},
            stations={
                name: headline(scores, score, STATION_LEVEL) for score, name in HEADLINES.items()
            },
            paired=tables.paired(comparisons),
            sections=sections,
            table=tables.wide(scores),
            controlled=tables.controlled(counts),
            rejected=tables.by_reason(rejected),
            read=rejected is not None,
            reconstruction=tables.reconstruction(provenance),
            costs=tables.with_total(costs),
            provenance={str(k): _text(v) for k, v in provenance.items()},
            configuration=yaml.safe_dump(
                _plain(configuration), sort_keys=False, allow_unicode=True
            ),
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    with atomic(Path(path)) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    return json.dumps(_rounded(_plain(value)), indent=1, ensure_ascii=False)


def _rounded(value: Any) -> Any:
    """Of fractions six digits, as many as a person reads; the cards themselves have all."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def _environment() -> jinja2.Environment:
    folder = resources.files("slams.report").joinpath("templates")

    def load(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = number
    environment.filters["anchor"] = lambda text: "".join(
        c if c.isalnum() else "-" for c in text.lower()
    )
    return environment
