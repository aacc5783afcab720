"""Guidance methods and samplers against posteriors known in closed form."""

import sys
from pathlib import Path

from slams.figures import save
from slams.job import job
from slams.provenance import atomic

with job(snakemake.log[0], snakemake.threads):
    sys.path.insert(0, str(Path(snakemake.input.modules[0]).parent.resolve()))
    from sampler import compare, compose
    from sampler_figure import convergence

    rows = compare()
    for table, path in ((rows, snakemake.output.table), (compose(), snakemake.output.composition)):
        with atomic(path) as partial:
            table.to_csv(partial, index=False, float_format="%.5g")
    save(convergence(rows), Path(snakemake.output.figures[0]).with_suffix(""))
