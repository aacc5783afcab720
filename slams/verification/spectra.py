"""How much of the variance stands at which zonal wavenumber."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.verification.scores import area_mean

Array = NDArray[np.float64]


def power(ensemble_or_field: xr.DataArray) -> xr.DataArray:
    """Zonal power spectrum, (..., wavenumber), the field's unit squared, mean over members.

    Of every row's Fourier coefficients c_k = 1/n sum_j x_j exp(-2 pi i j k / n) over its n
    columns, |c_k|^2, doubled where k and -k are two (all but k = n/2); then the mean over rows by
    area. So the sum over wavenumbers 1 ... n/2 is the area-weighted mean of the rows' variances
    about their own means (Parseval). Wavenumber 0, the zonal mean, is left out.

    The spectrum is that of each member, then averaged: that of the ensemble's mean would lack what
    the members differ in. Raises SlamsError where the rows are not those of a global grid.
    """
    columns = ensemble_or_field.sizes["longitude"]
    spectrum = xr.apply_ufunc(
        _row_power,
        ensemble_or_field,
        input_core_dims=[["longitude"]],
        output_core_dims=[["wavenumber"]],
    ).assign_coords(wavenumber=np.arange(1, columns // 2 + 1))
    if "member" in spectrum.dims:
        spectrum = spectrum.mean("member")
    # The mean over latitude alone, with the areas of the rows.
    return area_mean(spectrum.expand_dims(longitude=[0.0]))


def _row_power(values: Array) -> Array:
    columns = values.shape[-1]
    coefficients = np.fft.rfft(values.astype(np.float64), axis=-1)[..., 1:] / columns
    two_sided = np.full(coefficients.shape[-1], 2.0)
    if columns % 2 == 0:
        two_sided[-1] = 1.0
    found: Array = (coefficients.real**2 + coefficients.imag**2) * two_sided
    return found
