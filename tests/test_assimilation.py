"""Whole cells on a small planet, with a prior whose posterior is known."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from worlds import (
    GRID,
    LEVELS,
    SCALE,
    SHAPE,
    IdealPrior,
    days,
    store,
    thermometers,
    weather,
    with_fields,
)

from slams.assimilation import Streams, assimilate_cell, observe_case
from slams.cases import Case, choose_cases
from slams.errors import SlamsError
from slams.observation.imagery import ImageryModel, ImageryNetwork, ImageryOperator
from slams.observation.stations import StationOperator
from slams.statistics import Normalisation
from slams.verification import score_ensemble

WINDOW = 2
TEST_TIMES, VALIDATION_TIMES = days("2003-04-01", 24), days("2002-04-01", 40)
SAMPLER = {
    "method": "mmps",
    "members": 4,
    "steps": 8,
    "solver": "cg",
    "solver_iterations": 2,
    "sigma_min": 0.02,
    "sigma_max": 20.0,
    "gross_error": 5.0,
    "robust": None,
    "plausible": 8.0,
    "chunk": 16,
}
SETTINGS = {
    "coarse": {"noise": 0.1, "every": 1},
    "noise": {"coarse": 1, "every": 1},
    "sparse": {"noise": 0.1, "every": 2},
    "none": {},
}
BACKGROUND = {"name": "pixel-background", "space": "pixel", "streams": ["background"]}
BOTH = {
    "name": "both",
    "space": "latent",
    "streams": ["background", "stations", "imagery"],
}
OTHERS = {"name": "no-background", "space": "pixel", "streams": ["stations", "imagery"]}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Test and validation store. The prior believes in white noise, the weather is smooth."""
    folder = tmp_path_factory.mktemp("stores")
    return (
        store(folder, "test", TEST_TIMES, weather(len(TEST_TIMES), seed=0)),
        store(folder, "validation", VALIDATION_TIMES, weather(len(VALIDATION_TIMES), seed=1)),
    )


@pytest.fixture(scope="module")
def streams(stores) -> Streams:
    """Stations and images of the truth; one station always reads 25 K too much."""
    truth = torch.from_numpy(np.array(stores[0].fields))[None]
    normalisation = Normalisation(IdealPrior(WINDOW).statistics)
    rng = np.random.default_rng(1)
    places = np.degrees(np.arcsin(rng.uniform(-1, 1, 30))), rng.uniform(0, 360, 30)
    fit = thermometers(*places, held_out=5)
    readings = StationOperator(fit, normalisation, TEST_TIMES)(truth)[0].numpy()
    readings = readings + rng.standard_normal(readings.shape)
    readings[:, 9] += 25.0
    table = pd.DataFrame(
        {
            "time": np.repeat(TEST_TIMES, 30),
            "station_id": np.tile(fit["station"].values, len(TEST_TIMES)),
            "latitude": np.tile(places[0], len(TEST_TIMES)),
            "longitude": np.tile(places[1], len(TEST_TIMES)),
            "air_temperature": readings.ravel(),
        }
    )
    torch.manual_seed(2)
    network = ImageryNetwork(len(LEVELS), width=8).eval().requires_grad_(False)
    season = np.full((1, 1, *GRID.shape), 250.0)
    model = ImageryModel(network, ("irwin_cdr",), season, np.array([10.0]))
    seen = ImageryOperator(model, normalisation, TEST_TIMES)(truth)[0].numpy()
    images = xr.DataArray(
        250 + 10 * (seen + 0.1 * rng.standard_normal(seen.shape)),
        dims=("time", "channel", "latitude", "longitude"),
        coords={
            "time": TEST_TIMES,
            "channel": ["irwin_cdr"],
            "latitude": GRID.latitude,
            "longitude": GRID.longitude,
        },
    )
    images[:, :, :3] = np.nan
    return Streams(table, fit, images.isel(time=slice(None, None, -1)), model)


def cell(stores, streams=None, arm=BACKGROUND, axis="coarse", value=2, **changes) -> xr.Dataset:
    prior = changes.pop("prior", None) or IdealPrior(WINDOW, arm["space"])
    settings = {"cases": 2, "steps": WINDOW, "sampler": SAMPLER, "seed": 3} | changes
    return assimilate_cell(
        prior,
        *stores,
        arm=arm,
        axis=axis,
        value=value,
        settings=SETTINGS[axis],
        streams=streams or Streams(),
        **settings,
    )


@pytest.fixture(scope="module")
def full(stores, streams) -> xr.Dataset:
    """A cell with every stream, in latent space."""
    return cell(stores, streams, BOTH)


def test_a_cell_is_what_the_architecture_page_says(full, stores):
    fields = ("case", "step", "level", "latitude", "longitude")
    assert full["analysis"].dims == ("case", "member", *fields[1:])
    assert full["analysis"].shape == (2, 4, WINDOW, *SHAPE)
    for name in ("truth", "interpolation", "climatology"):
        assert full[name].dims == fields
    for name in ("analysis", "truth", "interpolation", "climatology"):
        assert full[name].dtype == np.float32
        assert full[name].attrs["units"] == "K"
        assert np.isfinite(full[name]).all()
        assert float(full[name].min()) > 150 and float(full[name].max()) < 350
    assert full["climatology_spread"].dims == fields[2:]
    assert full["time"].dims == ("case", "step")
    np.testing.assert_array_equal(full["level"], LEVELS)
    np.testing.assert_array_equal(full["latitude"], GRID.latitude)
    np.testing.assert_array_equal(full["longitude"], GRID.longitude)
    np.testing.assert_array_equal(full["member"], range(4))
    assert {name: full.attrs[name] for name in ("arm", "space", "axis", "axis_value")} == {
        "arm": "both",
        "space": "latent",
        "axis": "coarse",
        "axis_value": "2",
    }
    assert full.attrs["streams"] == "background stations imagery"


def test_a_cell_survives_its_file_and_can_be_scored(full, tmp_path):
    full.assign_attrs(seed=1).to_netcdf(tmp_path / "analysis.nc")
    with xr.open_dataset(tmp_path / "analysis.nc") as read:
        xr.testing.assert_equal(read.load(), full)
        scores = score_ensemble(read, bootstrap=10)
    assert {"rmse", "crps", "spread_skill", "rank_histogram", "power"} <= set(scores["score"])
    assert set(scores["level"]) == {*(f"{level:g}" for level in LEVELS), "all"}


def test_truth_and_times_are_those_of_the_store(full, stores):
    test, _ = stores
    normalisation = Normalisation(IdealPrior(WINDOW).statistics)
    starts = choose_cases(test, 2, WINDOW, 24.0)
    for number, start in enumerate(starts):
        times = TEST_TIMES[start : start + WINDOW]
        np.testing.assert_array_equal(full["time"][number], times)
        fields = test.window(start, WINDOW)
        np.testing.assert_array_equal(full["truth"][number], normalisation.to_kelvin(fields, times))
        climatology = normalisation.climatology(times)
        np.testing.assert_allclose(full["climatology"][number], climatology, rtol=1e-6)


def test_the_analysis_is_the_posterior(stores):
    """White states of variance one, each seen with variance one quarter: variance 1/5 is left."""
    found = cell(stores, axis="noise", value=0.5, sampler=SAMPLER | {"steps": 32, "members": 8})
    scale = xr.DataArray(SCALE, dims="level")
    spread = (found["analysis"] / scale).var("member", ddof=1).mean()
    assert float(spread) == pytest.approx(0.2, abs=0.02)
    # The mean is 0.8 of what was seen: its error is 0.8 of the noise and 0.2 of the truth.
    error = ((found["analysis"].mean("member") - found["truth"]) / scale) ** 2
    anomaly = ((found["truth"] - found["climatology"]) / scale) ** 2
    expected = 0.64 * 0.25 + 0.04 * float(anomaly.mean()) + 0.2 / 8
    assert float(error.mean()) == pytest.approx(expected, rel=0.1)


def test_all_arms_of_an_axis_value_see_the_same_background(stores, streams):
    """What they interpolate is equal, whatever the prior's space and whoever sees more."""
    latent = BACKGROUND | {"name": "latent-background", "space": "latent"}
    one, other = cell(stores), cell(stores, arm=latent)
    np.testing.assert_array_equal(one["interpolation"], other["interpolation"])
    assert not np.array_equal(one["analysis"], other["analysis"])
    again = cell(stores, value=2.0)
    np.testing.assert_array_equal(one["analysis"], again["analysis"])
    for change in ({"seed": 4}, {"value": 4}, {"axis": "sparse"}):
        assert not np.array_equal(one["interpolation"], cell(stores, **change)["interpolation"])


def test_interpolation_does_not_know_the_priors_space(stores, streams, full):
    """The decoder's error is the latent prior's to bear, not interpolation's."""
    pixel = cell(stores, streams, BOTH | {"space": "pixel"})
    np.testing.assert_array_equal(pixel["interpolation"], full["interpolation"])


def test_a_latent_prior_bears_its_decoders_error(stores):
    """What decoding cannot give counts as error: less is taken from what was seen."""
    test, validation = stores
    stripes = np.where(np.arange(GRID.shape[1]) % 2, 1.0, -1.0)
    latent = BACKGROUND | {"space": "latent"}
    spreads = []
    for other in (validation, with_fields(validation, validation.fields + stripes)):
        found = cell((test, other), arm=latent, axis="noise", value=0.5)
        spreads.append(float(found["analysis"].std("member").mean()))
    assert spreads[1] > 1.3 * spreads[0]


PAPER = {"members": 4, "steps": 16, "corrections": 1, "tau": 0.5, "gamma": 1e-2, "plausible": 50}


@pytest.mark.parametrize("space", ["pixel", "latent"])
def test_the_papers_arms_stand_beside_the_others(stores, space):
    """The same interpolation of the same background; what they observe is the encoded truth."""
    honest = cell(stores, arm=BACKGROUND | {"space": space})
    arm = {**BACKGROUND, "name": f"paper-{space}", "space": space, "recipe": "paper"}
    found = cell(stores, arm=arm, sampler=PAPER)
    for name in ("interpolation", "truth", "climatology"):
        np.testing.assert_array_equal(found[name], honest[name])
    assert found["analysis"].shape == honest["analysis"].shape
    assert not np.array_equal(found["analysis"], honest["analysis"])
    assert found.attrs["arm"] == f"paper-{space}"
    # Blocks of two by two: of cells, or of latents that are as wide as two cells.
    cells = WINDOW * len(LEVELS) * 4 * 8 // (4 if space == "latent" else 1)
    np.testing.assert_array_equal(found["observations_used"], cells)
    np.testing.assert_array_equal(found["observations_refused"], 0)
    again = cell(stores, arm=arm, sampler=PAPER)
    np.testing.assert_array_equal(found["analysis"], again["analysis"])


def test_members_of_the_paper_that_no_weather_looks_like_are_warned_of(stores, caplog):
    arm = {**BACKGROUND, "name": "paper-pixel", "space": "pixel", "recipe": "paper"}
    with caplog.at_level("WARNING", logger="slams.assimilation"):
        cell(stores, arm=arm, sampler=PAPER | {"plausible": 1e3})
        assert not caplog.messages
        cell(stores, arm=arm, sampler=PAPER | {"plausible": 0.5})
    assert len(caplog.messages) == 2
    assert "4 of 4 members of the paper's sampler are more than 0.5 standard" in caplog.messages[0]


def test_a_case_may_have_more_steps_than_the_prior(stores, streams):
    """It is composed of windows, and every stream sees all of it."""
    found = cell(stores, streams, BOTH, steps=2 * WINDOW + 1)
    assert found.sizes["step"] == 2 * WINDOW + 1
    for case in range(2):
        one = found.isel(case=case)
        place = np.searchsorted(TEST_TIMES, one["time"].values)
        expected = stores[0].fields[place] * SCALE[:, None, None]
        np.testing.assert_allclose(one["truth"] - one["climatology"], expected, atol=2e-3)
    error = (found["analysis"].mean("member") - found["truth"]).std()
    assert error < 0.8 * (found["climatology"] - found["truth"]).std()


def test_an_arm_without_a_background(stores, streams):
    found = cell(stores, streams, OTHERS, axis="none", value=0)
    assert found.attrs["axis"] == "none"
    assert found.attrs["streams"] == "stations imagery"
    assert list(found["stream"].values) == ["stations", "imagery"]
    assert np.isfinite(found["analysis"]).all()
    # Stations and imagery bring the interpolation closer than the climatology.
    interpolated, climate = (
        float(((found[name] - found["truth"]) ** 2).mean())
        for name in ("interpolation", "climatology")
    )
    assert interpolated < 0.9 * climate


def test_observations_are_counted_and_gross_errors_refused(full):
    assert list(full["stream"].values) == ["background", "stations", "imagery"]
    background = WINDOW * len(LEVELS) * 4 * 8
    used, refused = full["observations_used"], full["observations_refused"]
    np.testing.assert_array_equal(used.sel(stream="background"), background)
    np.testing.assert_array_equal(refused.sel(stream="background"), 0)
    # Of 25 stations one reads 25 K too much; five are held out.
    np.testing.assert_array_equal(refused.sel(stream="stations"), WINDOW)
    np.testing.assert_array_equal(used.sel(stream="stations"), WINDOW * 24)
    assert int(refused.sel(stream="imagery").max()) <= 2
    assert int(used.sel(stream="imagery").min()) >= WINDOW * 5 * 16 - 2


def test_a_gross_error_does_not_reach_the_analysis(stores, streams):
    arm = {"name": "stations", "space": "pixel", "streams": ["stations"]}
    with_error = cell(stores, streams, arm, axis="none", value=0)
    table = streams.stations
    sound = Streams(table[table["station_id"] != "S0009"], streams.station_fit)
    without = cell(stores, sound, arm, axis="none", value=0)
    for name in ("analysis", "interpolation"):
        np.testing.assert_allclose(with_error[name], without[name], atol=0.05)
    blind = cell(
        stores,
        streams,
        arm,
        axis="none",
        value=0,
        sampler=SAMPLER | {"gross_error": 1e6, "plausible": 1e6},
    )
    assert float(np.abs(blind["analysis"] - without["analysis"]).max()) > 3


def test_the_climatology_is_where_interpolation_starts_whatever_the_reference(stores, streams):
    """Fields about the global mean, not about the climatology: the same interpolation in K."""
    arm = {"name": "stations", "space": "pixel", "streams": ["stations"]}
    table = streams.stations[streams.stations["station_id"] != "S0009"]
    sound = Streams(table, streams.station_fit)
    of_climate, of_mean = (IdealPrior(WINDOW, reference=r) for r in ("climatology", "mean"))
    moved = []
    for one in stores:
        kelvin = of_climate.normalisation.to_kelvin(one.fields, one.times)
        moved.append(with_fields(one, of_mean.normalisation.normalise(kelvin, one.times)))
    # The ideal prior's states know no climatology about the mean.
    options = {"axis": "none", "value": 0, "sampler": SAMPLER | {"plausible": 1e6}}
    found = cell(stores, sound, arm, prior=of_climate, **options)["interpolation"]
    same = cell(moved, sound, arm, prior=of_mean, **options)["interpolation"]
    np.testing.assert_allclose(found, same, atol=0.01)


def test_too_few_windows_name_the_key(stores):
    assert len(choose_cases(stores[0], 23, WINDOW, 24.0)) == 23
    with pytest.raises(SlamsError, match=r"cases: 24 are asked for, .* holds 23 windows of 2"):
        choose_cases(stores[0], 24, WINDOW, 24.0)
    with pytest.raises(SlamsError, match=r"^cases: "):
        cell(stores, cases=24)


@pytest.mark.parametrize("period", ["test", "validation"])
@pytest.mark.parametrize("part", [np.s_[:, :2], np.s_[:, :, :4], np.s_[..., :8]])
def test_a_store_of_other_levels_or_cells_is_told_before_anything_is_sampled(stores, period, part):
    other = with_fields(stores[period == "validation"], stores[0].fields[part])
    pair = (other, stores[1]) if period == "test" else (stores[0], other)
    with pytest.raises(SlamsError, match=rf"store/{period}: .* are \(3, 8, 16\): build the store"):
        cell(pair)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (100.0, r"stream background: 1 values are no temperatures in K, .* build the store again"),
        (np.inf, r"stream background: 1 values are no temperatures in K, the first inf"),
        (np.nan, r"stream background: 1 cells of the fields are missing"),
    ],
)
def test_a_truth_that_is_no_temperature_is_told(stores, wrong, message):
    fields = np.array(stores[0].fields)
    fields[0, 1, 2, 3] = wrong
    with pytest.raises(SlamsError, match=message):
        cell((with_fields(stores[0], fields), stores[1]))


def test_a_noise_that_is_none_is_told(stores):
    for noise in (0.0, -1.0):
        with pytest.raises(SlamsError, match=r"background's error must be positive"):
            cell(stores, axis="noise", value=noise)


def test_the_decoders_error_is_asked_once_a_cell_where_it_is_one_number(
    stores, streams, monkeypatch
):
    asked = []

    def counted(observation, *_):
        asked.append(observation.name)
        return torch.tensor(0.1)

    monkeypatch.setattr("slams.observation.representation.representation_variance", counted)
    cell(stores, streams, BOTH, cases=3)
    # The network of the imagery sees the season: its error is the case's own.
    assert sorted(asked) == ["background", "imagery", "imagery", "imagery", "stations"]


def test_a_validation_period_too_short_is_an_error(stores, tmp_path):
    test, _ = stores
    short = store(tmp_path, "short", VALIDATION_TIMES[:2], weather(2))
    with pytest.raises(SlamsError, match=r"periods.validation holds 1 windows of 2 steps"):
        cell((test, short))


def test_a_case_without_observations_is_an_error_that_names_it(stores, streams):
    arm = {"name": "bare", "space": "pixel", "streams": ["stations"]}
    late = streams.stations.assign(time=streams.stations["time"] + pd.Timedelta("365D"))
    none = Streams(late, streams.station_fit)
    with pytest.raises(SlamsError, match=r"arm bare: the case from 2003-04-01T00 has no observ"):
        cell(stores, none, arm, axis="none", value=0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["stations"], r"archives.stations.source is none"),
        (["imagery"], r"archives.imagery.source is none"),
        (["background"], r"needs an axis and a value"),
    ],
)
def test_a_stream_without_its_archive_is_an_error(stores, names, message):
    with pytest.raises(SlamsError, match=message):
        observe_case(
            IdealPrior(WINDOW),
            Case(stores[0], 0, WINDOW),
            names=names,
            background=None,
            streams=Streams(),
            seed=0,
        )
