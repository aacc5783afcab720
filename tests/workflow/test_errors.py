"""Wrong keys and wrong files stop a call before any long work, with one message and its remedy."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from working_copy import Copy

PLANET = "data/tiny/planet"
HISTORY = f"{PLANET}/isd/isd-history.csv"


@pytest.fixture
def raw(fresh: Copy, tiny: tuple[Copy, object]) -> Copy:
    """Nothing made yet but the raw files of the planet, to be taken as local files."""
    shutil.copytree(tiny[0] / "data", fresh / "data")
    return fresh


def test_every_wrong_key_is_named(fresh: Copy) -> None:
    keys = {
        "sampler": {"members": 2.5, "sigma_max": -1, "stepz": 4},
        "arms": [{"name": "a", "space": "pixel", "streams": ["backgroud"]}],
        "archives": {"era5": {"source": "ncar"}},
        "windows": 5,
    }
    call = fresh.snakemake(keys=keys)
    assert call.status == 1
    faults = call.text.partition("error: ")[2].splitlines()
    assert [fault.partition(" (")[0] for fault in faults] == [
        "the configuration has 6 faults:",
        "  config key windows is unknown; did you mean window?",
        '  config key archives.era5.source is "ncar": must be one of cds, arco, planet, local',
        '  config key arms[0].streams[0] is "backgroud": must be one of background, stations, '
        "imagery",
        "  config key sampler.stepz is unknown; did you mean sampler.steps?",
        "  config key sampler.members is 2.5: must be a whole number, at least 2, at most 1000",
        "  config key sampler.sigma_max is -1: must be a number or null, more than 0",
    ]


def test_keys_that_do_not_agree_are_named(fresh: Copy) -> None:
    keys = {
        "archives": {
            "era5": {"source": "cds"},
            "stations": {"source": "local", "paths": ["nowhere/{year}/*"]},
            "imagery": {"source": "none"},
        },
        "levels": [500, 845],
        "periods": {"test": ["2001-03-10", "2001-04-15"]},
    }
    call = fresh.snakemake(keys=keys)
    assert call.status == 1 and "Traceback" not in call.text
    message = call.text.partition("error: ")[2]
    for fault in (
        "levels has 845: ERA5 has 1, 2, 3",
        "periods.validation and periods.test overlap",
        "archives.imagery.source is none: give a source, or leave the stream out",
        "archives.stations.paths: no file matches nowhere/{year}/*",
    ):
        assert fault in message


def failures(copy: Copy, *targets: str, **archives: dict[str, Any]) -> dict[str, str]:
    """A call that fails on local files, and tells each failure twice: at once, and at the end."""
    for section in archives.values():
        section["source"] = "local"
    # One arm of all streams, none whose encoder takes another channel.
    arm = {"name": "all", "space": "pixel", "streams": ["background", "stations", "imagery"]}
    call = copy.snakemake(*targets, "--keep-going", keys={"archives": archives, "arms": [arm]})
    assert call.status == 1
    assert "Traceback" not in call.text
    assert "rule train" not in call.text
    messages = re.findall(r"^results/tiny/logs/(.*)/2001.log: error: (.*)$", call.last, re.M)
    assert all(call.text.count(message) == 2 for _, message in messages)
    return dict(messages)


def test_wrong_raw_files_are_named(raw: Copy, samples: Path) -> None:
    whole = raw / PLANET / "era5/2001/era5_t_2001-01.nc"
    (raw / "cut.nc").write_bytes(whole.read_bytes()[:20_000])
    daily = samples / "isd_global_hourly/not_isd_lcd/01001099999.csv"
    said = failures(
        raw,
        era5={"paths": ["cut.nc"]},
        stations={"paths": [str(daily)], "history": HISTORY},
        imagery={"paths": [f"{PLANET}/era5/2001/*.nc"]},
    )
    assert said.keys() == {"ingest_era5", "ingest_stations", "ingest_imagery"}
    assert said["ingest_era5"].startswith("cut.nc cannot be read (")
    assert said["ingest_era5"].endswith("truncated or damaged: delete it and fetch it again.")
    assert said["ingest_stations"].startswith(f"{daily} is another product")
    assert said["ingest_imagery"].startswith(f"{PLANET}/era5/2001/era5_t_2001-01.nc holds none of")


def test_a_damaged_planet_is_told_how_to_be_mended(raw: Copy) -> None:
    month = raw / PLANET / "era5/2001/era5_t_2001-01.nc"
    whole = month.read_bytes()
    month.write_bytes(whole[:20_000])
    call = raw.snakemake("results/tiny/inventory/era5-2001.json")
    assert call.status == 1 and f"{PLANET}/era5/2001/era5_t_2001-01.nc cannot be read" in call.text
    assert "--forcerun make_planet" in call.last, call.text
    again = raw.snakemake("results/tiny/inventory/era5-2001.json", "--forcerun", "make_planet")
    assert again.status == 0, again.text
    assert month.read_bytes() == whole


def test_other_products_and_stations_without_reports_are_named(raw: Copy, samples: Path) -> None:
    image = f"{PLANET}/gridsat/2001/GRIDSAT-B1.2001.01.01.00.v02r01.nc"
    said = failures(
        raw,
        "results/tiny/inventory/era5-2001.json",
        "results/tiny/stations/year=2001/reports.parquet",
        era5={"paths": [image]},
        stations={"paths": [f"{samples}/isd_full/1901.gz"], "history": HISTORY},
    )
    assert said["ingest_era5"].startswith(
        f"{image} holds ['irwin_cdr', 'irwvp'] and no air temperature"
    )
    assert said["ingest_stations"].startswith(
        "archives.stations: no report of 2001 can be used (outside the period 6565); add files of "
        "that year, or mend archives.stations.history"
    )


def test_what_the_archives_lack_is_named(raw: Copy, samples: Path) -> None:
    (raw / "empty.csv").write_text((raw / HISTORY).read_text().partition("\n")[0] + "\n")
    (raw / PLANET / "era5/2001/era5_t_2001-03.nc").unlink()
    shutil.copy(samples / "nature/imagery/brightness_temperature_2000.nc", raw / "of-2000.nc")
    said = failures(
        raw,
        "ingest",
        era5={"paths": [f"{PLANET}/era5/{{year}}/*.nc"]},
        stations={
            "paths": [f"{PLANET}/isd/global-hourly/{{year}}/*.csv"],
            "history": "empty.csv",
        },
        imagery={"paths": ["of-2000.nc"], "channels": ["irwin_cdr"]},
    )
    assert said.keys() == {"ingest_era5", "ingest_stations", "regrid_imagery"}
    assert said["ingest_era5"] == (
        "archives.era5: 31 of the 105 times that the periods ask of 2001 are in no raw file "
        "(2001-03-01T00, 2001-03-02T00, 2001-03-03T00, 2001-03-04T00, 2001-03-05T00 ...); add the "
        "files or change the periods"
    )
    assert said["ingest_stations"].startswith("empty.csv lists no station with an identifier")
    assert (
        "none of its files holds a time that the periods ask of 2001 in the channel irwin_cdr; add "
        "files of those times" in said["regrid_imagery"]
    )
