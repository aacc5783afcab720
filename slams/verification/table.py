"""The tidy table of scores of one cell, and of all cells."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.verification import rows as table_rows
from slams.verification.checks import (
    Period,
    case_names,
    check_analysis,
    check_together,
    labels_of,
)
from slams.verification.definitions import (
    ALL,
    COLUMNS,
    DEFINITIONS,
    KEY,
    NO_BIN,
    STATION_LEVEL,
)
from slams.verification.methods import Method, methods_of, pooled
from slams.verification.reduction import TRUE_POWER, Means, reduce_case, reduce_truth
from slams.verification.resampling import block_length, shares
from slams.verification.rows import Sample
from slams.verification.stations import HeldOut, Stations
from slams.verification.wasserstein import distance, excess

LEAST_BINS: Final = 11  # of a Gaussian's histogram, where there is no ensemble beside it

Array = NDArray[np.float64]


def score_cell(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    statistics: xr.Dataset,
    *,
    stations: Stations | None = None,
    period: Period | None = None,
    bootstrap: int = 1000,
    block: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The scores of one cell as a tidy table, one row a score (columns: `COLUMNS`).

    `analysis`, `classical` and `statistics` are data sets as docs/architecture.md describes
    `analysis.nc`, `classical.nc` and `statistics.nc`. `stations` adds the rows of level "2 m",
    where some were held out; `period` is the first and the last instant of the test period.
    Intervals are of `bootstrap` resamplings of the cases in blocks of `block` (None: the cube root
    of their number), drawn from `seed`, the same for all methods and cells of as many cases.

    What each score is, and in which unit, stands in `table.attrs["definitions"]`. Methods are the
    ensemble and the classical analyses; one with a spread is verified as a Gaussian, one without
    as a field. Each is reduced to means over area and steps, by case and level, of which every
    score is a function; one case at a time is in memory, and for the Wasserstein distance one
    level. Where the interpolation is missing throughout a level, because nothing there was
    observed, its scores are missing there and for "all".

    Raises SlamsError where a variable, dimension or attribute is absent, where cases lie outside
    the period or have no observation, where levels, cells or times differ, where a value is not
    finite (naming case and member), and where a station held out was assimilated.
    """
    labels = labels_of(analysis)
    check_analysis(analysis, period)
    methods = methods_of(analysis, classical)
    check_together(analysis, classical, statistics, methods)
    held_out = None
    if stations is not None and bool(stations.fitted["held_out"].any()):
        held_out = HeldOut(stations, analysis, statistics)
    cases = analysis.sizes["case"]
    length = block_length(cases, block)
    names = case_names(analysis["time"].transpose("case", "step").values)
    sample = Sample(names, shares(cases, length, bootstrap, seed), length)
    # So that an error names the case, not its place in a part.
    cell = xr.merge(
        [
            analysis[["analysis", "truth"]].drop_vars("time"),
            classical[_variables(methods)].drop_vars("time"),
        ],
        join="override",
        compat="override",
        combine_attrs="drop",
    ).assign_coords(case=np.arange(cases))
    means, at_stations = _reduce(cell, analysis, classical, methods, held_out, seed)
    levels = [f"{level:g}" for level in analysis["level"].values]
    scale = statistics["global_standard_deviation"].values
    frames = []
    for method in methods:
        of = table_rows.rows_of_means(
            table_rows.with_all(means[method.name]), [*levels, ALL], sample
        )
        of.append(_wasserstein(method, cell, [*levels, ALL], scale, sample, seed))
        if held_out is not None:
            counts = held_out.counts
            of += table_rows.rows_of_means(
                at_stations[method.name], [STATION_LEVEL], sample, counts
            )
            of += table_rows.counted("observations", STATION_LEVEL, counts, sample)
        frames.append(pd.concat(of).assign(**labels, method=method.name, members=method.members))
    table = pd.concat(frames, ignore_index=True)[list(COLUMNS)]
    table.attrs = {k: str(v) for k, v in analysis.attrs.items()} | {"definitions": DEFINITIONS}
    return table


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows over all cases of scores without bins: what tables and curves show."""
    chosen = scores[(scores["case"] == ALL) & (scores["bin"] == NO_BIN)]
    return chosen.reset_index(drop=True)


def merge(paths: Sequence[str | Path]) -> pd.DataFrame:
    """All score tables as one, in the order given; SlamsError for other columns or duplicates."""
    if not paths:
        raise SlamsError("there is no score table to merge: run at least one cell")
    tables = []
    for path in paths:
        table = pd.read_parquet(path)
        if list(table.columns) != list(COLUMNS):
            raise SlamsError(
                f"{path} has the columns {', '.join(map(str, table.columns))}, not "
                f"{', '.join(COLUMNS)}: score the cell again"
            )
        tables.append(table)
    merged = pd.concat(tables, ignore_index=True)
    merged.attrs = {"definitions": DEFINITIONS}
    twice = merged.duplicated(list(KEY), keep=False)
    if twice.any():
        first = merged.loc[twice, list(KEY)].iloc[0]
        which = ", ".join(f"{k} {v}" for k, v in first.items())
        source = np.repeat([str(path) for path in paths], [len(t) for t in tables])
        same = (merged[list(KEY)] == first).all(axis=1).to_numpy()
        raise SlamsError(
            f"the score of {which} stands more than once, in {', '.join(sorted(set(source[same])))}"
            ": merge each cell once"
        )
    return merged


def _variables(methods: Sequence[Method]) -> list[str]:
    """The fields of the classical methods."""
    names = [method.name for method in methods[1:]]
    return names + [method.spread for method in methods[1:] if method.kind == "gaussian"]


def _reduce(
    cell: xr.Dataset,
    analysis: xr.Dataset,
    classical: xr.Dataset,
    methods: Sequence[Method],
    held_out: HeldOut | None,
    seed: int,
) -> tuple[dict[str, Means], dict[str, Means]]:
    """Of every method the means (case, level, ...), and those at the stations (case, 1)."""
    fields: dict[str, list[Means]] = {method.name: [] for method in methods}
    points: dict[str, list[Means]] = {method.name: [] for method in methods}
    members = cell.sizes["member"]
    bins = members + 1 if members > 1 else LEAST_BINS
    for number in range(cell.sizes["case"]):
        case = cell.isel(case=[number]).load()
        truth = reduce_truth(case)
        for place, method in enumerate(methods):
            means = reduce_case(method, case, bins, _seed(seed, number, place, 0))
            fields[method.name].append(means | {TRUE_POWER: truth})
            if held_out is not None:
                found = held_out.reduce(
                    method,
                    number,
                    case.isel(case=0),
                    classical.isel(case=number),
                    _seed(seed, number, place, 1),
                )
                points[method.name].append(found)
    return {n: _stack(m) for n, m in fields.items()}, {n: _stack(m) for n, m in points.items()}


def _wasserstein(
    method: Method,
    cell: xr.Dataset,
    levels: Sequence[str],
    scale: Array,
    sample: Sample,
    seed: int,
) -> pd.DataFrame:
    """The rows of the pooled distance, over the level's ``scale`` (level,) in K."""
    values, samples = [], []
    truth_of = Method("truth", "field", 1)
    for level, unit in enumerate(scale):
        random = np.random.default_rng([seed, level])
        theirs, ours = (pooled(of, cell, level, random) for of in (truth_of, method))
        if not np.isfinite(ours).all():  # a level without observations, as was seen before
            values.append(np.nan)
            samples.append(np.full(len(sample.shares), np.nan))
            continue
        values.append(distance(ours.ravel(), theirs.ravel()) / unit)
        above, step = excess(ours, theirs)
        samples.append(np.abs(sample.shares @ above).sum(-1) * step / unit)
    value, drawn = np.array(values), np.stack(samples, axis=-1)
    return table_rows.rows(
        "wasserstein",
        levels,
        np.append(value, value.mean()),
        sample,
        np.concatenate([drawn, drawn.mean(-1, keepdims=True)], axis=-1),
    )


def _stack(parts: Sequence[Means]) -> Means:
    return {name: np.stack([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def _seed(*parts: Any) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
