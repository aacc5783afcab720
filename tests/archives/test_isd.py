"""The three ISD formats: rules on made-up lines, accounts of the real samples, garbage."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from servers.files import FileServer

from slams.archives import isd
from slams.errors import ArchiveError

HEADER = '"USAF","WBAN","STATION NAME","CTRY","STATE","ICAO","LAT","LON","ELEV(M)","BEGIN","END"'
LITE = "010010-99999-2015"
HISTORY_ROWS = [
    '"010010","99999","JAN MAYEN","NO","","","+70.933","-008.667","+0009.0","19310101","20160101"',
    '"A00001","12345","LETTERS","US","","","+40.000","+020.000","-0999.9","20000101","20160618"',
    '"722540","13904","AUSTIN","US","TX","","+30.183","-097.680","+0151.0","20000101","20160618"',
]


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "isd-history.csv"
    path.write_text("\n".join([HEADER, *HISTORY_ROWS]) + "\n")
    return isd.read_history(path)


def full(
    time="201501010000",
    *,
    station="72254013904",
    place="+30183-097680",
    kind="FM-12",
    elevation="+0151",
    celsius="+0123",
    quality="1",
    rest="",
):
    """A record of the full format."""
    line = (
        f"{len(rest):04d}{station}{time}4{place}{kind:5}{elevation}KAUS V020"
        f"999999999999999999999999999{celsius}{quality}+99999999999{rest}"
    )
    assert len(line) == 105 + len(rest)
    return line


def lite(year=2015, month=1, day=1, hour=0, tenths=123):
    return f"{year:4d} {month:02d} {day:02d} {hour:02d}{tenths:6d}" + 7 * " -9999"


def write(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


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


def csv_file(
    path, rows, header="STATION,DATE,SOURCE,LATITUDE,LONGITUDE,ELEVATION,REPORT_TYPE,TMP,REM"
):
    return write(path, [header, *rows])


def csv_row(date="2015-01-01T00:00:00", place="30.183,-97.68,151.0", kind="FM-12", tmp="+0123,1"):
    return f'"72254013904","{date}","4",{place},"{kind}","{tmp}","a remark, with a comma"'


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


@given(
    start=st.sampled_from([b"", full().encode() + b"\n", lite().encode() + b"\n"])
    | st.just(b"STATION,DATE,LATITUDE,LONGITUDE,ELEVATION,REPORT_TYPE,TMP\n"),
    noise=st.binary(max_size=300),
)
@example(start=b"", noise=b"\x1f\x8b\x08")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_rows_or_an_archive_error(tmp_path, history, start, noise):
    path = tmp_path / LITE
    path.write_bytes(start + noise)
    try:
        table, _ = isd.read(path, history)
    except ArchiveError as error:
        assert LITE in str(error)
    else:
        assert list(table.columns) == isd.COLUMNS


def test_the_station_list(tmp_path, history):
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
    path = write(tmp_path / "h.csv", [HEADER, *rows])
    table = isd.read_history(path)
    assert table.attrs["rejected"] == {
        "bogus": 1,
        "duplicate": 1,
        "no identifier": 1,
        "no position": 2,
    }
    pd.testing.assert_frame_equal(table, history, check_like=False)
    with pytest.raises(ArchiveError, match=r"x\.csv"):
        isd.read_history(write(tmp_path / "x.csv", ["a,b", "1,2"]))


def test_ingest_takes_the_report_nearest_to_the_hour(tmp_path):
    lines = [
        full("201412312353", celsius="+0001", kind="FM-15"),
        full("201501010020", celsius="+0002"),
        full("201501010536", celsius="+0003"),
        full("201501010300", celsius="+0004"),
        full("201501011131", celsius="+0005"),
        full("201501011129", celsius="+0006"),
        full("201501022353", celsius="+0007"),
        full("201501021200", celsius="+9999"),
    ]
    path = write(tmp_path / "f", lines)
    table, rejected = isd.ingest([path], None, "2015-01-01", "2015-01-02T23", hours=[12, 0, 6])
    assert table.time.tolist() == [
        pd.Timestamp(f"2015-01-01T{hour}") for hour in ("00", "06", "12")
    ]
    assert table.report_time.tolist() == [
        pd.Timestamp("2014-12-31T23:53"),
        pd.Timestamp("2015-01-01T05:36"),
        pd.Timestamp("2015-01-01T11:31"),
    ]
    counts = dict(zip(rejected.reason, rejected.rows, strict=True))
    assert counts == {
        "not the nearest": 1,
        "other hour": 2,
        "outside the period": 1,
        "missing temperature": 1,
    }
    assert set(rejected.file) == {str(path)} and set(rejected.station_id) == {"72254013904"}
    wide, _ = isd.ingest([path], None, "2015-01-01", "2015-01-03", hours=[0], tolerance=200)
    assert len(wide) == 2


def test_ingest_joins_files_in_order(tmp_path, history, monkeypatch):
    monkeypatch.setattr(isd, "BATCH", 2)
    paths = [
        write(tmp_path / "722540-13904-2015", [lite(hour=hour) for hour in (2, 0, 1)]),
        write(tmp_path / LITE, [lite(hour=hour, tenths=50) for hour in range(3)]),
        write(tmp_path / "again", [full(celsius="+0200"), full("201501010053")]),
    ]
    table, rejected = isd.ingest(paths, history, "2015-01-01", "2015-01-01T01")
    assert table.time.is_monotonic_increasing
    assert table.station_id.tolist()[:2] == ["01001099999", "72254013904"]
    assert not table.duplicated(["station_id", "time"]).any()
    assert len(table) + rejected.rows.sum() == 8
    reasons = rejected.groupby("reason").rows.sum().to_dict()
    assert reasons == {"outside the period": 2, "duplicate": 1}
    # The full format's report has a quality code, which ISD-Lite's has not: it is the better one.
    first = table[(table.station_id == "72254013904") & (table.time == "2015-01-01")]
    assert first.air_temperature.item() == pytest.approx(293.15)
    with pytest.raises(ArchiveError, match="No ISD file"):
        isd.ingest([], history, "2015-01-01", "2015-01-02")


def test_a_year_is_fetched_in_the_providers_layout(tmp_path):
    files = {
        "/2015/010010-99999-2015.gz": gzip.compress(lite().encode()),
        "/2015/72254013904.csv": b"x",
    }
    stations = ["01001099999", "72254013904"]
    with FileServer(files) as server:
        fetched = isd.fetch_year(2015, stations, tmp_path, base_url=server.url)
        hourly = isd.fetch_year(2015, stations, tmp_path, "global-hourly", server.url)
        with pytest.raises(ArchiveError, match="none of the 1 files"):
            isd.fetch_year(2014, stations[:1], tmp_path, base_url=server.url)
    assert fetched == [tmp_path / "isd-lite" / "2015" / "010010-99999-2015.gz"]
    assert hourly == [tmp_path / "global-hourly" / "2015" / "72254013904.csv"]
    missing = json.loads((tmp_path / "isd-lite" / "missing-2015.json").read_text())
    assert [entry["file"] for entry in missing] == ["722540-13904-2015.gz"]
    with pytest.raises(ArchiveError, match="isd-lite, full, global-hourly"):
        isd.fetch_year(2015, stations, tmp_path, "csv")


def test_the_list_is_fetched_and_says_who_reports(tmp_path):
    listed = "\n".join([HEADER, *HISTORY_ROWS]).encode()
    target = tmp_path / "raw" / "isd-history.csv"
    with FileServer({"/list.csv": listed, "/other.csv": b"a,b"}) as server:
        for _ in range(2):
            assert isd.fetch_history(target, f"{server.url}/list.csv") == target
        assert len(server.asked) == 1
        with pytest.raises(ArchiveError, match=r"isd-history\.csv"):
            isd.fetch_history(tmp_path / "b.csv", f"{server.url}/other.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    history = isd.read_history(target)
    assert isd.reporting(history, 1931).tolist() == ["01001099999"]
    assert len(isd.reporting(history, 2016)) == 3 and isd.reporting(history, 2017).empty


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


def test_the_model_planet(samples):
    folder = samples / "nature"
    history = isd.read_history(folder / "isd-history.csv")
    paths = sorted((folder / "isd-lite" / "2003").glob("*.gz"))
    table, rejected = isd.ingest(paths, history, "2003-01-01", "2003-03-02", hours=[0])
    assert len(history) == 400 and table.station_id.nunique() == len(paths)
    assert rejected.reason.unique().tolist() == ["missing temperature"]
    assert len(table) + rejected.rows.sum() == 61 * len(paths)
