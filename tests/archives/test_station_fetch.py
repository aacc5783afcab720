"""Station files fetched from loopback servers, in the provider's layout and a mirror's."""

import gzip
from dataclasses import replace

import pytest
from servers.files import FileServer
from station_lines import HISTORY_HEADER, HISTORY_ROWS, lite, psv_row
from test_station_lists import GHCNH_HEADER, GHCNH_ROWS, INVENTORY

from slams.archives import ghcnh, station_fetch
from slams.errors import ArchiveError

LITE_PATH = "/isd-lite/2015/010010-99999-2015.gz"
GHCNH_PATH = "/access/by-year/2015/psv/GHCNh_USW00013904_2015.psv"


@pytest.fixture
def provider(monkeypatch):
    """A server that stands for the provider's own addresses."""
    files = {
        LITE_PATH: gzip.compress(lite().encode()),
        "/2015/72254013904.csv": b"x",
        GHCNH_PATH: psv_row().encode(),
        "/isd-history.csv": "\n".join([HISTORY_HEADER, *HISTORY_ROWS]).encode(),
        "/doc/ghcnh-station-list.csv": "\n".join([GHCNH_HEADER, *GHCNH_ROWS]).encode(),
        "/doc/ghcnh-inventory.txt": "\n".join(INVENTORY).encode(),
    }
    with FileServer(files) as server:
        here = {
            name: replace(product, bases=(server.url,))
            for name, product in station_fetch.PRODUCTS.items()
        }
        monkeypatch.setattr(station_fetch, "PRODUCTS", here)
        monkeypatch.setattr(station_fetch, "NCEI", server.url)
        monkeypatch.setattr(station_fetch, "GHCNH_BASES", (server.url,))
        yield server


def test_a_year_is_fetched_in_the_providers_layout(tmp_path, provider):
    stations = ["01001099999", "72254013904"]
    found = station_fetch.fetch_year(2015, stations, tmp_path / "isd-lite")
    assert found == {
        "product": "isd-lite",
        "year": 2015,
        "files": [str(tmp_path / "isd-lite/2015/010010-99999-2015.gz")],
        "missing": ["722540-13904-2015.gz"],
    }
    assert station_fetch.fetch_year(2015, stations, tmp_path / "isd-lite") == found
    assert [path for path, _ in provider.asked].count(LITE_PATH) == 1
    hourly = station_fetch.fetch_year(2015, stations, tmp_path, "global-hourly")
    assert hourly["files"] == [str(tmp_path / "2015/72254013904.csv")]
    with pytest.raises(ArchiveError, match="none of the 1 files"):
        station_fetch.fetch_year(2014, stations[:1], tmp_path)
    with pytest.raises(ArchiveError, match="isd-lite, isd, global-hourly, ghcnh"):
        station_fetch.fetch_year(2015, stations, tmp_path, "csv")


def test_ghcnh_asks_for_what_the_inventory_lists(tmp_path, provider):
    lists = tmp_path / "list.csv", tmp_path / "inventory.txt"
    assert station_fetch.fetch_ghcnh_lists(*lists) == lists
    stations = ghcnh.reporting(lists[1], 2015)
    found = station_fetch.fetch_year(2015, stations, tmp_path, "ghcnh")
    assert found["missing"] == []
    assert [path for path, _ in provider.asked][2:] == [GHCNH_PATH]


def test_mirrors_are_asked_first_and_need_not_have_all(tmp_path, provider):
    with FileServer({GHCNH_PATH: b"the mirror's"}) as mirror:
        address = f"{mirror.url}/"
        for folder, product, stations in (
            ("a", "ghcnh", ["USW00013904"]),
            ("b", "isd-lite", ["01001099999"]),
        ):
            found = station_fetch.fetch_year(2015, stations, tmp_path / folder, product, [address])
            assert found["missing"] == []
    assert (tmp_path / "a/2015/GHCNh_USW00013904_2015.psv").read_bytes() == b"the mirror's"
    assert [path for path, _ in mirror.asked] == [GHCNH_PATH, LITE_PATH]
    assert [path for path, _ in provider.asked] == [LITE_PATH]


def test_lists_are_fetched_once_and_must_be_lists(tmp_path, provider):
    target = tmp_path / "raw" / "isd-history.csv"
    for _ in range(2):
        assert station_fetch.fetch_history(target) == target
    assert len(provider.asked) == 1
    provider.files["/isd-history.csv"] = b"a,b"
    provider.files["/doc/ghcnh-inventory.txt"] = b"<html>"
    with pytest.raises(ArchiveError, match=r"isd-history\.csv"):
        station_fetch.fetch_history(tmp_path / "b.csv")
    with pytest.raises(ArchiveError, match=r"ghcnh-inventory\.txt"):
        station_fetch.fetch_ghcnh_lists(tmp_path / "c.csv", tmp_path / "d.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "raw"]
