"""Lists of stations: ISD's, GHCNh's, and which report in a year."""

import numpy as np
import pandas as pd
import pytest
from station_lines import HISTORY_HEADER, HISTORY_ROWS, write

from slams.archives import ghcnh, isd, station_lists
from slams.errors import ArchiveError

GHCNH_HEADER = (
    "GHCN_ID,LATITUDE,LONGITUDE,ELEVATION,STATE,NAME,GSN,(US)HCN_(US)CRN,WMO_ID,ICAO,ISO_CODE"
)
GHCNH_ROWS = [
    "ACM00078861,17.1167,-61.7833,10.0,,COOLIDGE FIELD   ANTIGUA (AUX.,,,78861,,AG",
    "AGM00060350,37.083,6.45,-999.0,,BOGUS ALGERIAN,,,60350,,DZ",
    "AOM00066116,-5.8667,13.4333,-999.9,,NOQUI,,,66116,,AO",
    "USW00013904,30.1831,-97.6799,151.2,TX,AUSTIN BERGSTROM,,,72254,KAUS,US",
    "USI0000NONE,0.0,0.0,5.0,,NOWHERE,,,open,,US",
]
INVENTORY = [
    "GHCNh_ID YEAR JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
    "ACM00078861 2014 5 0 0 0 0 0 0 0 0 0 0 0",
    "ACM00078861 2015 0 0 0 0 0 0 0 0 0 0 0 0",
    "USW00013904 2015 700 700 700 700 700 700 700 700 700 700 700 700",
]


def test_the_station_list_of_isd(tmp_path):
    history = isd.read_history(write(tmp_path / "isd-history.csv", [HISTORY_HEADER, *HISTORY_ROWS]))
    assert history.station_id.tolist() == ["01001099999", "A0000112345", "72254013904"]
    np.testing.assert_allclose(history.longitude, [351.333, 20, 262.32])
    assert np.isnan(history.elevation[1]) and history.attrs["rejected"] == {}
    rows = [
        '"010010","99999","OLD","NO","","","+01.000","+001.000","+0009.0","19310101","19500101"',
        *HISTORY_ROWS,
        '"000001","99999","NOWHERE","NO","","","+00.000","+000.000","+0009.0","19310101","20160101"',
        '"000002","99999","BLANK","NO","","","","","","19310101","20160101"',
        '"000003","99999","BOGUS SHIP","NO","","","+01.000","+001.000","","19310101","20160101"',
        '"999999","99999","NO NAME","NO","","","+01.000","+001.000","","19310101","20160101"',
    ]
    path = write(tmp_path / "h.csv", [HISTORY_HEADER, *rows])
    table = station_lists.read_list(path)
    assert table.attrs["rejected"] == {
        "bogus": 1,
        "duplicate": 1,
        "no identifier": 1,
        "no position": 2,
    }
    pd.testing.assert_frame_equal(table, history, check_like=False)
    with pytest.raises(ArchiveError, match=r"x\.csv"):
        isd.read_history(write(tmp_path / "x.csv", ["a,b", "1,2"]))
    assert isd.reporting(history, 1931).tolist() == ["01001099999"]
    assert len(isd.reporting(history, 2016)) == 3 and isd.reporting(history, 2017).empty


@pytest.mark.parametrize("header", [[GHCNH_HEADER], []])
def test_the_station_list_of_ghcnh(tmp_path, header):
    table = station_lists.read_list(write(tmp_path / "list.csv", [*header, *GHCNH_ROWS]))
    assert table.station_id.tolist() == ["ACM00078861", "AOM00066116", "USW00013904"]
    np.testing.assert_allclose(table.longitude, [298.2167, 13.4333, 262.3201])
    assert np.isnan(table.elevation[1]) and table.elevation[2] == 151.2
    assert table.attrs["rejected"] == {"bogus": 1, "no position": 1}
    assert table.country.tolist() == ["AC", "AO", "US"]


@pytest.mark.parametrize("lines", [["a,b"], ["a,b,c,d,e,f"], [GHCNH_HEADER, "short,1,2,3,4,5"]])
def test_what_is_no_list_is_named(tmp_path, lines):
    with pytest.raises(ArchiveError, match=r"x\.csv is not GHCNh's"):
        ghcnh.read_stations(write(tmp_path / "x.csv", lines))
    with pytest.raises(ArchiveError, match=r"none\.csv cannot be read"):
        ghcnh.read_stations(tmp_path / "none.csv")


def test_the_inventory_says_who_reports(tmp_path):
    path = write(tmp_path / "ghcnh-inventory.txt", INVENTORY)
    assert ghcnh.reporting(path, 2014) == ["ACM00078861"]
    assert ghcnh.reporting(path, 2015) == ["USW00013904"]
    assert ghcnh.reporting(path, 2016) == []
    with pytest.raises(ArchiveError, match="line 3: not a station, a year and twelve counts"):
        ghcnh.reporting(write(tmp_path / "i.txt", [*INVENTORY[:2], "A 2015 1"]), 2015)
    with pytest.raises(ArchiveError, match="is not GHCNh's ghcnh-inventory"):
        ghcnh.reporting(write(tmp_path / "i.txt", ["<html>"]), 2015)


def test_the_real_list(samples):
    listed = isd.read_history(samples / "isd_history" / "isd-history.csv")
    assert len(listed) + sum(listed.attrs["rejected"].values()) == 29442
