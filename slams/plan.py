"""What an experiment will ask of the archives and of the disk, before anything starts.

Figures of what is made here (fields, store, cells) follow from the configuration. Sizes of what
comes from an archive are of typical files, as noted beside each, and say how much, not exactly.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from slams import experiment
from slams.archives import cds, psl_files
from slams.errors import SlamsError
from slams.experiment import Config
from slams.room import existing, size_text

SPLITS = ("train", "validation", "test")
FLOAT = 4  # bytes
PACKED = 0.55  # of float32 temperatures, by netCDF's zlib and shuffle (measured on 1.73 GB of them)
# Bytes of an hour of the ARCO archive: one chunk of 37 levels at 0.25 degrees, before packing.
ARCO_HOUR = 37 * 721 * 1440 * FLOAT * PACKED
# A station's file of one year, bytes: a whole year of hourly reports of each product.
STATION_YEAR = {"isd-lite": 1.0e5, "isd": 4.0e5, "global-hourly": 3.0e6, "ghcnh": 4.0e6}
STATIONS = 12_000  # that report in a recent year, as no list says before it is fetched
# A file of each channel, bytes, and how many hours it holds.
IMAGE = {"irwin_cdr": 4.4e7, "irwvp": 4.4e7}
YEARLY = {"precipitation": 6.0e7}
# One file of all years, 1979 to 2022: two fields a day of 73 x 144 points of FLOAT bytes at most.
OLR = 44 * 365.25 * 2 * 73 * 144 * FLOAT


@dataclass(frozen=True)
class Item:
    """One line of a plan.

    requests: to a server. download, disk: bytes to come, beyond what is there. there: files that
    are there already. exact: whether sizes follow from the configuration alone. raw: whether the
    bytes go to the folder of raw files, and not to the results.
    """

    what: str
    requests: int = 0
    download: float = 0.0
    disk: float = 0.0
    there: int = 0
    exact: bool = True
    raw: bool = False
    note: str = ""


def plan(config: Config) -> list[Item]:
    """Every item of an experiment, in the order in which it is come to."""
    makers: tuple[Callable[[Config], Iterator[Item]], ...] = (
        _era5,
        _stations,
        _imagery,
        _planet,
        _made,
    )
    return [item for maker in makers for item in maker(config)]


def wanted(config: Config) -> list[datetime]:
    """Every time that the periods ask for, in order."""
    return experiment.wanted_times(config, *SPLITS)


def hindrances(config: Config) -> list[str]:
    """What would stop the experiment at its first request: a key that is not there."""
    if config["archives"]["era5"]["source"] != "cds":
        return []
    try:
        cds.settings()
    except SlamsError as error:
        return [str(error)]
    return []


def _era5(config: Config) -> Iterator[Item]:
    source = config["archives"]["era5"]["source"]
    if source == "local":
        yield _local(config, "era5")
    if source not in ("cds", "arco"):
        return
    times = wanted(config)
    months = sorted({(time.year, time.month) for time in times})
    folder = Path(config["raw"]) / ("era5" if source == "cds" else "era5-arco")
    there = {m for m in months if (folder / f"{m[0]}/era5_t_{m[0]}-{m[1]:02d}.nc").exists()}
    to_come = [time for time in times if (time.year, time.month) not in there]
    spacing = config["archives"]["era5"]["spacing"] or config["grid"]["spacing"]
    points = round(180 / spacing + 1) * round(360 / spacing)
    kept = len(to_come) * len(config["levels"]) * points * FLOAT * PACKED
    arco = source == "arco"
    yield Item(
        f"ERA5 ({source})",
        requests=len(to_come) if arco else len(months) - len(there),
        download=len(to_come) * ARCO_HOUR if arco else kept,
        disk=kept,
        there=len(there),
        exact=False,
        raw=True,
        note="a chunk of all levels and points a time" if arco else "a request a month",
    )


def _stations(config: Config) -> Iterator[Item]:
    source = experiment.station_product(config)
    if source == "local":
        yield _local(config, "stations")
    if source not in STATION_YEAR:
        return
    years = experiment.years(config, "stations")
    folder = Path(config["raw"])
    there = sum(1 for year in years for _ in folder.glob(f"*/{source}/{year}/*"))
    files = max(0, STATIONS * len(years) - there)
    size = files * STATION_YEAR[source]
    note = f"a file a station and year, some {STATIONS:,} stations"
    yield Item(
        f"stations ({source})", files + 1, size, size, there, exact=False, raw=True, note=note
    )


def _imagery(config: Config) -> Iterator[Item]:
    section = config["archives"]["imagery"]
    if section["source"] == "local":
        yield _local(config, "imagery")
    if section["source"] != "noaa":
        return
    times, years = wanted(config), experiment.years(config, "imagery")
    folder = Path(config["raw"]) / "gridsat"
    channels = set(experiment.imagery_channels(config))
    if IMAGE.keys() & channels:  # channels of one file
        there = sum(1 for year in years for _ in folder.glob(f"{year}/*.nc"))
        files = max(0, len(times) - there)
        size = files * max(IMAGE.values())
        note = "a file a time, of all channels"
        yield Item(
            "imagery (GridSat-B1)", files, size, size, there, exact=False, raw=True, note=note
        )
    if "olr" in channels:
        there = int((Path(config["raw"]) / "olr" / psl_files.OLR_FILE).exists())
        size = (1 - there) * OLR
        yield Item("imagery (olr)", 1 - there, size, size, there, exact=False, raw=True)
    for channel in sorted(YEARLY.keys() & channels):
        size = len(years) * YEARLY[channel]
        yield Item(f"imagery ({channel})", len(years), size, size, exact=False, raw=True)


def _planet(config: Config) -> Iterator[Item]:
    if all(section["source"] != "planet" for section in config["archives"].values()):
        return
    planet, times = config["planet"], wanted(config)
    points = round(180 / planet["spacing"] + 1) * round(360 / planet["spacing"])
    pixels = 140 / planet["imagery_spacing"] * 360 / planet["imagery_spacing"]
    size = len(times) * (len(config["levels"]) * points * FLOAT + pixels * 2)
    there = Path(config["raw"], "planet").exists()
    yield Item(
        "synthetic planet", disk=0.0 if there else size, there=int(there), exact=False, raw=True
    )


def _local(config: Config, archive: str) -> Item:
    years = experiment.years(config, archive)
    files = {path for year in years for path in experiment.expand_paths(config, archive, year)}
    return Item(f"{archive} (local)", there=len(files), note="read where they lie")


def _made(config: Config) -> Iterator[Item]:
    results = Path("results", config["name"])

    def item(what: str, size: float, pattern: str, note: str = "") -> Item:
        """What is still to be written of something that follows from the configuration."""
        there = [path.stat().st_size for path in results.glob(pattern)]
        return Item(what, disk=max(0.0, size - sum(there)), there=len(there), note=note)

    rows, columns = experiment.shape(config)
    fields = len(wanted(config))
    field = len(config["levels"]) * rows * columns * FLOAT
    note = "" if config["keep_intermediate"] else "removed once the store is built"
    yield item("fields on common cells", fields * field, "fields/era5-*.nc", note)
    if config["archives"]["imagery"]["source"] != "none":
        channels = len(experiment.imagery_channels(config))
        size = fields * channels * rows * columns * FLOAT
        yield item("imagery on common cells", size, "fields/imagery-*.nc")
    yield item("store", fields * field, "store/*.npy")
    spaces = {experiment.prior_space(arm) for arm in config["arms"]}
    encoder = config["autoencoder"]
    cells = rows * columns / encoder["downsample"] ** 2
    sizes = {
        "latent": encoder["latent_channels"] * cells * FLOAT,
        "paper-latent": len(config["levels"]) // 2 * rows * columns * FLOAT,
    }
    for space in sorted(spaces):
        if (kind := experiment.kind_of_prior(space)) in sizes:
            folder = space.replace("latent", "latents", 1)
            yield item(f"latents ({space})", fields * sizes[kind], f"{folder}/*.npy")
    steps = experiment.case_steps(config)
    arms = {arm["name"]: arm for arm in config["arms"]}
    total = 0.0
    for name, _, _ in experiment.cells(config):
        sampler = (config["paper"] if "recipe" in arms[name] else config)["sampler"]
        # Members, truth and the background as first guess.
        total += config["cases"] * (sampler["members"] + 2) * steps * field
    note = f"{len(experiment.cells(config))} cells"
    yield item("analyses", total, "cells/*/*/analysis.nc", note)
    shared = {
        (experiment.streams_text(arms[name]), *level) for name, *level in experiment.cells(config)
    }
    # Climatology, interpolation, and two Gaussians.
    total = len(shared) * config["cases"] * 6.0 * steps * field
    yield item("classical analyses", total, "classical/*/*/classical.nc")


def table(items: list[Item]) -> str:
    """The plan as text: a line an item, and their sum."""
    heads = ("", "requests", "download", "disk", "files there", "")
    sums = Item(
        "sum",
        requests=sum(item.requests for item in items),
        download=sum(item.download for item in items),
        disk=sum(item.disk for item in items),
        there=sum(item.there for item in items),
        exact=all(item.exact for item in items),
    )
    rows = [heads, *map(_row, items), _row(sums)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = []
    for row in rows:
        numbers = (text.rjust(width) for text, width in zip(row[1:-1], widths[1:-1], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers, row[-1]]).rstrip())
    return "\n".join(lines)


def _row(item: Item) -> tuple[str, ...]:
    about = "" if item.exact else "~"
    return (
        item.what,
        f"{item.requests:,}" if item.requests else "-",
        about + size_text(item.download) if item.download else "-",
        about + size_text(item.disk) if item.disk else "-",
        f"{item.there:,}" if item.there else "-",
        item.note,
    )


def shortages(config: Config, items: list[Item]) -> list[str]:
    """Disks that have less room than is needed on them; raw files and results may share one."""
    needed: dict[int, float] = {}
    folders: dict[int, Path] = {}
    for item in items:
        folder = existing(Path(config["raw"]) if item.raw else Path("results"))
        disk = folder.stat().st_dev
        needed[disk] = needed.get(disk, 0.0) + item.disk
        folders.setdefault(disk, folder)
    return [
        f"the disk of {folders[disk]} has {size_text(free)} free, {size_text(size)} are needed: "
        "free some space, choose another folder (raw), or shorten the periods"
        for disk, size in needed.items()
        if (free := shutil.disk_usage(folders[disk]).free) < size
    ]


def report(config: Config) -> str:
    """The plan of an experiment for a person: the table, the room there is, what is missing."""
    items = plan(config)
    first, last = wanted(config)[0], wanted(config)[-1]
    lines = [
        f"{config['name']}: {len(wanted(config)):,} fields from {first:%Y-%m-%d} to "
        f"{last:%Y-%m-%d}, {len(config['levels'])} levels, {config['grid']['spacing']:g} degrees",
        "",
        table(items),
        "",
        "~ of typical files; the others follow from the configuration. Networks and their "
        "checkpoints come on top.",
    ]
    before = shortages(config, items) + hindrances(config)
    lines += [f"Before it can start: {hindrance}" for hindrance in before]
    return "\n".join(lines)
