"""What a schema cannot say of a configuration: keys that must agree, and files that must be there.

Every check yields its faults as sentences that name the key, the value and the remedy.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from slams.archives.psl_files import OLR_YEARS
from slams.channels import GRIDSAT
from slams.errors import ConfigError
from slams.experiment import (
    AXES,
    ISD_INCOMPLETE,
    Config,
    case_steps,
    fill,
    imagery_channels,
    kind_of_prior,
    matches,
    periods,
    prior_settings,
    prior_space,
    shape,
    times,
    years,
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
LEAST_FIRST_LEVEL = 40.0  # of noise, where the key is null: as in posterior.ladder
LEAST_PAIRS = 20  # of fields that many steps apart, to fit persistence: as in persistence_fit


def faults(config: Config) -> list[str]:
    """Every fault of a configuration that has passed the schema."""
    checks: list[Callable[[Config], Iterator[str]]] = [
        _hours,
        _levels,
        _grid,
        _era5,
        _periods,
        _arms,
        _imagery,
        _paper,
        _axes,
        _persistence,
        _networks,
        _training,
        _sampler,
        _classical,
        _verification,
        _stations,
        _raw,
        _secrets,
        _files,
    ]
    return [fault for check in checks for fault in check(config)]


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
            yield f"levels has {_list(unknown)}: ERA5 has {_list(sorted(ERA5_LEVELS))} hPa"
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


def _networks(config: Config) -> Iterator[str]:
    rows, _ = shape(config)
    down = config["autoencoder"]["downsample"]
    kinds = sorted({kind_of_prior(prior_space(arm)) for arm in config["arms"]})
    for space in kinds:
        factor = down if space == "latent" else 1
        halvings = len(prior_settings(config, space)["width"]) - 1
        if rows % (factor * 2**halvings):
            reason = f"autoencoder.downsample {down} and " if factor > 1 else ""
            yield (
                f"{_section(space)}.width: {reason}{halvings + 1} resolutions need rows divisible "
                f"by {factor * 2**halvings}; the grid has {rows}"
            )
    for space in kinds:
        yield from _carries_noise(config, space)
    for space, section in config["prior"].items():
        if section["parameterisation"] == "eps" and section["modes"]:
            yield (
                f"prior.{space}.modes is {section['modes']}: with parameterisation: eps it must be "
                "0, because only the parameterisation karras builds on a linear-Gaussian base"
            )


def _carries_noise(config: Config, space: str) -> Iterator[str]:
    """A network that predicts the noise has as many channels as there are numbers in a cell."""
    section, levels = prior_settings(config, space), len(config["levels"])
    if section["parameterisation"] == "eps":
        of_latents = {
            "latent": config["autoencoder"]["latent_channels"],
            "paper-latent": levels // 2,
        }
        needed = config["window"] * of_latents.get(space, levels)
        if section["width"][0] < needed:
            yield (
                f"{_section(space)}.width begins with {section['width'][0]}: a network that "
                f"predicts the noise needs a channel for each of the {needed} numbers of a cell, "
                "steps times channels"
            )


def _section(space: str) -> str:
    """The key of a prior's section."""
    return f"paper.prior.{space.removeprefix('paper-')}" if "-" in space else f"prior.{space}"


def _training(config: Config) -> Iterator[str]:
    sections: dict[str, Any] = {
        "autoencoder": config["autoencoder"],
        "prior.pixel": config["prior"]["pixel"],
        "prior.latent": config["prior"]["latent"],
        "operators.imagery": config["operators"]["imagery"],
        "paper.autoencoder": config["paper"]["autoencoder"],
        "paper.prior.pixel": config["paper"]["prior"]["pixel"],
        "paper.prior.latent": config["paper"]["prior"]["latent"],
    }
    processes = config["trainer"]["devices"] * config["trainer"]["nodes"]
    for name, section in sections.items():
        training = section["training"]
        for key in ("warmup_steps", "validate_every"):
            if training[key] > training["steps"]:
                yield (
                    f"{name}.training.{key} is {training[key]}: more than the "
                    f"{training['steps']} steps of the training"
                )
        if training["batch"] % processes and name != "paper.autoencoder":
            yield (
                f"{name}.training.batch is {training['batch']}: not shared evenly by "
                f"trainer.devices times trainer.nodes, {processes}"
            )


def _sampler(config: Config) -> Iterator[str]:
    low, high = config["sampler"]["sigma_min"], config["sampler"]["sigma_max"]
    if low >= (LEAST_FIRST_LEVEL if high is None else high):
        least = f"{LEAST_FIRST_LEVEL:g}, the least" if high is None else f"{high:g}"
        yield f"sampler.sigma_min is {low:g}: must be less than sampler.sigma_max, {least}"
    for space in sorted({arm["space"] for arm in config["arms"] if "recipe" not in arm}):
        if config["prior"][space]["modes"]:
            continue
        if config["sampler"]["method"] == "gaussian":
            yield (
                f"sampler.method is gaussian: needs prior.{space}.modes above 0 (and "
                "parameterisation: karras), the base whose covariance it takes; or take mmps"
            )
        if high is None:
            yield (
                f"sampler.sigma_max is null: with prior.{space}.modes 0 it must be a number, "
                "because only a prior with a base says how much it varies: some times the standard "
                "deviation of what all cells share"
            )
    robust, gross = config["sampler"]["robust"], config["sampler"]["gross_error"]
    if robust is not None and robust >= gross:
        yield (
            f"sampler.robust is {robust:g}: must be less than sampler.gross_error, {gross:g}, "
            "beyond which observations are refused"
        )


def _classical(config: Config) -> Iterator[str]:
    """Radii in order, and windows enough to choose analogues among."""
    section = config["classical"]
    for method in ("oi", "letkf"):
        radii = section[method]["radii_km"]
        if any(later <= radius for radius, later in pairwise(radii)):
            yield f"classical.{method}.radii_km is {radii}: must increase"
    members, windows = section["letkf"]["members"], section["samples"]
    if members > windows * max(1, section["rotations"]):
        yield (
            f"classical.letkf.members is {members}: must be at most classical.samples, {windows}, "
            "times classical.rotations"
        )


def _verification(config: Config) -> Iterator[str]:
    """Blocks are of the cases there are, and the reference is an arm."""
    section, cases = config["verification"], config["cases"]
    if section["block"] is not None and section["block"] > cases:
        yield (f"verification.block is {section['block']}: must be at most cases, {cases}, or null")
    names = [arm["name"] for arm in config["arms"]]
    if section["reference"] is not None and section["reference"] not in names:
        yield (
            f"verification.reference is {section['reference']}: no arm has that name; arms: "
            f"{', '.join(names)}"
        )


def _stations(config: Config) -> Iterator[str]:
    """The source has the years that are asked of it, and mirrors have something to give."""
    section = config["archives"]["stations"]
    source = section["source"]
    if section["mirrors"] and source in ("none", "planet", "local"):
        yield (
            f"archives.stations.mirrors has addresses: source {source} fetches nothing; choose "
            "another source, or leave mirrors empty"
        )
    try:
        late = [year for year in years(config, "stations") if year >= ISD_INCOMPLETE]
    except ConfigError:  # told by _periods
        return
    if late and source.startswith(("isd", "global-hourly")):
        yield (
            f"archives.stations.source is {source}, and {_list(late)} is asked for: NOAA stopped "
            "updating ISD at the end of August 2025; choose auto or ghcnh, or end the periods (or "
            f"archives.stations.years) before {ISD_INCOMPLETE}"
        )


def _raw(config: Config) -> Iterator[str]:
    if Path(config["raw"]).resolve().is_relative_to(Path("results").resolve()):
        yield (
            f"raw is {config['raw']}: must not lie in results/, which make clean-results removes; "
            "choose a folder such as data/"
        )


def _secrets(config: Config) -> Iterator[str]:
    """Addresses go into logs, manifests and the report, and a password in one with them."""
    addresses = {
        "archives.era5.address": [config["archives"]["era5"]["address"] or ""],
        "archives.stations.mirrors": config["archives"]["stations"]["mirrors"],
        "archives.imagery.mirrors": config["archives"]["imagery"]["mirrors"],
    }
    for key, texts in addresses.items():
        # The text itself is not repeated: the message goes into a log.
        if any(urlsplit(text).username is not None for text in texts):
            yield (
                f"{key} holds a user name or password, which would stand in logs and in the "
                "report: write it to ~/.netrc and leave it out of the address"
            )


def _files(config: Config) -> Iterator[str]:
    """Local files are there; the folder of samples is named once if it is not."""
    patterns = {
        f"archives.{archive}.paths": section["paths"]
        for archive, section in config["archives"].items()
        if section["source"] == "local"
    }
    history = config["archives"]["stations"]["history"]
    if history and config["archives"]["stations"]["source"] != "none":
        patterns["archives.stations.history"] = [history]
    used = any("{samples}" in text for texts in patterns.values() for text in texts)
    if used and not Path(config["samples"]).is_dir():
        yield (
            f"samples: folder {config['samples']} is not there; get the sample files or set the key"
        )
        return
    for key, texts in patterns.items():
        if not texts:
            yield f"{key} is empty: source local needs the paths of its files"
        for text in texts:
            yield from _pattern(config, key, text)
    for archive, section in config["archives"].items():
        if section["source"] == "local" and section["paths"]:
            yield from _years(config, archive, section["paths"])


def _pattern(config: Config, key: str, pattern: str) -> Iterator[str]:
    """The pattern names something, in some year."""
    unknown = fill(pattern, "", 0)
    if "{" in unknown or "}" in unknown:
        yield f"{key}: {pattern} has braces about something other than samples and year"
        return
    archive = key.split(".")[1]
    try:
        found = any(
            True
            for year in years(config, archive)
            for _ in matches(pattern, config["samples"], year)
        )
    except ConfigError:  # told by _periods
        return
    if not found:
        yield f"{key}: no file matches {fill(pattern, config['samples'])}"


def _years(config: Config, archive: str, patterns: Sequence[str]) -> Iterator[str]:
    """Every year has a file, where the patterns tell years apart."""
    try:
        wanted = years(config, archive)
    except ConfigError:  # told by _periods
        return
    missing = [
        year
        for year in wanted
        if not any(True for text in patterns for _ in matches(text, config["samples"], year))
    ]
    if missing and len(missing) < len(wanted):
        yield (
            f"archives.{archive}.paths: no file for {_list(missing)}; get the files or change "
            "the periods"
        )


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
