"""Work spread over two processes of dask gives what one process gives, to the bit."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from slams.archives import era5, imagery, inventory, planet
from slams.errors import SlamsError
from slams.grid import Grid
from slams.provenance import file_hash
from slams.series import write
from slams.spread import AHEAD, SCHEDULER, spread

DAYS = [np.datetime64("2001-01-01") + n for n in range(59)]
GRID = Grid(22.5)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def spreading(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCHEDULER, scheduler)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of the synthetic planet."""
    folder = tmp_path_factory.mktemp("planet")
    planet.write(
        folder,
        start="2001-01-01",
        end="2001-02-28",
        spacing=22.5,
        levels=[500, 850],
        hours=[0],
        stations=2,
        imagery_spacing=10,
        channels=["irwin_cdr"],
        seed=0,
    )
    return folder


def where(number: int) -> tuple[int, int]:
    return number, os.getpid()


def fail(number: int) -> int:
    raise SlamsError(f"file {number}")


@pytest.mark.usefixtures("spreading")
def test_the_order_is_kept_and_both_processes_work() -> None:
    done = list(spread(where, range(20)))
    assert [number for number, _ in done] == list(range(20))
    workers = {process for _, process in done}
    assert len(workers) == 2 and os.getpid() not in workers


@pytest.mark.usefixtures("spreading")
def test_no_more_is_begun_than_can_be_held() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = spread(where, items())
    next(results)
    assert len(taken) <= 2 * AHEAD + 1
    results.close()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("spreading")
def test_an_error_comes_back() -> None:
    with pytest.raises(SlamsError, match="file 0"):
        list(spread(fail, range(3)))


def test_without_a_scheduler_all_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SCHEDULER, raising=False)
    assert set(spread(where, range(3))) == {(n, os.getpid()) for n in range(3)}


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("slams.spread.WAIT", "1s")
    monkeypatch.setenv(SCHEDULER, "tcp://127.0.0.1:9")
    with pytest.raises(SlamsError, match="no scheduler answers there"):
        list(spread(where, range(3)))


def preprocess(raw: Path, target: Path) -> list[str]:
    """Hashes of the inventories and regridded files of both archives."""
    wanted = [day.astype("M8[s]").item() for day in DAYS]
    fields = inventory.take(
        inventory.files([raw / "era5"], 2001, "era5_t_*.nc"),
        era5.inspect,
        archive="era5",
        year=2001,
        wanted=wanted,
        complete=True,
    )
    inventory.write(fields, target / "era5.json")
    times = inventory.available(target / "era5.json", wanted)
    opening = partial(era5.pieces, levels=[500, 850])
    regridded = inventory.regrid(target / "era5.json", opening, GRID, times)
    write(target / "era5.nc", times, (field.to_dataset() for field in regridded), {})
    files = inventory.files([raw / "gridsat"], 2001, "GRIDSAT-B1.*.nc")
    images = imagery.take(files, channels=["irwin_cdr"], year=2001, wanted=wanted)
    inventory.write(images, target / "imagery.json")
    times = imagery.available(images, ["irwin_cdr"], wanted)
    write(target / "imagery.nc", times, imagery.regrid(images, ["irwin_cdr"], GRID, times), {})
    with xr.open_dataset(target / "imagery.nc") as written:
        assert np.isfinite(written["brightness_temperature"].values).any()
    return [file_hash(path) for path in sorted(target.iterdir())]


def test_preprocessing_is_the_same_to_the_bit(
    raw: Path, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SCHEDULER, raising=False)
    (tmp_path / "here").mkdir()
    here = preprocess(raw, tmp_path / "here")
    monkeypatch.setenv(SCHEDULER, scheduler)
    (tmp_path / "there").mkdir()
    assert preprocess(raw, tmp_path / "there") == here
