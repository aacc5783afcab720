"""Small ERA5 files in every layout, for the tests."""

import netCDF4
import numpy as np
import xarray as xr

LATITUDE, LONGITUDE = np.linspace(90, -90, 7), np.arange(0, 360, 45.0)


def values(times, levels=2, members=None):
    shape = (times, *(() if members is None else (members,)), levels, 7, 8)
    return (250 + 20 * np.random.default_rng(times).standard_normal(shape)).astype("f4")


def write_new(
    path, times, *, levels=(850, 500), data=None, units="K", versions=None, **coordinates
):
    """The Climate Data Store's present layout; versions: the expver of every time."""
    data = values(len(times), len(levels)) if data is None else data
    axes = {"latitude": LATITUDE, "longitude": LONGITUDE, **coordinates}
    xr.Dataset(
        {"t": (("valid_time", "pressure_level", *axes), data, {"units": units})},
        coords={
            "valid_time": np.asarray(times, "M8[ns]"),
            "pressure_level": ("pressure_level", np.array(levels, "f8"), {"units": "hPa"}),
            "number": 0,
            "expver": ("valid_time", versions or ["0001"] * len(times)),
            **axes,
        },
    ).to_netcdf(path, engine="netcdf4")
    return path


def write_old(path, times, data, versions=None, kind="NETCDF3_64BIT_OFFSET"):
    """The layout before autumn 2024: classic netCDF, packed, levels and latitudes as stored."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        versions_axis = () if versions is None else ("expver",)
        axes = {"time": len(times), "level": 2, "latitude": 7, "longitude": 8}
        if versions is not None:
            axes["expver"] = len(versions)
        for name, size in axes.items():
            file.createDimension(name, size)
        for name, content in (("latitude", LATITUDE), ("longitude", LONGITUDE - 180)):
            file.createVariable(name, "f4", (name,))[:] = content
        level = file.createVariable("level", "i4", ("level",))
        level.units = "millibars"
        level[:] = [500, 850]
        if versions is not None:
            file.createVariable("expver", "i4", ("expver",))[:] = versions
        time = file.createVariable("time", "i4", ("time",))
        time.units = "hours since 1900-01-01 00:00:00.0"
        time[:] = (np.asarray(times, "M8[h]") - np.datetime64("1900-01-01T00")).astype(int)
        dims = ("time", *versions_axis, "level", "latitude", "longitude")
        field = file.createVariable("t", "i2", dims, fill_value=-32767)
        field.scale_factor, field.add_offset, field.units = 0.003, 260.0, "K"
        field[:] = np.ma.masked_array(np.nan_to_num(data, nan=260.0), np.isnan(data))
    return path


def days(first, count):
    return np.datetime64(first, "h") + 24 * np.arange(count)


def write_grib(path, times, data, *, levels=(850, 500), version="0001", number=None):
    """GRIB 1 messages as the store has them, after those already in the file."""
    import eccodes  # noqa: PLC0415 - optional

    axes = {
        "Ni": 8,
        "Nj": 7,
        "latitudeOfFirstGridPointInDegrees": 90.0,
        "latitudeOfLastGridPointInDegrees": -90.0,
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "longitudeOfLastGridPointInDegrees": 315.0,
        "iDirectionIncrementInDegrees": 45.0,
        "jDirectionIncrementInDegrees": 30.0,
    }
    with path.open("ab") as file:
        for moment, fields in zip(times, data, strict=True):
            date, hour = str(moment)[:10].replace("-", ""), str(moment)[11:13]
            for level, field in zip(levels, fields, strict=True):
                handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib1")
                keys = {
                    "centre": "ecmf",
                    "setLocalDefinition": 1,
                    "localDefinitionNumber": 1,
                    "experimentVersionNumber": version,
                    "marsStream": "oper" if number is None else "enda",
                    "type": "an",
                    "paramId": 130,
                    "dataDate": int(date),
                    "dataTime": 100 * int(hour),
                    "level": level,
                    "bitsPerValue": 16,
                }
                members = {} if number is None else {"perturbationNumber": number}
                for key, value in (keys | members | axes).items():
                    eccodes.codes_set(handle, key, value)
                eccodes.codes_set_values(handle, field.astype("f8").ravel())
                eccodes.codes_write(handle, file)
                eccodes.codes_release(handle)
    return path
