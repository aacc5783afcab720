"""One moment of an arm on maps, and what the observations changed."""

from pathlib import Path

import xarray as xr

from slams.archives.era5 import open_land_mask
from slams.figures import increments, maps, save
from slams.job import job

with job(snakemake.log[0]):
    masks = [
        path / "land_sea_mask.nc" if path.is_dir() else path
        for path in map(Path, snakemake.input.mask)
    ]
    land = open_land_mask(masks[0]) if masks else None
    given = snakemake.input
    with xr.open_dataset(given.analysis) as analysis, xr.open_dataset(given.classical) as classical:
        for draw, paths in (
            (maps, snakemake.output.maps),
            (increments, snakemake.output.increments),
        ):
            figure = draw(analysis, classical, land_mask=land)
            save(figure, Path(paths[0]).with_suffix(""))
