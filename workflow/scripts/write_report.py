"""One page with everything, that opens offline."""

import json
from pathlib import Path

import pandas as pd

from slams import report
from slams.job import job
from slams.provenance import attributes
from slams.verification import summary

with job(snakemake.log[0]):
    figures = [
        {
            "path": path,
            "caption": snakemake.params.captions[path.stem],
            "alt": f"Figure {path.stem.replace('-', ', ')}",
        }
        for path in map(Path, snakemake.input.figures)
    ]
    rejected = None
    if snakemake.input.rejected:
        tables = map(pd.read_csv, snakemake.input.rejected)
        rejected = pd.concat(tables, ignore_index=True)
    report.write(
        snakemake.output[0],
        title=f"SLAMS: {snakemake.params.name}",
        notes=snakemake.params.notes,
        scores=summary(pd.read_parquet(snakemake.input.scores)),
        figures=figures,
        rejected=rejected,
        costs=report.costs(Path(snakemake.params.benchmarks)),
        provenance={
            **attributes(snakemake.config, snakemake.params.seed, [snakemake.input.scores]),
            **{Path(p).stem: json.loads(Path(p).read_text()) for p in snakemake.input.cards},
        },
        configuration=snakemake.config,
    )
