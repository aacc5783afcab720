"""Cells that are not whole are refused, with what is wrong and the remedy; none in part."""

import numpy as np
import pytest
import xarray as xr
from made_cells import Cell, cell_of, scores_of

from slams import verification
from slams.errors import SlamsError


def refused(cell: Cell, match: str, **keywords: object) -> None:
    with pytest.raises(SlamsError, match=match):
        scores_of(cell, **keywords)


def test_a_member_that_is_not_finite_is_named():
    analysis, *rest = cell_of()
    analysis["analysis"][2, 5, 1, 0, 3, 3] = np.inf
    refused((analysis, *rest), r"analysis has 1 .*member 5.*level 500")
    with pytest.raises(SlamsError, match="case 2"):
        scores_of((analysis, *rest))


def test_missing_truth():
    analysis, *rest = cell_of()
    analysis["truth"][1, 0, 0, 0, 0] = np.nan
    refused((analysis, *rest), r"the truth has 1 .*case 1")


@pytest.mark.parametrize("name", ["climatology", "oi", "letkf", "letkf_spread"])
def test_a_classical_analysis_that_is_not_finite_is_named(name):
    analysis, classical, statistics = cell_of()
    classical[name][2, 0, 1, 0, 0] = np.nan
    told = "spread has 1" if name.endswith("spread") else f"{name} has 1"
    refused((analysis, classical, statistics), f"{told} values that are not finite")


def test_a_partly_missing_interpolation():
    analysis, classical, statistics = cell_of()
    classical["interpolation"][1, 0, 0, 0, 0] = np.nan
    refused((analysis, classical, statistics), "interpolation has 1")


def test_absent_variables_attributes_and_cases():
    analysis, classical, statistics = cell_of()
    for name in ("oi", "letkf_spread", "climatology_spread", "interpolation"):
        part = classical.drop_vars(name)
        refused((analysis, part, statistics), f"lack the variable {name}: run .*analyse_class")
    refused((analysis.drop_vars("truth"), classical, statistics), "lacks the variable truth")
    refused((analysis.isel(step=0), classical, statistics), "dimensions")
    refused((analysis.isel(case=slice(0)), classical, statistics), "no case")
    refused((analysis.drop_vars("time"), classical, statistics), "no coordinate time")
    refused((analysis, classical.isel(step=0), statistics), "interpolation|climatology has the dim")
    refused((analysis, classical.drop_vars("time"), statistics), "no coordinate time")
    refused((analysis, classical, statistics), "bootstrap", bootstrap=0)
    refused((analysis, classical, statistics), "block is 5: must be 1 to 4", block=5)
    del analysis.attrs["arm"]
    refused((analysis, classical, statistics), "attribute arm")


def test_persistence_is_asked_for_on_its_axis_alone():
    analysis, classical, statistics = cell_of(axis="persistence")
    assert "persistence" in set(scores_of((analysis, classical, statistics))["method"])
    part = classical.drop_vars("persistence")
    refused((analysis, part, statistics), "lack the variable persistence")


def test_axis_value():
    analysis, *rest = cell_of()
    analysis = analysis.assign_attrs(axis_value="much")
    refused((analysis, *rest), "much")
    analysis.attrs |= {"axis": "none", "axis_value": "none"}
    assert (scores_of((analysis, *rest))["axis_value"] == 0).all()


def shifted(data: xr.Dataset, case: int, days: int) -> xr.Dataset:
    time = data["time"].copy()
    time[case] = time[case] + np.timedelta64(days, "D")
    return data.assign_coords(time=time)


@pytest.mark.parametrize("days", [-1, 700])
def test_cases_outside_the_test_period(days):
    analysis, classical, statistics = cell_of()
    case = 0 if days < 0 else 3
    moved = (shifted(analysis, case, days), shifted(classical, case, days), statistics)
    refused(moved, rf"case {case} has the time .* outside periods.test, 2003-04-01T00 to .* 1 of 4")
    assert len(scores_of(moved, period=None)) > 0


def test_a_case_without_observations():
    analysis, *rest = cell_of()
    analysis["observations_used"][2] = 0
    refused((analysis, *rest), r"the case from 2003-04-21T00 has no observation left after quality")


def test_analyses_of_other_times_levels_and_cells():
    analysis, classical, statistics = cell_of()
    refused(
        (analysis, shifted(classical, 1, 1), statistics),
        "case 1 of the classical analyses is from 2003-04-12T00, that of the analysis from "
        "2003-04-11T00",
    )
    levels = classical.assign_coords(level=[500.0, 1000.0])
    refused((analysis, levels, statistics), "classical analyses and the analysis differ along lev")
    refused((analysis, classical.isel(case=slice(3)), statistics), "differ along case")
    other = statistics.assign_coords(level=[300.0, 850.0])
    refused((analysis, classical, other), "the statistics and the analysis differ along level")
    turned = classical.assign_coords(longitude=classical["longitude"] + 15)
    refused((analysis, turned, statistics), "differ along longitude")


def test_classical_analyses_of_other_observations():
    analysis, classical, statistics = cell_of()
    same = {"streams": "background", "axis": "coarse", "axis_value": "4.0"}
    assert len(scores_of((analysis, classical.assign_attrs(same), statistics)))
    for name, other in (
        ("streams", "background stations"),
        ("axis", "sparse"),
        ("axis_value", "8"),
    ):
        wrong = classical.assign_attrs(same | {name: other})
        refused(
            (analysis, wrong, statistics),
            f"classical analyses are of {name} {other}, the analysis of arm pixel.background of",
        )


def test_a_table_needs_no_stations_to_be_whole():
    assert verification.STATION_LEVEL not in set(scores_of()["level"])
