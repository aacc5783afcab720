"""Many analyses with the learned priors, over operators, errors and streams."""

import sys
from pathlib import Path

from slams.job import job
from slams.provenance import atomic

with job(snakemake.log[0], snakemake.threads):
    sys.path.insert(0, str(Path(snakemake.input.modules[0]).parent.resolve()))
    from robustness import ANALYSES, run

    summary = Path(snakemake.output[0])
    # Its table is no output of the rule: Snakemake would remove it where a run was killed.
    text = run(summary.parents[1], summary.parent, ANALYSES)
    with atomic(summary) as partial:
        Path(partial).write_text(text)
