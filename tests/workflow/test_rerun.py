"""After an edit, the rules that depend on what was edited run again, and no others."""

import pytest
from working_copy import Copy

REPORT = {"write_report"}
CHECKS = {"check_operators", "draw_operators"}
STATIONS = {"ingest_stations", "fit_stations", "draw_stations"} | CHECKS
SCORES = {
    "verify_cell",
    "merge_scores",
    "compare_arms",
    "draw_ablation",
    "draw_cells",
    "draw_comparisons",
} | REPORT
CELLS = {"assimilate_cell", "draw_maps", "draw_series", "draw_animation"} | SCORES
CLASSICAL = {"analyse_classically"}
NETWORKS = {
    *("train_autoencoder", "train_paper_autoencoder", "encode_latents", "train_prior"),
    *("fit_imagery", "draw_losses"),
} | CHECKS
FIGURES = {
    f"draw_{name}"
    for name in (
        *("ablation", "animation", "cells", "climate", "comparisons", "losses", "maps"),
        *("operators", "series", "stations"),
    )
}


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("slams/posterior/guidance.py", CELLS),
        ("slams/classical/oi.py", CLASSICAL | CELLS - {"assimilate_cell"}),
        ("slams/figures/curves.py", FIGURES | REPORT),
        ("slams/training.py", NETWORKS | CELLS | CLASSICAL),
        ("slams/archives/isd_lite.py", STATIONS | CELLS | CLASSICAL),
        ("slams/verification/scores.py", FIGURES | SCORES),
        ("slams/report/templates/page.html", REPORT),
        ("slams/locks.py", set()),
        ("workflow/scripts/merge_scores.py", SCORES - {"verify_cell"}),
        ("workflow/report/maps.rst", REPORT),
    ],
)
def test_an_edit_reruns_what_depends_on_it(finished: Copy, module: str, rules: set[str]) -> None:
    finished.edit(module)
    assert set(finished.plan("--resources", "gpu=1")) == rules


def test_a_key_reruns_the_rules_that_take_it(finished: Copy) -> None:
    plan = finished.plan(keys={"verification": {"bootstrap": 60}})
    assert set(plan) == SCORES
    plan = finished.plan(keys={"verification": {"reference": "latent-both"}})
    assert set(plan) == {"compare_arms", "draw_comparisons"} | REPORT
    plan = finished.plan(keys={"classical": {"letkf": {"inflations": [2]}}})
    assert set(plan) == CLASSICAL | CELLS - {"assimilate_cell"}
    plan = finished.plan(keys={"prior": {"pixel": {"training": {"steps": 21}}}})
    assert plan["train_prior"] == plan["assimilate_cell"] == 1
    assert not {"train_autoencoder", "fit_imagery", "build_store"} & set(plan)
    assert finished.plan(keys={"report": {"notes": ["Another."]}}) == {"write_report": 1}
