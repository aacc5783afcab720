"""Each network's way from a small store to its files, a few steps long."""

import json
import math
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from slams import autoencoder, recipes
from slams.autoencoder import Autoencoder, encode_store
from slams.draws import Draws
from slams.errors import SlamsError
from slams.gaussian import GaussianBase
from slams.grid import Grid
from slams.observation.imagery import ImageryModel
from slams.observation.imagery_fit import train_imagery
from slams.paper.autoencoder import PaperAutoencoder, load_autoencoder
from slams.paper.denoiser import EpsDenoiser, eps_loss
from slams.paper.recipes import train_paper_autoencoder
from slams.prior import Prior, denoising_loss
from slams.recipes import train_autoencoder, train_prior
from slams.statistics import fit, year_fraction
from slams.store import Store, build
from slams.training import Settings

GRID = Grid(22.5)  # 8 x 16 cells
LEVELS = np.array([500.0, 850.0])
CPU = torch.device("cpu")
FACTS = {"config_hash": "abc", "seed": "3"}
SETTINGS = Settings(
    steps=4, batch=4, learning_rate=1e-3, warmup_steps=1, validate_every=2, checkpoint_every=2
)
COMMON = {
    "settings": SETTINGS,
    "seed": 3,
    "fingerprint": "f",
    "device": CPU,
    "attributes": FACTS,
}
SMALL = {"latent_channels": 3, "width": 4, "depth": 1, "downsample": 2}
NET = {"width": [4, 4], "blocks": 1, "embedding": 8}
PERIODS = {
    "train": (datetime(2001, 1, 1), datetime(2001, 2, 9)),
    "validation": (datetime(2001, 2, 10), datetime(2001, 2, 19)),
    "short": (datetime(2001, 2, 10), datetime(2001, 2, 11)),
}


def changed(**keys):
    return {**COMMON, "settings": Settings(**{**vars(SETTINGS), **keys})}


@pytest.fixture(scope="module")
def planet(tmp_path_factory):
    """Fifty days of white noise about 270 K: statistics, and the stores of the periods."""
    folder = tmp_path_factory.mktemp("planet")
    times = np.datetime64("2001-01-01", "ns") + np.arange(50) * np.timedelta64(1, "D")
    values = np.random.default_rng(0).normal(270, 9, (50, len(LEVELS), *GRID.shape))
    field = xr.DataArray(
        values.astype(np.float32),
        dims=("time", "level", "latitude", "longitude"),
        coords={"time": times, "level": LEVELS, **GRID.coordinates()},
        name="air_temperature",
    )
    field.to_netcdf(folder / "fields.nc")
    statistics = fit([field[:40]], GRID.area_weights, harmonics=0)
    for name, period in PERIODS.items():
        build([folder / "fields.nc"], statistics, period, folder / f"{name}.nc", {})
    stores = {name: Store(folder / f"{name}.nc") for name in PERIODS}
    return {"statistics": statistics, "field": field, "folder": folder, **stores}


def weights(path):
    return torch.load(path, weights_only=True)["weights"]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def read_card(path):
    card = json.loads(path.with_suffix(".json").read_text())
    assert {**card, **FACTS} == card
    assert card["settings"]["steps"] == 4 and card["fingerprint"] == "f"
    curve = pd.read_csv(path.with_suffix(".csv"))
    assert curve["step"].tolist() == [2, 4]
    assert card["validation_loss"] == pytest.approx(curve["validation_loss"].min())
    assert card["network"] and card["architecture"] and card["device"].startswith("cpu, ")
    return card


def make_autoencoder(planet, folder, **keys):
    target = folder / "models/autoencoder.pt"
    arguments = {"latent_noise": 0.1, **COMMON, **keys}
    train_autoencoder(
        planet["train"],
        planet["validation"],
        target,
        architecture=SMALL,
        checkpoints=folder / "checkpoints/autoencoder",
        **arguments,
    )
    return target


def make_prior(planet, folder, training="train", validation="validation", **keys):
    target = folder / "models/prior.pt"
    arguments = {
        "autoencoder": None,
        "window": 3,
        "step_hours": 24,
        "architecture": NET,
        **COMMON,
        **keys,
    }
    train_prior(
        planet[training] if isinstance(training, str) else training,
        planet[validation] if isinstance(validation, str) else validation,
        target,
        statistics=planet["statistics"],
        checkpoints=folder / "checkpoints/prior",
        **arguments,
    )
    return target


# The autoencoder and its latents


def test_the_autoencoder(planet, tmp_path):
    path = make_autoencoder(planet, tmp_path)
    net = Autoencoder.load(path)
    assert net.settings["levels"] == 2 and net.latent_shape == (3, 4, 8)
    # Standardised over the training period.
    z = net.encode(torch.from_numpy(np.array(planet["train"].fields)))
    assert z.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert z.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=1e-3)
    card = read_card(path)
    validation = torch.from_numpy(np.array(planet["validation"].fields))
    with torch.no_grad():
        error = (net.decode(net.encode(validation)) - validation).double() ** 2
    area = GRID.area_weights[:, None]
    kelvin = np.sqrt((error.numpy() * area).mean((0, 2, 3))) * planet["statistics"]["scale"].values
    found = card["reconstruction_rmse_K"]
    assert list(found) == ["500.0", "850.0"]
    assert list(found.values()) == pytest.approx(kelvin, abs=1e-3)


def test_the_autoencoders_loss_weighs_by_area(planet, tmp_path):
    path = make_autoencoder(planet, tmp_path, latent_noise=0.0)
    net = Autoencoder.load(path)
    x = torch.from_numpy(np.array(planet["validation"].fields))
    with torch.no_grad():
        rebuilt, raw = net(x)
    rows = ((rebuilt - x) ** 2).double().mean((0, 1, 3)).numpy()
    excess = (raw.double() ** 2 - 1).clamp_min(0).mean()
    expected = np.average(rows, weights=GRID.area_weights) + 1e-3 * float(excess)
    assert read_card(path)["validation_loss"] == pytest.approx(expected, rel=1e-5)


def test_random_rotations_and_the_seed_change_the_run(planet, tmp_path):
    def run(name, **keys):
        return weights(make_autoencoder(planet, tmp_path / name, **keys))

    one = run("one")
    assert same(one, run("again"))
    assert not same(one, run("rolled", **changed(roll_longitude=True)))
    assert not same(one, run("seeded", seed=4))


def test_latents_are_a_store_of_their_own(planet, tmp_path):
    net = Autoencoder(2, *GRID.shape, **SMALL)
    with torch.no_grad():
        net.mean.normal_()
    encode_store(net, planet["train"], tmp_path / "latents/train.nc", FACTS)
    latents, fields = Store(tmp_path / "latents/train.nc"), planet["train"]
    assert latents.shape == net.latent_shape
    assert np.array_equal(latents.times, fields.times)
    assert np.array_equal(latents.members, fields.members)
    assert latents.description.attrs["config_hash"] == "abc"
    with torch.no_grad():
        direct = net.encode(torch.from_numpy(fields.window(17, 1)))
    np.testing.assert_allclose(latents.window(17, 1), direct, rtol=1e-5, atol=1e-6)


def test_fewer_fields_of_a_fine_grid_are_encoded_together(planet, tmp_path, monkeypatch):
    net, taken = Autoencoder(2, *GRID.shape, **SMALL), []

    def encode(fields, times):
        taken.append((len(fields), len(times)))
        return net.encode(fields)

    for cells in (3 * math.prod(GRID.shape) + 1, 1):
        monkeypatch.setattr(autoencoder, "CELLS_AT_ONCE", cells)
        encode_store(net, planet["validation"], tmp_path / f"{cells}.nc", FACTS, encode)
    count = len(planet["validation"].fields)
    assert taken[:-count] == [(3, 3)] * (count // 3) + [(count % 3,) * 2] * (count % 3 > 0)
    assert taken[-count:] == [(1, 1)] * count


def test_the_papers_autoencoder(planet, tmp_path):
    path = tmp_path / "models/paper-autoencoder.pt"
    train_paper_autoencoder(
        planet["train"], planet["validation"], path, checkpoints=tmp_path / "c", **COMMON
    )
    net = load_autoencoder(path)
    assert isinstance(net, PaperAutoencoder) and net.latent_shape == (1, *GRID.shape)
    x = torch.from_numpy(np.array(planet["validation"].fields))
    with torch.no_grad():
        plain = float((net(x) - x).square().mean())
    card = read_card(path)
    # No area weights, no penalty.
    assert card["validation_loss"] == pytest.approx(plain, rel=1e-5)
    assert list(card["reconstruction_rmse_K"]) == ["500.0", "850.0"]
    encode_store(net, planet["train"], tmp_path / "latents/train.nc", FACTS)
    stored = Store(tmp_path / "latents/train.nc")
    with torch.no_grad():
        direct = net.encode(torch.from_numpy(planet["train"].window(17, 1)))
    np.testing.assert_allclose(stored.window(17, 1), direct, rtol=1e-5, atol=1e-6)


# The priors


@pytest.mark.parametrize("roll", [False, True])
def test_the_pixel_prior(planet, tmp_path, roll):
    path = make_prior(planet, tmp_path, **changed(roll_longitude=roll))
    read_card(path)
    prior = Prior.load(path)
    assert (prior.space, prior.step_hours) == ("pixel", 24)
    assert prior.state_shape == (3, 2, *GRID.shape)
    # What is trained on turned fields must not see where they were.
    assert prior.denoiser.settings["longitude"] is not roll
    xr.testing.assert_equal(
        prior.statistics["scale"].variable, planet["statistics"]["scale"].variable
    )
    x = torch.zeros(1, *prior.state_shape)
    found = prior.denoise(x, torch.tensor(1.0), planet["train"].times[:3])
    assert torch.isfinite(found).all()


def test_the_latent_prior_carries_its_autoencoder(planet, tmp_path):
    net = Autoencoder.load(make_autoencoder(planet, tmp_path))
    for name in ("train", "validation"):
        encode_store(net, planet[name], tmp_path / f"latents/{name}.nc", FACTS)
    latents = {name: Store(tmp_path / f"latents/{name}.nc") for name in ("train", "validation")}
    path = make_prior(
        planet, tmp_path, latents["train"], latents["validation"], autoencoder=net, window=2
    )
    prior = Prior.load(path)
    assert prior.space == "latent" and prior.state_shape == (2, 3, 4, 8)
    fields = torch.from_numpy(planet["validation"].batch(np.array([0, 5]), 2))
    assert torch.equal(prior.encode(fields), net.encode(fields))
    stored = torch.from_numpy(latents["validation"].batch(np.array([0, 5]), 2))
    torch.testing.assert_close(prior.encode(fields), stored)


def test_a_prior_that_predicts_the_noise(planet, tmp_path):
    wide = {"architecture": NET | {"width": [6, 6]}, "parameterisation": "eps"}
    path = make_prior(planet, tmp_path, **wide)
    prior = Prior.load(path)
    assert isinstance(prior.denoiser, EpsDenoiser) and prior.state_shape == (3, 2, *GRID.shape)
    validation = planet["validation"]
    starts = validation.starts(3, 24)
    with torch.no_grad():
        expected = eps_loss(
            prior.denoiser,
            torch.from_numpy(validation.batch(starts, 3)),
            torch.from_numpy(year_fraction(validation.times[starts])).float(),
            Draws(len(starts), 3, 0, "validation"),
        )
    assert read_card(path)["validation_loss"] == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(SlamsError, match=r"parameterisation 'v' is not karras or eps"):
        make_prior(planet, tmp_path / "other", parameterisation="v")


class Watched:
    """A store that keeps the windows it was asked for."""

    def __init__(self, store):
        self.store, self.asked = store, []

    def __getattr__(self, name):
        return getattr(self.store, name)

    def batch(self, starts, length):
        self.asked.append(starts)
        return self.store.batch(starts, length)


def test_a_prior_learns_from_whole_windows_and_is_checked_on_all(planet, tmp_path, monkeypatch):
    field = planet["field"]
    gaps = field[[day for day in range(40) if day % 5 and day != 19]]
    gaps.to_netcdf(tmp_path / "gaps.nc")
    build([tmp_path / "gaps.nc"], planet["statistics"], PERIODS["train"], tmp_path / "g.nc", {})
    training, validation = Watched(Store(tmp_path / "g.nc")), Watched(planet["validation"])
    path = make_prior(planet, tmp_path, training, validation, window=4)
    # Four days in a row lie between the fifth days, but for the week of the nineteenth.
    whole = [4 * block for block in (0, 1, 2)] + [4 * block - 1 for block in range(4, 8)]
    assert set(np.concatenate(training.asked)) == set(whole)
    assert all(np.array_equal(asked, np.arange(7)) for asked in validation.asked)
    prior, times = Prior.load(path), planet["validation"].times
    days = (times[:7] - np.datetime64("2001-01-01")) / np.timedelta64(1, "D")
    with torch.no_grad():
        expected = denoising_loss(
            prior.denoiser,
            torch.from_numpy(np.stack([planet["validation"].fields[i : i + 4] for i in range(7)])),
            torch.from_numpy(days / 365.2425).float(),
            Draws(7, 3, 0, "validation"),
        )
    assert read_card(path)["validation_loss"] == pytest.approx(float(expected), rel=1e-5)
    # Of a long period, windows from its beginning to its end.
    monkeypatch.setattr(recipes, "VALIDATION_SAMPLES", 3)
    few = Watched(planet["validation"])
    make_prior(planet, tmp_path / "few", training, few, window=4)
    assert all(asked.tolist() == [0, 3, 6] for asked in few.asked)


def test_every_window_comes_with_the_day_of_its_first_step(planet, tmp_path, monkeypatch):
    seen = []

    def watched(net, x, season, draws):
        seen.extend(zip(x.numpy().copy(), season.tolist(), strict=True))
        return denoising_loss(net, x, season, draws)

    monkeypatch.setattr(recipes, "denoising_loss", watched)
    make_prior(planet, tmp_path)
    fields = np.concatenate([planet["train"].fields, planet["validation"].fields])
    for window, season in seen:
        (day,) = np.flatnonzero((fields == window[0]).all((1, 2, 3)))
        assert np.array_equal(fields[day : day + 3], window)
        # The first field is that of 1 January.
        assert season == pytest.approx(day / 365.2425, abs=1e-6)
    assert len({season for _, season in seen}) > 15


def test_a_prior_goes_on_from_its_checkpoint(planet, tmp_path):
    path = make_prior(planet, tmp_path / "whole")
    half = changed(validate_every=2)
    with pytest.raises(KeyboardInterrupt):
        make_prior(Interrupting(planet, after=3), tmp_path / "half", **half)
    assert (tmp_path / "half/checkpoints/prior/checkpoint.pt").is_file()
    assert not (tmp_path / "half/models").exists()
    assert same(weights(make_prior(planet, tmp_path / "half", **half)), weights(path))


def test_the_base_of_a_prior_is_fitted_once(planet, tmp_path, monkeypatch):
    fits, fit_base = [], GaussianBase.fit
    monkeypatch.setattr(GaussianBase, "fit", lambda *given: fits.append(1) or fit_base(*given))
    based = {"architecture": NET | {"modes": 3}}
    whole = make_prior(planet, tmp_path / "whole", **based)
    kept = tmp_path / "whole/checkpoints/prior"
    state = torch.load(kept / "checkpoint.pt", weights_only=True)
    # It does not change: a checkpoint is without it, the prior with it.
    for name in ("model", "average", "best_weights"):
        assert not any(key.startswith("base.") for key in state[name])
    assert any(key.startswith("base.") for key in weights(whole))
    with pytest.raises(KeyboardInterrupt):
        make_prior(Interrupting(planet, after=3), tmp_path / "half", **based)
    assert len(fits) == 2 and (tmp_path / "half/checkpoints/prior/base.pt").is_file()
    again = make_prior(planet, tmp_path / "half", **based)
    assert len(fits) == 2 and same(weights(again), weights(whole))
    cards = [json.loads(path.with_suffix(".json").read_text()) for path in (whole, again)]
    assert cards[0]["base_ridge"] == cards[1]["base_ridge"] > 0
    make_prior(planet, tmp_path / "half", **{**based, "fingerprint": "g"})
    assert len(fits) == 3


class Interrupting(dict):
    """The planet whose training store gives out after some batches."""

    def __init__(self, planet, after):
        super().__init__(planet)
        self.reads, self.after = 0, after
        store = Store(planet["folder"] / "train.nc")
        read = store.batch

        def batch(*arguments):
            self.reads += 1
            if self.reads > self.after:
                raise KeyboardInterrupt
            return read(*arguments)

        store.batch = batch
        self["train"] = store


@pytest.mark.parametrize("window", [3, 7])
def test_too_short_a_validation_period_is_named(planet, tmp_path, window):
    with pytest.raises(SlamsError, match=rf"periods\.validation holds no window of {window} steps"):
        make_prior(planet, tmp_path, validation="short", window=window)


def test_too_short_a_training_period_is_named(planet, tmp_path):
    with pytest.raises(SlamsError, match=r"periods\.train holds no window"):
        make_prior(planet, tmp_path, training="short", window=4)


# Imagery


def images(planet, days, offset="0h", seed=1):
    """Brightness temperature that is the 850 hPa temperature but for 1 K; every tenth missing."""
    rng = np.random.default_rng(seed)
    below = planet["field"].sel(level=850.0, drop=True)[days]
    values = below.values + rng.normal(0, 1, below.shape)
    values[rng.random(below.shape) < 0.1] = np.nan
    moved = below.copy(data=values.astype(np.float32)).expand_dims(channel=["irwin_cdr"], axis=1)
    return moved.assign_coords(time=moved["time"].values + pd.Timedelta(offset).to_timedelta64())


def make_imagery(planet, folder, pieces, checks, **keys):
    target = folder / "operators/imagery.pt"
    train_imagery(
        planet["train"],
        planet["validation"],
        target,
        statistics=planet["statistics"],
        channels=["irwin_cdr"],
        pieces=lambda: pieces,
        checks=lambda: checks,
        architecture={"width": 8, "depth": 1},
        harmonics=0,
        checkpoints=folder / "checkpoints/imagery",
        **{**COMMON, **keys},
    )
    return target


def test_the_imagery_operator(planet, tmp_path):
    path = make_imagery(
        planet, tmp_path, [images(planet, slice(0, 40))], [images(planet, slice(40, 50))]
    )
    read_card(path)
    model = ImageryModel.load(path)
    assert model.coefficients.shape == (1, 1, *GRID.shape)
    # White noise of 9 K, and 1 K of the sensor.
    assert model.scale[0] == pytest.approx(82**0.5, rel=0.05)


def test_images_are_paired_with_fields_by_their_time(planet, tmp_path):
    """Every third day, the later files first, and some hours of which there is no field.

    Paired by place the target would be noise, and no network could get below 0.5: half the
    logarithm of one plus half of a unit variance.
    """
    off = images(planet, slice(0, 40), "6h", seed=2)
    pieces = [images(planet, slice(21, 40, 3)), off[:20], images(planet, slice(0, 20, 3)), off[20:]]
    checks = [off[30:], images(planet, slice(41, 50, 2))]
    keys = changed(steps=200, batch=8, learning_rate=2e-2, validate_every=50, ema_decay=0.9)
    path = make_imagery(planet, tmp_path, pieces, checks, **keys)
    card = json.loads(path.with_suffix(".json").read_text())
    # With an error of 1 K of 9 the logarithm alone is -2.2.
    assert card["validation_loss"] < -0.5


@pytest.mark.parametrize("kind", ["other hours", "none at all"])
@pytest.mark.parametrize("period", ["train", "validation"])
def test_images_of_no_fields_time_name_the_period(planet, tmp_path, period, kind):
    given = {"train": images(planet, slice(0, 40)), "validation": images(planet, slice(40, 50))}
    given[period] = images(planet, slice(0, 50), "3h")
    pieces, checks = [given["train"]], [given["validation"]]
    if kind == "none at all":
        pieces, checks = (pieces, []) if period == "validation" else ([], checks)
    with pytest.raises(SlamsError, match=rf"archives\.imagery: no .*periods\.{period}"):
        make_imagery(planet, tmp_path, pieces, checks)
