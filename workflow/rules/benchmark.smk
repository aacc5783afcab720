"""Benchmarks that need no data."""


rule benchmark_sampler:
    """Guidance methods and samplers against posteriors known in closed form."""
    input:
        modules=[
            f"benchmarks/{module}.py"
            for module in ("gaussian", "others", "sampler", "sampler_figure", "walks")
        ],
    output:
        table=f"{RESULTS}/benchmarks-sampler/distances.csv",
        composition=f"{RESULTS}/benchmarks-sampler/composition.csv",
        figures=multiext(f"{RESULTS}/benchmarks-sampler/convergence", ".png", ".pdf"),
    log:
        f"{RESULTS}/logs/benchmark_sampler.log",
    benchmark:
        f"{RESULTS}/benchmarks/benchmark_sampler.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("benchmark_sampler"),
    script:
        "../scripts/benchmark_sampler.py"
