"""The whole chain at its smallest, from raw files to the report, and what it leaves behind."""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import robustness
import xarray as xr
from working_copy import TINY, Call, Copy

from slams.config import load, merge
from slams.provenance import config_hash
from slams.verification import COMPARISON_COLUMNS, KEY, summary

PROVENANCE = {"config_hash", "code_version", "seed", "inputs"}
CELLS = [
    ("latent-both", "coarse", 2.0),
    ("latent-both", "noise", 0.5),
    ("latent-both", "persistence", 1.0),
    ("latent-both", "sparse", 2.0),
    ("paper-latent", "coarse", 2.0),
    ("paper-latent", "noise", 0.5),
    ("paper-latent", "sparse", 2.0),
    ("pixel-no-background", "none", 0.0),
]
NETWORKS = ("train_autoencoder", "train_paper_autoencoder", "train_prior", "fit_imagery")
GPU_RULES = (*NETWORKS, "assimilate_cell")


@pytest.fixture
def results(tiny: tuple[Copy, Call]) -> Path:
    made, call = tiny
    assert call.status == 0, call.text
    return made / "results/tiny"


def test_the_report_opens_offline(results: Path) -> None:
    page = (results / "report.html").read_text()
    fetched = re.findall(r"""(?:src|href|action|data)\s*=\s*["']([^"']+)""", page)
    fetched += re.findall(r"""(?:url\(|@import)\s*["']?([^"')]+)""", page)
    outside = [link for link in fetched if not link.startswith(("data:", "#"))]
    assert fetched and not outside
    figures = sorted(path.stem for path in (results / "figures").glob("*.png"))
    assert page.count("data:image/png;base64,") == len(figures)
    arms = ("latent-both", "paper-latent", "pixel-no-background")
    scores = ("crps", "rmse", "spread_skill", "wasserstein")
    axes = ("coarse", "noise", "persistence", "sparse")
    assert figures == sorted(
        [
            *("animation-latent-both", "climate", "comparisons", "losses", "operators", "stations"),
            *(f"{kind}-{score}" for kind in ("ablation", "levels") for score in scores),
            *(f"{kind}-{axis}" for kind in ("profiles", "ranks", "spectra") for axis in axes),
            *(f"{kind}-{arm}" for kind in ("increments", "maps", "series") for arm in arms),
        ]
    )
    assert page.count("data:image/gif;base64,") == 1
    assert (results / "report.html").stat().st_size < 15_000_000
    assert all((results / f"figures/{figure}.pdf").is_file() for figure in figures)


def test_every_cell_method_and_score_is_in_the_table(results: Path) -> None:
    scores = pd.read_parquet(results / "scores.parquet")
    cells = scores[["arm", "axis", "axis_value"]].drop_duplicates()
    assert sorted(map(tuple, cells.to_numpy().tolist())) == CELLS
    everywhere = {"rmse", "bias", "crps", "wasserstein", "power", "power_ratio", "observations"}
    spread = {"spread", "spread_skill", "rank_histogram", "rank_flatness"}
    of_methods = dict.fromkeys(("analysis", "climatology", "oi", "letkf"), everywhere | spread)
    of_methods["interpolation"] = everywhere
    for (_, axis, _), of_cell in scores.groupby(["arm", "axis", "axis_value"]):
        found = {method: set(rows["score"]) for method, rows in of_cell.groupby("method")}
        also = {"persistence": everywhere} if axis == "persistence" else {}
        assert found == of_methods | also
        assert set(of_cell["level"]) == {"all", "500", "850", "2 m"}
        counts = of_cell.loc[of_cell["score"] == "observations", "value"]
        assert (counts > 0).all()
    assert not scores.duplicated(list(KEY)).any()
    shown = summary(scores)
    flat = shown["score"] == "rank_flatness"  # of two cases nothing can be said
    assert shown.loc[flat, "value"].isna().all()
    values = shown.loc[~flat & (shown["score"] != "observations"), ["value", "lower", "upper"]]
    assert np.isfinite(values).all(axis=None)
    assert (shown["cases"] == 2).all()


def test_every_arm_is_compared_with_the_others_of_its_cell(results: Path) -> None:
    compared = pd.read_parquet(results / "comparisons.parquet")
    assert tuple(compared.columns) == COMPARISON_COLUMNS
    cells = compared[["arm", "axis", "axis_value"]].drop_duplicates()
    assert sorted(map(tuple, cells.to_numpy().tolist())) == CELLS
    ours = compared[compared["arm"] == compared["against_arm"]]
    assert {"oi", "letkf", "interpolation", "climatology"} <= set(ours["against_method"])
    others = compared[compared["arm"] != compared["against_arm"]]
    assert set(others["arm"]) == {"paper-latent"} and len(others) == 3 * 2 * 4
    assert set(others["against_arm"]) == {"latent-both"} == {compared.attrs["reference"]}
    assert np.isfinite(compared[["difference", "lower", "upper", "p_value"]]).all(axis=None)


def test_every_result_says_where_it_comes_from(results: Path, tiny: tuple[Copy, Call]) -> None:
    copy, _ = tiny
    merged = merge(load(copy / "config/config.yaml"), load(copy / TINY))
    described = {
        ".nc": lambda path: xr.open_dataset(path).attrs,
        ".parquet": lambda path: pd.read_parquet(path).attrs,
        ".json": lambda path: json.loads(path.read_text()),
    }
    found = [path for path in sorted(results.rglob("*")) if path.suffix in described]
    assert len(found) == 48
    for path in found:
        facts = described[path.suffix](path)
        assert set(facts) >= PROVENANCE, path
        assert facts["config_hash"] == config_hash(merged), path
        assert int(facts["seed"]) == merged["seed"], path
        inputs = json.loads(facts["inputs"])
        assert inputs and all(re.fullmatch("[0-9a-f]{16}", text) for text in inputs.values()), path
        assert all((copy / name).is_file() for name in inputs), path


def test_rejected_rows_are_counted(results: Path) -> None:
    rejected = pd.read_csv(results / "rejected/stations-2001.csv")
    assert (rejected["rows"] > 0).all()
    page = (results / "report.html").read_text()
    reasons = set(rejected["reason"])
    assert {"missing temperature", "duplicate", "erroneous", "station not in history"} <= reasons
    for reason, rows in rejected.groupby("reason")["rows"].sum().items():
        assert re.search(rf">{reason}<.{{,40}}>{rows}<", page, re.S), reason


def test_what_the_papers_arms_are_stands_below_what_shows_them(results: Path) -> None:
    page = " ".join((results / "report.html").read_text().split())
    told = page.count("is the method of Qu et al. (2024), reproduced:")
    # At the head, below four ablations and as many by level, the comparisons, three figures of each
    # of the three axes it has, and its own three.
    assert told == page.count("inverse crime") == 1 + 8 + 1 + 9 + 3
    assert 'scope="col" class="arm">paper-latent<' in page


def test_a_second_call_has_nothing_to_do(tiny: tuple[Copy, Call]) -> None:
    made, _ = tiny
    call = made.snakemake("--resources", "gpu=1")
    assert call.status == 0
    assert "Nothing to be done" in call.text


def test_no_two_jobs_hold_the_gpu_at_once(results: Path) -> None:
    spans = []
    for path in (results / "benchmarks").rglob("*.tsv"):
        if path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv") in GPU_RULES:
            seconds = float(pd.read_csv(path, sep="\t")["s"].iloc[0])
            spans.append((path.stat().st_mtime - seconds, path.stat().st_mtime))
    assert len(spans) == 14
    for (_, end), (begin, _) in pairwise(sorted(spans)):
        assert end <= begin


def test_every_job_on_a_device_says_which(results: Path) -> None:
    logs = [path for rule in GPU_RULES for path in (results / "logs").glob(f"{rule}*")]
    files = [f for path in logs for f in ([path] if path.is_file() else path.rglob("*.log"))]
    assert len(files) == 14
    for path in files:
        assert re.search(r" device: (cpu|cuda), ", path.read_text()), path


def test_analyses_with_the_learned_priors_stay_near_the_climatology(
    results: Path, tmp_path: Path
) -> None:
    """And the table goes on where it was cut off."""
    first = robustness.run(results, tmp_path, 16)
    (table,) = tmp_path.glob("analyses-*.csv")
    assert first.startswith("16 analyses of 2 members, 0 refused\nfinite: 16 of 16; ")
    assert "beyond 8 standard deviations: 0; largest " in first
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:10]) + "\n" + lines[10][:7])
    assert robustness.run(results, tmp_path, 16) == first
    assert list(tmp_path.iterdir()) == [table]
    rows = pd.read_csv(table)
    assert list(rows["number"]) == list(range(16))
    assert set(rows["space"]) == {"pixel", "latent"} and set(rows["method"]) == {"mmps", "gaussian"}


def test_snakemakes_own_report(tiny: tuple[Copy, Call], tmp_path: Path) -> None:
    made, _ = tiny
    call = made.snakemake("--report", str(tmp_path / "report.zip"))
    assert call.status == 0, call.text
    assert (tmp_path / "report.zip").stat().st_size > 100_000
