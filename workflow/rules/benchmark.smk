"""Benchmarks by themselves: exactness, which needs no data, and robustness with trained priors."""

EXACTNESS = [
    f"benchmarks/{module}.py"
    for module in ("gaussian", "others", "sampler", "sampler_figure", "walks")
]
ROBUSTNESS = ["benchmarks/robustness.py"]


rule benchmark_sampler:
    """Guidance methods and samplers against posteriors known in closed form."""
    input:
        modules=EXACTNESS,
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
        code=[code("benchmark_sampler"), *code_of_modules(EXACTNESS)],
    script:
        "../scripts/benchmark_sampler.py"


rule benchmark_robustness:
    """A thousand analyses with the learned priors: does any diverge? Goes on where it was stopped."""
    input:
        modules=ROBUSTNESS,
        priors=[prior_file("pixel"), prior_file("latent")],
        stores=[store("validation"), store("test")],
        arrays=[arrays(store(split))["array"] for split in ("validation", "test")],
        stations=station_tables("test"),
        imagery=regridded("imagery", "test"),
        operators=[
            f"{RESULTS}/operators/stations.nc",
            f"{RESULTS}/operators/imagery.pt",
        ],
    output:
        f"{RESULTS}/benchmarks-robustness/summary.txt",
    log:
        f"{RESULTS}/logs/benchmark_robustness.log",
    benchmark:
        f"{RESULTS}/benchmarks/benchmark_robustness.tsv"
    conda:
        ENVIRONMENT
    params:
        code=[code("benchmark_robustness"), *code_of_modules(ROBUSTNESS)],
    script:
        "../scripts/benchmark_robustness.py"
