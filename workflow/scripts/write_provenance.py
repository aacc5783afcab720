"""Where every result comes from, back to the raw files; printed, too."""

from slams import lineage
from slams.job import job
from slams.provenance import atomic

with job(snakemake.log[0]):
    reading, told = lineage.Reading(), {}
    lines = [
        line
        for path in snakemake.input
        for line in lineage.chain(path, fold=lineage.FOLD, reading=reading, told=told)
    ]
    print(*lines, sep="\n")
    with atomic(snakemake.output[0]) as path:
        path.write_text("\n".join(lines) + "\n")
