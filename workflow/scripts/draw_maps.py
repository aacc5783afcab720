"""One moment of an arm on maps, and what the observations changed."""

from pathlib import Path

from slams.archives.era5 import land_mask_in
from slams.figures import increments, maps, save
from slams.job import job
from slams.netcdf import open_dataset

with job(snakemake.log[0]):
    land = land_mask_in(snakemake.input.mask)
    given = snakemake.input
    with open_dataset(given.analysis) as analysis, open_dataset(given.classical) as classical:
        for draw, paths in (
            (maps, snakemake.output.maps),
            (increments, snakemake.output.increments),
        ):
            figure = draw(analysis, classical, land_mask=land)
            save(figure, Path(paths[0]).with_suffix(""))
