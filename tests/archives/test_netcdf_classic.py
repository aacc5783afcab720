"""The length that classic netCDF headers imply, against files that the netCDF library writes."""

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slams.archives.netcdf_classic import check_length

FORMATS = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
KINDS = ["i1", "i2", "i4", "f4", "f8"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(FORMATS))
def test_whole_files_pass_and_cut_ones_do_not(tmp_path, data, kind):
    """Fixed and record variables of any type, with attributes; cut anywhere in the values."""
    draw = data.draw
    path = tmp_path / "a.nc"
    records = draw(st.integers(0, 4), label="records")
    names = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), label="types")
    repeated = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.createDimension("record", None)
        file.createDimension("x", draw(st.integers(1, 5)))
        file.title = "t" * draw(st.integers(0, 9))
        for number, (type_, record) in enumerate(zip(names, repeated, strict=True)):
            axes = ("record", "x") if record else ("x",)
            variable = file.createVariable(f"v{number}", type_, axes)
            variable.numbers = np.arange(number, dtype="f8")
            size = file.dimensions["x"].size
            # Values whose bytes are not zero: a cut must take something away.
            variable[:] = np.full((records, size) if record else size, 37)
    check_length(path)
    whole = path.read_bytes()
    values = whole.rstrip(b"\x00")
    # Up to three bytes behind the last value are padding.
    lost = draw(st.integers(4, min(40, len(values))), label="lost")
    path.write_bytes(values[:-lost])
    with pytest.raises(ValueError, match=r"bytes are there|header"):
        check_length(path)


@pytest.mark.parametrize("content", [b"", b"CDF", b"CDF\x01", b"CDF\x05" + b"\x7f" * 60, b"HDF5"])
def test_what_is_no_header_is_told(tmp_path, content):
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(ValueError, match=r"header|classic"):
        check_length(tmp_path / "a.nc")


def test_a_file_that_is_being_written_is_told(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"CDF\x01" + b"\xff" * 4 + bytes(40))
    with pytest.raises(ValueError, match="being written"):
        check_length(tmp_path / "a.nc")
