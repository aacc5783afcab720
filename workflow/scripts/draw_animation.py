"""One window of an arm in motion."""

from pathlib import Path

import xarray as xr

from slams.archives.era5 import open_land_mask
from slams.figures import Window, save
from slams.job import job

with job(snakemake.log[0]):
    masks = [
        path / "land_sea_mask.nc" if path.is_dir() else path
        for path in map(Path, snakemake.input.mask)
    ]
    land = open_land_mask(masks[0]) if masks else None
    given = snakemake.input
    with xr.open_dataset(given.analysis) as analysis, xr.open_dataset(given.classical) as classical:
        window = Window(analysis, classical, land_mask=land)
    save(window.figure(), Path(snakemake.output.still[0]).with_suffix(""))
    window.save(Path(snakemake.output.film).with_suffix(""))
