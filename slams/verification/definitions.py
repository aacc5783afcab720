"""What every column and score of the tables is, in which unit: the tables carry these texts."""

from typing import Final

KEY: Final = ("arm", "axis", "axis_value", "method", "score", "level", "case", "bin")
COLUMNS: Final = (*KEY, "value", "lower", "upper", "unit", "cases", "members")

ALL: Final = "all"  # levels, or cases
STATION_LEVEL: Final = "2 m"  # of the stations held out
NO_BIN: Final = -1

UNITS: Final = {
    "rmse": "K",
    "bias": "K",
    "crps": "K",
    "spread": "K",
    "spread_skill": "1",
    "wasserstein": "1",
    "rank_histogram": "1",
    "rank_flatness": "1",
    "power": "K2",
    "power_ratio": "1",
    "observations": "1",
}

_AT_STATIONS = (
    " At level 2 m against the reports of the stations held out of every assimilation, at the "
    "times of the cases, from the state by the station operator"
)

DEFINITIONS: Final = {
    "arm": "The prior space and streams of the analysis in whose cell the row stands.",
    "axis": "The kind of background; none without one.",
    "axis_value": "Its strength along the axis.",
    "method": (
        "analysis: the arm's ensemble. climatology, oi (optimal interpolation), letkf: Gaussians, "
        "from the same observations but for climatology. interpolation of the same observations, "
        "persistence (the earlier field itself): fields without uncertainty."
    ),
    "level": (
        "Pressure in hPa; all: the plain mean over levels of the means that the score is made of "
        "(of wasserstein: of the distances), before any root or ratio; 2 m: the stations held out."
    ),
    "case": (
        "all: over all cases. Else the first time of one case, UTC (numbered in brackets where "
        "several begin at it): the score of that case alone, without an interval."
    ),
    "bin": (
        "Of rank_histogram the rank, 0 for a truth below all members; of power and power_ratio "
        "the zonal wavenumber; else -1."
    ),
    "lower, upper": (
        "95 % percentile interval of a circular block bootstrap over cases (Politis and Romano "
        "1992); missing where one case, or one block, is all there is. Draws are the same for all "
        "cells of as many cases."
    ),
    "cases": "How many cases the value is of.",
    "members": "Of the ensemble; 1 for a field, 0 for a Gaussian.",
    "rmse": (
        "Root mean square error of the ensemble's mean, K, area weighted, over steps and cases."
        + _AT_STATIONS
        + "; the stations' own errors are in it."
    ),
    "bias": "Mean error, the ensemble's mean less the truth, K, area weighted; positive is too "
    "warm." + _AT_STATIONS + ".",
    "crps": (
        "Continuous ranked probability score, K, area weighted: of an ensemble the fair estimator "
        "(Ferro 2014), of a Gaussian the closed form, of a field its absolute error."
        + _AT_STATIONS
        + ", with the station's error added: drawn for each member, or its variance to a "
        "Gaussian's."
    ),
    "spread": (
        "Root mean variance of the ensemble (unbiased) or the Gaussian, K, area weighted. At level "
        "2 m with the station's error variance added."
    ),
    "spread_skill": (
        "sqrt((M + 1)/M times mean variance) over rmse, M members (Fortin et al. 2014); of a "
        "Gaussian without that factor. 1 if calibrated, less if overconfident. At level 2 m with "
        "the station's error variance added."
    ),
    "wasserstein": (
        "1-D Wasserstein distance of all values to all values of the truth, as the paper (Qu et "
        "al. 2024) has it: pooled over cells, steps and cases (and members, of which the paper has "
        "one), not weighted by area, over the level's standard deviation in the training period "
        "about its mean over time and area (global_standard_deviation of statistics.nc). Of a "
        "Gaussian four draws a point, two and their mirror images. It does not ask where a value "
        "stands. Its interval is of distribution functions on a grid of 2048 values."
    ),
    "rank_histogram": (
        "Frequency of the truth's rank among the M members, area weighted, times M + 1: 1 is flat. "
        "Ties are drawn; no observation error is added. Of a Gaussian its probability integral "
        "transform in as many bins."
    ),
    "rank_flatness": (
        "p-value that the rank histogram's slope and curvature (Jolliffe and Primo 2008) are zero "
        "but for chance: Hotelling's T2 over the means of blocks of cases, because neighbouring "
        "cells are not independent. Missing with fewer than four blocks."
    ),
    "power": (
        "Zonal power spectrum, K2, of every member, averaged over members; of a Gaussian that of "
        "its mean. One-sided: its sum over wavenumbers is the area-weighted variance of rows."
    ),
    "power_ratio": "Power over the truth's.",
    "observations": "Number of reports of the stations held out that the rows of level 2 m are of.",
}

COMPARISON_COLUMNS: Final = (
    *("arm", "method", "against_arm", "against_method", "axis", "axis_value", "score", "level"),
    *("difference", "percent", "lower", "upper", "p_value", "cases"),
)
COMPARISON_DEFINITIONS: Final = {
    "arm, method": "What is compared: an arm's analysis.",
    "against_arm, against_method": (
        "With what: the other methods of the same cell, and the analysis of the reference arm "
        "(verification.reference) in its cell of the same axis and value. Both have the same cases."
    ),
    "axis, axis_value": "The kind of background, and its strength.",
    "score, level": "rmse (of the ensembles' means) or crps; levels as in scores.parquet.",
    "difference": "The score of what is compared less that of the other, K; negative is better.",
    "percent": "The difference in per cent of the other's score.",
    "lower, upper": (
        "95 % percentile interval of the difference, K: a circular block bootstrap over cases, "
        "both scores from the same draws. Missing where one case, or one block, is all there is."
    ),
    "p_value": (
        "Two-sided, that neither is better: the share of all (or 9999 random) flips of the signs "
        "of blocks of cases whose mean difference (of rmse: of squared errors) is as large. At "
        "least 2 to the power of 1 minus the number of blocks; not corrected for their being many."
    ),
    "cases": "How many.",
}
