"""The three ISD formats: rules on made-up lines, accounts of the real samples."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from station_lines import (
    CSV_HEADER,
    HISTORY_HEADER,
    HISTORY_ROWS,
    LITE,
    csv_row,
    full,
    lite,
    write,
)

from slams.archives import isd
from slams.errors import ArchiveError


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "isd-history.csv"
    path.write_text("\n".join([HISTORY_HEADER, *HISTORY_ROWS]) + "\n")
    return isd.read_history(path)


def test_the_full_format(tmp_path):
    lines = [full(rest="ADDAA1"), full("201501010053", kind="FM-15", celsius="-0456", quality="5")]
    table, rejected = isd.read(write(tmp_path / "f", lines))
    assert rejected == {} and list(table.columns) == isd.COLUMNS
    assert table.station_id.tolist() == ["72254013904"] * 2
    assert table.time.dtype == "datetime64[ns]"
    assert table.time[1] == pd.Timestamp("2015-01-01T00:53")
    np.testing.assert_allclose(table.air_temperature, [285.45, 227.55])
    np.testing.assert_allclose(table.latitude, 30.183)
    np.testing.assert_allclose(table.longitude, 262.32)
    np.testing.assert_allclose(table.elevation, 151)
    assert table.quality.tolist() == ["1", "5"]
    assert table.report_type.tolist() == ["FM-12", "FM-15"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "SOD"}, "report type"),
        ({"kind": "SOM"}, "report type"),
        ({"celsius": "+9999", "quality": "9"}, "missing temperature"),
        ({"quality": "2"}, "suspect"),
        ({"quality": "6"}, "suspect"),
        ({"quality": "3"}, "erroneous"),
        ({"quality": "7"}, "erroneous"),
        ({"quality": "Z"}, "unknown quality"),
        ({"celsius": "+0619"}, "out of range"),
        ({"celsius": "-0933"}, "out of range"),
        ({"place": "+00000+000000"}, "no position"),
        ({"place": "+99999+999999"}, "no position"),
        ({"place": "+30183+999999"}, "no position"),
        ({"elevation": "+9999"}, "no elevation"),
        ({"elevation": "-0999"}, "no elevation"),
    ],
)
def test_every_rejected_row_has_its_reason(tmp_path, change, reason):
    lines = [full(), full("201501010100", **change)]
    table, rejected = isd.read(write(tmp_path / "f", lines))
    assert len(table) == 1 and rejected == {reason: 1}


@pytest.mark.parametrize("quality", list("01459ACIMPRU"))
@pytest.mark.parametrize("celsius", ["+0618", "-0932"])
def test_good_codes_and_the_ends_of_the_range_are_kept(tmp_path, quality, celsius):
    lines = [full(quality=quality, celsius=celsius)]
    assert len(isd.read(write(tmp_path / "f", lines))[0]) == 1


def test_the_list_fills_what_a_row_lacks(tmp_path, history):
    lines = [
        full(place="+00000+000000", elevation="+9999"),
        full("201501010100", place="+31000-098000"),
        full("201501010200", station="99999999998", place="+99999+999999"),
        full("201501010300", station="A0000112345", place="+99999+999999", elevation="+9999"),
    ]
    table, rejected = isd.read(write(tmp_path / "f", lines), history)
    np.testing.assert_allclose(table.latitude, [30.183, 31.0])
    np.testing.assert_allclose(table.longitude, [262.32, 262.0])
    np.testing.assert_allclose(table.elevation, 151)
    assert rejected == {"station not in history": 1, "no elevation": 1}


def test_the_best_of_duplicates_is_kept(tmp_path):
    lines = [
        full(quality="0", celsius="+0001"),
        full(quality="5", celsius="+0002", kind="FM-16"),
        full(quality="1", celsius="+0003", kind="FM-15"),
        full(quality="1", celsius="+0004", kind="FM-12"),
        full(quality="5", celsius="+0005", kind="FM-12"),
        full(quality="2", celsius="+0006", kind="FM-12"),
        full("201501010100"),
    ]
    table, rejected = isd.read(write(tmp_path / "f", lines))
    np.testing.assert_allclose(table.air_temperature, [273.55, 285.45])
    assert rejected == {"duplicate": 4, "suspect": 1}


def test_midnight_written_as_24_is_the_next_day(tmp_path):
    table, _ = isd.read(write(tmp_path / "f", [full("201412312400")]))
    assert table.time[0] == pd.Timestamp("2015-01-01")


def test_isd_lite(tmp_path, history):
    lines = [lite(), lite(hour=1, tenths=-9999), lite(hour=2, tenths=700), lite(day=31, hour=23)]
    path = write(tmp_path / LITE, lines)
    table, rejected = isd.read(path, history)
    assert rejected == {"missing temperature": 1, "out of range": 1}
    assert table.station_id.tolist() == ["01001099999"] * 2
    assert table.time.tolist() == [pd.Timestamp("2015-01-01"), pd.Timestamp("2015-01-31T23")]
    np.testing.assert_allclose(table.longitude, 351.333)
    assert set(table.quality) == set(table.report_type) == {""}
    packed = tmp_path / f"{LITE}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    pd.testing.assert_frame_equal(isd.read(packed, history)[0], table)


def test_isd_lite_needs_the_list_and_its_name(tmp_path, history):
    path = write(tmp_path / LITE, [lite()])
    with pytest.raises(ArchiveError, match="isd-history"):
        isd.read(path)
    with pytest.raises(ArchiveError, match="USAF-WBAN-YYYY"):
        isd.read(write(tmp_path / "plain.txt", [lite()]), history)
    unknown = write(tmp_path / "999990-00001-2015", [lite(), lite(hour=1)])
    table, rejected = isd.read(unknown, history)
    assert table.empty and rejected == {"station not in history": 2}


@given(
    rows=st.lists(
        st.tuples(
            st.datetimes(pd.Timestamp("1901-01-01"), pd.Timestamp("2025-08-31")),
            st.integers(-932, 618) | st.just(-9999),
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[0].strftime("%Y%m%d%H"),
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lite_lines_come_back(tmp_path, history, rows):
    lines = [lite(t.year, t.month, t.day, t.hour, tenths) for t, tenths in rows]
    table, rejected = isd.read(write(tmp_path / LITE, lines), history)
    kept = [(t, tenths) for t, tenths in rows if tenths != -9999]
    assert len(table) + sum(rejected.values()) == len(rows)
    assert table.time.tolist() == [pd.Timestamp(t).floor("h") for t, _ in kept]
    np.testing.assert_allclose(table.air_temperature, [273.15 + n / 10 for _, n in kept])


def csv_file(path, rows, header=CSV_HEADER):
    return write(path, [header, *rows])


def test_global_hourly(tmp_path):
    rows = [
        csv_row(),
        csv_row("2015-01-01T01:00:00", tmp="+9999,9"),
        csv_row("2015-01-01T02:00:00", tmp="-0005,7"),
        csv_row("2015-01-01T03:00:00", kind="SOD  "),
        csv_row("2015-01-01T04:00:00", place="30.183,,"),
        csv_row("2015-01-01T05:53:00", tmp="-0005,C", kind="FM-15"),
    ]
    table, rejected = isd.read(csv_file(tmp_path / "72254013904.csv", rows))
    assert rejected == {
        "missing temperature": 1,
        "erroneous": 1,
        "report type": 1,
        "no position": 1,
    }
    np.testing.assert_allclose(table.air_temperature, [285.45, 272.65])
    np.testing.assert_allclose(table.longitude, 262.32)
    assert table.quality.tolist() == ["1", "C"]
    assert table.time[1] == pd.Timestamp("2015-01-01T05:53")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (csv_row(tmp="123,1"), "line 3: TMP"),
        (csv_row(date="yesterday"), "line 3: DATE"),
        (csv_row(place="north,0.0,1.0"), "line 3: LATITUDE"),
        ("one,two", "line 3: it has 2 values, the header 9"),
    ],
)
def test_a_damaged_csv_names_its_line(tmp_path, row, message):
    with pytest.raises(ArchiveError, match=rf"x\.csv.*{message}"):
        isd.read(csv_file(tmp_path / "x.csv", [csv_row(), row]))


def test_other_products_are_refused(tmp_path):
    climate = "STATION,DATE,REPORT_TYPE,HourlyDryBulbTemperature"
    with pytest.raises(ArchiveError, match=r"x\.csv is another product.*Fahrenheit"):
        isd.read(csv_file(tmp_path / "x.csv", [], climate))
    with pytest.raises(ArchiveError, match=r"x\.csv.*lacks.*TMP"):
        isd.read(csv_file(tmp_path / "x.csv", [], "STATION,DATE,LATITUDE"))
    with pytest.raises(ArchiveError, match="none of the three"):
        isd.read(write(tmp_path / "x", ["hello"]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("garbage", "line 2"),
        (full()[:104], "line 2: the record is shorter"),
        (full(rest="ADDAA1")[:107], "line 2: the record is shorter than it says"),
        (full("201513010000"), "line 2: no date"),
        (full("201502300000"), "line 2: the month has no such day"),
        (full("201501012401"), "line 2: no date"),
        (full(celsius=" 0123"), "line 2: a number lacks its sign"),
        (full(celsius="+01x3"), "line 2: a number is not one"),
    ],
)
def test_a_damaged_full_record_names_its_line(tmp_path, line, message):
    with pytest.raises(ArchiveError, match=message):
        isd.read(write(tmp_path / "f", [full(), line, full()]))


@pytest.mark.parametrize(
    "line", ["x", "2015 01", lite(month=13), lite(day=32), lite(tenths=10**10)]
)
def test_a_damaged_lite_line_is_named(tmp_path, history, line):
    with pytest.raises(ArchiveError, match=rf"{LITE}"):
        isd.read(write(tmp_path / LITE, [lite(), line]), history)


def test_empty_and_truncated_files_are_named(tmp_path, history):
    for name, content in (("e", b""), ("e.gz", gzip.compress(b"")), ("blank", b"\n\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArchiveError, match=rf"{name} is empty"):
            isd.read(tmp_path / name, history)
    packed = gzip.compress("\n".join(lite(hour=hour) for hour in range(24)).encode())
    (tmp_path / f"{LITE}.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ArchiveError, match=rf"{LITE}\.gz is truncated"):
        isd.read(tmp_path / f"{LITE}.gz", history)
    with pytest.raises(ArchiveError, match="does not exist"):
        isd.read(tmp_path / "none", history)


@pytest.mark.parametrize(
    ("name", "rows", "kept"),
    [
        ("isd_full/014160-99999-2016.gz", 7174, 3609),
        ("isd_full/035480-99999-1943", 4410, 2585),
        ("isd_full/1901.gz", 6565, 6564),
        ("isd_full/722540-13904-2014", 4237, 4108),
        ("isd_full/726430-14920-2015", 154, 148),
        ("isd_lite/011080-99999-2015", 8608, 8608),
        ("isd_lite/071470-99999-2014", 8660, 8486),
        ("isd_lite/642820-99999-2014", 1, 1),
        ("isd_global_hourly/94733099999_5rows.csv", 5, 5),
        ("isd_global_hourly/00702699999.csv", 6843, 0),
    ],
)
def test_the_real_samples_are_accounted_for(samples, name, rows, kept):
    history = isd.read_history(samples / "isd_history" / "isd-history.csv")
    table, rejected = isd.read(samples / name, history)
    assert len(table) == kept and len(table) + sum(rejected.values()) == rows
    assert table.air_temperature.between(180, 335).all()
    assert table.longitude.between(0, 360).all()
    assert not table.duplicated(["station_id", "time"]).any()


def test_peculiar_samples(samples):
    table, rejected = isd.read(samples / "isd_full" / "722540-13904-2014")
    assert table[["latitude", "longitude"]].drop_duplicates().shape[0] >= 2
    assert rejected["suspect"] == 2 and rejected["report type"] == 123
    assert isd.read(samples / "isd_full" / "1901.gz")[0].station_id.nunique() == 6
    position = isd.read(samples / "isd_global_hourly" / "00702699999.csv")[1]
    assert position["no position"] == 6836
    with pytest.raises(ArchiveError, match="Fahrenheit"):
        isd.read(samples / "isd_global_hourly" / "not_isd_lcd" / "01001099999.csv")
    listed = isd.read_history(samples / "isd_history" / "isd-history.csv")
    assert len(listed) + sum(listed.attrs["rejected"].values()) == 29442
