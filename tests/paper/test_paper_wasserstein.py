"""The paper's numbers, and ours beside them."""

import pandas as pd
import pytest

from slams.errors import SlamsError
from slams.paper import published
from slams.paper.wasserstein import beside, model_of

# The means over the levels that the paper's figures show, of the first run.
MEANS = {
    "sda_0": ".020 .047 .106 .158 .425 .083 .168 .251 .516 .014 .040 .074 .438",
    "lsda_0": ".184 .183 .174 .179 .186 .176 .192 .214 .208 .188 .185 .187 .188",
    "lsda_1": ".160 .160 .168 .186 .168 .175 .200 .202 .305 .157 .157 .163 .188",
    "lsda_2": ".204 .205 .211 .183 .206 .188 .210 .195 .446 .182 .242 .259 .236",
}
CELLS = [
    *(("coarse", value) for value in (4, 8, 12, 15, 20)),
    *(("noise", value) for value in (0.5, 1, 2, 4)),
    *(("sparse", value) for value in (4, 8, 12, 16)),
]
LEVELS = ["10", "50", "100", "200", "300", "500", "700", "850", "925", "1000"]
PAPER = {"streams": ["background"], "recipe": "paper"}
ARMS = [
    {"name": "pixel-background", "space": "pixel", "streams": ["background"]},
    PAPER | {"name": "paper-sda-0", "space": "pixel"},
    PAPER | {"name": "paper-lsda-0", "space": "latent"},
    PAPER | {"name": "paper-lsda-1", "space": "latent", "encoder": ["precipitation"]},
    PAPER | {"name": "paper-lsda-2", "space": "latent", "encoder": ["precipitation", "olr"]},
    PAPER | {"name": "paper-other", "space": "latent", "encoder": ["irwvp"]},
]


def test_every_cell_of_every_model_is_there_once_a_run():
    table = published()
    assert len(table) == 4 * 10 * (13 + 5)
    assert not table.duplicated(["model", "axis", "axis_value", "level", "run"]).any()
    assert list(table["level"].unique()) == LEVELS
    assert (table["wasserstein"] > 0).all()
    again = table[table["run"] == 2]
    assert set(again["axis"]) == {"coarse"} and len(again) == 4 * 10 * 5


@pytest.mark.parametrize("model", MEANS)
def test_the_means_are_those_of_the_paper(model):
    table = published()
    first = table[(table["model"] == model) & (table["run"] == 1)]
    means = first.groupby(["axis", "axis_value"])["wasserstein"].mean()
    expected = [float(text) for text in MEANS[model].split()]
    assert [means[cell] for cell in CELLS] == pytest.approx(expected, abs=6e-4)


def test_an_arm_is_known_by_what_it_is_and_not_by_its_name():
    models = [None, "sda_0", "lsda_0", "lsda_1", "lsda_2", None]
    assert [model_of(arm) for arm in ARMS] == models
    assert model_of(ARMS[4] | {"encoder": ["olr", "precipitation"]}) == "lsda_2"


def scores(**keys):
    row = {
        "arm": "paper-lsda-1",
        "axis": "coarse",
        "axis_value": 8.0,
        "method": "analysis",
        "score": "wasserstein",
        "level": "500",
        "case": "all",
        "bin": -1,
        "value": 0.25,
        "lower": 0.2,
        "upper": 0.3,
        "cases": 24,
        "members": 16,
    }
    return row | keys


def test_ours_stand_beside_theirs():
    table = pd.DataFrame(
        [
            scores(),
            scores(case="2021-01-01T00", value=9.0),
            scores(score="rmse", value=9.0),
            scores(method="climatology", value=9.0),
            scores(arm="pixel-background", value=9.0),
            scores(axis_value=9.0, value=9.0),
            scores(level="all", value=9.0),
            scores(arm="paper-sda-0", axis="noise", axis_value=0.5, level="1000", value=0.1),
        ]
    )
    found = beside(table, ARMS)
    assert list(found["model"]) == ["lsda_1", "sda_0"]
    assert list(found["ours"]) == [0.25, 0.1] and list(found["upper"]) == [0.3, 0.3]
    theirs = published().set_index(["model", "axis", "axis_value", "level", "run"])["wasserstein"]
    runs = [theirs["lsda_1", "coarse", 8.0, "500", run] for run in (1, 2)]
    assert found["published"][0] == pytest.approx(sum(runs) / 2)
    assert found["published"][1] == pytest.approx(0.04536866774217643)
    with pytest.raises(SlamsError, match="no Wasserstein distance"):
        beside(table[table["score"] == "rmse"], ARMS)
