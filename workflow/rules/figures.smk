"""Which figures an experiment has, and what stands below them."""

SCORES = {
    "crps": "CRPS",
    "rmse": "Error of the mean",
    "spread_skill": "Spread over error",
    "wasserstein": "Wasserstein distance",
}


def land_mask():
    """The data's own land-sea mask, where there is one: it draws the coastlines."""
    if source("era5") == "planet":
        return [f"{RAW}/planet/era5"]
    if source("era5") == "arco":
        return [f"{RAW}/era5-arco/land_sea_mask.nc"]
    return [f"{RAW}/era5/land_sea_mask.nc"] if source("era5") == "cds" else []


def middle_value(axis):
    """The value of an axis whose cells are shown in profiles and maps."""
    values = config["axes"][axis]["values"]
    return experiment.value_text(values[len(values) // 2])


def shown_cell(arm):
    """The cell of an arm that is drawn on maps."""
    axis, value = next((axis, value) for name, axis, value in CELLS if name == arm)
    return axis, value if axis == "none" else middle_value(axis)


def shown_files(wildcards):
    """The analyses of an arm's shown cell, and the classical ones beside them."""
    axis, value = shown_cell(wildcards.arm)
    return {
        "analysis": f"{RESULTS}/cells/{wildcards.arm}/{axis}-{value}/analysis.nc",
        "classical": classical_of(ARMS[wildcards.arm], axis, value),
    }


def place_files():
    """What a time series needs to look at a station; nothing where no arm has stations."""
    there = "stations" in streams_used()
    return {
        "statistics": f"{RESULTS}/statistics.nc",
        "station_fit": operator_files(["stations"]) if there else [],
        "stations": station_tables("test") if there else [],
    }


def checked_files():
    """The operators that arms take, and the observations of the validation period."""
    streams = streams_used()
    stations, imagery = "stations" in streams, "imagery" in streams
    return {
        "station_fit": operator_files(["stations"]) if stations else [],
        "stations": station_tables("validation") if stations else [],
        "imagery_model": operator_files(["imagery"]) if imagery else [],
        "imagery": regridded("imagery", "validation") if imagery else [],
        "persistence": persistence_files(),
    }


def residual_table():
    """The residuals of the operators, where any was fitted."""
    fitted = operator_files(streams_used()) + persistence_files()
    return [f"{RESULTS}/operators/residuals.parquet"] if fitted else []


def paper_distances():
    """The paper's own distances, where the package holds them."""
    table = provenance.PACKAGE / "paper" / "wasserstein.csv"
    return [os.path.relpath(table)] if table.is_file() else []


def profile_axes():
    """The axes that have a cell to show."""
    shown = {axis for _, axis, _ in CELLS}
    return [axis for axis in experiment.AXES if axis in shown]


def members_of(arm):
    """How many members an arm's ensembles have."""
    section = config["paper"] if "recipe" in ARMS[arm] else config
    return section["sampler"]["members"]


def animated_arm():
    """The arm whose window is shown in motion: the first of those with most streams."""
    own = [arm for arm in ARMS if "recipe" not in ARMS[arm]] or list(ARMS)
    return max(own, key=lambda arm: len(ARMS[arm]["streams"]))


def cell_figures():
    """Kinds of figures of all arms at one cell of an axis, and their titles."""
    names = {
        "profiles": "Error and spread by level",
        "ranks": "Rank histograms",
        "spectra": "Power spectra",
    }
    if all(members_of(arm) == 1 for arm in ARMS):
        del names["ranks"]  # one member has no rank
    return names


def figure(section, title, kind, cell=None):
    """What the report says of a figure; kind names its caption, cell what it shows, if one."""
    return {
        "section": section,
        "title": title,
        "kind": kind,
        "cell": cell,
    }


def figures():
    """Every figure of this experiment by its stem, in the report's order."""
    found = {}
    for score, name in SCORES.items():
        found[f"ablation-{score}"] = figure(
            "Ablation curves", name, f"ablation-{score}"
        )
    for score, name in SCORES.items():
        found[f"levels-{score}"] = figure(
            "Ablation curves, level by level", f"{name} by level", "levels"
        )
    found["comparisons"] = figure(
        "Ablation curves", "Paired comparisons", "comparisons"
    )
    for kind, name in cell_figures().items():
        for axis in profile_axes():
            cell = (axis, float(middle_value(axis)))
            found[f"{kind}-{axis}"] = figure(
                "Calibration and scales",
                f"{name}, {axis} {middle_value(axis)}",
                kind,
                cell=cell,
            )
    for arm in ARMS:
        axis, value = shown_cell(arm)
        where = arm if axis == "none" else f"{arm}, {axis} {value}"
        for kind, name in {
            "maps": "Analysis",
            "increments": "Increments",
            "series": "At one place",
        }.items():
            found[f"{kind}-{arm}"] = figure("Maps and places", f"{name}: {where}", kind)
    arm = animated_arm()
    found[f"animation-{arm}"] = figure(
        "Maps and places", f"In motion: {arm}", "animation"
    )
    if residual_table():
        found["operators"] = figure(
            "Observations", "Calibration of the observation errors", "operators"
        )
    if years("stations"):
        found["stations"] = figure("Observations", "Stations", "stations")
    found["losses"] = figure("Data and training", "Loss curves", "losses")
    found["climate"] = figure("Data and training", "Climate", "climate")
    return found


def described_figures():
    """The figures with the whole text below each."""
    return {
        stem: {
            **entry,
            "caption": f"{caption(entry['kind'])} {paper_note(stem)}".strip(),
        }
        for stem, entry in figures().items()
    }


def caption(kind):
    """The text of a kind of figure."""
    text = Path(workflow.basedir) / "workflow" / "report" / f"{kind}.rst"
    return " ".join(text.read_text().split())


def paper_note(stem=""):
    """What the paper's arms are, for a figure that shows them; without a stem for the report."""
    arms = [name for name, arm in ARMS.items() if "recipe" in arm]
    kind, _, rest = stem.partition("-")
    everywhere = kind in ("", "ablation", "levels", "comparisons")
    shown = [arm for arm, axis, _ in CELLS if rest in (arm, axis) or everywhere]
    return caption("paper") if set(arms) & set(shown) else ""


def loss_curves():
    """The loss curve of every network that is trained."""
    models = [prior_file(space) for space in spaces_used()]
    models += [autoencoder_file(space) for space in spaces_used() if is_latent(space)]
    curves = [model.replace(".pt", ".csv") for model in models]
    curves += (
        [f"{RESULTS}/operators/imagery.csv"] if "imagery" in streams_used() else []
    )
    return curves


def figure_pair(stem, caption, category):
    """A figure as PNG, shown in Snakemake's report, and as PDF."""
    shown = report(
        f"{RESULTS}/figures/{stem}.png",
        caption=f"../report/{caption}.rst",
        category=category,
    )
    return [shown, f"{RESULTS}/figures/{stem}.pdf"]
