"""What is taken for a temperature."""

import numpy as np
import pytest

from slams.errors import SlamsError
from slams.observation.checks import SURFACE_RANGE_K, fits, plausible, whole


def test_temperatures_pass_and_missing_values_too():
    plausible(np.array([150.0, np.nan, 350.0]), "stations", "mend it", SURFACE_RANGE_K)
    # A model's cold tropopause, and a hot stratopause.
    whole(np.array([138.0, 310.0]), "background", "mend it")


@pytest.mark.parametrize("wrong", [-273.15, 0.0, 15.0, 99.9, 400.1, 9999.0, 1e30, np.inf, -np.inf])
def test_other_units_and_marks_of_missing_values_are_told(wrong):
    values = np.full((2, 3), 280.0)
    values[1, 2] = wrong
    message = r"stream stations: 1 values are no temperatures in K, the first .* of c .*: mend it$"
    with pytest.raises(SlamsError, match=message):
        plausible(values, "stations", "mend it", SURFACE_RANGE_K, names=np.array(["a", "b", "c"]))
    with pytest.raises(SlamsError, match=r"stream background: 1 values"):
        whole(values, "background", "mend it")


def test_a_missing_cell_and_another_shape_are_told():
    with pytest.raises(SlamsError, match=r"background: 2 cells of the fields are missing: mend it"):
        whole(np.array([280.0, np.nan, np.nan]), "background", "mend it")
    with pytest.raises(SlamsError, match=r"imagery: fields of shape \(3,\), expected \(2, 3\): do"):
        fits(np.zeros(3), (2, 3), "imagery", "do")
