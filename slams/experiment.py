"""What a configuration says: its periods, times, files and cells. See config/config.yaml."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from slams.errors import ConfigError

Config = Mapping[str, Any]

# Of the stations: what can be fetched, and the first year that ISD does not have whole.
STATION_PRODUCTS = ("isd", "isd-lite", "global-hourly", "ghcnh")
ISD_INCOMPLETE = 2025
STATION_LISTS = ("isd-history.csv", "ghcnh-station-list.csv")
Period = tuple[datetime, datetime]
Cell = tuple[str, str, str]

AXES = ("coarse", "noise", "sparse", "persistence")
# The axes along which the background is a degraded truth, which is what the paper observes.
DEGRADED = ("coarse", "noise", "sparse")
# What may be observed, in the order in which sets of streams are named.
STREAMS = ("background", "stations", "imagery")
STREAMS_PATTERN = rf"({'|'.join(STREAMS)})(\+({'|'.join(STREAMS)}))*"
# Endings of files that lie beside data: notes, lists, indices, what is half fetched.
NO_DATA = frozenset((".part", ".part-tag", ".json", ".idx", ".txt", ".md", ".pdf"))
# The cell of an arm that sees no background: its degradation does not matter.
NO_AXIS = ("none", "0")


def shape(config: Config) -> tuple[int, int]:
    """Rows and columns of the fields."""
    rows = round(180 / config["grid"]["spacing"])
    return rows, 2 * rows


def step_hours(config: Config) -> float:
    """Hours from one field to the next."""
    return 24 / len(config["time"]["hours"])


def case_steps(config: Config) -> int:
    """Steps of a case, at least those of the prior's window."""
    return int(config["case_steps"] or config["window"])


def periods(config: Config) -> dict[str, Period]:
    """First and last instant (UTC, inclusive) of train, validation and test.

    A day stands for its first instant at the start of a period and for its last at the end.

    Raises ConfigError where a text is no date.
    """
    return {
        split: (
            _instant(f"periods.{split}", first, time.min),
            _instant(f"periods.{split}", last, time.max),
        )
        for split, (first, last) in config["periods"].items()
    }


def _instant(key: str, value: date | str, time_of_day: time) -> datetime:
    """The instant that a period's end names; YAML gives dates as dates and as text."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time_of_day)
    try:
        if "T" in value:
            return datetime.fromisoformat(value)
        return datetime.combine(date.fromisoformat(value), time_of_day)
    except ValueError as error:
        raise ConfigError(f"config key {key}: {value!r} is no date ({error})") from error


def times(config: Config, split: str) -> list[datetime]:
    """The times (UTC) of the fields of a period, in order."""
    first, last = periods(config)[split]
    days = ((last.date() - first.date()) + timedelta(days=1)).days
    every = (
        datetime.combine(first.date() + timedelta(days=day), time(hour))
        for day in range(days)
        for hour in sorted(config["time"]["hours"])
    )
    return [instant for instant in every if first <= instant <= last]


def years(config: Config, archive: str) -> list[int]:
    """The years to read of an archive (era5, stations or imagery); none where it has no source."""
    section = config["archives"][archive]
    if section["source"] == "none":
        return []
    if section.get("years"):
        return sorted(section["years"])
    return sorted(
        {
            year
            for first, last in periods(config).values()
            for year in range(first.year, last.year + 1)
        }
    )


def station_product(config: Config) -> str:
    """The product that stations are fetched as (a key of station_fetch.PRODUCTS), or "".

    One product for all years, because a station has one id in ISD and another in GHCNh. NOAA
    stopped updating ISD in August 2025, so that 2025 is not whole there.
    """
    source: str = config["archives"]["stations"]["source"]
    if source == "auto":
        return "isd-lite" if max(years(config, "stations")) < ISD_INCOMPLETE else "ghcnh"
    return source if source in STATION_PRODUCTS else ""


def expand_paths(config: Config, archive: str, year: int) -> list[Path]:
    """The local files of an archive for one year, sorted; see `matches` for the patterns."""
    found = {
        path
        for pattern in config["archives"][archive]["paths"]
        for path in matches(pattern, config["samples"], year)
    }
    return sorted(found)


def station_list_beside(config: Config, year: int) -> list[Path] | None:
    """The station list that lies in a local folder of stations; None where ISD's is to be fetched.

    No list is needed, [], where the year's files are GHCNh's, which hold the positions.
    """
    section = config["archives"]["stations"]
    for pattern in section["paths"]:
        folder = Path(fill(pattern, config["samples"], year))
        for name in STATION_LISTS:
            for path in (folder / name, folder / "doc" / name, folder.parent / name):
                if path.is_file():
                    return [path]
    files = expand_paths(config, "stations", year)
    return [] if files and all(path.name.startswith("GHCNh_") for path in files) else None


def matches(pattern: str, samples: str, year: int) -> Iterator[Path]:
    """Files that a pattern names: shell wildcards, {samples} and {year}.

    A relative pattern counts from the working directory. The folder of samples may have
    wildcard characters in its own name: they stand for themselves. A folder stands for the files
    in it: those below its folders of the year, where it has folders of years or is one itself.
    """
    parts = Path(pattern).parts
    wild = next((i for i, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    folder = Path(*(fill(part, samples, year) for part in parts[:wild]))
    if wild == len(parts):
        if folder.is_file():
            yield folder
        elif folder.is_dir():
            yield from (path for path in _inside(folder, year) if _is_data(path))
        return
    rest = str(Path(*(fill(part, samples, year) for part in parts[wild:])))
    if folder.is_dir():
        yield from (path for path in folder.glob(rest) if path.is_file())


def _inside(folder: Path, year: int) -> list[Path]:
    """What a folder holds of a year: all of it where no folders in it are named after years."""
    if folder.name == str(year):
        return sorted(folder.rglob("*"))
    of_years = [path for path in folder.rglob("[12][0-9][0-9][0-9]") if path.is_dir()]
    if not of_years:
        return sorted(folder.iterdir())
    return sorted(path for of in of_years if of.name == str(year) for path in of.rglob("*"))


def _is_data(path: Path) -> bool:
    """A file that may hold data, by its name, and not what a killed job left half written."""
    if path.name.startswith(".") or path.suffix.lower() in NO_DATA:
        return False
    return path.is_file()


def fill(text: str, samples: str, year: int | None = None) -> str:
    """The text with {samples}, and {year} where one is given, put in."""
    text = text.replace("{samples}", samples)
    return text if year is None else text.replace("{year}", str(year))


def value_text(value: float) -> str:
    """An axis value as it stands in file names and tables: 0.5, 4, never 4.0 or 1e-05."""
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return text or "0"


def cells(config: Config) -> list[Cell]:
    """Every cell as (arm, axis, value), in the configuration's order.

    An arm without a background has one cell, ("none", "0"): the axes are the background's.
    """
    return [(arm["name"], *level) for arm in config["arms"] for level in _levels(config, arm)]


def _levels(config: Config, arm: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "background" not in arm["streams"]:
        return [NO_AXIS]
    axes = DEGRADED if arm.get("recipe") == "paper" else AXES
    return [(axis, value_text(value)) for axis in axes for value in config["axes"][axis]["values"]]


def streams_text(arm: Mapping[str, Any]) -> str:
    """An arm's set of streams as it stands in file names: background+stations."""
    return "+".join(stream for stream in STREAMS if stream in arm["streams"])


def prior_space(arm: Mapping[str, Any]) -> str:
    """The name of an arm's prior: its space, with paper- before it for the paper's recipe.

    What the paper's encoder takes beside the temperature follows: paper-latent+precipitation.
    """
    if arm.get("recipe") != "paper":
        return str(arm["space"])
    return "+".join([f"paper-{arm['space']}", *sorted(arm.get("encoder", []))])


def encoder_inputs(space: str) -> list[str]:
    """The channels that the encoder of a prior takes beside the temperature."""
    return space.split("+")[1:]


def kind_of_prior(space: str) -> str:
    """The name of a prior without what its encoder takes: paper-latent of paper-latent+olr."""
    return space.partition("+")[0]


def imagery_channels(config: Config) -> list[str]:
    """The channels to ingest: those of the imagery stream, then what encoders take beside."""
    stream = list(config["archives"]["imagery"]["channels"])
    taken = {name for arm in config["arms"] for name in arm.get("encoder", [])}
    return stream + sorted(taken - set(stream))


def wanted_times(config: Config, *splits: str) -> list[datetime]:
    """Every time that the periods ask for, once, in order."""
    return sorted({instant for split in splits for instant in times(config, split)})


def statistics_period(config: Config) -> Period:
    """First and last instant of the fields that the statistics are of."""
    spans = periods(config)
    if config["statistics"]["period"] == "train":
        return spans["train"]
    return min(first for first, _ in spans.values()), max(last for _, last in spans.values())


def caveats(config: Config) -> list[str]:
    """What a configuration does that an honest experiment would not, a sentence each."""
    told = []
    if config["periods_overlap"]:
        told.append(
            "The periods may share fields (periods_overlap): what is verified may have been "
            "trained or chosen on."
        )
    if config["statistics"]["period"] == "all":
        told.append(
            "The statistics are of all periods (statistics.period), the test period among them."
        )
    if config["cases"] == 1:
        told.append("There is one case: nothing here says how much a score would vary.")
    if (every := config["verification"]["every"]) > 1:
        told.append(
            f"Of a case only the steps 0, {every}, {2 * every} and so on are scored "
            "(verification.every)."
        )
    return told


def prior_settings(config: Config, space: str) -> dict[str, Any]:
    """The section of the configuration that trains the prior called ``space``."""
    if space.startswith("paper-"):
        section = config["paper"]["prior"][kind_of_prior(space).removeprefix("paper-")]
        return {**section, "parameterisation": "eps"}
    return dict(config["prior"][space])
