"""One moment of an arm on maps."""

from pathlib import Path

import xarray as xr

from slams.archives.era5 import open_land_mask
from slams.figures import maps, save
from slams.job import job

with job(snakemake.log[0]):
    masks = [
        path / "land_sea_mask.nc" if path.is_dir() else path
        for path in map(Path, snakemake.input.mask)
    ]
    given = snakemake.input
    with xr.open_dataset(given.analysis) as analysis, xr.open_dataset(given.classical) as classical:
        shown = analysis.assign(interpolation=classical["interpolation"])
        figure = maps(shown, land_mask=open_land_mask(masks[0]) if masks else None)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
