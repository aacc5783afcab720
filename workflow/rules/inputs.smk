"""What the rules of each stage take, where it depends on the configuration."""


def cds_spacing():
    """Degrees between the points that the Climate Data Store is asked for."""
    return config["archives"]["era5"]["spacing"] or config["grid"]["spacing"]


def raw_era5(wildcards):
    """The raw ERA5 files of a year, or the folder or files that hold them."""
    if source("era5") == "local":
        return [
            str(p) for p in experiment.expand_paths(config, "era5", int(wildcards.year))
        ]
    if source("era5") == "planet":
        return [f"{RAW}/planet/era5"]
    folder = f"{RAW}/era5-arco" if source("era5") == "arco" else f"{RAW}/era5"
    months = sorted(
        {t.month for t in wanted_times(*SPLITS) if t.year == int(wildcards.year)}
    )
    return [
        f"{folder}/{wildcards.year}/era5_t_{wildcards.year}-{m:02d}.nc" for m in months
    ]


def raw_stations(wildcards):
    """The raw station files of a year, or the folder or manifest that lists them."""
    return stations_of(int(wildcards.year))


def stations_of(year):
    """The same, by the year."""
    if source("stations") == "local":
        return [str(p) for p in experiment.expand_paths(config, "stations", year)]
    if source("stations") == "planet":
        return [f"{RAW}/planet/isd"]
    return [f"{station_folder()}/{PRODUCT}-{year}.json"]


def stations_before(wildcards):
    """The raw station files of the year before, where its last reports may stand for midnight."""
    year = int(wildcards.year) - 1
    tolerance = config["archives"]["stations"]["tolerance_minutes"]
    reaches = 60 * min(config["time"]["hours"]) < tolerance
    # ISD-Lite's times are whole hours.
    if not reaches or PRODUCT == "isd-lite" or year not in years("stations"):
        return []
    return stations_of(year)


def station_list(wildcards):
    """The list of stations."""
    given = config["archives"]["stations"]["history"]
    if given:
        return [experiment.fill(given, config["samples"])]
    if source("stations") == "planet":
        return []
    if PRODUCT == "ghcnh":
        return [station_lists()["stations"]]
    if source("stations") == "local":
        found = experiment.station_list_beside(config, int(wildcards.year))
        if found is not None:
            return [str(path) for path in found]
    return [f"{RAW}/isd/isd-history.csv"]


def raw_imagery(wildcards):
    """The raw images of a year, or the folder or manifest that lists them."""
    if source("imagery") == "local":
        return [
            str(p)
            for p in experiment.expand_paths(config, "imagery", int(wildcards.year))
        ]
    if source("imagery") == "planet":
        return [f"{RAW}/planet/gridsat"]
    times = [t for t in wanted_times(*SPLITS) if t.year == int(wildcards.year)]
    channels = config["archives"]["imagery"]["channels"]
    raw = []
    if set(channels) & set(GRIDSAT):
        raw.append(f"{RAW}/gridsat/{wildcards.year}.json")
    if "olr" in channels:
        raw += [f"{RAW}/olr/{name}" for name in psl_files.olr_files(times)]
    if "precipitation" in channels:
        raw += [f"{RAW}/cpc/{name}" for name in psl_files.precipitation_files(times)]
    return raw


def prior_stores(wildcards):
    """The stores that a prior learns from."""
    files = {}
    for split in ("train", "validation"):
        files |= {
            f"{split}_{k}": v for k, v in arrays(store(split, wildcards.space)).items()
        }
    if wildcards.space.endswith("latent"):
        files["autoencoder"] = autoencoder_file(wildcards.space)
    return files


def arm_of(wildcards):
    """The arm's section of the configuration; a cell that is none says what there is."""
    if wildcards.arm not in ARMS:
        stop(f"no arm is called {wildcards.arm}; arms: {', '.join(ARMS)}")
    cell = (wildcards.arm, wildcards.axis, wildcards.value)
    if cell not in KNOWN_CELLS:
        known = ", ".join(
            f"{axis}-{value}" for arm, axis, value in CELLS if arm == cell[0]
        )
        stop(
            f"arm {cell[0]} has no cell {cell[1]}-{cell[2]}; its cells: {known}. "
            "An axis takes more values in the key axes."
        )
    return ARMS[wildcards.arm]


def axis_settings(wildcards):
    """What an axis holds fixed; its values are not in it, so that a new one changes no cell."""
    section = config["axes"].get(wildcards.axis, {})
    return {key: value for key, value in section.items() if key != "values"}


def sampler_of(wildcards):
    """The sampler of an arm: the paper's arms have their own."""
    section = config["paper"] if "recipe" in arm_of(wildcards) else config
    return section["sampler"]


def stream_inputs(wildcards):
    """What an arm needs beside its prior and the stores."""
    streams = arm_of(wildcards)["streams"]
    files = {"prior": prior_file(experiment.prior_space(arm_of(wildcards)))}
    if "stations" in streams:
        files["station_fit"] = f"{RESULTS}/operators/stations.nc"
        files["stations"] = station_tables("test")
    if "imagery" in streams:
        files["imagery_model"] = f"{RESULTS}/operators/imagery.pt"
        files["imagery"] = regridded("imagery", "test")
    if wildcards.axis == "persistence":
        files["persistence"] = persistence_file(wildcards.value)
    return files
