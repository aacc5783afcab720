"""Levels, grid, hours and periods: what every field must be."""

from collections.abc import Iterator
from itertools import pairwise

from slams.consistency.words import Checks, listed
from slams.errors import ConfigError
from slams.experiment import (
    Config,
    case_steps,
    periods,
    times,
)

# The pressure levels (hPa) that the Climate Data Store has of ERA5.
ERA5_LEVELS = frozenset(
    [
        *(1, 2, 3, 5, 7, 10, 20, 30, 50, 70),
        *range(100, 251, 25),
        *range(300, 751, 50),
        *range(775, 1001, 25),
    ]
)
CLIMATOLOGY_DAYS = 360


def _hours(config: Config) -> Iterator[str]:
    hours = config["time"]["hours"]
    step = 24 / len(hours)
    if any(later - earlier != step for earlier, later in pairwise(hours)):
        yield f"time.hours is {hours}: must be in order and {step:g} hours apart"


def _levels(config: Config) -> Iterator[str]:
    levels = config["levels"]
    if any(lower <= upper for upper, lower in pairwise(levels)):
        yield f"levels is {levels}: must increase (top first), each level once"
    era5 = config["archives"]["era5"]
    if era5["source"] == "cds" or (era5["source"] == "arco" and era5["address"] is None):
        unknown = [level for level in levels if level not in ERA5_LEVELS]
        if unknown:
            yield f"levels has {listed(unknown)}: ERA5 has {listed(sorted(ERA5_LEVELS))} hPa"
    used = config["operators"]["stations"]["levels_used"]
    if used > len(levels):
        yield f"operators.stations.levels_used is {used}: there are {len(levels)} levels"


def _grid(config: Config) -> Iterator[str]:
    spacing = config["grid"]["spacing"]
    if abs(180 / spacing - round(180 / spacing)) > 1e-9:
        yield f"grid.spacing is {spacing:g}: must divide 180 degrees, as 1.5 and 7.5 do"


def _era5(config: Config) -> Iterator[str]:
    """What is fetched of ERA5 has points enough, and lies where it can be asked for."""
    section = config["archives"]["era5"]
    source, spacing, area = section["source"], section["spacing"], section["area"]
    key, cells = "archives.era5.spacing", config["grid"]["spacing"]
    if spacing is not None and source in ("cds", "arco"):
        if spacing > cells:
            yield f"{key} is {spacing:g}: must be at most grid.spacing, {cells:g}, or null"
        elif source == "arco" and abs(180 / spacing - round(180 / spacing)) > 1e-9:
            yield f"{key} is {spacing:g}: with source arco it must divide 180 degrees, as 1.5 does"
    if area is None:
        return
    north, west, south, east = area
    if source != "cds":
        yield f"archives.era5.area is {area}: source {source} takes none; set it to null"
    elif not -90 <= south < north <= 90 or not west < east <= west + 360:
        yield (
            f"archives.era5.area is {area}: must be north, west, south, east, with south < north "
            "and west < east"
        )


def _periods(config: Config) -> Iterator[str]:
    try:
        spans = periods(config)
    except ConfigError as error:
        yield str(error).removeprefix("config key ")
        return
    for split, (first, last) in spans.items():
        if last < first:
            yield f"periods.{split} ends ({last}) before it begins ({first})"
    for (early, (_, last)), (late, (first, _)) in pairwise(
        sorted(spans.items(), key=lambda item: item[1])
    ):
        if first <= last and not config["periods_overlap"]:
            yield (
                f"periods.{early} and periods.{late} overlap ({first} to {last}): "
                "a field may serve one purpose only"
            )
    yield from _fields(config)


def _fields(config: Config) -> Iterator[str]:
    """The periods are long enough for what is asked of them."""
    window, cases, steps = config["window"], config["cases"], case_steps(config)
    if steps < window:
        yield f"case_steps is {steps}: must be at least window, {window}, or null"
        return
    counts = {split: len(times(config, split)) for split in config["periods"]}
    for split, count in counts.items():
        needed = window if split == "train" else steps
        if count < needed:
            what = "window" if needed == window else "case"
            yield f"periods.{split} holds {count} fields: a {what} takes {needed}"
    if config["archives"]["era5"]["members"] == "stack":
        if steps > 1:
            key = "window" if steps == window else "case_steps"
            yield (
                f"{key} is {steps}: with archives.era5.members: stack it must be 1, because "
                "members are no steps in time"
            )
    elif steps <= counts["test"] < steps + cases - 1:
        yield (
            f"cases is {cases}: periods.test holds {counts['test'] - steps + 1} windows of "
            f"{steps} steps"
        )
    first, last = periods(config)["train"]
    days = (last - first).days + 1
    harmonics = config["statistics"]["harmonics"]
    if harmonics and 0 < days < CLIMATOLOGY_DAYS:
        yield (
            f"statistics.harmonics is {harmonics}: an annual cycle needs a year, and periods.train "
            f"has {days} days; choose 0, or a longer period"
        )


CHECKS: Checks = (_hours, _levels, _grid, _era5, _periods)
