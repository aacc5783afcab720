"""The paper's published numbers beside ours."""


rule compare_with_paper:
    """Wasserstein distances of the arms that are the paper's models, beside those it published."""
    input:
        scores=f"{RESULTS}/scores.parquet",
        published=os.path.relpath(provenance.PACKAGE / "paper" / "wasserstein.csv"),
    output:
        f"{RESULTS}/published.csv",
    log:
        f"{RESULTS}/logs/compare_with_paper.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_with_paper.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("compare_with_paper"),
        arms=config["arms"],
    script:
        "../scripts/compare_with_paper.py"
