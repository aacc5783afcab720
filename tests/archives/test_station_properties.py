"""Any bytes in any reader give rows or one error that names the file; none is passed over.

And what is written in a format reads back the same, to its resolution.
"""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from station_lines import (
    CSV_HEADER,
    GHCNH_HEADER,
    HISTORY_HEADER,
    HISTORY_ROWS,
    LITE,
    OLD_GHCNH_HEADER,
    csv_row,
    full,
    lite,
    psv_row,
    write,
)

from slams.archives import ghcnh, isd
from slams.errors import ArchiveError

FIXTURE = HealthCheck.function_scoped_fixture
GOOD = {
    "lite": [lite(), lite(hour=1, tenths=-9999), lite(hour=2, tenths=700), lite(day=31, hour=3)],
    "full": [
        full(rest="ADDAA101000095"),
        full("201501010053", kind="FM-15", quality="5", rest='REMSYN004 "quoted" é'),
        full("201501010100", kind="SOD", celsius="+9999", quality="9"),
        full("201501010100", celsius="-0123"),
    ],
    "hourly": [
        CSV_HEADER,
        csv_row(),
        csv_row("2015-01-01T01:00:00", tmp="+9999,9"),
        csv_row("2015-01-01T02:00:00", place=",,", kind="FM-15"),
    ],
    "ghcnh": [
        GHCNH_HEADER,
        psv_row(),
        psv_row("2015-01-01T01:00:00", celsius=""),
        psv_row("2015-01-01T02:00:00", quality="o", place="||"),
    ],
    "old ghcnh": [OLD_GHCNH_HEADER, psv_row(old=True), psv_row("2015-01-01T03:00:00", old=True)],
}
HEADERS = {"lite": 0, "full": 0, "hourly": 1, "ghcnh": 1, "old ghcnh": 1}
READERS = {name: ghcnh.read if "ghcnh" in name else isd.read for name in GOOD}


@pytest.fixture
def history(tmp_path):
    return isd.read_history(write(tmp_path / "isd-history.csv", [HISTORY_HEADER, *HISTORY_ROWS]))


def text_of(name):
    # As the provider's files are: not all that a remark holds is UTF-8.
    return ("\n".join(GOOD[name]) + "\n").encode("latin-1")


def lines_in(data, header):
    """Lines after the header up to the last that is not blank, counted in another way."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    return len(re.sub(rb"\s+\Z", b"", data).split(b"\n")) - header


def check(path, data, name, history):
    """Read the bytes; return whether they gave rows."""
    path.write_bytes(data)
    try:
        table, rejected = READERS[name](path, history)
    except ArchiveError as error:
        assert str(path) in str(error)
        for line in re.findall(r", line (\d+)", str(error)):
            assert 1 <= int(line) <= data.count(b"\n") + data.count(b"\r") + 1
        return False
    assert list(table.columns) == isd.COLUMNS
    assert all(count > 0 for count in rejected.values())
    assert len(table) + sum(rejected.values()) == lines_in(data, HEADERS[name])
    assert table.air_temperature.between(179, 336).all()
    assert table.longitude.between(0, 360).all() and table.latitude.between(-90, 90).all()
    assert not table.duplicated(["station_id", "time"]).any()
    return True


@pytest.mark.parametrize("name", GOOD)
def test_the_good_files_are_read(tmp_path, history, name):
    assert check(tmp_path / LITE, text_of(name), name, history)


@pytest.mark.parametrize("name", GOOD)
@given(noise=st.binary(max_size=300), whole=st.booleans())
@example(noise=b"\x1f\x8b\x08", whole=False)
@example(noise=b"PAR1\x00", whole=False)
@settings(max_examples=150, suppress_health_check=[FIXTURE])
def test_any_bytes_are_rows_or_one_error(tmp_path, history, name, noise, whole):
    check(tmp_path / LITE, (text_of(name) if whole else b"") + noise, name, history)


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[FIXTURE])
def test_a_damaged_file_is_rows_or_one_error(tmp_path, history, name, data):
    text = bytearray(text_of(name))
    for _ in range(data.draw(st.integers(1, 3), "changes")):
        at = data.draw(st.integers(0, max(len(text) - 1, 0)), "at")
        how = data.draw(st.sampled_from(["flip", "set", "insert", "remove", "cut"]), "how")
        byte = data.draw(st.sampled_from(b'\n\r \x00",|-+0x\xff') | st.integers(0, 255), "byte")
        if how == "flip" and text:
            text[at] ^= 1 << data.draw(st.integers(0, 7), "bit")
        elif how == "set" and text:
            text[at] = byte
        elif how == "insert":
            text.insert(at, byte)
        elif how == "remove":
            del text[at : at + data.draw(st.integers(1, 80), "length")]
        else:
            del text[at:]
    check(tmp_path / LITE, bytes(text), name, history)


def kelvin(tenths):
    return [273.15 + value / 10 for value in tenths]


minutes = st.datetimes(pd.Timestamp("1901-01-01"), pd.Timestamp("2025-08-31")).map(
    lambda time: time.replace(second=0, microsecond=0)
)
observations = st.lists(
    st.tuples(
        minutes,
        st.integers(-932, 618),
        st.integers(-90000, 90000).filter(bool),
        st.integers(-180000, 180000),
        st.integers(-450, 8900),
        st.sampled_from("01459"),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[0],
)


def same(table, rows):
    assert table.time.tolist() == [pd.Timestamp(row[0]) for row in rows]
    np.testing.assert_allclose(table.air_temperature, kelvin(row[1] for row in rows))
    np.testing.assert_allclose(table.latitude, [row[2] / 1000 for row in rows])
    np.testing.assert_allclose(table.longitude, [row[3] / 1000 % 360 for row in rows])
    np.testing.assert_allclose(table.elevation, [row[4] for row in rows])
    assert table.quality.tolist() == [row[5] for row in rows]


@given(rows=observations)
@settings(max_examples=40, suppress_health_check=[FIXTURE])
def test_full_records_come_back(tmp_path, rows):
    lines = [
        full(
            f"{time:%Y%m%d%H%M}",
            celsius=f"{tenths:+05d}",
            place=f"{north:+06d}{east:+07d}",
            elevation=f"{height:+05d}",
            quality=code,
            rest="x" * (tenths % 7),
        )
        for time, tenths, north, east, height, code in rows
    ]
    table, rejected = isd.read(write(tmp_path / "f", lines))
    assert rejected == {}
    same(table, rows)


@given(rows=observations)
@settings(max_examples=40, suppress_health_check=[FIXTURE])
def test_hourly_rows_come_back(tmp_path, rows):
    lines = [
        csv_row(
            f"{time:%Y-%m-%dT%H:%M:%S}", f"{north / 1000},{east / 1000},{height}", "FM-12", value
        )
        for time, north, east, height, value in (
            (row[0], row[2], row[3], row[4], f"{row[1]:+05d},{row[5]}") for row in rows
        )
    ]
    table, rejected = isd.read(write(tmp_path / "f.csv", [CSV_HEADER, *lines]))
    assert rejected == {}
    same(table, rows)


@given(rows=observations, old=st.booleans())
@settings(max_examples=40, suppress_health_check=[FIXTURE])
def test_ghcnh_rows_come_back(tmp_path, rows, old):
    lines = [
        psv_row(
            f"{time:%Y-%m-%dT%H:%M:%S}",
            celsius=f"{tenths / 10}",
            place=f"{north / 1000}|{east / 1000}|{height}",
            quality=code,
            old=old,
        )
        for time, tenths, north, east, height, code in rows
    ]
    header = OLD_GHCNH_HEADER if old else GHCNH_HEADER
    table, rejected = ghcnh.read(write(tmp_path / "f.psv", [header, *lines]))
    assert rejected == {}
    same(table, rows)


@given(rows=observations, ends=st.sampled_from(["", "  ", "\r"]), packed=st.booleans())
@settings(max_examples=40, suppress_health_check=[FIXTURE])
def test_lite_lines_come_back(tmp_path, history, rows, ends, packed):
    """As NOAA writes them, with other line ends, and with other spacing."""
    hours = list({row[0].replace(minute=0): row[1] for row in rows}.items())
    lines = [lite(t.year, t.month, t.day, t.hour, tenths) + ends for t, tenths in hours]
    if packed:
        lines = [re.sub(" +", " ", line) for line in lines]
    table, rejected = isd.read(write(tmp_path / LITE, lines), history)
    assert rejected == {}
    assert table.time.tolist() == [pd.Timestamp(t) for t, _ in hours]
    np.testing.assert_allclose(table.air_temperature, kelvin(tenths for _, tenths in hours))
