"""Arms and axes: what cells of an experiment need of one another."""

from collections.abc import Iterator

from slams.archives.psl_files import OLR_YEARS
from slams.channels import GRIDSAT
from slams.consistency.words import Checks
from slams.errors import ConfigError
from slams.experiment import (
    AXES,
    Config,
    case_steps,
    imagery_channels,
    periods,
    shape,
    times,
)

LEAST_PAIRS = 20  # of fields that many steps apart, to fit persistence: as in persistence_fit


def _arms(config: Config) -> Iterator[str]:
    names = [arm["name"] for arm in config["arms"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"arms has the name {name} more than once"
    for index, arm in enumerate(config["arms"]):
        for stream in arm["streams"]:
            if stream != "background" and config["archives"][stream]["source"] == "none":
                yield (
                    f"arms[{index}].streams of {arm['name']} names {stream}, but "
                    f"archives.{stream}.source is none: give a source, or leave the stream out"
                )


def _imagery(config: Config) -> Iterator[str]:
    """The source has the channels, at the fields' times."""
    section, hours = config["archives"]["imagery"], config["time"]["hours"]
    channels = imagery_channels(config)
    own = set(channels) & set(GRIDSAT)
    if section["source"] == "planet" and (other := [c for c in channels if c not in GRIDSAT]):
        where = "archives.imagery.channels" if set(other) & set(section["channels"]) else "arms"
        yield (
            f"{where} has {', '.join(other)}: the synthetic planet has {', '.join(GRIDSAT)} alone"
        )
    if section["source"] == "noaa" and own and any(hour % 3 for hour in hours):
        yield (
            f"time.hours is {hours}: GridSat-B1 has images at 0, 3, ... 21 UTC only; choose such "
            "hours, or other archives.imagery.channels"
        )
    if section["source"] == "noaa" and "olr" in channels:
        last = max(last for _, last in periods(config).values())
        if last.year > OLR_YEARS[1]:
            yield (
                f"periods end in {last.year}: NOAA's outgoing longwave radiation ends with "
                f"{OLR_YEARS[1]}; leave olr out of archives.imagery.channels and of every encoder, "
                "or end earlier"
            )


def _paper(config: Config) -> Iterator[str]:
    """The paper's arms are named so, and observe what the paper observes."""
    for index, arm in enumerate(config["arms"]):
        named = "paper" in arm["name"].split("-")
        if "recipe" not in arm:
            if named:
                yield (
                    f"arms[{index}].name is {arm['name']}: the word paper labels arms with "
                    "recipe: paper; give the recipe, or another name"
                )
            if "encoder" in arm:
                yield (
                    f"arms[{index}].encoder of {arm['name']}: only an arm with recipe: paper takes "
                    "data in through its encoder; name the stream imagery instead"
                )
            continue
        if not named:
            yield (
                f"arms[{index}].name is {arm['name']}: with recipe: paper it must have the word "
                f"paper, such as paper-{arm['space']}, which labels it in tables and figures"
            )
        if arm["streams"] != ["background"]:
            yield (
                f"arms[{index}].streams of {arm['name']} is [{', '.join(arm['streams'])}]: with "
                "recipe: paper it must be [background]; the paper takes other data in through its "
                "encoder, named in the key encoder of the arm"
            )
        if "encoder" in arm and arm["space"] != "latent":
            yield (
                f"arms[{index}].encoder of {arm['name']}: an arm in {arm['space']} space has no "
                "encoder; leave the key out, or take space: latent"
            )
        if arm.get("encoder") and config["archives"]["imagery"]["source"] == "none":
            yield (
                f"arms[{index}].encoder of {arm['name']} is [{', '.join(arm['encoder'])}], but "
                "archives.imagery.source is none: give a source, or leave the key out"
            )
        if arm["space"] == "latent" and len(config["levels"]) < 2:
            yield (
                f"levels is {config['levels']}: the paper's autoencoder, which arm {arm['name']} "
                "takes, halves the levels; give two or more, or leave the arm out"
            )


def _axes(config: Config) -> Iterator[str]:
    rows, columns = shape(config)
    grid = f"the grid's {rows} rows and {columns} columns"
    factors = {
        "axes.coarse.values": config["axes"]["coarse"]["values"],
        "axes.noise.coarse": [config["axes"]["noise"]["coarse"]],
        "axes.persistence.coarse": [config["axes"]["persistence"]["coarse"]]
        if config["axes"]["persistence"]["values"]
        else [],
    }
    for key, values in factors.items():
        for value in values:
            if rows % value:
                yield f"{key}: {value} does not divide {grid}"
    for value in config["axes"]["sparse"]["values"]:
        if value > rows:
            yield f"axes.sparse.values: every {value}-th row of {grid} is none"
    offset = config["axes"]["sparse"]["offset"]
    if offset is not None and offset >= rows:
        yield f"axes.sparse.offset is {offset}: {grid} begin with 0, and there is no such row"
    seen = any("background" in arm["streams"] for arm in config["arms"])
    if seen and not any(config["axes"][axis]["values"] for axis in AXES):
        yield "axes has no values: an arm with a background needs at least one"


def _persistence(config: Config) -> Iterator[str]:
    """Every period reaches back far enough for the oldest background."""
    key = "axes.persistence.values"
    values = config["axes"]["persistence"]["values"]
    if not values:
        return
    if config["archives"]["era5"]["members"] == "stack":
        yield (
            f"{key} is {values}: must be [] with archives.era5.members: stack, because members "
            "are no steps in time"
        )
        return
    try:
        counts = {split: len(times(config, split)) for split in config["periods"]}
    except ConfigError:  # told by _periods
        return
    # Pairs to fit, windows to say what first guesses err by, cases.
    steps, oldest = case_steps(config), max(values)
    needed = {
        "train": LEAST_PAIRS,
        "validation": steps + 1,
        "test": steps + config["cases"] - 1,
    }
    for split, fields in needed.items():
        if counts[split] < oldest + fields:
            yield (
                f"{key} has {oldest}: periods.{split} holds {counts[split]} fields, and needs "
                f"{oldest + fields} for a background of that age; widen it or leave the value out"
            )


CHECKS: Checks = (_arms, _imagery, _paper, _axes, _persistence)
