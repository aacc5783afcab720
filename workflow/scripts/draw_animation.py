"""One window of an arm in motion."""

from pathlib import Path

from slams.archives.era5 import land_mask_in
from slams.figures import Window, save
from slams.job import job
from slams.netcdf import open_dataset

with job(snakemake.log[0]):
    land = land_mask_in(snakemake.input.mask)
    given = snakemake.input
    with open_dataset(given.analysis) as analysis, open_dataset(given.classical) as classical:
        window = Window(analysis, classical, land_mask=land)
    save(window.figure(), Path(snakemake.output.still[0]).with_suffix(""))
    window.save(Path(snakemake.output.film).with_suffix(""))
