"""How good an analysis is: scores of fields and ensembles, and the tables of cells.

A score is never computed from a part of what was asked: a value that is not finite, or
coordinates that differ, end in an error.
"""

from slams.verification.comparisons import compare, paired
from slams.verification.definitions import (
    COLUMNS,
    COMPARISON_COLUMNS,
    DEFINITIONS,
    KEY,
    STATION_LEVEL,
    UNITS,
)
from slams.verification.ranks import flatness, pit_histogram, rank_histogram
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
from slams.verification.spectra import power
from slams.verification.stations import Stations
from slams.verification.table import merge, score_cell, score_ensemble, summary
from slams.verification.wasserstein import wasserstein

__all__ = [
    "COLUMNS",
    "COMPARISON_COLUMNS",
    "DEFINITIONS",
    "KEY",
    "STATION_LEVEL",
    "UNITS",
    "Stations",
    "area_mean",
    "area_weights",
    "bias",
    "check_comparable",
    "compare",
    "crps",
    "crps_normal",
    "flatness",
    "merge",
    "paired",
    "pit_histogram",
    "power",
    "rank_histogram",
    "rmse",
    "score_cell",
    "score_ensemble",
    "spread",
    "spread_skill",
    "summary",
    "wasserstein",
]
