"""How good an analysis is: scores of fields and ensembles, and the table of one cell.

A score is never computed from a part of what was asked: a value that is not finite, or
coordinates that differ, end in an error.
"""

from slams.verification.scores import (
    area_mean,
    area_weights,
    bias,
    check_comparable,
    crps,
    crps_normal,
    rmse,
    spread,
    spread_skill,
)
from slams.verification.table import COLUMNS, KEY, merge, score_cell

__all__ = [
    "COLUMNS",
    "KEY",
    "area_mean",
    "area_weights",
    "bias",
    "check_comparable",
    "crps",
    "crps_normal",
    "merge",
    "rmse",
    "score_cell",
    "spread",
    "spread_skill",
]
