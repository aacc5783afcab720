"""Downloads against a loopback server that breaks on order."""

import errno
import hashlib
import json
import logging
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from servers.files import FileServer

from slams.archives import fetch, transfer
from slams.archives.turns import turn
from slams.errors import ArchiveError

BODY = bytes(range(256)) * 4000
QUICK = {"first_wait": 0.001}


@pytest.fixture
def server():
    with FileServer({"/a.bin": BODY}) as running:
        yield running


def test_a_file_arrives_whole(server, tmp_path):
    target = tmp_path / "deep" / "a.bin"
    digest = hashlib.sha256(BODY).hexdigest()
    assert (
        fetch.download(f"{server.url}/a.bin", target, size=len(BODY), checksum=f"sha256:{digest}")
        == target
    )
    assert target.read_bytes() == BODY
    assert fetch.sha256(target) == digest
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


def test_a_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    target = tmp_path / "a.bin"
    for _ in range(2):
        fetch.download(f"{server.url}/a.bin", target)
    assert len(server.asked) == 1
    target.write_bytes(b"other")
    fetch.download(f"{server.url}/a.bin", target, size=len(BODY))
    assert target.read_bytes() == BODY


def test_a_missing_file_is_not_retried(server, tmp_path):
    with pytest.raises(fetch.MissingFile, match=r"b\.bin"):
        fetch.download(f"{server.url}/b.bin", tmp_path / "b.bin")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, status):
    server.orders["/a.bin"] = [status, status]
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert len(server.asked) == 3


def test_a_server_that_stays_busy_is_named(server, tmp_path):
    server.orders["/a.bin"] = [503] * 9
    with pytest.raises(ArchiveError, match=r"a\.bin.*3 attempts.*status 503"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", attempts=3, **QUICK)
    assert not (tmp_path / "a.bin").exists()


def test_a_refusal_is_not_retried(server, tmp_path):
    server.orders["/a.bin"] = [403]
    with pytest.raises(ArchiveError, match="status 403"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert len(server.asked) == 1


def test_a_cut_transfer_is_continued(server, tmp_path):
    server.orders["/a.bin"] = ["cut"]
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked[1][1].startswith("bytes=")


def test_a_later_call_continues_what_an_earlier_one_left(server, tmp_path):
    server.orders["/a.bin"] = ["cut", 503]
    with pytest.raises(ArchiveError, match="continue"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", attempts=1, **QUICK)
    assert (tmp_path / "a.bin.part").stat().st_size > 0
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked[-1][1] is not None


def test_pieces_of_two_versions_never_mix(server, tmp_path):
    server.orders["/a.bin"] = ["cut", 503]
    with pytest.raises(ArchiveError):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", attempts=1, **QUICK)
    server.files["/a.bin"] = BODY[::-1]
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY[::-1]


def test_another_part_than_asked_for_is_not_taken(server, tmp_path):
    server.orders["/a.bin"] = ["cut", "shifted"]
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert len(server.asked) == 3 and server.asked[-1][1] is None


def test_a_line_that_breaks_often_arrives_as_long_as_it_goes_on(server, tmp_path):
    server.orders["/a.bin"] = ["cut"] * 8
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", attempts=2, **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY and len(server.asked) == 9


def test_a_kill_between_two_versions_leaves_nothing_of_the_old(server, tmp_path):
    """The tag of the new version never stands beside bytes of the old one."""
    part = tmp_path / "a.bin.part"
    part.write_bytes(b"old" * 50)
    transfer.tag_file(part).write_text('"old"')
    server.orders["/a.bin"] = ["silent"]
    with pytest.raises(ArchiveError):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", attempts=1, **QUICK)
    assert not part.exists() or b"old" not in part.read_bytes()


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_processes_that_want_one_file_take_turns(server, tmp_path, delay):
    """Without a lock the second would go on writing into what the first has called whole."""
    server.files["/slow.bin"] = BODY[:4_000]
    server.orders["/slow.bin"] = ["drip"]
    target = tmp_path / "slow.bin"
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\nfrom pathlib import Path\n"
        f"from slams.archives import fetch\n"
        f"fetch.download({server.url + '/slow.bin'!r}, Path({str(target)!r}))"
    )
    first = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while not server.asked:
        assert time.monotonic() < until and first.poll() is None
        time.sleep(0.01)
    time.sleep(delay)
    fetch.download(f"{server.url}/slow.bin", target)
    assert target.read_bytes() == BODY[:4_000]
    assert first.wait() == 0
    assert len(server.asked) == 1 and [path.name for path in tmp_path.iterdir()] == ["slow.bin"]


def test_a_turn_goes_to_the_next_when_a_process_is_killed(tmp_path):
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\nimport time\nfrom pathlib import Path\n"
        "from slams.archives.turns import turn\n"
        f"with turn(Path({str(tmp_path / 'a')!r})):\n"
        "    print('mine', flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"mine\n"
    holder.kill()
    with turn(tmp_path / "a"):
        assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    holder.wait()
    holder.stdout.close()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_is_told(server, tmp_path, monkeypatch):
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transfer.os, "fsync", full)
    with pytest.raises(ArchiveError, match=r"a\.bin\.part could not be written: .* is full"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", attempts=1, **QUICK)


def test_a_server_without_ranges_starts_again(tmp_path):
    with FileServer({"/a.bin": BODY}, ranges=False) as server:
        server.orders["/a.bin"] = ["cut"]
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_wrong_checksum_or_length_is_refused(server, tmp_path):
    with pytest.raises(ArchiveError, match="checksum"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", checksum="sha256:" + "0" * 64)
    with pytest.raises(ArchiveError, match="1024000 bytes, not the 7"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", size=7)
    assert not list(tmp_path.iterdir())


def test_no_room_is_said_before_the_first_byte(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ArchiveError, match="free some space"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())


def test_no_server_at_all_is_an_archive_error(tmp_path):
    with pytest.raises(ArchiveError, match="2 attempts"):
        fetch.download("http://127.0.0.1:9/a.bin", tmp_path / "a.bin", attempts=2, **QUICK)
    with pytest.raises(ArchiveError, match="could not be asked"):
        fetch.download("no-address", tmp_path / "a.bin")


def test_missing_files_of_many_go_to_the_manifest(server, tmp_path):
    manifest = tmp_path / "missing.json"
    names = ["a.bin", "b.bin", "c.bin"]
    jobs = [(f"{server.url}/{name}", tmp_path / name) for name in names]
    assert fetch.download_all(jobs, manifest) == [tmp_path / "a.bin"]
    assert [entry["file"] for entry in json.loads(manifest.read_text())] == ["b.bin", "c.bin"]
    server.files["/b.bin"] = b"late"
    assert len(fetch.download_all(jobs[:2], manifest)) == 2
    assert [entry["file"] for entry in json.loads(manifest.read_text())] == ["c.bin"]
    with pytest.raises(ArchiveError, match="none of the 1 files"):
        fetch.download_all(jobs[2:], manifest)


def test_an_md5_is_checked_too(server, tmp_path):
    digest = hashlib.md5(BODY).hexdigest()
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", checksum=f"md5:{digest}")
    (tmp_path / "a.bin").write_bytes(BODY[::-1])
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", checksum=f"md5:{digest}")
    assert len(server.asked) == 2 and (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("as_date", [False, True])
def test_a_server_is_left_alone_as_long_as_it_asks(server, tmp_path, as_date):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.orders["/a.bin"] = [(503, {"Retry-After": until if as_date else "1"})]
    begin = time.monotonic()
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert time.monotonic() - begin > 0.9 and len(server.asked) == 2


def test_a_server_that_asks_for_hours_is_told_of(server, tmp_path):
    server.orders["/a.bin"] = [(429, {"Retry-After": "7200"})]
    with pytest.raises(ArchiveError, match=r"left alone for 7200 s.*run again"):
        fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert len(server.asked) == 1


def test_a_server_that_drips_is_let_go_and_what_came_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE", 0.2)
    server.orders["/a.bin"] = ["drip"]
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.asked[1][1].startswith("bytes=")


def test_a_silent_server_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", (5, 0.2))
    server.orders["/a.bin"] = ["silent"]
    fetch.download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert len(server.asked) == 2


def test_another_address_stands_in(server, tmp_path):
    with FileServer() as mirror:
        both = [f"{mirror.url}/a.bin", f"{server.url}/a.bin"]
        fetch.download(both, tmp_path / "a.bin", **QUICK)  # the mirror has none
        mirror.files["/a.bin"] = BODY
        mirror.orders["/a.bin"] = [403]
        fetch.download(both, tmp_path / "b.bin", **QUICK)  # the mirror refuses
        mirror.orders["/a.bin"] = [503, 503]
        fetch.download(both, tmp_path / "c.bin", attempts=2, **QUICK)  # the mirror stays busy
        assert len(server.asked) == 3
        for name in "abc":
            assert (tmp_path / f"{name}.bin").read_bytes() == BODY
        with pytest.raises(fetch.MissingFile):
            fetch.download([f"{mirror.url}/x", f"{server.url}/x"], tmp_path / "x")
        mirror.orders["/x"] = [403]
        with pytest.raises(ArchiveError, match="status 403") as caught:
            fetch.download([f"{mirror.url}/x", f"{server.url}/x"], tmp_path / "x")
        assert not isinstance(caught.value, fetch.MissingFile)


def test_room_for_all_is_asked_for_first(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=3e6))
    jobs = [(f"{server.url}/a.bin", tmp_path / f"{n}.bin") for n in range(2)]
    with pytest.raises(ArchiveError, match=r"2 files.*4 MB.*3 MB left"):
        fetch.download_all(jobs, tmp_path / "m.json", typical_size=2_000_000)
    assert not server.asked
    (tmp_path / "0.bin").write_bytes(BODY)  # what is there needs no room
    assert len(fetch.download_all(jobs, tmp_path / "m.json", typical_size=2_000_000)) == 2


def test_one_that_fails_stops_those_that_wait(server, tmp_path):
    jobs = [(f"{server.url}/a.bin", tmp_path / f"{n}.bin") for n in range(50)]
    server.orders["/a.bin"] = [403]
    with pytest.raises(ArchiveError, match="403"):
        fetch.download_all(jobs, tmp_path / "m.json", workers=1)
    assert len(server.asked) < 50


def test_no_more_connections_than_allowed(server, tmp_path):
    jobs = [(f"{server.url}/a.bin", tmp_path / f"{n}.bin") for n in range(12)]
    fetch.download_all(jobs, tmp_path / "m.json", workers=3)
    assert 1 <= server.connections <= 3  # each kept open for many files


def test_progress_is_logged(server, tmp_path, caplog):
    caplog.set_level(logging.INFO, "slams")
    fetch.download_all([(f"{server.url}/a.bin", tmp_path / "a.bin")], tmp_path / "missing.json")
    assert "missing: 1 of 1 files, 1.0 MB fetched" in caplog.text
