"""Residuals of the operators: of worlds where the error that was made is known."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from worlds import GRID, LEVELS, SCALE, days, statistics, store, thermometers, weather

from slams.cases import Case
from slams.errors import SlamsError
from slams.observation import calibration
from slams.observation.calibration import COLUMNS, Operators, residuals
from slams.observation.imagery import ImageryModel
from slams.statistics import Normalisation
from slams.surface import Regression

NORMALISATION = Normalisation(statistics())
TIMES = days("2003-01-01", 12)
ERROR_K = 1.5
STATIONS, HELD = 30, 6
SCALE_OF_IMAGES, NETWORK_SD, INFLATION = 10.0, 0.8, 4.0


class Flat(nn.Module):
    """Sees nothing, and says how wrong it will be."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.settings = channels, {"levels": len(LEVELS)}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        zero = torch.zeros(len(x), self.channels, *x.shape[-2:])
        return zero, zero + 2 * np.log(NETWORK_SD)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    made = store(tmp_path_factory.mktemp("calibration"), "validation", TIMES, weather(len(TIMES)))
    return [Case(made, start, 1) for start in range(2, len(TIMES))]


@pytest.fixture(scope="module")
def stations(cases):
    """Thermometers that err by ERROR_K, and what they reported; one is off by 50 K once."""
    rng = np.random.default_rng(3)
    latitude = np.degrees(np.arcsin(rng.uniform(-0.95, 0.95, STATIONS)))
    fitted = thermometers(latitude, rng.uniform(0, 360, STATIONS), ERROR_K**2, HELD)
    states = NORMALISATION.to_kelvin(cases[0].store.fields, TIMES)
    right = Regression.of(fitted, NORMALISATION, TIMES).temperature(states)
    seen = right + ERROR_K * rng.normal(size=right.shape)
    seen[5, HELD] += 50.0
    table = pd.DataFrame(
        {
            "station_id": np.tile(fitted["station"].values, len(TIMES)),
            "time": np.repeat(TIMES, STATIONS),
            "latitude": np.tile(fitted["latitude"].values, len(TIMES)),
            "longitude": np.tile(fitted["longitude"].values, len(TIMES)),
            "air_temperature": seen.ravel(),
        }
    )
    return table, fitted


def imagery(channels: list[str]) -> tuple[xr.DataArray, ImageryModel]:
    """Images of noise as large as the network says, half of them missing."""
    rng = np.random.default_rng(4)
    shape = (len(TIMES), len(channels), *GRID.shape)
    season = np.full((len(channels), 1, *GRID.shape), 200.0)
    model = ImageryModel(Flat(len(channels)), channels, season, np.full(len(channels), 10.0))
    model.inflation = np.full(len(channels), INFLATION)
    values = 200 + SCALE_OF_IMAGES * NETWORK_SD * rng.normal(size=shape)
    values[rng.random(shape) < 0.5] = np.nan
    images = xr.DataArray(
        values,
        dims=("time", "channel", "latitude", "longitude"),
        coords={
            "time": TIMES,
            "channel": channels,
            "latitude": GRID.latitude,
            "longitude": GRID.longitude,
        },
    )
    return images, model


def rms(values: pd.Series) -> float:
    return float(np.sqrt((values**2).mean()))


def test_stations_err_as_they_say_and_a_gross_error_is_told(cases, stations):
    table = residuals(Operators(*stations), cases, NORMALISATION, gross_error=5.0, seed=0)
    assert list(table.columns) == list(COLUMNS)
    counts = table["stream"].value_counts()
    assert counts["stations"] == (STATIONS - HELD) * len(cases)
    assert counts["stations held out"] == HELD * len(cases)
    assert table["refused"].sum() == 1
    gross = table[table["refused"]].iloc[0]
    assert gross["stream"] == "stations" and gross["time"] == TIMES[5]
    assert gross["residual"] == pytest.approx(50, abs=6)
    kept = table[~table["refused"]]
    assert rms(kept["residual"]) == pytest.approx(ERROR_K, rel=0.15)
    assert kept["predicted_sd"].to_numpy() == pytest.approx(ERROR_K) and set(kept["unit"]) == {"K"}
    assert (kept["assimilated_sd"] == kept["predicted_sd"]).all()


def test_stations_and_images_are_read_a_case_at_a_time(cases, stations):
    table, fitted = stations
    images, model = imagery(["irwin_cdr"])
    asked = []

    def of(times):
        asked.append(len(times))
        return table[table["time"].isin(times)]

    whole, lazy = (
        residuals(
            Operators(reports, fitted, pixels, model), cases, NORMALISATION, gross_error=5.0, seed=0
        )
        for reports, pixels in ((table, images), (of, images.chunk(time=2)))
    )
    pd.testing.assert_frame_equal(lazy, whole)
    assert asked == [1] * len(cases)


def test_imagery_is_in_its_own_unit_with_and_without_inflation(cases):
    images, model = imagery(["irwin_cdr"])
    table = residuals(
        Operators(images=images, imagery_model=model), cases, NORMALISATION, gross_error=5.0, seed=0
    )
    there = np.isfinite(images.values[2:]).sum()
    assert len(table) == there and set(table["stream"]) == {"irwin_cdr"}
    sd = SCALE_OF_IMAGES * NETWORK_SD
    assert table["predicted_sd"].to_numpy() == pytest.approx(sd, rel=1e-3)
    assert table["assimilated_sd"].to_numpy() == pytest.approx(2 * sd, rel=1e-3)
    assert rms(table["residual"]) == pytest.approx(sd, rel=0.05)


def test_channels_stand_apart(cases):
    images, model = imagery(["irwin_cdr", "olr"])
    images[:, 1] += 30.0
    table = residuals(
        Operators(images=images, imagery_model=model), cases, NORMALISATION, gross_error=9.0, seed=0
    )
    units = table.groupby("stream")["unit"].agg(["first", "nunique"])
    assert units["first"].to_dict() == {"irwin_cdr": "K", "olr": "W m-2"}
    means = table.groupby("stream")["residual"].mean()
    assert means["irwin_cdr"] == pytest.approx(0, abs=1) and means["olr"] == pytest.approx(
        30, abs=1
    )


def test_a_transformed_channel_says_so(cases):
    images, model = imagery(["precipitation"])
    rain = images.copy(data=np.where(np.isnan(images), np.nan, 5.0))
    model.coefficients[:] = 0.0
    table = residuals(
        Operators(images=rain, imagery_model=model), cases, NORMALISATION, gross_error=9.0, seed=0
    )
    assert set(table["unit"]) == {"log(1 + mm)"}
    assert table["residual"].to_numpy() == pytest.approx(np.log(6.0), rel=1e-4)


def test_persistence_is_in_kelvin_level_by_level(cases):
    rows = GRID.shape[0] // 2
    maps = ("level", "row")
    shape = (len(LEVELS), rows)
    fitted = xr.Dataset(
        {
            "slope": (maps, np.full(shape, 0.7)),
            "residual_variance": (maps, np.full(shape, 0.25)),
            "error_variance": (maps, np.full(shape, 1.0)),
        },
        coords={"level": LEVELS},
        attrs={"hours": 24.0, "coarse": 2},
    )
    table = residuals(
        Operators(persistence=[fitted]), cases, NORMALISATION, gross_error=9.0, seed=0
    )
    assert set(table["stream"]) == {"persistence, 24 h"}
    assert sorted(set(table["predicted_sd"].round(4))) == sorted(set(0.5 * SCALE))
    assert (table["assimilated_sd"] / table["predicted_sd"]).to_numpy() == pytest.approx(2.0)
    # The weather's memory is 0.7: what is left of its variance is 1 - 0.7^2, less in block means.
    assert 0.3 < rms(table["residual"] / table["predicted_sd"]) / 2 < np.sqrt(1 - 0.7**2)


def test_many_are_drawn_from_and_the_same_again(cases, monkeypatch):
    images, model = imagery(["irwin_cdr"])
    operators = Operators(images=images, imagery_model=model)
    monkeypatch.setattr(calibration, "MOST_ROWS", 100)
    one, again, other = (
        residuals(operators, cases, NORMALISATION, gross_error=5.0, seed=seed) for seed in (1, 1, 2)
    )
    assert len(one) == 100
    pd.testing.assert_frame_equal(one, again)
    assert not one["residual"].equals(other["residual"])


def test_nothing_observed_is_told(cases):
    with pytest.raises(SlamsError, match=r"periods\.validation: nothing was observed"):
        residuals(Operators(), cases, NORMALISATION, gross_error=5.0, seed=0)
