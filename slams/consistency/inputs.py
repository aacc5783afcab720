"""Stations, folders and files that the experiment reads."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from slams.consistency.words import Checks, listed
from slams.errors import ConfigError
from slams.experiment import (
    ISD_INCOMPLETE,
    Config,
    fill,
    matches,
    years,
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
            f"archives.stations.source is {source}, and {listed(late)} is asked for: NOAA stopped "
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
            f"archives.{archive}.paths: no file for {listed(missing)}; get the files or change "
            "the periods"
        )


CHECKS: Checks = (_stations, _raw, _secrets, _files)
