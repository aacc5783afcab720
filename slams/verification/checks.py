"""What is refused before anything is scored: cells that are not whole, or do not belong together.

A score is never computed from a part of what was asked.
"""

from datetime import datetime
from typing import Any

import numpy as np
import xarray as xr

from slams.errors import SlamsError
from slams.verification.methods import Method
from slams.verification.scores import CELL_AREA_DIMS

FIELD = ("case", "step", "level", *CELL_AREA_DIMS)
Period = tuple[datetime, datetime]


def labels_of(analysis: xr.Dataset) -> dict[str, Any]:
    """The columns arm, axis and axis_value of a cell, from its attributes.

    Raises SlamsError where one is absent or no number.
    """
    absent = [name for name in ("arm", "axis", "axis_value") if name not in analysis.attrs]
    if absent:
        raise SlamsError(
            f"the analysis lacks the attribute {', '.join(absent)}: write it as "
            "docs/architecture.md says (the rule assimilate_cell does)"
        )
    arm, axis, value = (analysis.attrs[name] for name in ("arm", "axis", "axis_value"))
    try:
        number = float(value)
    except (TypeError, ValueError):
        if axis != "none":
            raise SlamsError(
                f"axis_value of the axis {axis} must be a number, not {value}"
            ) from None
        number = 0.0
    return {"arm": str(arm), "axis": str(axis), "axis_value": number}


def check_analysis(analysis: xr.Dataset, period: Period | None) -> None:
    """Raise SlamsError unless the analysis is whole, and its times are within the period.

    ``period`` is the first and the last instant (UTC) of the test period, or None for any.
    """
    for name, dims in (("analysis", {*FIELD, "member"}), ("truth", set(FIELD))):
        if name not in analysis:
            raise SlamsError(f"the analysis lacks the variable {name}: run the cell again")
        if set(analysis[name].dims) != dims:
            raise SlamsError(
                f"{name} has the dimensions {', '.join(map(str, analysis[name].dims))}, not "
                f"{', '.join(sorted(dims))}: run the cell again"
            )
    for name in ("case", "step", "level", "member"):
        if analysis.sizes[name] == 0:
            raise SlamsError(f"the analysis has no {name}: nothing to verify; check the cell's log")
    if "time" not in analysis.coords or set(analysis["time"].dims) != {"case", "step"}:
        raise SlamsError(
            "the analysis has no coordinate time(case, step): run the cell again, so that its "
            "cases can be told apart"
        )
    _within(analysis["time"].transpose("case", "step").values, period)
    if "observations_used" in analysis:
        used = analysis["observations_used"]
        each = used.sum([dim for dim in used.dims if dim != "case"]).values
        if (each == 0).any():
            case = int(np.flatnonzero(each == 0)[0])
            begin = np.datetime_as_string(analysis["time"].values[case].ravel()[0], "h")
            raise SlamsError(
                f"the case from {begin} has no observation left after quality control: it is the "
                "prior and no analysis; add a stream or move periods.test"
            )


def _within(times: np.ndarray, period: Period | None) -> None:
    if period is None:
        return
    first, last = (np.datetime64(instant, "ns") for instant in period)
    outside = (times < first) | (times > last) | np.isnat(times)
    if outside.any():
        case, step = np.argwhere(outside)[0]
        raise SlamsError(
            f"case {case} has the time {np.datetime_as_string(times[case, step], 'h')}, outside "
            f"periods.test, {np.datetime_as_string(first, 'h')} to "
            f"{np.datetime_as_string(last, 'h')}: run the cell again with this configuration; "
            f"{int(outside.any(1).sum())} of {len(times)} cases are concerned, and nothing is "
            "scored in part"
        )


def check_together(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    statistics: xr.Dataset,
    methods: list[Method],
) -> None:
    """Raise SlamsError unless all are of the same observations, cases, times, levels and cells."""
    _same_observations(analysis, classical)
    for method in methods[1:]:
        dims = set(classical[method.name].dims)
        if dims != set(FIELD):
            raise SlamsError(
                f"{method.name} has the dimensions {', '.join(sorted(map(str, dims)))}, not "
                f"{', '.join(sorted(FIELD))}: run the rule analyse_classically again"
            )
    for name, other, remedy in (
        (
            "the classical analyses",
            classical,
            "run the rules assimilate_cell and analyse_classically with one configuration",
        ),
        ("the statistics", statistics, "run the cell again with the statistics of its store"),
    ):
        dims_of = FIELD if other is classical else FIELD[2:]
        for dim in dims_of:
            same = other.sizes.get(dim) == analysis.sizes[dim]
            if same and dim in other.coords and dim in analysis.coords:
                same = bool(np.allclose(other[dim].values, analysis[dim].values, atol=1e-4))
            if not same:
                raise SlamsError(
                    f"{name} and the analysis differ along {dim} ({_brief(other, dim)} against "
                    f"{_brief(analysis, dim)}): {remedy}; nothing is scored in part"
                )
    if "time" not in classical.coords:
        raise SlamsError(
            "the classical analyses have no coordinate time(case, step): run the rule "
            "analyse_classically again"
        )
    theirs = classical["time"].transpose("case", "step").values
    ours = analysis["time"].transpose("case", "step").values
    if not np.array_equal(theirs, ours):
        case = int(np.flatnonzero((theirs != ours).any(1))[0])
        raise SlamsError(
            f"case {case} of the classical analyses is from "
            f"{np.datetime_as_string(theirs[case, 0], 'h')}, that of the analysis from "
            f"{np.datetime_as_string(ours[case, 0], 'h')}: run the rules assimilate_cell and "
            "analyse_classically with one configuration"
        )


def _same_observations(analysis: xr.Dataset, classical: xr.Dataset) -> None:
    """The streams, axis and value, of which both files tell in their attributes."""
    for name in ("streams", "axis", "axis_value"):
        ours, theirs = (str(data.attrs.get(name, "")) for data in (analysis, classical))
        if not theirs:  # made by hand, for a library user's own analysis
            continue
        same = set(ours.split()) == set(theirs.split())
        if name == "axis_value" and not same:
            same = _number(ours) == _number(theirs)
        if not same:
            raise SlamsError(
                f"the classical analyses are of {name} {theirs}, the analysis of arm "
                f"{analysis.attrs['arm']} of {name} {ours}: verify it beside those of the same "
                "observations"
            )


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def case_names(times: np.ndarray) -> list[str]:
    """The first time of each case as text; where several begin at it, numbered from the second."""
    begins = [np.datetime_as_string(time, "h") for time in times[:, 0]]
    return [
        name if (before := begins[:n].count(name)) == 0 else f"{name} ({before + 1})"
        for n, name in enumerate(begins)
    ]


def _brief(data: xr.Dataset, dim: str) -> str:
    if dim not in data.dims:
        return "none"
    values = data[dim].values
    return f"{values.size} values" + (f", {values[0]} to {values[-1]}" if values.size else "")
