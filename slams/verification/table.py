"""The tidy table of scores of one cell, and of all cells."""

from collections.abc import Callable, Sequence
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
from slams.verification.methods import Method, ensemble_of, methods_of, pooled
from slams.verification.reduction import TRUE_POWER, Means, reduce, reduce_truth
from slams.verification.resampling import block_length, shares
from slams.verification.rows import Sample
from slams.verification.stations import HeldOut, Stations, refuse_used
from slams.verification.wasserstein import distance, excess

# A case of a 16-member ensemble at 1.5 degrees is more than this: one at a time is in memory.
VALUES_AT_ONCE: Final = 4_000_000
LEAST_BINS: Final = 11  # of a Gaussian's histogram, where there is no ensemble beside it

Array = NDArray[np.float64]


def score_cell(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    statistics: xr.Dataset,
    *,
    stations: Stations | None = None,
    period: Period | None = None,
    every: int = 1,
    bootstrap: int = 1000,
    block: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The scores of one cell as a tidy table, one row a score (columns: `COLUMNS`).

    `analysis`, `classical` and `statistics` are data sets as docs/architecture.md describes
    `analysis.nc`, `classical.nc` and `statistics.nc`. `stations` adds the rows of level "2 m",
    where some were held out; `period` is the first and the last instant of the test period. Of a
    case the steps 0, `every`, 2 `every` and so on are scored; all are checked.
    Intervals are of `bootstrap` resamplings of the cases in blocks of `block` (None: the cube root
    of their number), drawn from `seed`, the same for all methods and cells of as many cases.

    What each score is, and in which unit, stands in `table.attrs["definitions"]`. Methods are the
    ensemble and the classical analyses; one with a spread is verified as a Gaussian, one without
    as a field. Each is reduced to means over area and steps, by case and level, of which every
    score is a function; few cases at a time are in memory (one, where it is large), and for the
    Wasserstein distance one level. Where the interpolation is missing throughout a level, because
    nothing there was observed, its scores are missing there and for "all".

    Raises SlamsError where a variable, dimension or attribute is absent, where cases lie outside
    the period or have no observation, where levels, cells or times differ, where a value is not
    finite (naming case and member), and where a station held out was assimilated.
    """
    labels = labels_of(analysis)
    check_analysis(analysis, period)
    methods = methods_of(analysis, classical)
    check_together(analysis, classical, statistics, methods)
    if stations is not None and not bool(stations.fitted["held_out"].any()):
        stations = None
    if stations is not None:
        # A step that is not scored may have told the others what the station said.
        refuse_used(analysis, stations.fitted)
    analysis, classical = (
        data.isel(step=slice(None, None, every)) for data in (analysis, classical)
    )
    held_out = None if stations is None else HeldOut(stations, analysis, statistics)
    sample = _sample(analysis, bootstrap, block, seed)
    # So that an error names the case, not its place in a part.
    cell = xr.merge(
        [
            analysis[["analysis", "truth"]].drop_vars("time"),
            classical[_variables(methods)].drop_vars("time"),
        ],
        join="override",
        compat="override",
        combine_attrs="drop",
    ).assign_coords(case=np.arange(len(sample.cases)))
    means, at_stations = _reduce(cell, classical, methods, held_out, seed)
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


def score_ensemble(
    analysis: xr.Dataset,
    *,
    members: int | None = None,
    bootstrap: int = 1000,
    block: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The rows of the ensemble alone, of its first `members` where that is given.

    As `score_cell`, of an analysis that has nothing beside it: without the Wasserstein distance,
    whose unit is the statistics', and without stations. Raises SlamsError as that does, and where
    there are not so many members.
    """
    labels = labels_of(analysis)
    check_analysis(analysis, None)
    if members is not None:
        if not 1 <= members <= analysis.sizes["member"]:
            raise SlamsError(
                f"{members} members are asked for: the analysis of arm {labels['arm']} has "
                f"{analysis.sizes['member']}"
            )
        analysis = analysis.isel(member=slice(members))
    sample = _sample(analysis, bootstrap, block, seed)
    method = ensemble_of(analysis)
    cell = analysis[["analysis", "truth"]].drop_vars("time")
    cell = cell.assign_coords(case=np.arange(len(sample.cases)))
    means = _reduce(cell, cell, [method], None, seed)[0][method.name]
    levels = [*(f"{level:g}" for level in analysis["level"].values), ALL]
    frames = table_rows.rows_of_means(table_rows.with_all(means), levels, sample)
    table = pd.concat(frames, ignore_index=True)
    table = table.assign(**labels, method=method.name, members=method.members)[list(COLUMNS)]
    table.attrs = {"definitions": DEFINITIONS}
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


def _sample(analysis: xr.Dataset, bootstrap: int, block: int | None, seed: int) -> Sample:
    """The cases of an analysis and their resamples."""
    names = case_names(analysis["time"].transpose("case", "step").values)
    length = block_length(len(names), block)
    return Sample(names, shares(len(names), length, bootstrap, seed), length)


def _variables(methods: Sequence[Method]) -> list[str]:
    """The fields of the classical methods."""
    names = [method.name for method in methods[1:]]
    return names + [method.spread for method in methods[1:] if method.kind == "gaussian"]


def _reduce(
    cell: xr.Dataset,
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
    of_case = int(cell["analysis"].size // cell.sizes["case"])
    together = max(1, VALUES_AT_ONCE // of_case)
    for begin in range(0, cell.sizes["case"], together):
        part = cell.isel(case=slice(begin, begin + together)).load()
        truth = reduce_truth(part)
        for place, method in enumerate(methods):
            means = reduce(method, part, bins, _seed(seed, begin, place, 0))
            fields[method.name].append(means | {TRUE_POWER: truth})
            if held_out is None:
                continue
            for number in range(begin, begin + part.sizes["case"]):
                found = held_out.reduce(
                    method,
                    number,
                    part.isel(case=number - begin),
                    classical.isel(case=number),
                    _seed(seed, number, place, 1),
                )
                points[method.name].append(found)
    return (
        {name: _joined(parts, np.concatenate) for name, parts in fields.items()},
        {name: _joined(parts, np.stack) for name, parts in points.items()},
    )


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


def _joined(parts: Sequence[Means], join: Callable[[list[Array]], Array]) -> Means:
    names = parts[0] if parts else ()
    return {name: join([part[name] for part in parts]) for name in names}


def _seed(*parts: Any) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
