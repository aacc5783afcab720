"""One page with everything, that opens offline."""

import json
from pathlib import Path

import pandas as pd

from slams import report
from slams.job import job
from slams.provenance import attributes

with job(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    residuals = pd.read_parquet(given.residuals[0]) if given.residuals else None
    numbers = report.Numbers(
        pd.read_parquet(given.scores), pd.read_parquet(given.comparisons), residuals
    )
    films = {Path(path).stem: path for path in [given.films]}
    figures = [
        report.described(params.figures[path.stem], path, numbers, films.get(path.stem))
        for path in map(Path, given.figures)
    ]
    rejected = None
    if given.rejected:
        rejected = pd.concat(map(pd.read_csv, given.rejected), ignore_index=True)
    report.write(
        snakemake.output[0],
        title=f"SLAMS: {params.name}",
        notes=params.notes,
        scores=numbers.scores,
        comparisons=numbers.comparisons,
        figures=figures,
        counts=report.counts(given.cells),
        rejected=rejected,
        costs=report.costs(Path(params.benchmarks)),
        provenance={
            **attributes(snakemake.config, params.seed, [given.scores, given.comparisons]),
            **{Path(p).stem: json.loads(Path(p).read_text()) for p in given.cards},
        },
        configuration=snakemake.config,
    )
