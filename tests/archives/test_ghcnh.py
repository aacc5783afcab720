"""GHCNh: both headers, plain, gzip and Parquet; codes that depend on the source; faults."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest
from pyarrow import csv, parquet
from station_lines import GHCNH_HEADER, OLD_GHCNH_HEADER, csv_row, psv_row, write

from slams.archives import ghcnh, isd
from slams.archives.ghcnh_codes import trust_of
from slams.archives.reports import EDITED, ERRONEOUS, LIMITS, PASSED, SUSPECT, UNCODED, UNKNOWN
from slams.errors import ArchiveError

NAME = "GHCNh_USW00013904_2015.psv"
TIMES = ["2015-01-01T00:00:00", "2015-01-01T00:53:00", "2015-12-31T23:53:00"]


def rows(**changes):
    return [psv_row(time, **changes) for time in TIMES]


def test_a_file_of_today(tmp_path):
    path = write(tmp_path / NAME, [GHCNH_HEADER, *rows()])
    table, rejected = ghcnh.read(path)
    assert rejected == {} and list(table.columns) == isd.COLUMNS
    assert table.station_id.tolist() == ["USW00013904"] * 3
    assert table.time.tolist() == [pd.Timestamp(time) for time in TIMES]
    assert table.time.dtype == "datetime64[ns]"
    np.testing.assert_allclose(table.air_temperature, 285.45)
    np.testing.assert_allclose(table.latitude, 30.1831)
    np.testing.assert_allclose(table.longitude, 262.3201)
    np.testing.assert_allclose(table.elevation, 151.2)
    assert set(table.quality) == {"1"} and set(table.report_type) == {"FM12"}


def test_every_form_of_a_file_reads_the_same(tmp_path):
    path = write(tmp_path / NAME, [GHCNH_HEADER, *rows()])
    table = ghcnh.read(path)[0]
    old = write(tmp_path / "old.psv", [OLD_GHCNH_HEADER, *rows(old=True)])
    packed = tmp_path / f"{NAME}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    windows = tmp_path / "windows.psv"
    windows.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    text = io.BytesIO(path.read_bytes().replace(b'"', b""))
    columns = csv.read_csv(text, parse_options=csv.ParseOptions(delimiter="|"))
    arrow = tmp_path / "GHCNh_USW00013904_2015.parquet"
    parquet.write_table(columns, arrow)
    for other in (old, packed, windows, arrow):
        pd.testing.assert_frame_equal(ghcnh.read(other)[0], table)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"celsius": ""}, "missing temperature"),
        ({"celsius": " "}, "missing temperature"),
        ({"celsius": "Null"}, "missing temperature"),
        ({"celsius": "-9999"}, "missing temperature"),
        ({"celsius": "61.9"}, "out of range"),
        ({"quality": "2"}, "suspect"),
        ({"quality": "7"}, "erroneous"),
        ({"quality": "S"}, "erroneous"),
        ({"quality": "oK"}, "erroneous"),
        ({"quality": "C"}, "erroneous"),
        ({"quality": "5", "source": "223"}, "erroneous"),
        ({"quality": "x"}, "unknown quality"),
        ({"quality": "9", "source": "413"}, "unknown quality"),
        ({"kind": "SOD"}, "report type"),
        ({"kind": "COOPD_7-US"}, "report type"),
        ({"place": "||151.2"}, "no position"),
        ({"place": "0.0|0.0|151.2"}, "no position"),
        ({"place": "30.1831|-97.6799|******"}, "no elevation"),
        ({"place": "30.1831|-97.6799|-999.9"}, "no elevation"),
        ({"place": "30.1831|-97.6799|"}, "no elevation"),
    ],
)
def test_every_rejected_row_has_its_reason(tmp_path, change, reason):
    lines = [GHCNH_HEADER, psv_row(), psv_row("2015-01-01T01:00:00", **change)]
    table, rejected = ghcnh.read(write(tmp_path / NAME, lines))
    assert len(table) == 1 and rejected == {reason: 1}


@pytest.mark.parametrize(
    ("code", "source", "trust"),
    [
        ("", "413", UNCODED),
        ("5", "343", PASSED),
        ("4", "343", LIMITS),
        ("A", "343", EDITED),
        ("U", "343", ERRONEOUS),
        ("1", "223", PASSED),
        ("0", "223", LIMITS),
        ("4", "223", EDITED),
        ("3", "223", ERRONEOUS),
        ("2", "900", SUSPECT),
        ("1", "900", PASSED),
        ("5", "900", UNKNOWN),
        ("L", "", ERRONEOUS),
    ],
)
def test_codes_mean_what_their_source_means(code, source, trust):
    assert trust_of(code, source) == trust


def test_the_best_of_duplicates_is_kept(tmp_path):
    lines = [
        GHCNH_HEADER,
        psv_row(quality="", celsius="1.0"),
        psv_row(quality="1", celsius="2.0", kind="FM-15"),
        psv_row(quality="1", celsius="3.0", kind="FM-12"),
        psv_row(quality="4", celsius="4.0"),
    ]
    table, rejected = ghcnh.read(write(tmp_path / NAME, lines))
    np.testing.assert_allclose(table.air_temperature, [276.15])
    assert rejected == {"duplicate": 3}


def test_the_list_fills_what_a_row_lacks(tmp_path):
    stations = pd.DataFrame(
        {
            "station_id": ["USW00013904"],
            "latitude": [30.0],
            "longitude": [262.0],
            "elevation": [150.0],
        }
    )
    lines = [
        GHCNH_HEADER,
        psv_row(place="||"),
        psv_row("2015-01-01T01:00:00", station="USW00000000", place="||"),
    ]
    table, rejected = ghcnh.read(write(tmp_path / NAME, lines), stations)
    assert table[["latitude", "longitude", "elevation"]].iloc[0].tolist() == [30, 262, 150]
    assert rejected == {"station not in history": 1}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (psv_row(celsius="warm"), "line 3: temperature is not a number"),
        (psv_row("yesterday"), "line 3: DATE"),
        (psv_row("2015-02-30T00:00:00"), "line 3: the month has no such day"),
        (psv_row("2015-01-01T25:00:00"), "line 3: no date and time"),
        (psv_row(place="north|0|1"), "line 3: latitude is not a number"),
        (psv_row(place="1|0|high"), "line 3: elevation is not a number"),
        (psv_row(station="short"), "line 3: the station's id"),
        (psv_row(quality="9" * 41), "line 3: temperature_quality_code is too long"),
        ("one|two", "line 3: it has 2 values, the header"),
        ("", "line 3: "),
        (psv_row().replace("5.1", "5\r1"), "line 3: a carriage return"),
    ],
)
def test_a_damaged_row_names_its_line(tmp_path, row, message):
    path = tmp_path / NAME
    path.write_bytes("\n".join([GHCNH_HEADER, psv_row(), row, psv_row()]).encode())
    with pytest.raises(ArchiveError, match=message):
        ghcnh.read(path)


@pytest.mark.parametrize("clock", ["2015|13|01|00|00", "2015|01|01|00|60", "2015|01|01||00"])
def test_a_damaged_clock_names_its_line(tmp_path, clock):
    row = psv_row(old=True).replace("2015|01|01|00|00", clock)
    with pytest.raises(ArchiveError, match="line 3"):
        ghcnh.read(write(tmp_path / NAME, [OLD_GHCNH_HEADER, psv_row(old=True), row]))


def test_dates_may_be_written_shorter(tmp_path):
    lines = [GHCNH_HEADER, psv_row("2015-01-01T01:00"), psv_row("2015-01-01 02:00:00Z")]
    table = ghcnh.read(write(tmp_path / NAME, lines))[0]
    assert table.time.dt.hour.tolist() == [1, 2]


def test_other_products_and_damaged_files_are_refused(tmp_path):
    lacking = GHCNH_HEADER.replace("DATE|Year", "Year").replace("|Month|", "|")
    with pytest.raises(ArchiveError, match="another product than GHCNh: it lacks month"):
        ghcnh.read(write(tmp_path / "a.psv", [lacking]))
    twice = GHCNH_HEADER.replace("Station_name", "DATE")
    with pytest.raises(ArchiveError, match="line 1: the header names DATE twice"):
        ghcnh.read(write(tmp_path / "b.psv", [twice, psv_row()]))
    header = "STATION,DATE,SOURCE,LATITUDE,LONGITUDE,ELEVATION,REPORT_TYPE,TMP,REM"
    hourly = write(tmp_path / "c.csv", [header, csv_row()])
    with pytest.raises(ArchiveError, match=r"is a file of ISD; read it with archives\.isd\.read"):
        ghcnh.read(hourly)
    here = write(tmp_path / NAME, [GHCNH_HEADER, psv_row()])
    with pytest.raises(ArchiveError, match=r"is a file of GHCNh; read it with archives\.ghcnh"):
        isd.read(here)
    (tmp_path / "d.parquet").write_bytes(b"PAR1" + b"\0" * 40)
    with pytest.raises(ArchiveError, match=r"d\.parquet is damaged"):
        ghcnh.read(tmp_path / "d.parquet")


def test_a_header_alone_has_no_rows(tmp_path):
    table, rejected = ghcnh.read(write(tmp_path / NAME, [GHCNH_HEADER]))
    assert table.empty and rejected == {}
