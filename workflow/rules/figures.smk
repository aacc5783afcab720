"""Which figures an experiment has, and what stands below them."""


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


def profile_axes():
    """The axes that have a cell to show."""
    shown = {axis for _, axis, _ in CELLS}
    return [axis for axis in experiment.AXES if axis in shown]


def figures():
    """Every figure of this experiment: stem, and what its caption begins with."""
    stems = {f"ablation-{score}": "" for score in ("crps", "rmse", "spread_skill")}
    for axis in profile_axes():
        stems[f"profiles-{axis}"] = f"Cells {axis} {middle_value(axis)}."
    for arm in ARMS:
        axis, value = shown_cell(arm)
        stems[f"maps-{arm}"] = f"Arm {arm}" + (
            "." if axis == "none" else f", {axis} {value}."
        )
    stems |= {"losses": "", "climate": ""}
    return stems | ({"stations": ""} if years("stations") else {})


def captions():
    """The text below every figure of the report, by stem."""
    texts = {}
    for stem, lead in figures().items():
        kind = stem if stem.startswith("ablation") else stem.split("-")[0]
        text = Path(workflow.basedir) / "workflow" / "report" / f"{kind}.rst"
        texts[stem] = f"{lead} {text.read_text()} {paper_note(stem)}".strip()
    return texts


def paper_note(stem=""):
    """What the paper's arms are, for a figure that shows them; without a stem for the report."""
    arms = [name for name, arm in ARMS.items() if "recipe" in arm]
    kind, _, rest = stem.partition("-")
    shown = [
        arm for arm, axis, _ in CELLS if rest in (arm, axis) or kind in ("", "ablation")
    ]
    if not set(arms) & set(shown):
        return ""
    text = Path(workflow.basedir) / "workflow" / "report" / "paper.rst"
    return " ".join(text.read_text().split())


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
