"""Where stations report, and why rows were rejected."""

from pathlib import Path

import pandas as pd

from slams.archives import station_set
from slams.archives.era5 import open_land_mask
from slams.figures import save, stations
from slams.job import job

with job(snakemake.log[0]):
    masks = [
        path / "land_sea_mask.nc" if path.is_dir() else path
        for path in map(Path, snakemake.input.mask)
    ]
    figure = stations(
        station_set.places(snakemake.input.tables),
        pd.concat(map(pd.read_csv, snakemake.input.rejected), ignore_index=True),
        land_mask=open_land_mask(masks[0]) if masks else None,
    )
    save(figure, Path(snakemake.output[0]).with_suffix(""))
