"""ERA5 from a public Zarr: small ones in the form of ARCO ERA5, on a loopback server."""

import numpy as np
import pytest
import xarray as xr
from servers.files import FileServer

from slams import grid
from slams.archives import arco, era5
from slams.errors import ArchiveError

LEVELS = [100, 500, 850]
TIMES = np.arange("2001-01-30", "2001-03-05", np.timedelta64(12, "h"), "M8[ns]")
MONTH = {"levels": [500, 850], "hours": [0, 12], "attempts": 3, "first_wait": 0.001}


def planet(seed=0):
    """Fields in the form of ARCO ERA5; from 2001-03-03 on the axis has times without values."""
    rng = np.random.default_rng(seed)
    latitude, longitude = np.linspace(90, -90, 13), np.arange(0, 360, 15.0)
    shape = (TIMES.size, len(LEVELS), latitude.size, longitude.size)
    values = rng.normal(260, 9, shape).astype("f4")
    values[np.datetime64("2001-03-03") <= TIMES] = np.nan
    land = rng.random((TIMES.size, *shape[2:])).astype("f4")
    land[0] = np.nan  # before valid_time_start
    return xr.Dataset(
        {
            "temperature": (
                ("time", "level", "latitude", "longitude"),
                values,
                {"units": "K", "short_name": "t"},
            ),
            "land_sea_mask": (("time", "latitude", "longitude"), land),
        },
        coords={"time": TIMES, "level": LEVELS, "latitude": latitude, "longitude": longitude},
        attrs={
            "valid_time_start": "2001-01-31",
            "valid_time_stop": "2001-02-20",
            "valid_time_stop_era5t": "2001-03-02",
        },
    )


def stored(dataset, folder, zarr_format=2):
    """The Zarr's files as a server gives them, an hour of all levels a chunk."""
    encoding = {
        name: {"chunks": (1, *variable.shape[1:])} for name, variable in dataset.data_vars.items()
    }
    path = folder / "x.zarr"
    dataset.to_zarr(path, zarr_format=zarr_format, consolidated=True, encoding=encoding, mode="w")
    return {
        "/" + file.relative_to(folder).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="module")
def world():
    return planet()


@pytest.fixture(scope="module")
def kept(world, tmp_path_factory):
    return stored(world, tmp_path_factory.mktemp("zarr"))


@pytest.fixture
def server(kept):
    with FileServer(dict(kept)) as running:
        running.address = running.url + "/x.zarr"
        yield running


@pytest.fixture
def target(tmp_path):
    return tmp_path / "era5-arco" / "2001" / "era5_t_2001-02.nc"


def february(world):
    times = world.time.dt.month == 2
    return world.temperature.isel(time=times).sel(level=MONTH["levels"])


def chunks(server):
    return [path for path, _ in server.asked if "/temperature/" in path and path[-1] == "0"]


def fetch(server, target, **options):
    return arco.fetch(2001, 2, target, address=server.address, **{**MONTH, **options})


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_month_is_fetched_once(world, tmp_path, target, zarr_format):
    with FileServer(stored(world, tmp_path, zarr_format)) as server:
        server.address = server.url + "/x.zarr"
        assert fetch(server, target) == target
        asked = len(server.asked)
        fetch(server, target)
        assert len(server.asked) == asked
    field = era5.open(target)
    np.testing.assert_array_equal(field.values, february(world).values)
    np.testing.assert_array_equal(field.time.values, february(world).time.values)
    found = era5.inspect(target)
    assert found["levels"] == [500, 850] and len(found["preliminary_times"]) == 2 * 8
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_the_form_of_weatherbench(world, tmp_path, target):
    turned = world.transpose("time", "level", "longitude", "latitude", missing_dims="ignore")
    turned = turned.isel(latitude=slice(None, None, -1)).drop_vars("land_sea_mask")
    with FileServer(stored(turned.assign_attrs(valid_time_stop=None), tmp_path)) as server:
        server.address = server.url + "/x.zarr"
        fetch(server, target)
    np.testing.assert_array_equal(era5.open(target).values, february(world).values)


def test_means_over_the_cells_of_a_spacing(world, server, target):
    fetch(server, target, spacing=30.0)
    expected = grid.regrid(february(world), grid.Grid(30.0))
    found = era5.open(target)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6)
    np.testing.assert_array_equal(found.latitude, expected.latitude)
    fetch(server, target)  # another spacing is another file
    assert era5.open(target).sizes["latitude"] == 13
    with pytest.raises(
        ArchiveError, match=r"15 degrees apart, and archives\.era5\.spacing is 7\.5"
    ):
        fetch(server, target, spacing=7.5)


def test_passing_trouble_is_waited_for(world, server, target):
    one, two, three = (f"/x.zarr/temperature/{place}.0.0.0" for place in (4, 6, 8))
    server.orders = {
        "/x.zarr/.zmetadata": [503],
        one: [503, 429],
        two: ["cut"],
        three: ["cut", 500],
    }
    fetch(server, target)
    assert not any(server.orders.values())
    np.testing.assert_array_equal(era5.open(target).values, february(world).values)


def test_lasting_trouble_keeps_what_has_arrived(world, server, target):
    place = "/x.zarr/temperature/20.0.0.0"
    server.orders = {place: [503] * 3}
    with pytest.raises(ArchiveError, match=r"x\.zarr could not be read in 3 attempts.*kept, run"):
        fetch(server, target)
    assert not target.exists()
    before = chunks(server)
    assert before[-1] == place and len(set(before)) == 17
    broken = target.with_name(target.name + ".pieces") / "2001-02-02T00.nc"
    broken.write_bytes(broken.read_bytes()[:900])
    server.asked.clear()
    fetch(server, target)
    # The damaged one again, the rest for the first time, nothing twice.
    assert len(chunks(server)) == 56 - 16 + 1
    np.testing.assert_array_equal(era5.open(target).values, february(world).values)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_chunk_that_is_not_there_is_told(server, target):
    del server.files["/x.zarr/temperature/9.0.0.0"]
    with pytest.raises(ArchiveError, match=r"x\.zarr holds no value at 2001-02-03T12"):
        fetch(server, target)


def test_a_damaged_chunk_is_told(server, target):
    place = "/x.zarr/temperature/9.0.0.0"
    server.files[place] = server.files[place][:100]
    with pytest.raises(ArchiveError, match=r"x\.zarr cannot be read as Zarr"):
        fetch(server, target)


def test_what_the_archive_lacks_is_named(server, target, tmp_path):
    with pytest.raises(ArchiveError, match=r"lacks the levels \[700.*key levels"):
        fetch(server, target, levels=[500, 700])
    with pytest.raises(ArchiveError, match=r"lacks 2001-02-01T06; it holds 2001-01-31 to 2001-03"):
        fetch(server, target, hours=[6])
    for month, first in [(1, "2001-01-01T00"), (3, "2001-03-03T00"), (4, "2001-04-01T00")]:
        with pytest.raises(ArchiveError, match=f"lacks {first}; .*change the periods"):
            arco.fetch(2001, month, target, address=server.address, **MONTH)
    other = planet().rename(temperature="t2")
    with FileServer(stored(other, tmp_path)) as running:
        running.address = running.url + "/x.zarr"
        with pytest.raises(ArchiveError, match="no variable temperature"):
            fetch(running, target)
    assert not target.exists()


def test_an_address_that_is_no_zarr_is_told(server, target):
    for place in ("/nothing", "/x.zarr/temperature"):
        with pytest.raises(ArchiveError, match=r"(is no Zarr with consolidated|has no axis)"):
            arco.fetch(2001, 2, target, address=server.url + place, **MONTH)
    server.files["/x.zarr/.zmetadata"] = b"<html>"
    with pytest.raises(ArchiveError, match=r"x\.zarr (cannot be read as|is no) Zarr"):
        fetch(server, target)
    server.orders = {"/x.zarr/zarr.json": [403], "/x.zarr/.zmetadata": [403]}
    with pytest.raises(ArchiveError, match=r"refused with status 403.*must be public"):
        fetch(server, target)
    server.address = "http://127.0.0.1:9/x.zarr"
    with pytest.raises(ArchiveError, match="could not be read in 3 attempts"):
        fetch(server, target)


def test_another_address_is_another_file(world, server, target, tmp_path):
    fetch(server, target)
    with FileServer(stored(planet(1), tmp_path)) as other:
        other.address = other.url + "/x.zarr"
        fetch(other, target)
    assert not np.array_equal(era5.open(target).values, february(world).values)


def test_a_bucket_may_be_named_as_google_does():
    assert arco._web("gs://a/b.zarr/") == "https://storage.googleapis.com/a/b.zarr"
    assert arco._web(None) == arco.ADDRESS


def test_the_land_mask(world, server, tmp_path):
    target = tmp_path / "era5-arco" / "land_sea_mask.nc"
    for spacing in (None, None, 30.0):
        arco.fetch_land_mask(target, spacing=spacing, address=server.address)
    # The first field that is valid, once a spacing.
    assert len([path for path, _ in server.asked if "/land_sea_mask/2." in path]) == 2
    expected = grid.regrid(world.land_sea_mask[2], grid.Grid(30.0))
    np.testing.assert_allclose(era5.open_land_mask(target).values, expected.values, atol=1e-6)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
