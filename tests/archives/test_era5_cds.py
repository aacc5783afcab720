"""ERA5 from the Climate Data Store: the real cdsapi client against a loopback store."""

import json
import logging
import signal
import subprocess
import sys
import time
import traceback
from calendar import monthrange
from pathlib import Path

import cdsapi
import numpy as np
import pytest
import xarray as xr
from era5_made import write_new
from servers import cds as stub

from slams.archives import cds, era5, era5_cds
from slams.archives.era5_month import whole_month
from slams.errors import ArchiveError, SlamsError

KEY = "a-secret-token"
MONTH = {"levels": [500, 850], "hours": [0, 12], "spacing": 30.0}
POINTS = {"latitude": np.linspace(90, -90, 7), "longitude": np.arange(0, 360, 30.0)}


def made(path, inputs, points=POINTS):
    """The bytes with which the store answers a request: a field known by its time and level."""
    year, month = int(inputs["year"][0]), int(inputs["month"][0])
    hours = [f"{year}-{month:02d}-{day}T{time}" for day in inputs["day"] for time in inputs["time"]]
    times = np.array(hours, "M8[ns]")
    levels = np.array([int(level) for level in inputs["pressure_level"]][::-1])
    days = (times - times[0].astype("M8[M]")) / np.timedelta64(1, "D")
    data = np.empty((len(times), len(levels), 7, 12), "f4")
    data[:] = 200 + days[:, None, None, None] + levels[:, None, None] / 50
    data += np.random.default_rng(0).random((7, 12), "f4")
    return write_new(path, times, levels=levels, data=data, **points).read_bytes()


@pytest.fixture
def answer(tmp_path):
    return lambda inputs: made(tmp_path / "made.nc", inputs)


@pytest.fixture(autouse=True)
def _all_is_logged(caplog):
    """Whatever the clients log at any level, and warn of, the key is not in it."""
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text


def client(store, **options):
    settings = {"quiet": True, "progress": False, "retry_max": 3, "sleep_max": 1} | options
    return cdsapi.Client(url=store.url, key=KEY, **settings)


def fetch(store, target, **options):
    return era5_cds.fetch(2000, 2, target, client=client(store), **{**MONTH, **options})


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / "2000" / "era5_t_2000-02.nc"


def beside(target):
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


def refused(store, target, message, **options):
    """The message of the one error that a fetch ends in, which must not show the key anywhere."""
    with pytest.raises(ArchiveError, match=message) as caught:
        fetch(store, target, **options)
    assert str(target) in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_the_request():
    asked = whole_month(2000, 2, area=[60, -10, 30, 40], **MONTH).request()
    assert asked["day"][-1] == "29" and len(asked["day"]) == monthrange(2000, 2)[1]
    assert asked["time"] == ["00:00", "12:00"] and asked["pressure_level"] == ["500", "850"]
    assert asked["grid"] == ["30", "30"] and asked["area"] == [60, -10, 30, 40]
    assert asked["data_format"] == "netcdf" and asked["product_type"] == ["reanalysis"]
    assert "area" not in whole_month(2000, 2, **MONTH).request()


def test_success_once_and_never_asked_again(target, answer):
    with stub.DataStore(answer, queue=1) as store:
        for _ in range(2):
            assert fetch(store, target) == target
        assert len(store.inputs) == 1 and store.tokens == {KEY}
        assert store.inputs[0] == whole_month(2000, 2, **MONTH).request()
        found = era5.inspect(target)
        assert len(found["times"]) == 58 and found["levels"] == [500, 850]
        # The host of the files is not told who asks.
        assert not any(KEY in str(headers) for headers in store.files.headers)
        target.write_bytes(target.read_bytes()[:1000])
        fetch(store, target)
        assert len(store.inputs) == 2 and era5.inspect(target) == found
    assert beside(target) == [target.name]


def test_queueing(target, answer, caplog):
    with stub.DataStore(answer, queue=3) as store:
        fetch(store, target)
    assert store.polls["job-1"] >= 3 and len(store.inputs) == 1


def test_429_is_waited_for(target, answer):
    with stub.DataStore(answer) as store:
        store.trouble = {"/execution": [429], "/job-1": [429, 503], "/results": [429]}
        fetch(store, target)
        assert not any(store.trouble.values()) and len(store.inputs) == 1


def test_429_for_good_is_told(target, answer):
    with stub.DataStore(answer) as store:
        store.trouble = {"/execution": [429] * 9}
        refused(store, target, "status 429.*run again later")


def test_a_broken_connection_mid_download_resumes(target, answer):
    with stub.DataStore(answer) as store:
        store.files.orders = {"/job-1.nc": ["cut"]}
        fetch(store, target)
        ranges = [asked for _, asked in store.files.asked]
        assert ranges[0] is None and ranges[1].startswith("bytes=") and len(ranges) == 2
        assert len(store.inputs) == 1
    assert beside(target) == [target.name]


def test_a_wrong_checksum_is_fetched_again(target, answer):
    with stub.DataStore(answer) as store:
        store.wrong_checksum = 1
        fetch(store, target)
        assert len(store.inputs) == 1 and len(store.files.asked) == 2
        assert beside(target) == [target.name]


def test_a_result_that_cannot_be_had_is_let_go_and_asked_for_anew(target, answer):
    with stub.DataStore(answer) as store:
        store.wrong_checksum = 2
        refused(store, target, "another length or checksum.*run again to ask for a new one")
        assert not beside(target)
        store.files.orders = {"/job-2.nc": [403]}
        refused(store, target, "status 403.*run again to ask for a new one")
        fetch(store, target)
        assert len(store.inputs) == 3 and beside(target) == [target.name]


def test_a_key_is_hidden_even_where_a_long_message_is_cut():
    store = type("Store", (), {"key": "a-secret-key-of-some-length"})
    said = cds._said(ValueError("x" * 585 + " " + store.key), store)
    assert "a-secret" not in said


def test_403_licence_names_the_page(target, answer):
    with stub.DataStore(answer, refusal=(403, stub.LICENCE)) as store:
        refused(
            store,
            target,
            r"accept it.*/datasets/reanalysis-era5-pressure-levels\?tab=download",
        )
    assert beside(target) == []


@pytest.mark.parametrize("largest", [60, 8, 2])
def test_403_cost_splits(target, answer, largest):
    with stub.DataStore(answer) as store:
        fetch(store, target.with_name("whole.nc"))
    with stub.DataStore(answer, largest=largest) as store:
        fetch(store, target)
        assert all(store.size(inputs) <= largest for inputs in store.inputs)
        asked = len(store.inputs)
        assert asked == {60: 2, 8: 16, 2: 58}[largest]
        fetch(store, target)
        assert len(store.inputs) == asked
    whole = era5.open(target.with_name("whole.nc"))
    xr.testing.assert_identical(era5.open(target), whole)
    assert beside(target) == [target.name, "whole.nc"]


def test_403_cost_of_one_level_of_one_day_is_told(target, answer):
    with stub.DataStore(answer, largest=1) as store:
        refused_path = r"01-01_500-500hPa\.nc.*fewer hours \(time\.hours\), a wider spacing"
        with pytest.raises(ArchiveError, match=refused_path):
            fetch(store, target)
        assert not store.inputs


def test_a_split_month_goes_on_where_it_was(target, answer):
    calls = []

    def breaks(inputs):
        calls.append(inputs)
        return b"{}" if len(calls) == 3 else answer(inputs)

    with stub.DataStore(breaks, largest=30) as store:
        with pytest.raises(ArchiveError, match=r"not whole.*JSON"):
            fetch(store, target)
        assert len(store.inputs) == 3
        fetch(store, target)
        # The two that were whole are not asked for again.
        assert len(store.inputs) == 6
    assert len(era5.open(target).time) == 58 and beside(target) == [target.name]


def test_a_failed_job_is_told_and_asked_for_anew_when_run_again(target, answer):
    with stub.DataStore(answer, failure=stub.FAILED) as store:
        refused(store, target, "job failed: see .*/requests, then run again.*no data")
        assert beside(target) == []
        store.failure = None
        fetch(store, target)
        assert len(store.inputs) == 2


def test_a_failed_job_that_was_too_large_splits(target, answer):
    failure = {**stub.FAILED, "traceback": "Request too large. Requesting 999 items, limit is 9"}
    with stub.DataStore(answer, failure=failure) as store:
        with pytest.raises(ArchiveError, match="one level of one day"):
            fetch(store, target, hours=[0])
        assert store.inputs[-1]["day"] == ["01"] and len(store.inputs) > 5


def test_a_dismissed_job_is_told(target, answer):
    with stub.DataStore(answer) as store:
        store.dismissed = {"job-1"}
        refused(store, target, "dismissed.*run again")
        fetch(store, target)
        assert len(store.inputs) == 2


def test_an_expired_result_is_asked_for_once_more(target, answer):
    with stub.DataStore(answer) as store:
        store.expired = {"job-1"}
        fetch(store, target)
        assert len(store.inputs) == 2
    target.unlink()
    with stub.DataStore(answer) as store:
        store.files.orders = {"/job-1.nc": [404]}  # the file alone is gone
        fetch(store, target)
        assert len(store.inputs) == 2
    target.unlink()
    with stub.DataStore(answer) as store:
        store.expired = {"job-1", "job-2"}
        refused(store, target, "expired twice")
        assert len(store.inputs) == 2 and beside(target) == []


CHILD = """
import sys, cdsapi
sys.path[:0] = {path}
from slams.archives import era5_cds
client = cdsapi.Client(url={url!r}, key={key!r}, quiet=True, progress=False, sleep_max=1)
era5_cds.fetch(2000, 2, {target!r}, levels=[500, 850], hours=[0, 12], spacing=30.0, client=client)
"""


@pytest.mark.parametrize("stage", ["in the queue", "in the download"])
def test_killed_and_resumed(target, answer, stage):
    part = target.with_name(target.name + ".answer.part")
    with stub.DataStore(answer, queue=10**6 if stage == "in the queue" else 0) as store:
        store.files.orders = {"/job-1.nc": ["drip"]}
        code = CHILD.format(path=sys.path, url=store.url, key=KEY, target=str(target))
        child = subprocess.Popen([sys.executable, "-c", code])
        until = time.monotonic() + 60
        while not (store.polls if store.queue else part.exists() and part.stat().st_size > 500):
            assert time.monotonic() < until and child.poll() is None
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert json.loads(target.with_name(target.name + ".request.json").read_text())["job"]
        assert not any(KEY in path.read_text(errors="replace") for path in target.parent.iterdir())
        store.queue = 0
        store.files.orders = {}
        fetch(store, target)
        assert len(store.inputs) == 1
        if stage == "in the download":
            assert store.files.asked[-1][1].startswith("bytes=")
    assert beside(target) == [target.name]


def test_a_kept_job_that_the_store_forgot_is_asked_for_anew(target, answer):
    request = whole_month(2000, 2, **MONTH).request()
    note = target.with_name(target.name + ".request.json")
    note.parent.mkdir(parents=True)
    kept = {"job": "job-99", "request": cds._fingerprint(era5_cds.DATASET, request)}
    for content in (json.dumps(kept), "[]", "{", json.dumps({**kept, "request": "other"})):
        note.write_text(content)
        target.unlink(missing_ok=True)
        with stub.DataStore(answer) as store:
            fetch(store, target)
            assert len(store.inputs) == 1
    assert beside(target) == [target.name]


def test_an_answer_that_lacks_days_never_gets_the_name(target, answer):
    def short(inputs):
        return answer({**inputs, "day": inputs["day"][:20]})

    with stub.DataStore(short) as store:
        refused(store, target, "lacks 18 of 58 times, the first 2000-02-21T00")
    assert beside(target) == []


def test_points_that_are_too_far_apart_or_not_there_are_fetched_again(target, answer, tmp_path):
    with stub.DataStore(answer) as store:
        fetch(store, target)
        fetch(store, target, spacing=60.0)  # finer than asked for is whole
        assert len(store.inputs) == 1
        refused(store, target, "has latitudes 30 degrees apart, not 15", spacing=15.0)
        fetch(store, target, area=[60, -30, 0, 60])
        assert len(store.inputs) == 2
    region = {"latitude": np.linspace(60, -60, 7), "longitude": np.arange(0, 360, 30.0)}
    with stub.DataStore(lambda inputs: made(tmp_path / "m.nc", inputs, region)) as store:
        refused(store, target.with_name("r.nc"), "has latitudes 30 degrees apart", spacing=25.0)
        fetch(store, target.with_name("r.nc"), area=[60, -30, -60, 60])


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((401, stub.AUTHENTICATION), "key was not accepted: copy the present one from .*/profile"),
        ((400, {"title": f"bad {KEY}"}), r"bad \(key\)"),
        ((404, {"title": "process not found"}), "no such data set: check its name"),
        ((403, {"title": "The number of queued requests is limited"}), "too many requests wait"),
        ((405, {"title": "?"}), "run again later"),
    ],
)
def test_refusals_say_what_to_do_and_hide_the_key(target, answer, refusal, message):
    with stub.DataStore(answer, refusal=refusal) as store:
        refused(store, target, message)
    assert beside(target) == []


def test_a_store_that_is_not_there_or_speaks_otherwise_is_told(target, answer):
    with stub.DataStore(answer) as store:
        asking = client(store, retry_max=1)
    with pytest.raises(ArchiveError, match=r"did not deliver.*run again"):
        era5_cds.fetch(2000, 2, target, client=asking, **MONTH)
    with stub.DataStore(answer) as store:
        store.trouble = {"/results": [200]}  # an answer without a result
        refused(store, target, "does not understand.*update cdsapi")


def test_a_missing_unreadable_or_old_key_is_said(tmp_path, monkeypatch, target):
    for name in ("CDSAPI_URL", "CDSAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "rc"))
    for content, message in [
        (None, r"rc is missing.*copy the two lines.*arco.*demo"),
        (b"url: http://127.0.0.1:9/api\n", "lacks url or key"),
        (b"url: \xff\xfe", "cannot be read"),
        (b"url: http://127.0.0.1:9/api\nkey: 123:abc-secret\n", "old form"),
        (b"url: http://127.0.0.1:9/api\nkey: abc-secret word\n", "blanks"),
    ]:
        if content is not None:
            (tmp_path / "rc").write_bytes(content)
        with pytest.raises(SlamsError, match=message) as caught:
            era5_cds.fetch(2000, 2, target, **MONTH)
        assert "abc-secret" not in "".join(traceback.format_exception(caught.value))


def test_the_users_key_makes_a_client_and_its_log_hides_it(tmp_path, monkeypatch, answer, caplog):
    monkeypatch.delenv("CDSAPI_URL", raising=False)
    monkeypatch.delenv("CDSAPI_KEY", raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "rc"))
    with stub.DataStore(answer) as store:
        store.queue = 2
        (tmp_path / "rc").write_text(f"url: {store.url}\nkey: {KEY}\n")
        era5_cds.fetch(2000, 2, tmp_path / "m.nc", **MONTH)
        assert store.tokens == {KEY}
        told = [one.getMessage() for one in caplog.records if one.name == "slams.archives.cds"]
        assert "Request ID is job-1" in told and "status has been updated to running" in told
        cds.client().info("%s and %s", KEY, "more")
        assert caplog.records[-1].getMessage() == "(key) and more"


def test_the_land_mask_is_fetched_once(tmp_path):
    def content(inputs):
        assert inputs["variable"] == ["land_sea_mask"] and inputs["grid"] == ["30", "30"]
        path = tmp_path / "made.nc"
        xr.Dataset({"lsm": (tuple(POINTS), np.full((7, 12), 0.25, np.float32))}, POINTS).to_netcdf(
            path
        )
        return path.read_bytes()

    target = tmp_path / "raw" / "land_sea_mask.nc"
    with stub.DataStore(content) as store:
        for _ in range(2):
            era5_cds.fetch_land_mask(target, spacing=30.0, client=client(store))
        assert len(store.inputs) == 1
        assert (era5.open_land_mask(target) == 0.25).all()
        target.write_bytes(b"<html>")
        era5_cds.fetch_land_mask(target, spacing=30.0, client=client(store))
        assert len(store.inputs) == 2
    assert beside(target) == [target.name]


def test_a_made_file_is_what_a_test_takes_it_for(tmp_path):
    inputs = whole_month(2000, 2, **MONTH).request()
    (tmp_path / "a.nc").write_bytes(made(tmp_path / "m.nc", inputs))
    assert whole_month(2000, 2, **MONTH).lacks(Path(tmp_path / "a.nc")) is None
