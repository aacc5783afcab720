"""Zonal-mean temperature of the training period."""

from pathlib import Path

from slams.figures import levels, save
from slams.job import job
from slams.netcdf import open_dataset

with job(snakemake.log[0]):
    with open_dataset(snakemake.input.statistics) as statistics:
        # The first term of the seasonal fit is the mean of the year.
        figure = levels(statistics["climatology"].isel(term=0))
    save(figure, Path(snakemake.output[0]).with_suffix(""))
