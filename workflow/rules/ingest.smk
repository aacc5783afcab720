"""Raw files checked and listed, then brought to common cells and tidy tables."""


def raw_era5(wildcards):
    """The raw ERA5 files of a year, or the folder or files that hold them."""
    if source("era5") == "local":
        return [
            str(p) for p in experiment.expand_paths(config, "era5", int(wildcards.year))
        ]
    if source("era5") == "planet":
        return [f"{RAW}/planet/era5"]
    months = sorted(
        {t.month for t in wanted_times(*SPLITS) if t.year == int(wildcards.year)}
    )
    return [
        f"{RAW}/era5/{wildcards.year}/era5_t_{wildcards.year}-{m:02d}.nc"
        for m in months
    ]


def raw_stations(wildcards):
    """The raw station files of a year, or the folder or manifest that lists them."""
    if source("stations") == "local":
        return [
            str(p)
            for p in experiment.expand_paths(config, "stations", int(wildcards.year))
        ]
    if source("stations") == "planet":
        return [f"{RAW}/planet/isd"]
    return [
        f"{RAW}/isd/{config['archives']['stations']['format']}-{wildcards.year}.json"
    ]


def history_list(wildcards):
    """The list of stations."""
    given = config["archives"]["stations"]["history"]
    if given:
        return [experiment.fill(given, config["samples"])]
    return [] if source("stations") == "planet" else [f"{RAW}/isd/isd-history.csv"]


def raw_imagery(wildcards):
    """The raw images of a year, or the folder or manifest that lists them."""
    if source("imagery") == "local":
        return [
            str(p)
            for p in experiment.expand_paths(config, "imagery", int(wildcards.year))
        ]
    if source("imagery") == "planet":
        return [f"{RAW}/planet/gridsat"]
    return [f"{RAW}/gridsat/{wildcards.year}.json"]


rule ingest_era5:
    """Read a year's raw ERA5 files in full; list them with hashes, times and levels."""
    input:
        raw=raw_era5,
    output:
        f"{RESULTS}/inventory/era5-{{year}}.json",
    log:
        f"{RESULTS}/logs/ingest_era5/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest_era5/{{year}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("ingest_era5"),
        levels=config["levels"],
        members=config["archives"]["era5"]["members"],
        times=lambda w: [
            t.isoformat() for t in wanted_times(*SPLITS) if t.year == int(w.year)
        ],
    script:
        "../scripts/ingest_era5.py"


rule ingest_imagery:
    """Read a year's raw images in full; list them with hashes and what they miss."""
    input:
        raw=raw_imagery,
    output:
        f"{RESULTS}/inventory/imagery-{{year}}.json",
    log:
        f"{RESULTS}/logs/ingest_imagery/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest_imagery/{{year}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("ingest_imagery"),
        times=lambda w: [
            t.isoformat() for t in wanted_times(*SPLITS) if t.year == int(w.year)
        ],
    script:
        "../scripts/ingest_imagery.py"


rule ingest_stations:
    """A year of station files to one table, every rejected row counted by its reason."""
    input:
        raw=raw_stations,
        history=history_list,
    output:
        table=f"{RESULTS}/stations/{{year}}.parquet",
        rejected=f"{RESULTS}/stations/{{year}}.rejected.csv",
    log:
        f"{RESULTS}/logs/ingest_stations/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest_stations/{{year}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("ingest_stations"),
        hours=config["time"]["hours"],
        tolerance=config["archives"]["stations"]["tolerance_minutes"],
    script:
        "../scripts/ingest_stations.py"


rule regrid_era5:
    """A year of air temperature on the common cells."""
    input:
        inventory=f"{RESULTS}/inventory/era5-{{year}}.json",
    output:
        f"{RESULTS}/fields/era5-{{year}}.nc",
    log:
        f"{RESULTS}/logs/regrid_era5/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regrid_era5/{{year}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("regrid_era5"),
        spacing=config["grid"]["spacing"],
        levels=config["levels"],
        times=lambda w: [
            t.isoformat() for t in wanted_times(*SPLITS) if t.year == int(w.year)
        ],
    script:
        "../scripts/regrid_era5.py"


rule regrid_imagery:
    """A year of brightness temperature on the common cells."""
    input:
        inventory=f"{RESULTS}/inventory/imagery-{{year}}.json",
    output:
        f"{RESULTS}/fields/imagery-{{year}}.nc",
    log:
        f"{RESULTS}/logs/regrid_imagery/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regrid_imagery/{{year}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("regrid_imagery"),
        spacing=config["grid"]["spacing"],
        times=lambda w: [
            t.isoformat() for t in wanted_times(*SPLITS) if t.year == int(w.year)
        ],
    script:
        "../scripts/regrid_imagery.py"
