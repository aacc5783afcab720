"""Wrong keys and wrong files stop a call before any long work, with one message and its remedy."""

import shutil
from pathlib import Path

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
    assert call.text.partition("error: ")[2].splitlines() == [
        "the configuration has 6 faults:",
        "  config key windows is unknown; did you mean window?",
        '  config key archives.era5.source is "ncar": must be one of cds, planet, local (where the '
        "fields come from)",
        '  config key arms[0].streams[0] is "backgroud": must be one of background, stations, '
        "imagery (stream of observations)",
        "  config key sampler.stepz is unknown; did you mean sampler.steps?",
        "  config key sampler.members is 2.5: must be a whole number, at least 2, at most 1000 "
        "(members of the ensemble)",
        "  config key sampler.sigma_max is -1: must be a number, more than 0 (first noise level, "
        "normalised units)",
    ]


def test_keys_that_do_not_agree_are_named(fresh: Copy) -> None:
    keys = {
        "archives": {
            "era5": {"source": "cds"},
            "stations": {"source": "local", "paths": ["nowhere/{year}/*"]},
            "imagery": {"source": "none"},
        },
        "levels": [500, 845],
        "periods": {"test": ["2001-03-01", "2001-02-31"]},
    }
    call = fresh.snakemake(keys=keys)
    assert call.status == 1 and "Traceback" not in call.text
    message = call.text.partition("error: ")[2]
    for fault in (
        "levels has 845: ERA5 has 1, 2, 3",
        "periods.test: '2001-02-31' is no date",
        "archives.imagery.source is none: give a source, or leave the stream out",
        "archives.stations.paths: no file matches nowhere/{year}/*",
    ):
        assert f"config key {fault}" in message or fault in message, (fault, message)


def test_wrong_raw_files_are_named(raw: Copy, samples: Path) -> None:
    whole = raw / PLANET / "era5/2001/era5_t_2001-01.nc"
    (raw / "cut.nc").write_bytes(whole.read_bytes()[:20_000])
    normals = samples / "isd_global_hourly/not_isd_lcd/01001099999.csv"
    image = f"{PLANET}/gridsat/2001/GRIDSAT-B1.2001.01.01.00.v02r01.nc"
    for paths, messages in [
        (
            ("cut.nc", str(normals), f"{PLANET}/era5/2001/*.nc"),
            [
                "ingest_era5/2001.log: error: cut.nc cannot be read as netCDF",
                "it is truncated or damaged: delete it and fetch it again.",
                f"ingest_stations/2001.log: error: {normals} is another product",
                f"ingest_imagery/2001.log: error: {PLANET}/era5/2001/era5_t_2001-01.nc holds neither",
            ],
        ),
        (
            (image, f"{PLANET}/isd/global-hourly/2001/*.csv", image),
            [f"{image} holds ['irwin_cdr'] and no air temperature (t); it is of another product"],
        ),
    ]:
        archives = {
            archive: {"source": "local", "paths": [path]}
            for archive, path in zip(("era5", "stations", "imagery"), paths, strict=True)
        }
        archives["stations"]["history"] = HISTORY
        call = raw.snakemake("--keep-going", keys={"archives": archives})
        assert call.status == 1
        assert "Traceback" not in call.text
        assert "Finished jobid: " not in call.text or "train" not in call.text
        for message in messages:
            assert message in call.last
            # Once as it happened, once at the end.
            assert call.text.count(message.partition("error: ")[2] or message) == 2


def test_what_the_archives_do_not_hold_is_named(raw: Copy) -> None:
    (raw / "empty.csv").write_text((raw / HISTORY).read_text().partition("\n")[0] + "\n")
    fields = {"source": "local", "paths": [f"{PLANET}/era5/{{year}}/*.nc"]}
    stations = {"source": "local", "paths": [f"{PLANET}/isd/global-hourly/{{year}}/*.csv"]}
    for keys, messages in [
        (
            {
                "periods": {"test": ["2001-03-16", "2001-05-15"]},
                "archives": {"era5": fields, "stations": stations | {"history": "empty.csv"}},
            },
            [
                "30 of the 135 times that the periods ask of 2001 are in no raw file",
                "add the files or change the periods",
                "empty.csv lists no station with an identifier and a position",
            ],
        ),
        (
            {
                "levels": [500, 700],
                "time": {"hours": [9]},
                "archives": {
                    "stations": stations | {"history": HISTORY, "tolerance_minutes": 1},
                    "era5": fields,
                },
            },
            [
                "archives.stations: no report of 2001 can be used (",
                "lacks the levels 700 hPa that the key levels asks for",
            ],
        ),
    ]:
        call = raw.snakemake("ingest", "--keep-going", keys=keys)
        assert call.status == 1
        assert "Traceback" not in call.text
        for message in messages:
            assert message in call.last, call.last
