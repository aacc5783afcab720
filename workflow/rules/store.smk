"""One normalised store, by statistics of the training period alone."""


rule fit_statistics:
    """Climatology and scale of the training period, or of all (statistics.period)."""
    input:
        fields=regridded("era5", *statistics_splits()),
    output:
        f"{RESULTS}/statistics.nc",
    log:
        f"{RESULTS}/logs/fit_statistics.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_statistics.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("fit_statistics"),
        period=[t.isoformat() for t in experiment.statistics_period(config)],
        reference=config["statistics"]["reference"],
        harmonics=config["statistics"]["harmonics"],
        spacing=config["grid"]["spacing"],
        seed=config["seed"],
    script:
        "../scripts/fit_statistics.py"


rule build_store:
    """The normalised fields of one split."""
    input:
        fields=lambda w: regridded("era5", w.split),
        statistics=f"{RESULTS}/statistics.nc",
    output:
        description=f"{RESULTS}/store/{{split}}.nc",
        array=f"{RESULTS}/store/{{split}}.npy",
    log:
        f"{RESULTS}/logs/build_store/{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/build_store/{{split}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("build_store"),
        period=lambda w: [t.isoformat() for t in experiment.periods(config)[w.split]],
        seed=config["seed"],
    script:
        "../scripts/build_store.py"
