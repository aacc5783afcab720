# SLAMS: from raw archives to scored ablation cells, figures and a report.
#
#   snakemake --cores 2 --configfile config/demo.yaml
#
# No science here: rules call scripts, scripts call slams. See docs/architecture.md.

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/store.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/assimilate.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/benchmark.smk"


report: "workflow/report/workflow.rst"


# The report with all figures, and the merged table of scores.
rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        f"{RESULTS}/scores.parquet",
        f"{RESULTS}/comparisons.parquet",


rule ingest:
    """Raw files to fields and stations on common cells and the store, and nothing else."""
    input:
        [store(split) for split in SPLITS],
        regridded("imagery"),
        station_tables(),


rule train:
    """The priors and observation operators that the arms need, and nothing else."""
    input:
        [prior_file(space) for space in spaces_used()],
        operator_files(streams_used()),
        persistence_files(),


rule provenance:
    """Where every result comes from, printed and written: files, hashes, versions."""
    input:
        f"{RESULTS}/provenance.txt",


onerror:
    report_failures(RESULTS)
