"""What the rules share: checked configuration, names of files, hashes of code."""

import gc
import os
import sys
from itertools import groupby
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from slams import experiment, locks, plan, provenance
from slams.archives import psl_files
from slams.batch import OF_EACH
from slams.channels import GRIDSAT
from slams.config import check
from slams.errors import SlamsError


def stop(message):
    """End the call with a message for a person, and no traceback around it."""
    sys.exit(f"error: {message}")


try:
    check(config, Path(workflow.basedir) / "config" / "schema.yaml")
except SlamsError as error:
    stop(error)

# A plan of thousands of jobs is objects that stay: looking through them for garbage takes a sixth of it.
gc.set_threshold(100_000, 50, 1000)

# Threads that wait must not spin: on shared cores that makes training several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
# Freed memory is kept, not given back and asked for again with every tensor (glibc alone knows these).
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**31 - 1))

# A call that may change what lies about; workflow.dryrun is not yet known here.
WORKS = workflow.is_main_process and not locks.only_looks(sys.argv[1:])
if WORKS:
    locks.clear_stale(Path(".snakemake"))
    # Said at the start; whoever makes a part only may go on. Each long step asks for its own room.
    for shortage in plan.shortages(config, plan.plan(config)):
        print(
            f"warning: the whole experiment does not fit: {shortage}", file=sys.stderr
        )

# Requests to the Climate Data Store at once; --resources cds=N says otherwise. Not in a profile:
# --resources on the command line would replace all of a profile's, and leave this unlimited.
if "cds" not in workflow.global_resources:
    workflow.register_resource("cds", 2)

# Of a profile's section and the command line's Snakemake takes the latter alone, and says nothing.
if workflow.is_main_process and locks.has_profile(sys.argv[1:]):
    for flag in ("--set-resources", "--default-resources", "--groups"):
        if any(argument.partition("=")[0] == flag for argument in sys.argv[1:]):
            print(
                f"warning: {flag} replaces all that the profile says under {flag[2:]}, not a part of it; "
                "profiles/slurm takes SLAMS_SET and SLAMS_TMPDIR (docs/cluster.md)",
                file=sys.stderr,
            )

RESULTS = f"results/{config['name']}"
RAW = config["raw"]
ENVIRONMENT = "../../environment.yml"
ARMS = {arm["name"]: arm for arm in config["arms"]}
CELLS = experiment.cells(config)
# Thousands, and every job of a cell looks itself up.
KNOWN_CELLS = frozenset(CELLS)
KNOWN_CLASSICAL = frozenset(
    (experiment.streams_text(ARMS[arm]), axis, value) for arm, axis, value in CELLS
)
PRODUCT = experiment.station_product(config)
SPLITS = ("train", "validation", "test")
TIMES = experiment.wanted_times(config, *SPLITS)  # once: it takes a while
TIMES_OF = {year: list(times) for year, times in groupby(TIMES, lambda time: time.year)}


wildcard_constraints:
    arm="[A-Za-z0-9_.-]+?",
    streams=experiment.STREAMS_PATTERN,
    axis="|".join((*experiment.AXES, experiment.NO_AXIS[0])),
    value=r"[0-9]+(\.[0-9]+)?",
    year=r"\d{4}",
    month=r"\d{2}",
    split="|".join(SPLITS),
    space=r"pixel|latent|paper-pixel|paper-latent(\+[a-z_]+)*",
    latents=r"latents|paper-latents(\+[a-z_]+)*",
    beside=r"(\+[a-z_]+)*",


def code(script):
    """Hash of a script and of every slams module behind it: an edit of one reruns its rules."""
    return provenance.code_hash(
        Path(workflow.basedir) / "workflow" / "scripts" / f"{script}.py"
    )


def code_of_modules(paths):
    """As code, of modules that a script imports from elsewhere than slams."""
    return [provenance.code_hash(Path(workflow.basedir) / path) for path in paths]


def source(archive):
    """Where an archive comes from: none, planet, local, or whom it is fetched from."""
    return config["archives"][archive]["source"]


def raw_root(archive):
    """The folder of an archive's raw files; the synthetic planet never mixes with real ones."""
    return f"{RAW}/planet" if source(archive) == "planet" else RAW


@cache
def years(archive, *splits):
    """The years that an archive is read for; with splits, only those that they touch."""
    found = experiment.years(config, archive)
    if not splits:
        return found
    periods = experiment.periods(config)
    wanted = {
        y for s in splits for y in range(periods[s][0].year, periods[s][1].year + 1)
    }
    return [year for year in found if year in wanted]


def regridded(archive, *splits):
    """The regridded years of era5 or imagery."""
    return [f"{RESULTS}/fields/{archive}-{year}.nc" for year in years(archive, *splits)]


def station_tables(*splits):
    """The station tables of the years."""
    return [
        f"{RESULTS}/stations/year={year}/reports.parquet"
        for year in years("stations", *splits)
    ]


def rejected_tables():
    """Why rows of the stations were rejected, a table a year."""
    return [f"{RESULTS}/rejected/stations-{year}.csv" for year in years("stations")]


def station_folder():
    """Where fetched station files and their lists lie; ISD's three products share one."""
    return f"{RAW}/ghcnh" if PRODUCT == "ghcnh" else f"{RAW}/isd"


def station_lists():
    """The fetched lists of stations: GHCNh has one of places, one of years."""
    names = {"history": f"{station_folder()}/isd-history.csv"}
    if PRODUCT == "ghcnh":
        names = {
            "stations": f"{station_folder()}/ghcnh-station-list.csv",
            "inventory": f"{station_folder()}/ghcnh-inventory.txt",
        }
    return names


def training_resources():
    """What a training takes of a machine, or of a cluster's nodes: trainer.devices, trainer.nodes."""
    devices, nodes = (config["trainer"][key] for key in ("devices", "nodes"))
    if nodes == 1:
        given = workflow.global_resources.get("gpu")
        most = devices if given is None or given.value is None else given.value
        # Snakemake would ask for as many as there may be, and say nothing.
        if workflow.is_main_process and most < devices:
            stop(
                f"trainer.devices is {devices}, and this call may take gpu={most}: give it "
                f"--resources gpu={devices}, with whatever else a profile has under resources"
            )
        return {"gpu": devices, "nodes": 1}
    # A node's: the executor's step, which is on one of them, would ask for all of gpu there.
    cpus = max(devices, config["threads"]["training"])
    return {"gpu": 0, "nodes": nodes, "gres": f"gpu:{devices}", "cpus_per_task": cpus}


def store(split, space="pixel"):
    """The description of a split's store of what a prior learns from: fields, or latents."""
    folder = space.replace("latent", "latents") if is_latent(space) else "store"
    return f"{RESULTS}/{folder}/{split}.nc"


def is_latent(space):
    """Whether the states of a prior are latents."""
    return experiment.kind_of_prior(space).endswith("latent")


def autoencoder_file(space):
    """The autoencoder of a latent prior."""
    return f"{RESULTS}/models/{space.replace('latent', 'autoencoder')}.pt"


def encoder_images(space, *splits):
    """What the encoder of a latent prior takes beside the temperature."""
    beside = experiment.encoder_inputs(space)
    return regridded("imagery", *splits) if beside else []


def spaces_used():
    """Every prior that an arm takes."""
    return sorted({experiment.prior_space(arm) for arm in config["arms"]})


def arrays(description):
    """A store's two files, by name."""
    return {"description": description, "array": description[: -len("nc")] + "npy"}


def intermediate(path):
    """What is removed once it has been used, unless the configuration keeps it."""
    return path if config["keep_intermediate"] else temp(path)


def prior_file(space):
    """A trained prior."""
    return f"{RESULTS}/models/prior-{space}.pt"


def operator_files(streams):
    """The fitted operators of streams other than the background."""
    files = {
        "stations": f"{RESULTS}/operators/stations.nc",
        "imagery": f"{RESULTS}/operators/imagery.pt",
    }
    return [files[stream] for stream in sorted(streams) if stream in files]


def persistence_file(steps):
    """What was fitted for a background of so many steps before."""
    return f"{RESULTS}/operators/persistence-{steps}.nc"


def persistence_files():
    """The fit of every age of a background that a cell takes."""
    ages = {value for _, axis, value in CELLS if axis == "persistence"}
    return [persistence_file(value) for value in sorted(ages)]


def streams_used():
    """Every stream that an arm names."""
    return {stream for arm in config["arms"] for stream in arm["streams"]}


def cell_files(name):
    """A file of every cell."""
    return [
        f"{RESULTS}/cells/{arm}/{axis}-{value}/{name}" for arm, axis, value in CELLS
    ]


def times_of(year):
    """The times of a year that the periods ask for."""
    return TIMES_OF.get(int(year), [])


def report_failures(results):
    """Say, last of all, what each failed job said: its message is the one to read."""
    messages = locks.failures(Path(results) / "logs") or [
        "A job ended without a message of its own: it was killed or ran out of memory, or this call "
        "was told to end. The same command goes on from here; a training from its last checkpoint."
    ]
    readers = [
        f"/{step}_{archive}/"
        for step in ("ingest", "regrid")
        for archive in ("era5", "stations", "imagery")
        if source(archive) == "planet"
    ]
    if any(reader in message for reader in readers for message in messages):
        messages.append(
            f"What is wrong in {RAW}/planet is mended by making all of it anew: the same command "
            "with --forcerun make_planet"
        )
    print("", *messages, "", sep="\n", file=sys.stderr)
