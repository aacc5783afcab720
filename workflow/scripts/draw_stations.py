"""Where stations report, and why rows were rejected."""

from pathlib import Path

import pandas as pd

from slams.archives import station_set
from slams.archives.era5 import land_mask_in
from slams.figures import save, stations
from slams.job import job

with job(snakemake.log[0]):
    figure = stations(
        station_set.places(snakemake.input.tables),
        pd.concat(map(pd.read_csv, snakemake.input.rejected), ignore_index=True),
        land_mask=land_mask_in(snakemake.input.mask),
    )
    save(figure, Path(snakemake.output[0]).with_suffix(""))
