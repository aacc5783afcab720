"""Our files are opened without the readers of other formats."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from slams.netcdf import load_dataset, open_dataset

OPENED_THEN_DRAWN = """
import sys
from slams.netcdf import open_dataset
with open_dataset(sys.argv[1]) as dataset:
    print(float(dataset["a"].sum()))
foreign = {"cfgrib", "eccodes", "zarr"} & set(sys.modules)
import slams.figures.sphere
slams.figures.sphere.projection()
print(sorted(foreign))
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.nc"
    xr.Dataset({"a": ("x", np.arange(3.0))}).to_netcdf(path)
    return path


def test_no_other_reader_is_imported_and_a_process_may_draw_afterwards(path):
    call = [sys.executable, "-c", OPENED_THEN_DRAWN, str(path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["3.0", "[]"]), done.stderr
    assert "PROJ" not in done.stderr


def test_what_is_read_is_what_was_written(path):
    assert load_dataset(path)["a"].values.tolist() == [0.0, 1.0, 2.0]
    with open_dataset(path, decode_times=False) as dataset:
        assert dataset.sizes == {"x": 3}


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(OSError, match="Unknown file format"):
        open_dataset(path)
