"""Raw files checked and listed, then brought to common cells and tidy tables.

These rules go before all others, so that a broken file is told before any training begins.
"""


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
    priority: 10
    conda:
        ENVIRONMENT
    params:
        code=code("ingest_era5"),
        levels=config["levels"],
        members=config["archives"]["era5"]["members"],
        times=lambda w: [t.isoformat() for t in times_of(w.year)],
    script:
        "../scripts/ingest_era5.py"


rule ingest_imagery:
    """Read a year's raw images at the wanted times; list them with hashes and what they miss."""
    input:
        raw=raw_imagery,
    output:
        f"{RESULTS}/inventory/imagery-{{year}}.json",
    log:
        f"{RESULTS}/logs/ingest_imagery/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest_imagery/{{year}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    params:
        code=code("ingest_imagery"),
        channels=experiment.imagery_channels(config),
        times=lambda w: [t.isoformat() for t in times_of(w.year)],
    script:
        "../scripts/ingest_imagery.py"


rule ingest_stations:
    """A year of station files to one table, every rejected row counted by its reason."""
    input:
        raw=raw_stations,
        before=stations_before,
        history=station_list,
    output:
        table=f"{RESULTS}/stations/year={{year}}/reports.parquet",
        rejected=f"{RESULTS}/rejected/stations-{{year}}.csv",
    log:
        f"{RESULTS}/logs/ingest_stations/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest_stations/{{year}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    params:
        code=code("ingest_stations"),
        hours=config["time"]["hours"],
        tolerance=config["archives"]["stations"]["tolerance_minutes"],
        needed="stations" in streams_used(),
    script:
        "../scripts/ingest_stations.py"


rule regrid_era5:
    """A year of air temperature on the common cells."""
    input:
        inventory=f"{RESULTS}/inventory/era5-{{year}}.json",
    output:
        intermediate(f"{RESULTS}/fields/era5-{{year}}.nc"),
    log:
        f"{RESULTS}/logs/regrid_era5/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regrid_era5/{{year}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    params:
        code=code("regrid_era5"),
        spacing=config["grid"]["spacing"],
        levels=config["levels"],
        times=lambda w: [t.isoformat() for t in times_of(w.year)],
    script:
        "../scripts/regrid_era5.py"


rule regrid_imagery:
    """A year of images on the common cells."""
    input:
        inventory=f"{RESULTS}/inventory/imagery-{{year}}.json",
    output:
        f"{RESULTS}/fields/imagery-{{year}}.nc",
    log:
        f"{RESULTS}/logs/regrid_imagery/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regrid_imagery/{{year}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    params:
        code=code("regrid_imagery"),
        channels=experiment.imagery_channels(config),
        spacing=config["grid"]["spacing"],
        times=lambda w: [t.isoformat() for t in times_of(w.year)],
    script:
        "../scripts/regrid_imagery.py"
