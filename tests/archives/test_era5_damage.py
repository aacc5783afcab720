"""Whatever bytes a file of ERA5 holds, it gives a field or one error that names it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from era5_made import LATITUDE, LONGITUDE, days, values, write_grib, write_new, write_old
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slams.archives import era5
from slams.errors import ArchiveError

KINDS = ["new", "old", "zip", "grib"]
# The same examples each time: a crash of a C library would end the whole run.
QUIET = settings(
    max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> dict[str, bytes]:
    """The bytes of a good file of each kind."""
    folder: Path = tmp_path_factory.mktemp("good")
    new = write_new(folder / "n.nc", days("2001-01-01", 2))
    old = write_old(folder / "o.nc", days("2001-01-03", 2), values(2))
    with zipfile.ZipFile(folder / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(new, "n.nc")
        archive.write(old, "o.nc")
    found = {"new": new.read_bytes(), "old": old.read_bytes()}
    found["zip"] = (folder / "z.zip").read_bytes()
    return found


def outcome(path: Path, content: bytes) -> None:
    """Read the file in full: a field, or an error that names it."""
    path.write_bytes(content)
    try:
        found = era5.inspect(path)
    except ArchiveError as error:
        assert str(path) in str(error)
    else:
        assert found["times"] and found["levels"]
    try:
        era5.open_land_mask(path)
    except ArchiveError as error:
        assert str(path) in str(error)


@pytest.fixture
def content(good, tmp_path, request):
    if request.param == "grib":
        pytest.importorskip("cfgrib")
        path = write_grib(tmp_path / "g.grib", days("2001-01-01", 2), values(2))
        return path.read_bytes()
    return good[request.param]


@QUIET
@given(
    start=st.sampled_from(
        [b"", b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"GRIB"]
    ),
    rest=st.binary(max_size=300),
)
def test_any_bytes(tmp_path, start, rest):
    outcome(tmp_path / "x.nc", start + rest)


@pytest.mark.parametrize("content", KINDS, indirect=True)
@QUIET
@given(data=st.data())
def test_any_truncation(tmp_path, content, data):
    outcome(tmp_path / "x.nc", content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize("content", KINDS, indirect=True)
@QUIET
@given(data=st.data())
def test_any_flipped_bytes(tmp_path, content, data):
    changed = bytearray(content)
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=8)):
        changed[place] = data.draw(st.integers(0, 255))
    outcome(tmp_path / "x.nc", bytes(changed))


@pytest.mark.parametrize("content", ["new", "old", "zip"], indirect=True)
def test_no_truncation_is_taken_for_a_whole_file(tmp_path, content):
    for size in range(0, len(content) - 1, max(1, len(content) // 97)):
        (tmp_path / "x.nc").write_bytes(content[:size])
        with pytest.raises(ArchiveError, match=r"x\.nc"):
            era5.inspect(tmp_path / "x.nc")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_layout_reads_back_the_same(tmp_path, data):
    """Any order of axes, levels, latitudes and longitudes, any names, packed or not."""
    draw = data.draw
    truth = xr.DataArray(
        values(3),
        dims=("time", "level", "latitude", "longitude"),
        coords={
            "time": np.asarray(days("2001-01-01", 3), "M8[ns]"),
            "level": ("level", [500.0, 850.0], {"units": "hPa"}),
            "latitude": LATITUDE,
            "longitude": LONGITUDE,
        },
        attrs={"units": "K"},
    )
    written = truth.isel(latitude=slice(None, None, draw(st.sampled_from([1, -1]))))
    written = written.isel(level=draw(st.permutations([0, 1])))
    written = written.isel(time=draw(st.permutations([0, 1, 2])))
    turn = draw(st.integers(0, 7))
    written = written.roll(longitude=turn, roll_coords=True)
    if draw(st.booleans()):
        east = (written.longitude + 180) % 360 - 180
        written = written.assign_coords(longitude=east)
    names = draw(
        st.sampled_from(
            [
                {},
                {"time": "valid_time", "level": "pressure_level"},
                {"level": "isobaricInhPa", "latitude": "lat", "longitude": "lon"},
            ]
        )
    )
    written = written.transpose(*draw(st.permutations(written.dims))).rename(names)
    kind = draw(st.sampled_from(["NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_64BIT", "NETCDF3_CLASSIC"]))
    packed = draw(st.booleans())
    encoding = {"dtype": "i2", "scale_factor": 0.003, "add_offset": 260.0, "_FillValue": -32767}
    path = tmp_path / "x.nc"
    written.to_dataset(name="t").to_netcdf(
        path, format=kind, engine="netcdf4", encoding={"t": encoding if packed else {}}
    )
    found = era5.open(path)
    for name in truth.dims:
        np.testing.assert_array_equal(found[name].values, truth[name].values)
    np.testing.assert_allclose(found.values, truth.values, atol=0.0016 if packed else 0)
