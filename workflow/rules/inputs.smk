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
    months = sorted({t.month for t in times_of(wildcards.year)})
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
    times = times_of(wildcards.year)
    channels = experiment.imagery_channels(config)
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
    if is_latent(wildcards.space):
        files["autoencoder"] = autoencoder_file(wildcards.space)
    return files


def space_of(latents):
    """The space of a prior by the folder of the latents that it learns from."""
    return latents.replace("latents", "latent")


def encoder_periods(space):
    """First and last instant of each split, where the encoder of a prior takes more than fields."""
    if not experiment.encoder_inputs(space):
        return {}
    return {
        split: [t.isoformat() for t in span]
        for split, span in experiment.periods(config).items()
    }


def statistics_splits():
    """The splits whose years the statistics are of."""
    return SPLITS if config["statistics"]["period"] == "all" else ("train",)


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


def check_targets(arguments):
    """Say of a target that is no cell, or another experiment's, what there is; Snakemake does not."""
    for before, target in zip(["", *arguments], arguments):
        parts = Path(target).parts
        if len(parts) < 3 or parts[0] != "results" or before == "--report":
            continue
        if parts[1] != config["name"]:
            stop(
                f"{target} is of another experiment than the configuration's, whose results are in "
                f"{RESULTS}: give that experiment's file after --configfile"
            )
        axis, dash, value = parts[4].rpartition("-") if len(parts) > 4 else ("",) * 3
        if parts[2] == "cells" and dash:
            arm_of(SimpleNamespace(arm=parts[3], axis=axis, value=value))


def axis_settings(wildcards):
    """What an axis holds fixed; its values are not in it, so that a new one changes no cell."""
    section = config["axes"].get(wildcards.axis, {})
    return {key: value for key, value in section.items() if key != "values"}


def sampler_of(wildcards):
    """The sampler of an arm: the paper's arms have their own."""
    section = config["paper"] if "recipe" in arm_of(wildcards) else config
    return section["sampler"]


class Batch:
    """What is made by one job: a cell, or with cells_together those of an arm at some ``levels``.

    ``name`` is what they are called together: a rule's name ends in it, and its logs are called so.
    """

    def __init__(self, name=None, levels=()):
        self.ending = f"_{name}" if name else ""
        self.label = name or "{axis}-{value}"
        self.levels = levels or [("{axis}", "{value}")]

    def asks(self, step, **resources):
        """What a job asks for: as much as a cell alone, and as many times as long as it has cells.

        So a profile need not know these rules' names. Where it does, its word counts.
        """
        given = workflow.resource_settings.overwrite_resources
        if self.ending and step in given:
            resources |= {
                name: value_of(resource, len(self.levels) if name == "runtime" else 1)
                for name, resource in given[step].items()
            }
        return resources

    def group(self, step):
        """The group in which a profile puts a cell's rule, of several: a function, as it is known late."""
        if not self.ending:
            return None
        return lambda wildcards: workflow.group_settings.overwrite_groups.get(step)

    def files(self, folder, name):
        """A file of every cell, with the wildcards that a rule has."""
        return [f"{folder}/{axis}-{value}/{name}" for axis, value in self.levels]

    def inputs(self, of_cell):
        """The inputs of all cells, where ``of_cell`` gives those of one by name.

        All share them, but for the one that each has of OF_EACH.
        """

        def found(wildcards):
            cells = list(map(of_cell, self._cells(wildcards)))
            own = {
                name: [files[name] for files in cells]
                for name in OF_EACH
                if name in cells[0]
            }
            return cells[0] | own

        return found

    def of_first(self, of_cell):
        """What all cells have in common, from the first."""
        return lambda wildcards: of_cell(self._cells(wildcards)[0])

    def of_axes(self, of_cell):
        """What the cells of an axis have in common, by axis."""

        def found(wildcards):
            cells = {cell.axis: cell for cell in self._cells(wildcards)}
            return {axis: of_cell(cell) for axis, cell in cells.items()}

        return found

    def _cells(self, wildcards):
        known = dict(wildcards.items())
        return [
            SimpleNamespace(
                **{
                    **known,
                    "axis": axis.format(**known),
                    "value": value.format(**known),
                }
            )
            for axis, value in self.levels
        ]


def value_of(resource, times):
    """A resource of the command line, so many times: a value, or a function of those of a job."""
    if not resource.is_evaluable():
        return resource.value if times == 1 else resource.value * times
    return lambda wildcards, **job: value_of(resource.evaluate(wildcards, **job), times)


# Beyond so many cells, so many share a job: starting a process for each, and planning all of
# them, would take longer than many a cell.
MOST_APART, SHARING = 1000, 20


def batches():
    """What the cells are made in: the rules that make them stand in a loop over these."""
    together = config["cells_together"]
    if together == "auto":
        together = SHARING if len(CELLS) > MOST_APART else False
    if together is False:
        return [Batch()]
    levels = {}
    for level in dict.fromkeys(cell[1:] for cell in CELLS):
        levels.setdefault(level[0], []).append(level)
    if together == "arm":
        # An arm has all of the paper's axes or none of them; not every arm has another.
        shared = [
            levels.pop(axis) for axis in list(levels) if axis in experiment.DEGRADED
        ]
        if shared:
            levels = {"axes": sum(shared, []), **levels}
    if together in ("axis", "arm"):
        return [Batch(name, found) for name, found in levels.items()]
    # A further value at an axis' end changes its last job only.
    return [
        Batch(
            f"{axis}_{first // together + 1}" if len(found) > together else axis,
            found[first : first + together],
        )
        for axis, found in levels.items()
        for first in range(0, len(found), together)
    ]


BATCHES = batches()


def cell_inputs(wildcards):
    """What an arm needs beside the stores."""
    arm = arm_of(wildcards)
    files = stream_inputs(arm["streams"], wildcards, "test")
    if "stations" in arm["streams"]:
        files["station_fit"] = f"{RESULTS}/operators/stations.nc"
    if "encoder" in arm:
        files["encoder_images"] = regridded("imagery", "test")
    return {"prior": prior_file(experiment.prior_space(arm))} | files


def classical_inputs(wildcards):
    """What the classical analyses of a set of streams need beside the stores.

    Images and stations of the validation period, too, over which they are tuned; the stations'
    fit wherever an arm has stations, because those held out are analysed by all.
    """
    streams = wildcards.streams.split("+")
    level = (wildcards.axis, wildcards.value)
    if (wildcards.streams, *level) not in KNOWN_CLASSICAL:
        known = ", ".join(sorted(f"{s}/{a}-{v}" for s, a, v in KNOWN_CLASSICAL))
        stop(
            f"no arm has the streams {wildcards.streams} at {wildcards.axis}-{wildcards.value}; "
            f"known are: {known}"
        )
    files = stream_inputs(streams, wildcards, "validation", "test")
    if "stations" in streams_used():
        files["station_fit"] = f"{RESULTS}/operators/stations.nc"
    return files


def classical_of(arm, axis, value):
    """The classical analyses of the same observations as an arm's cell has."""
    streams = experiment.streams_text(arm)
    return f"{RESULTS}/classical/{streams}/{axis}-{value}/classical.nc"


def classical_file(wildcards):
    """Those of the cell that the wildcards name."""
    return classical_of(arm_of(wildcards), wildcards.axis, wildcards.value)


def stream_inputs(streams, wildcards, *splits):
    """What streams are observed with, in the periods of the splits."""
    files = {}
    if "stations" in streams:
        files["stations"] = station_tables(*splits)
    if "imagery" in streams:
        files["imagery_model"] = f"{RESULTS}/operators/imagery.pt"
        files["imagery"] = regridded("imagery", *splits)
    if wildcards.axis == "persistence":
        files["persistence"] = persistence_file(wildcards.value)
    return files


def verification_inputs(wildcards):
    """A cell's analyses, and where an arm has stations those held out: by them all are verified."""
    level = f"{wildcards.axis}-{wildcards.value}"
    files = {
        "analysis": f"{RESULTS}/cells/{wildcards.arm}/{level}/analysis.nc",
        "classical": classical_file(wildcards),
    }
    if "stations" not in streams_used():
        return files
    return files | {
        "station_fit": f"{RESULTS}/operators/stations.nc",
        "stations": station_tables("test"),
    }


def drop_stale():
    """Let be fetched again what was fetched before all that is wanted of it was there.

    And the years of which a raw file was deleted, as a message about a damaged one asks for.
    """
    last = {}
    for time in TIMES:
        last[time.year] = time
    channels = set(experiment.imagery_channels(config))
    if source("imagery") == "noaa" and channels & set(GRIDSAT):
        for year in years("imagery"):
            if year in last:
                made = Path(f"{RESULTS}/inventory/imagery-{year}.json")
                drop_if_stale(
                    f"{RAW}/gridsat/{year}.json", last[year], look=not made.exists()
                )
    if PRODUCT:
        for name in station_lists().values():
            drop_if_stale(name, max(last.values()), look=False)
        for year in years("stations"):
            made = Path(f"{RESULTS}/stations/year={year}/reports.parquet")
            until = last.get(year, max(last.values()))
            drop_if_stale(
                f"{station_folder()}/{PRODUCT}-{year}.json",
                until,
                look=not made.exists(),
            )


def drop_if_stale(name, until, look):
    """Remove one manifest or list, and say so."""
    if not Path(name).exists():
        return
    from slams.archives import inventory  # takes a second, which few calls need

    if inventory.is_stale(Path(name), until, look=look):
        Path(name).unlink()
        sys.stderr.write(f"{name} is out of date: its files are looked at again.\n")


if workflow.is_main_process:
    check_targets(sys.argv[1:])
if WORKS:
    drop_stale()
