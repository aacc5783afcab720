"""Profiles, rank histograms or spectra of all arms at one cell of an axis."""

from pathlib import Path

import pandas as pd

from slams.figures import profiles, rank_histograms, save, spectra
from slams.job import job

with job(snakemake.log[0]):
    drawing = {"profiles": profiles, "ranks": rank_histograms, "spectra": spectra}
    figure = drawing[snakemake.wildcards.kind](
        pd.read_parquet(snakemake.input.scores),
        snakemake.wildcards.axis,
        float(snakemake.params.value),
        arms=snakemake.params.arms,
    )
    save(figure, Path(snakemake.output[0]).with_suffix(""))
