"""Where results come from, what two runs share, what is removed when it has been used."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from working_copy import Call, Copy

from slams import lineage
from slams.errors import SlamsError

RAW = "data/tiny/planet/"


@pytest.fixture
def inside(tiny: tuple[Copy, Call], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the finished run, which is the working directory."""
    copy, call = tiny
    assert call.status == 0, call.text
    monkeypatch.chdir(copy.folder)
    return copy.folder


def test_every_result_leads_back_to_raw_files(inside: Path) -> None:
    kinds, reading = set(), lineage.Reading()
    for path in sorted(Path("results/tiny").rglob("*")):
        own = {"logs", "benchmarks", "checkpoints"} & set(path.parts)
        if path.is_dir() or own or path.name.startswith("."):
            continue
        lines = list(lineage.chain(path, verify=True, reading=reading))
        assert lines[0].startswith(f"{path}  sha256 "), lines[0]
        assert any(line.lstrip().startswith(RAW) for line in lines), path
        assert not [line for line in lines if "CHANGED" in line or "NO LONGER" in line]
        kinds.add(path.suffix)
    assert kinds >= {".nc", ".npy", ".pt", ".json", ".csv", ".parquet", ".png", ".pdf", ".html"}


def test_the_chain_tells_hashes_versions_and_seeds(inside: Path) -> None:
    lines = list(lineage.chain("results/tiny/scores.parquet"))
    told = {line.split()[0]: line for line in lines if not line.endswith("(above)")}
    version = xr.open_dataset("results/tiny/statistics.nc").attrs["code_version"]
    for name in ("scores.parquet", "statistics.nc", "store/train.nc", "models/prior-latent.pt"):
        line = told[f"results/tiny/{name}"]
        assert f"code_version {version}" in line and "config_hash" in line and "seed" in line
    raw = [line for line in lines if line.lstrip().startswith(RAW)]
    assert {line.split()[1] for line in raw} <= {"sha256", "(above)"}
    # A file is told in full once.
    full = [line.split()[0] for line in lines if not line.endswith("(above)")]
    assert len(full) == len(set(full))


def test_what_has_changed_since_is_told(finished: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    raw = sorted(Path(RAW, "era5/2001").glob("*.nc"))
    with raw[0].open("ab") as file:
        file.write(b"x")
    raw[1].unlink()
    lines = list(lineage.chain("results/tiny/fields/era5-2001.nc", verify=True))
    assert [str(raw[0]) in line for line in lines if "CHANGED SINCE" in line] == [True]
    assert [str(raw[1]) in line for line in lines if "IS NO LONGER THERE" in line] == [True]
    for path, told in (("README.md", "is not there"), (str(raw[2]), "says nothing of its making")):
        with pytest.raises(SlamsError, match=told):
            list(lineage.chain(path))


def test_the_command_and_the_target(finished: Copy) -> None:
    call = [sys.executable, "-P", "-m", "slams", "provenance", "results/tiny/figures/losses.png"]
    where = {"cwd": finished.folder, "env": finished.environment}
    done = subprocess.run(call, **where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rule draw_losses" in done.stdout and RAW in done.stdout
    target = finished.snakemake("provenance")
    assert target.status == 0, target.text
    written = (finished / "results/tiny/provenance.txt").read_text()
    assert written in target.text
    assert "results/tiny/report.html" in written and RAW in written


def test_two_runs_are_equal_to_the_last_bit(tiny: tuple[Copy, Call], fresh: Copy) -> None:
    made, _ = tiny
    call = fresh.snakemake("results/tiny/scores.parquet", "--resources", "gpu=1")
    assert call.status == 0, call.text
    one, other = (pd.read_parquet(copy / "results/tiny/scores.parquet") for copy in (made, fresh))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    for path in sorted((fresh / "results/tiny/cells").rglob("analysis.nc")):
        with xr.open_dataset(path) as again:
            before = xr.load_dataset(made / str(path.relative_to(fresh.folder)))
            assert before.equals(again.load()), path


def test_what_can_be_remade_goes_when_it_has_been_used(fresh: Copy) -> None:
    keys = {"keep_intermediate": False}
    stores = [f"results/tiny/store/{split}.npy" for split in ("train", "validation", "test")]
    call = fresh.snakemake(*stores, keys=keys)
    assert call.status == 0, call.text
    assert not (fresh / "results/tiny/fields/era5-2001.nc").exists()
    assert (fresh / "data/tiny/planet/era5").is_dir()
    # What is gone is not missed, until something needs it: then it is made from the raw files.
    assert fresh.plan(*stores, keys=keys) == {}
    (fresh / "results/tiny/store/test.npy").unlink()
    # And with it all that comes of it, which therefore is younger than what it was made of.
    again = {"regrid_era5": 1, "fit_statistics": 1, "build_store": 3}
    assert fresh.plan(*stores, keys=keys) == again
