"""The paper's own numbers, read from its public code, and ours beside them.

`wasserstein.csv` holds the 1-D Wasserstein distances that the notebooks of the public code of
Qu et al. (2024, arXiv 2404.06665; github.com/yongquan-qu/SLAMS) print: of one sample and one window
(1 to 29 January 2021), the pixels of its eight scored days pooled, in units of one global standard
deviation a level. The coarse axis was run twice there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from slams.errors import SlamsError

TABLE = Path(__file__).with_suffix(".csv")
REPEATED = "_rep2"  # ends the axis of a second run
# The channels that a model's encoder takes beside the temperature -> its name; no encoder: sda_0.
MODELS = {(): "lsda_0", ("precipitation",): "lsda_1", ("olr", "precipitation"): "lsda_2"}


def published() -> pd.DataFrame:
    """The paper's distances: columns model, axis, axis_value, level, wasserstein, run.

    ``level`` is in hPa, as text. ``model`` is sda_0 (pixels), lsda_0 (latents), lsda_1 (with
    precipitation) or lsda_2 (with precipitation and outgoing radiation); ``run`` 1, and 2 for what
    was run again.
    """
    table = pd.read_csv(TABLE)
    again = table["axis"].str.endswith(REPEATED)
    return pd.DataFrame(
        {
            "model": table["model"],
            "axis": table["axis"].str.removesuffix(REPEATED),
            "axis_value": table["value"].astype(float),
            "level": table["level_hPa"].map("{:g}".format),
            "wasserstein": table["wasserstein_norm"],
            "run": again + 1,
        }
    )


def model_of(arm: Mapping[str, Any]) -> str | None:
    """Which of the paper's models an arm of the configuration is; None where it is none."""
    if arm.get("recipe") != "paper":
        return None
    if arm["space"] == "pixel":
        return "sda_0"
    return MODELS.get(tuple(sorted(arm.get("encoder", []))))


def beside(scores: pd.DataFrame, arms: list[Mapping[str, Any]]) -> pd.DataFrame:
    """Our distances beside the paper's: one row an arm of theirs, axis value and level.

    ``scores`` is the merged table of scores, ``arms`` that section of the configuration. Columns
    arm, model, axis, axis_value, level, ours, lower, upper, published (mean of its runs), cases,
    members; in the order of the scores, only where both have a number. Raises SlamsError where the
    scores have no Wasserstein distance of an analysis.
    """
    ours = scores[(scores["score"] == "wasserstein") & (scores["method"] == "analysis")]
    if "case" in ours:
        ours = ours[(ours["case"] == "all") & (ours["bin"] == -1)]
    if ours.empty:
        raise SlamsError(
            "the table of scores has no Wasserstein distance of an analysis: verify the cells again"
        )
    named = {arm["name"]: model_of(arm) for arm in arms}
    ours = ours.assign(model=ours["arm"].map(named)).rename(columns={"value": "ours"})
    key = ["model", "axis", "axis_value", "level"]
    theirs = published().groupby(key)["wasserstein"].mean().rename("published").reset_index()
    joined = ours.dropna(subset="model").merge(theirs, on=key, how="inner")
    shown = [*("arm", *key), "ours", "lower", "upper", "published", "cases", "members"]
    return joined[shown].reset_index(drop=True)
