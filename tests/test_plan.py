"""The plan of an experiment: what it asks for, what is there already, what hinders it."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slams import plan
from slams.__main__ import main
from slams.archives import psl_files
from slams.plan import Item, size_text, table

Configuration = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def nothing_but_the_disk(tmp_path, monkeypatch):
    """A folder of our own, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CDSAPI_KEY", raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "none"))

    def refuse(*_: object) -> None:
        raise AssertionError("a plan asks nobody")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def items_of(config: dict[str, Any]) -> dict[str, Item]:
    return {item.what: item for item in plan.plan(config)}


def small(configuration: Configuration, source: str, **era5: Any) -> dict[str, Any]:
    """Two months of one level at four degrees, from an archive."""
    archives = {
        "era5": {"source": source, **era5},
        "stations": {"source": "none"},
        "imagery": {"source": "none"},
    }
    periods = {
        "train": ["2001-01-01", "2001-01-31"],
        "validation": ["2001-02-01", "2001-02-10"],
        "test": ["2001-02-11", "2001-02-28"],
    }
    keys = {"levels": [500], "grid": {"spacing": 4}, "archives": archives, "periods": periods}
    return configuration("config", keys)


def test_a_month_a_request_and_what_is_there_is_not_asked_for(configuration, tmp_path):
    config = small(configuration, "cds")
    item = items_of(config)["ERA5 (cds)"]
    assert (item.requests, item.there) == (2, 0)
    field = 46 * 90 * 4  # points at 4 degrees, float32
    assert 0.3 * 59 * field < item.download < 59 * field
    there = Path(config["raw"]) / "era5/2001/era5_t_2001-01.nc"
    there.parent.mkdir(parents=True)
    there.touch()
    later = items_of(config)["ERA5 (cds)"]
    assert (later.requests, later.there) == (1, 1)
    assert later.download == pytest.approx(item.download * 28 / 59)


def test_arco_asks_for_every_time_and_keeps_what_is_wanted(configuration):
    item = items_of(small(configuration, "arco", spacing=4))["ERA5 (arco)"]
    assert item.requests == 59
    assert item.download > 1000 * item.disk > 0


def test_what_is_made_follows_from_the_configuration(configuration):
    config = small(configuration, "cds")
    made = items_of(config)
    field = 45 * 90 * 4
    assert made["fields on common cells"].disk == made["store"].disk == 59 * field
    assert made["store"].exact and not made["store"].raw
    assert "imagery on common cells" not in made


def test_every_archive_of_the_experiment_is_in_it(configuration):
    made = items_of(configuration("config"))
    assert {"ERA5 (cds)", "stations (isd-lite)", "imagery (GridSat-B1)", "store"} <= made.keys()
    # All times and years but those of 2020, which no period has.
    assert made["imagery (GridSat-B1)"].requests == 366 * 5 + 365 * 17
    assert made["ERA5 (cds)"].requests == 22 * 12


def test_channels_have_files_of_their_own(configuration):
    config = configuration("config", {"archives": {"imagery": {"channels": ["olr"]}}})
    made = items_of(config)
    assert "imagery (GridSat-B1)" not in made
    # One file, whatever the years; of 44 years in float32 at most.
    assert made["imagery (olr)"].requests == 1
    assert 3e8 < made["imagery (olr)"].download < 1.4e9


def test_a_file_of_all_years_that_is_there_is_not_fetched_again(configuration, tmp_path):
    keys = {"raw": str(tmp_path), "archives": {"imagery": {"channels": ["olr", "precipitation"]}}}
    config = configuration("config", keys)
    (tmp_path / "olr").mkdir()
    (tmp_path / "olr" / psl_files.OLR_FILE).touch()
    made = items_of(config)
    assert made["imagery (olr)"].download == 0
    assert made["imagery (precipitation)"].requests == 22


def test_the_sum_is_of_all(configuration):
    items = plan.plan(configuration("demo"))
    last = table(items).splitlines()[-1]
    assert last.startswith("sum")
    assert size_text(sum(item.disk for item in items)) in last


def test_a_missing_key_and_a_full_disk_are_told(configuration, monkeypatch):
    told = plan.report(configuration("config"))
    assert "There is no Climate Data Store key" in told
    monkeypatch.setenv("CDSAPI_URL", "https://cds.example")
    monkeypatch.setenv("CDSAPI_KEY", "12345:a-key-of-old")
    told = plan.report(configuration("config"))
    assert "of the old form" in told and "a-key-of-old" not in told
    monkeypatch.setenv("CDSAPI_KEY", "a-key")
    usage = type("Usage", (), {"free": 10**15})
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: usage)
    assert "Before it can start" not in plan.report(configuration("config"))
    usage.free = 10**9
    assert "has 1.0 GB free" in plan.report(configuration("config"))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (512, "512 B"), (3.4e6, "3.4 MB"), (1.2e10, "12 GB"), (5e16, "50 PB")],
)
def test_sizes_as_a_person_says_them(size, text):
    assert size_text(size) == text


def test_the_command(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", ["slams", "plan", "--configfile", "config/demo.yaml"])
    main()
    assert "synthetic planet" in capsys.readouterr().out


def test_the_command_tells_a_wrong_configuration(repository, tmp_path, monkeypatch):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("grids: {spacing: 3}\n")
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", ["slams", "plan", "--configfile", str(wrong)])
    with pytest.raises(SystemExit, match="config key grids is unknown"):
        main()
