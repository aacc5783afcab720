"""Opening our own netCDF files, by the one library that wrote them.

Where no engine is named, xarray imports every one that is installed to ask whether the file is its
own. That takes a process 0.2 s; and of the optional reader of GRIB it loads another libproj
than that of the maps, with which a process that draws afterwards ends in a crash.
"""

from functools import partial

import xarray as xr

open_dataset = partial(xr.open_dataset, engine="netcdf4")  # noqa: TID251
load_dataset = partial(xr.load_dataset, engine="netcdf4")  # noqa: TID251
