"""Profiles, rank histograms and spectra of all arms at one cell of an axis."""

from pathlib import Path

import pandas as pd

from slams.figures import profiles, rank_histograms, save, spectra
from slams.job import job

with job(snakemake.log[0]):
    drawing = {"profiles": profiles, "ranks": rank_histograms, "spectra": spectra}
    scores = pd.read_parquet(snakemake.input.scores)
    axis, value = snakemake.wildcards.axis, float(snakemake.params.value)
    for kind, paths in snakemake.output.items():
        figure = drawing[kind](scores, axis, value, arms=snakemake.params.arms)
        save(figure, Path(paths[0]).with_suffix(""))
