"""Raw files: made by the synthetic planet, or fetched from the archives.

Fetched files are outputs to update, never to remove: what is whole is not asked for again.
"""


rule make_planet:
    """Write the synthetic planet in the raw formats of the archives."""
    output:
        era5=directory(f"{RAW}/planet/era5"),
        isd=directory(f"{RAW}/planet/isd"),
        gridsat=directory(f"{RAW}/planet/gridsat"),
    log:
        f"{RESULTS}/logs/make_planet.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_planet.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code("make_planet"),
        first=str(TIMES[0].date()),
        last=str(TIMES[-1].date()),
        levels=config["levels"],
        hours=config["time"]["hours"],
        planet=config["planet"],
        channels=experiment.imagery_channels(config),
        seed=config["seed"],
    script:
        "../scripts/make_planet.py"


rule fetch_era5:
    """One month from the Climate Data Store."""
    output:
        update(f"{RAW}/era5/{{year}}/era5_t_{{year}}-{{month}}.nc"),
    log:
        f"{RESULTS}/logs/fetch_era5/{{year}}-{{month}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_era5/{{year}}-{{month}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        cds=1,
    params:
        levels=config["levels"],
        hours=config["time"]["hours"],
        spacing=cds_spacing(),
        area=config["archives"]["era5"]["area"],
    script:
        "../scripts/fetch_era5.py"


rule fetch_land_mask:
    """The land-sea mask from the Climate Data Store; it draws the coastlines."""
    output:
        update(f"{RAW}/era5/land_sea_mask.nc"),
    log:
        f"{RESULTS}/logs/fetch_land_mask.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_land_mask.tsv"
    conda:
        ENVIRONMENT
    resources:
        cds=1,
    params:
        spacing=cds_spacing(),
    script:
        "../scripts/fetch_land_mask.py"


rule fetch_arco:
    """One month from a public Zarr, without a key."""
    output:
        update(f"{RAW}/era5-arco/{{year}}/era5_t_{{year}}-{{month}}.nc"),
    log:
        f"{RESULTS}/logs/fetch_arco/{{year}}-{{month}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_arco/{{year}}-{{month}}.tsv"
    conda:
        ENVIRONMENT
    params:
        levels=config["levels"],
        hours=config["time"]["hours"],
        spacing=config["archives"]["era5"]["spacing"],
        address=config["archives"]["era5"]["address"],
    script:
        "../scripts/fetch_arco.py"


rule fetch_arco_land_mask:
    """The land-sea mask from the same Zarr; it draws the coastlines."""
    output:
        update(f"{RAW}/era5-arco/land_sea_mask.nc"),
    log:
        f"{RESULTS}/logs/fetch_arco_land_mask.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_arco_land_mask.tsv"
    conda:
        ENVIRONMENT
    params:
        spacing=config["archives"]["era5"]["spacing"],
        address=config["archives"]["era5"]["address"],
    script:
        "../scripts/fetch_arco_land_mask.py"


rule fetch_history:
    """ISD's list of stations."""
    output:
        update(f"{RAW}/isd/isd-history.csv"),
    log:
        f"{RESULTS}/logs/fetch_history.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_history.tsv"
    conda:
        ENVIRONMENT
    params:
        mirrors=config["archives"]["stations"]["mirrors"],
    script:
        "../scripts/fetch_history.py"


rule fetch_ghcnh_lists:
    """GHCNh's list of stations, and which report in a year."""
    output:
        stations=update(f"{RAW}/ghcnh/ghcnh-station-list.csv"),
        inventory=update(f"{RAW}/ghcnh/ghcnh-inventory.txt"),
    log:
        f"{RESULTS}/logs/fetch_ghcnh_lists.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_ghcnh_lists.tsv"
    conda:
        ENVIRONMENT
    params:
        mirrors=config["archives"]["stations"]["mirrors"],
    script:
        "../scripts/fetch_ghcnh_lists.py"


rule fetch_stations:
    """A year of station files; the manifest lists what there is and what is missing."""
    input:
        **station_lists(),
    output:
        manifest=update(f"{station_folder()}/{PRODUCT or 'none'}-{{year}}.json"),
    log:
        f"{RESULTS}/logs/fetch_stations/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_stations/{{year}}.tsv"
    conda:
        ENVIRONMENT
    params:
        product=PRODUCT,
        mirrors=config["archives"]["stations"]["mirrors"],
        until=lambda w: max(t.isoformat() for t in TIMES if t.year <= int(w.year)),
    script:
        "../scripts/fetch_stations.py"


rule fetch_imagery:
    """A year of GridSat-B1 images at the wanted times; the manifest lists what there is."""
    output:
        manifest=update(f"{RAW}/gridsat/{{year}}.json"),
    log:
        f"{RESULTS}/logs/fetch_imagery/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_imagery/{{year}}.tsv"
    conda:
        ENVIRONMENT
    params:
        times=lambda w: [t.isoformat() for t in times_of(w.year)],
        mirrors=config["archives"]["imagery"]["mirrors"],
    script:
        "../scripts/fetch_imagery.py"


rule fetch_olr:
    """NOAA's interpolated outgoing longwave radiation: one file for all years."""
    output:
        update(f"{RAW}/olr/{psl_files.OLR_FILE}"),
    log:
        f"{RESULTS}/logs/fetch_olr.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_olr.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/fetch_olr.py"


rule fetch_precipitation:
    """A year of CPC's daily precipitation."""
    output:
        update(f"{RAW}/cpc/precip.{{year}}.nc"),
    log:
        f"{RESULTS}/logs/fetch_precipitation/{{year}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_precipitation/{{year}}.tsv"
    conda:
        ENVIRONMENT
    script:
        "../scripts/fetch_precipitation.py"
