"""Many files to one table: hours, duplicates across files, year ends, and little memory."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from station_lines import (
    CSV_HEADER,
    GHCNH_HEADER,
    HISTORY_HEADER,
    HISTORY_ROWS,
    LITE,
    csv_row,
    full,
    lite,
    psv_row,
    write,
)

from slams.archives import isd, station_ingest, station_parts, station_set
from slams.archives.station_ingest import ingest
from slams.errors import ArchiveError


@pytest.fixture
def history(tmp_path):
    return isd.read_history(write(tmp_path / "isd-history.csv", [HISTORY_HEADER, *HISTORY_ROWS]))


@pytest.fixture
def take(tmp_path):
    """Ingest, and give the table and the account."""

    def taken(paths, stations, start, end, **options):
        target = tmp_path / "stations/year=2015/reports.parquet"
        account = ingest(paths, stations, start, end, target, **options)
        assert [path.name for path in target.parent.iterdir()] == [target.name]
        table = station_set.read([target])
        assert len(table) == account.rows
        return table, account

    return taken


def by_reason(account):
    return account.rejected.groupby("reason").rows.sum().to_dict()


def test_the_report_nearest_to_the_hour_is_taken(tmp_path, take):
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
    table, account = take([path], None, "2015-01-01", "2015-01-02T23", hours=[12, 0, 6])
    assert table.time.tolist() == [
        pd.Timestamp(f"2015-01-01T{hour}") for hour in ("00", "06", "12")
    ]
    assert table.report_time.tolist() == [
        pd.Timestamp("2014-12-31T23:53"),
        pd.Timestamp("2015-01-01T05:36"),
        pd.Timestamp("2015-01-01T11:31"),
    ]
    assert by_reason(account) == {
        "not the nearest": 1,
        "other hour": 2,
        "outside the period": 1,
        "missing temperature": 1,
    }
    assert set(account.rejected.file) == {str(path)}
    assert set(account.rejected.station_id) == {"72254013904"}
    wide, _ = take([path], None, "2015-01-01", "2015-01-03", hours=[0], tolerance=200)
    assert len(wide) == 2


def test_files_are_joined_in_order(tmp_path, history, take):
    paths = [
        write(tmp_path / "722540-13904-2015", [lite(hour=hour) for hour in (2, 0, 1)]),
        write(tmp_path / LITE, [lite(hour=hour, tenths=50) for hour in range(3)]),
        write(tmp_path / "again", [full(celsius="+0200"), full("201501010053")]),
    ]
    table, account = take(paths, history, "2015-01-01", "2015-01-01T01")
    assert table.time.is_monotonic_increasing
    assert table.station_id.tolist()[:2] == ["01001099999", "72254013904"]
    assert not table.duplicated(["station_id", "time"]).any()
    assert len(table) + account.rejected.rows.sum() == 8
    assert by_reason(account) == {"outside the period": 2, "duplicate": 1}
    # The full format's report has a quality code, which ISD-Lite's has not: it is the better one.
    first = table[(table.station_id == "72254013904") & (table.time == "2015-01-01")]
    assert first.air_temperature.item() == pytest.approx(293.15)
    with pytest.raises(ArchiveError, match="No station file"):
        take([], history, "2015-01-01", "2015-01-02")


def test_of_two_files_the_nearer_report_wins_then_the_earlier_file(tmp_path, take):
    paths = [
        write(tmp_path / "a", [full("201501010010", celsius="+0010")]),
        write(tmp_path / "b", [full("201412312355", celsius="+0020", quality="0")]),
        write(tmp_path / "c", [full("201412312355", celsius="+0030", quality="0")]),
    ]
    table, account = take(paths, None, "2015-01-01", "2015-12-31", hours=[0])
    assert table.air_temperature.tolist() == pytest.approx([275.15])
    assert by_reason(account) == {"duplicate": 1, "not the nearest": 1}
    of = account.rejected.set_index("reason").file
    assert of["not the nearest"].endswith("a") and of["duplicate"].endswith("c")


def test_the_last_report_of_the_year_before_stands_for_midnight(tmp_path, take):
    """A METAR at 23:53 is in the file of the year before; the rest of that is not counted."""
    before = write(
        tmp_path / "before",
        [
            full("201412310053", kind="FM-15"),
            full("201412312253", kind="FM-15"),
            full("201412312343", kind="FM-15", celsius="+0111"),
            full("201412312353", kind="FM-15", celsius="+0222"),
            full("201412312358", kind="FM-16", celsius="+9999"),
        ],
    )
    path = write(tmp_path / "f", [full("201501010053", kind="FM-15"), full("201501010008")])
    alone, account = take([path], None, "2015-01-01", "2015-12-31", hours=[0])
    assert alone.report_time.tolist() == [pd.Timestamp("2015-01-01T00:08")]
    table, account = take([path], None, "2015-01-01", "2015-12-31", hours=[0], before=[before])
    assert table.air_temperature.tolist() == pytest.approx([295.35])
    assert table.time.tolist() == [pd.Timestamp("2015-01-01")]
    # What is wrong with reports of the year before stands in that year's account.
    assert by_reason(account) == {"not the nearest": 1, "other hour": 1}
    every, _ = take([path], None, "2015-01-01", "2015-12-31", before=[before])
    assert every.time.min() == pd.Timestamp("2015-01-01T00:08")


def test_all_four_formats_go_together(tmp_path, history, take):
    paths = [
        write(tmp_path / LITE, [lite()]),
        write(tmp_path / "full", [full()]),
        write(tmp_path / "hourly.csv", [CSV_HEADER, csv_row("2015-01-01T01:00:00")]),
        write(tmp_path / "GHCNh.psv", [GHCNH_HEADER, psv_row()]),
    ]
    table, account = take(paths, history, "2015-01-01", "2015-12-31")
    assert table.station_id.tolist() == ["01001099999", "72254013904", "USW00013904", "72254013904"]
    assert account.rejected.empty
    with pytest.raises(ArchiveError, match="is ISD-Lite, which holds no positions"):
        take(paths, None, "2015-01-01", "2015-12-31")


@given(seed=st.integers(0, 10**6), batch=st.integers(1, 40), hours=st.sampled_from([None, [0, 6]]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_kept_or_counted_however_little_is_held(tmp_path, history, seed, batch, hours):
    """The same table as all at once, and no more rows held than a batch and a file, or a slab."""
    rng = np.random.default_rng(seed)
    paths, rows = [], 0
    for number in range(6):
        times = pd.Timestamp("2014-12-31") + pd.to_timedelta(rng.integers(0, 2880, 30), "min")
        codes = rng.choice(list("0123459Z"), 30)
        lines = [
            full(f"{time:%Y%m%d%H%M}", station=f"72254{number % 3:06d}", quality=code)
            for time, code in zip(times, codes, strict=True)
        ]
        paths.append(write(tmp_path / f"f{number}", lines))
        rows += len(lines)

    def account(folder):
        target = tmp_path / folder / "reports.parquet"
        done = ingest(paths, history, "2015-01-01", "2015-01-02", target, hours=hours)
        assert done.rows + done.rejected.rows.sum() == rows
        return station_set.read([target]), done

    whole, _ = account("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(station_parts, "BATCH_ROWS", batch)
        patch.setattr(station_set, "ROWS_A_GROUP", 1)
        table, done = account("parts")
    pd.testing.assert_frame_equal(table, whole)
    assert whole.time.is_monotonic_increasing
    assert not whole.duplicated(["station_id", "time"]).any()
    assert done.most_held <= batch + 30 + 12 * 30


def test_no_more_than_a_week_of_the_year_is_in_memory(tmp_path, history, monkeypatch):
    monkeypatch.setattr(station_parts, "BATCH_ROWS", 100)
    held = []
    for count in (40, 160):
        paths = []
        for number in range(count):
            path = tmp_path / f"{100000 + number}-99999-2015"
            lines = [lite(month=month, day=day) for month in (1, 5, 9) for day in range(1, 21)]
            paths.append(write(path, lines))
        stations = pd.DataFrame(
            {
                "station_id": [f"{100000 + number}99999" for number in range(count)],
                "latitude": 1.0,
                "longitude": 2.0,
                "elevation": 3.0,
            }
        )
        target = tmp_path / str(count) / "reports.parquet"
        account = ingest(paths, stations, "2015-01-01", "2015-12-31", target)
        assert account.rows == 60 * count
        held.append(account.most_held)
    # A slab holds 7 of the 60 days, whatever the batch and the number of files.
    assert held == [7 * 40, 7 * 160]


def test_the_data_set_says_what_it_is_and_reads_back_as_a_whole(tmp_path, history):
    for year in (2014, 2015):
        path = write(tmp_path / f"010010-99999-{year}", [lite(year, tenths=7), lite(year, hour=6)])
        target = tmp_path / f"stations/year={year}/reports.parquet"
        facts = {"seed": "3", "inputs": "{}"}
        ingest([path], history, f"{year}-01-01", f"{year}-12-31", target, attributes=facts)
    table = pd.read_parquet(tmp_path / "stations")
    assert table.attrs == facts
    assert list(table.columns) == [*isd.COLUMNS, "report_time", "year"]
    assert table.time.dt.year.tolist() == table.year.astype(int).tolist() == [2014] * 2 + [2015] * 2
    assert isinstance(table.station_id.dtype, pd.CategoricalDtype)
    single, _ = isd.read(path, history)
    again = table[table.year.astype(int) == 2015][isd.COLUMNS].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, single)
    schema = parquet.read_schema(target)
    units = {field.name: (field.metadata or {}).get(b"units") for field in schema}
    assert units["air_temperature"] == b"K" and units["time"] == b"UTC"
    assert schema.metadata[b"seed"] == b"3"
    assert all(
        pa.types.is_dictionary(schema.field(name).type) for name in ("quality", "station_id")
    )


def test_a_year_without_reports_is_told(tmp_path, history, take):
    path = write(tmp_path / LITE, [lite(tenths=-9999), lite(2014)])
    table, account = take([path], history, "2015-01-01", "2015-12-31")
    assert table.empty and list(table.columns) == [*isd.COLUMNS, "report_time"]
    with pytest.raises(
        ArchiveError,
        match=r"no report of 2015 can be used \((missing temperature|outside the period) 1, ",
    ):
        station_ingest.require(account, 2015)


def test_a_broken_file_leaves_nothing_behind(tmp_path, history):
    paths = [write(tmp_path / LITE, [lite()]), write(tmp_path / "x", ["hello"])]
    target = tmp_path / "out" / "reports.parquet"
    with pytest.raises(ArchiveError, match="x, line 1 is of none"):
        ingest(paths, history, "2015-01-01", "2015-12-31", target)
    assert list(target.parent.iterdir()) == []


def test_the_model_planet(samples, take):
    folder = samples / "nature"
    history = isd.read_history(folder / "isd-history.csv")
    paths = sorted((folder / "isd-lite" / "2003").glob("*.gz"))
    table, account = take(paths, history, "2003-01-01", "2003-03-02", hours=[0])
    assert len(history) == 400 and table.station_id.nunique() == len(paths)
    assert account.rejected.reason.unique().tolist() == ["missing temperature"]
    assert len(table) + account.rejected.rows.sum() == 61 * len(paths)


def test_the_real_samples_are_one_table(samples, take):
    """All formats in one call: every row of every file is accounted for."""
    history = isd.read_history(samples / "isd_history" / "isd-history.csv")
    names = ["isd_full/722540-13904-2014", "isd_lite/071470-99999-2014"]
    names += ["isd_lite/642820-99999-2014", "isd_global_hourly/00702699999.csv"]
    paths = [samples / name for name in names]
    table, account = take(paths, history, "2014-01-01", "2014-12-31T23:59:59")
    assert len(table) + account.rejected.rows.sum() == 4237 + 8660 + 1 + 6843
    assert table.groupby("station_id").size().to_dict() == {
        "07147099999": 8486,
        "64282099999": 1,
        "72254013904": 4108,
    }


def test_midnight_belongs_to_one_year(tmp_path, take):
    """The rule's end of a year is a nanosecond before the next."""
    path = write(
        tmp_path / "f",
        [
            full("201412311300", kind="FM-15"),
            full("201412312353", kind="FM-15", quality="3"),
            full("201412312340", kind="FM-15"),
            full("201501010000", kind="FM-15"),
        ],
    )
    end = pd.Timestamp(2015, 1, 1) - pd.Timedelta("1ns")
    table, account = take([path], None, "2014-01-01", end, hours=[0])
    assert table.empty
    # The nearest hour of 13:00 on 31 December lies in the new year; the report does not.
    assert by_reason(account) == {
        "other hour": 1,
        "erroneous": 1,
        "not the nearest": 1,
        "outside the period": 1,
    }
    table, account = take([path], None, "2015-01-01", "2015-12-31", hours=[0], before=[path])
    assert table.report_time.tolist() == [pd.Timestamp("2015-01-01")]
