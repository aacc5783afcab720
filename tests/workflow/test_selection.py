"""What a call sets out to do, told by dry runs: no more than was asked for."""

import re
import time
from pathlib import Path

import pytest
from working_copy import REPOSITORY, Copy

from slams.config import load, merge
from slams.experiment import cells, prior_space

STATIONS = {"ingest_stations", "fit_stations"}
IMAGERY = {"ingest_imagery", "regrid_imagery", "fit_imagery"}
FIELDS = {"make_planet", "ingest_era5", "regrid_era5", "fit_statistics", "build_store"}
# Every cell is verified by the stations held out, and beside the classical analyses.
CELL = {"train_prior", "assimilate_cell", "analyse_classically", "verify_cell"}
LATENT = {"train_autoencoder", "encode_latents"}


def cell(arm: str, level: str, name: str = "demo") -> str:
    return f"results/{name}/cells/{arm}/{level}/scores.parquet"


@pytest.mark.parametrize(
    ("arm", "level", "rules"),
    [
        ("pixel-background", "coarse-4", FIELDS | CELL | STATIONS),
        ("latent-background", "noise-0.5", FIELDS | CELL | STATIONS | LATENT),
        ("latent-stations", "sparse-2", FIELDS | CELL | LATENT | STATIONS),
        ("latent-no-background", "none-0", FIELDS | CELL | LATENT | STATIONS | IMAGERY),
    ],
)
def test_one_cell_takes_only_what_it_needs(
    fresh: Copy, arm: str, level: str, rules: set[str]
) -> None:
    """The stations held out verify every cell, whatever it assimilates."""
    plan = fresh.plan(cell(arm, level), config="config/demo.yaml", keys={"cells_together": False})
    assert set(plan) == rules
    assert all(plan[rule] == 1 for rule in CELL)


def test_a_cell_that_is_none_is_told_with_those_there_are(fresh: Copy) -> None:
    no_arm = "no arm is called pixel-both; arms: latent-both"
    for target, together, message in [
        (cell("pixel-both", "coarse-2", "tiny"), False, no_arm),
        (cell("latent-both", "coarse-3", "tiny"), False, "no cell coarse-3; its cells: coarse-2"),
        # Jobs of several cells have no rule for another.
        (cell("latent-both", "coarse-3", "tiny"), "axis", "no cell coarse-3; its cells: coarse-2"),
        (cell("latent-both", "coarse-2"), False, "whose results are in results/tiny"),
    ]:
        call = fresh.snakemake(target, keys={"cells_together": together})
        assert call.status == 1
        assert message in call.text.splitlines()[-1]
        assert "Traceback" not in call.text


def test_a_new_value_makes_only_its_cells(finished: Copy) -> None:
    plan = finished.plan(
        keys={"axes": {"coarse": {"values": [2, 4]}, "sparse": {"values": [2, 4]}}}
    )
    assert plan["assimilate_cell"] == plan["verify_cell"] == 4
    drawn = {rule for rule in plan if rule.startswith("draw_")}
    scored = {"verify_cell", "merge_scores", "compare_arms"}
    cells = {"assimilate_cell", "analyse_classically"}
    assert set(plan) - drawn == cells | scored | {"write_report"}
    assert plan["analyse_classically"] == 4


def test_arms_with_the_same_streams_share_their_classical_analyses(fresh: Copy) -> None:
    """The paper's arms among them; an arm that has all streams has its own."""
    spaces = [
        {"name": space, "space": space, "streams": ["background"]} for space in ("pixel", "latent")
    ]
    paper = {**spaces[0], "name": "paper-pixel", "recipe": "paper"}
    both = {"name": "both", "space": "pixel", "streams": ["stations", "background"]}
    # Three degraded backgrounds and one of yesterday.
    plan = fresh.plan(keys={"arms": [*spaces, paper]})
    assert plan["assimilate_cell"] == 4 + 4 + 3 and plan["analyse_classically"] == 4
    plan = fresh.plan(keys={"arms": [*spaces, paper, both]})
    assert plan["analyse_classically"] == 8


def test_classical_analyses_of_streams_that_no_arm_has_are_told(fresh: Copy) -> None:
    call = fresh.snakemake("results/tiny/classical/background+imagery/coarse-2/classical.nc")
    assert call.status == 1
    last = call.text.splitlines()[-1]
    assert "no arm has the streams background+imagery at coarse-2; known are: background+s" in last


def test_a_new_age_of_the_background_makes_its_fit_and_its_cell(finished: Copy) -> None:
    plan = finished.plan(keys={"axes": {"persistence": {"values": [1, 2]}}})
    assert plan["fit_persistence"] == plan["assimilate_cell"] == plan["verify_cell"] == 1
    assert not {"train_prior", "fit_stations", "fit_statistics", "build_store"} & set(plan)


def test_a_new_arm_takes_the_networks_there_are(finished: Copy) -> None:
    arms = [
        {
            "name": "latent-both",
            "space": "latent",
            "streams": ["background", "stations", "imagery"],
        },
        {"name": "latent-imagery", "space": "latent", "streams": ["imagery"]},
    ]
    plan = finished.plan(keys={"arms": arms})
    assert plan["assimilate_cell"] == 1
    assert not {"train_autoencoder", "train_prior", "fit_imagery"} & set(plan)


def test_the_papers_arms_bring_only_their_own_networks(fresh: Copy) -> None:
    arm = {"name": "paper-pixel", "space": "pixel", "streams": ["background"], "recipe": "paper"}
    plan = fresh.plan(keys={"arms": [arm]})
    assert plan["train_prior"] == 1 and plan["assimilate_cell"] == 3
    assert not {"train_autoencoder", "train_paper_autoencoder", "encode_latents"} & set(plan)
    arm |= {"name": "paper-latent", "space": "latent"}
    plan = fresh.plan(keys={"arms": [arm]})
    assert plan["train_paper_autoencoder"] == plan["train_prior"] == 1
    assert plan["encode_latents"] == 2 and "train_autoencoder" not in plan
    assert not {"regrid_imagery", "fit_imagery"} & set(plan)
    # Each set of what the encoder takes has its own networks; the order in it does not matter.
    encoders = (["irwvp"], ["irwin_cdr", "irwvp"], ["irwvp", "irwin_cdr"])
    arms = [arm] + [
        arm | {"name": f"paper-{n}", "encoder": list(names)} for n, names in enumerate(encoders)
    ]
    plan = fresh.plan(keys={"arms": arms, "archives": {"imagery": {"channels": ["irwin_cdr"]}}})
    assert plan["train_paper_autoencoder"] == plan["train_prior"] == 3
    assert plan["encode_latents"] == 6 and plan["assimilate_cell"] == 12
    assert plan["regrid_imagery"] == 1 and "fit_imagery" not in plan


def test_an_arm_without_background_needs_no_axis(fresh: Copy) -> None:
    nothing = {axis: {"values": []} for axis in ("coarse", "noise", "sparse")}
    arms = [{"name": "pixel-stations", "space": "pixel", "streams": ["stations"]}]
    plan = fresh.plan(keys={"axes": nothing, "arms": arms})
    assert plan["assimilate_cell"] == plan["draw_maps"] == 1
    assert "draw_cells" not in plan
    # The middle value of coarse is shown on maps, where there is one.
    assert fresh.plan(keys={"axes": {"coarse": {"values": []}}})["assimilate_cell"] == 6


NAMES = [path.stem for path in sorted((REPOSITORY / "config").glob("*.yaml"))]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "schema"])
def test_every_experiment_can_be_planned(
    fresh: Copy, name: str, request: pytest.FixtureRequest
) -> None:
    """Without a key, and within a minute on busy cores; alone it takes seconds."""
    files = [f"config/{name}.yaml"]
    if name == "nature-paper":  # goes over another
        files.insert(0, "config/nature.yaml")
    config = merge(*(load(REPOSITORY / path) for path in ["config/config.yaml", *files]))
    keys = {}
    if "{samples}" in str(config["archives"]):
        keys = {"samples": str(request.getfixturevalue("samples"))}
    began = time.monotonic()
    plan = fresh.plan(config=files[-1], keys=merge(config, keys))
    assert time.monotonic() - began < 60
    known = cells(config)
    # A job a cell, or (no axis has more than 20 values) one for all of an arm along an axis.
    jobs = {cell[:2] for cell in known} if config["cells_together"] == 20 else known
    for rule in ("assimilate_cell", "verify_cell"):
        assert sum(plan[name] for name in plan if name.startswith(rule)) == len(jobs)
    spaces = {prior_space(arm) for arm in config["arms"]}
    assert plan["train_prior"] == len(spaces)
    autoencoders = plan.get("train_autoencoder", 0) + plan.get("train_paper_autoencoder", 0)
    assert autoencoders == sum("latent" in space for space in spaces)
    assert plan["write_report"] == plan["merge_scores"] == plan["fit_statistics"] == 1


def test_the_full_experiment(fresh: Copy) -> None:
    plan = fresh.plan(config="config/config.yaml")
    years = 16 + 4 + 2
    assert plan["fetch_era5"] == 12 * years
    assert plan["ingest_stations"] == plan["regrid_imagery"] == plan["fetch_imagery"] == years
    assert plan["fetch_precipitation"] == years + 2  # and the years before 2000 and 2021
    assert plan["fetch_olr"] == 1
    assert plan["assimilate_cell"] == 5 * 13 + 1 + 4 * 13
    networks = ("train_autoencoder", "train_paper_autoencoder", "train_prior", "fit_imagery")
    assert [plan[rule] for rule in networks] == [1, 3, 2 + 4, 1]


def test_the_papers_set_up_takes_what_the_paper_took(fresh: Copy) -> None:
    plan = fresh.plan("results/paper/published.csv", config="config/paper.yaml")
    years = 23
    assert plan["fetch_era5"] == 12 * years and plan["regrid_imagery"] == years
    assert plan["fetch_precipitation"] == years + 1 and plan["fetch_olr"] == 1
    assert plan["assimilate_cell"] == 4 * 13 and plan["compare_with_paper"] == 1
    assert not {"fetch_stations", "fetch_imagery", "fit_imagery", "train_autoencoder"} & set(plan)


@pytest.mark.parametrize(
    ("arm", "level", "counts"),
    [
        ("paper-sda-0", "noise-4", {"train_prior": 1}),
        ("paper-lsda-0", "coarse-20", {"train_paper_autoencoder": 1, "encode_latents": 2}),
        ("paper-lsda-1", "sparse-16", {"train_paper_autoencoder": 1, "encode_latents": 2}),
        ("paper-lsda-2", "coarse-15", {"train_paper_autoencoder": 1, "encode_latents": 2}),
    ],
)
def test_a_cell_of_the_paper_takes_only_what_it_needs(
    fresh: Copy, arm: str, level: str, counts: dict[str, int]
) -> None:
    plan = fresh.plan(cell(arm, level, "era5"), config="config/config.yaml")
    assert counts.items() <= plan.items()
    assert all(plan[rule] == 1 for rule in CELL)
    images = {"fetch_imagery", "ingest_imagery", "regrid_imagery"}
    assert bool(images & set(plan)) == (arm in ("paper-lsda-1", "paper-lsda-2"))
    # Stations are what every cell is verified by.
    assert not (LATENT - {"encode_latents"} | {"fit_imagery"}) & set(plan)
    assert set(plan) >= STATIONS


@pytest.mark.parametrize("name", ["sample", "nature"])
def test_the_sample_files_are_found_by_one_key(fresh: Copy, samples: Path, name: str) -> None:
    keys = {"samples": str(samples)}
    plan = fresh.plan(config=f"config/{name}.yaml", keys=keys)
    assert plan["write_report"] == 1 and "make_planet" not in plan
    absent = fresh.snakemake("--dry-run", config=f"config/{name}.yaml")
    assert absent.status == 1
    assert re.search(r"samples: folder .*shared/samples is not there; get", absent.text)
    assert "Traceback" not in absent.text


def test_rule_graph_and_lint(fresh: Copy) -> None:
    graph = fresh.snakemake("--rulegraph")
    assert graph.status == 0
    assert re.search(r"digraph .*assimilate_cell.*}", graph.text, re.S)
    lint = fresh.snakemake("--lint")
    assert lint.status == 0, lint.text


def test_the_samplers_benchmark_needs_no_data(fresh: Copy) -> None:
    assert fresh.plan("benchmark_sampler") == {"benchmark_sampler": 1}


def test_the_robustness_benchmark_needs_both_priors_and_every_stream(fresh: Copy) -> None:
    planned = fresh.plan("benchmark_robustness")
    assert planned["benchmark_robustness"] == 1
    assert planned["train_prior"] == 2
    assert {"fit_stations", "fit_imagery", "train_autoencoder"} <= set(planned)
    assert "assimilate_cell" not in planned
