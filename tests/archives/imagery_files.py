"""Files in the layouts of the imagery's providers, as their headers have them, on coarse axes."""

import netCDF4
import numpy as np

LATITUDE = np.arange(-70.0, 70.0, 3.5).astype("f4")
LONGITUDE = np.arange(-180.0, 180.0, 3.6).astype("f4")
FILL = -31999
PACKING = {
    "scale_factor": np.float32(0.01),
    "add_offset": np.float32(200.0),
    "valid_range": np.array([-6000, 17500], "i2"),
    "units": "kelvin",
}


def gridsat(path, hour=262968, **channels):
    """GridSat-B1 v02r01 with packed ``channels`` (1, lat, lon) and what else such a file holds.

    ``hour`` since 1970; 262968 is 2000-01-01.
    """
    with netCDF4.Dataset(path, "w") as file:
        sizes = {"time": None, "lat": LATITUDE.size, "lon": LONGITUDE.size, "Ngeo": 5}
        for name, size in (sizes | {"StrLen": 50, "sparse2ir": 2}).items():
            file.createDimension(name, size)
        time = file.createVariable("time", "i4", ("time",))
        time.units, time.calendar = "hours since 1970-01-01 00:00:00", "standard"
        time[:] = [hour]
        for name, values, units in (
            ("lat", LATITUDE, "degrees_north"),
            ("lon", LONGITUDE, "degrees_east"),
        ):
            axis = file.createVariable(name, "f4", (name,))
            axis.units = units
            axis[:] = values
        file.createVariable("satlon", "f4", ("time", "Ngeo"))[:] = [[-135, -75, 0, 63, 140]]
        file.createVariable("satname", "S1", ("time", "Ngeo", "StrLen"))[:] = b"G"
        plane = ("time", "lat", "lon")
        satellite = file.createVariable("satid_ircdr", "i1", plane, zlib=True)
        satellite[:] = np.zeros((1, LATITUDE.size, LONGITUDE.size), "i1") - 97
        angle = file.createVariable("irwin_vza_adj", "i1", plane, zlib=True)
        angle.setncatts({"scale_factor": np.float32(0.25), "add_offset": np.float32(-10.0)})
        file.createVariable("irwin_2", "i2", ("time", "sparse2ir"))[:] = [[0, 1]]
        for name, raw in channels.items():
            channel = file.createVariable(name, "i2", plane, zlib=True, fill_value=FILL)
            channel.set_auto_maskandscale(False)
            channel.setncatts(PACKING)
            channel[:] = raw
    return path


def plain(path, name, values, *, times, units, since="hours since 1900-01-01", **storage):
    """A variable ``name`` (time, lat, lon) from 90 north and 0 east, as PSL writes its products.

    ``times`` are numbers of the unit ``since``; ``storage`` may give attributes, and ``kind``.
    """
    rows, columns = values.shape[1:]
    kind = storage.pop("kind", "f4")
    fill = storage.pop("fill", None)
    with netCDF4.Dataset(path, "w") as file:
        for axis, size in (("time", None), ("lat", rows), ("lon", columns)):
            file.createDimension(axis, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = since
        time[:] = times
        half = 90.0 / rows if name == "precip" else 0.0
        step = 180.0 / rows if name == "precip" else 180.0 / (rows - 1)
        file.createVariable("lat", "f4", ("lat",))[:] = 90.0 - half - step * np.arange(rows)
        file.createVariable("lon", "f4", ("lon",))[:] = half + 360.0 / columns * np.arange(columns)
        field = file.createVariable(name, kind, ("time", "lat", "lon"), zlib=True, fill_value=fill)
        field.set_auto_maskandscale(False)
        field.setncatts(storage | ({"units": units} if units else {}))
        field[:] = values
    return path


def hours(first, count, step, since="1900-01-01"):
    """Hours since a date of ``count`` times, ``step`` hours apart, from ``first`` on."""
    begin = (np.datetime64(first) - np.datetime64(since)) / np.timedelta64(1, "h")
    return begin + step * np.arange(count)
