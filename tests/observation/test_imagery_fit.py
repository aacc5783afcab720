"""The imagery operator's training: one channel as ever, and what is learned of several."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from worlds import GRID, days, statistics, store, weather

from slams.errors import SlamsError
from slams.observation.imagery import ImageryModel, ImageryOperator
from slams.observation.imagery_fit import train_imagery
from slams.statistics import Normalisation
from slams.training import Settings

TRAIN, VALIDATION = days("2001-01-01", 60), days("2001-03-02", 20)
FIELDS = weather(80, seed=3)
SETTINGS = {
    "steps": 30,
    "batch": 8,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "warmup_steps": 5,
    "ema_decay": 0.9,
    "clip_norm": 1.0,
    "validate_every": 10,
    "checkpoint_every": 10,
    "precision": "32-true",
}


def brightness(rng: np.random.Generator) -> np.ndarray:
    """Of two levels, with an error of 3 K; a tenth is missing."""
    values = 250 + 6 * (0.7 * FIELDS[:, 2] + 0.3 * FIELDS[:, 0])
    values = values + 3 * rng.standard_normal((80, *GRID.shape))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def trained(folder, values: dict[str, np.ndarray], **settings):
    """The card and the model that learned from images of all 80 days."""
    images = xr.DataArray(
        np.stack(list(values.values()), axis=1).astype(np.float32),
        dims=("time", "channel", "latitude", "longitude"),
        coords={
            "time": np.concatenate([TRAIN, VALIDATION]),
            "channel": list(values),
            "latitude": GRID.latitude,
            "longitude": GRID.longitude,
        },
    )
    target = folder / "operators/imagery.pt"
    train_imagery(
        store(folder, "train", TRAIN, FIELDS[:60]),
        store(folder, "validation", VALIDATION, FIELDS[60:]),
        target,
        statistics=statistics(),
        channels=list(values),
        pieces=lambda: [images[:40], images[40:60]],
        checks=lambda: [images[60:]],
        architecture={"width": 8, "depth": 1},
        harmonics=0,
        settings=Settings(**(SETTINGS | settings)),
        seed=5,
        checkpoints=folder / "checkpoints",
        fingerprint="x",
        device=torch.device("cpu"),
        attributes={},
    )
    return json.loads(target.with_suffix(".json").read_text()), ImageryModel.load(target)


def test_one_channel_is_what_it_was_before_there_were_several(tmp_path):
    """Figures of the operator that knew one channel, with the same seed and images."""
    card, model = trained(tmp_path, {"irwin_cdr": brightness(np.random.default_rng(4))})
    assert card["validation_loss"] == pytest.approx(0.82920414, abs=1e-5)
    assert model.scale.tolist() == pytest.approx([5.858530812])
    assert card["error_inflation"] == {"irwin_cdr": pytest.approx(25.4614170, rel=1e-4)}
    operator = ImageryOperator(model, Normalisation(statistics()), VALIDATION[:3])
    x = torch.from_numpy(FIELDS[60:63])[None]
    assert operator(x).mean().item() == pytest.approx(-0.011188729, abs=1e-5)
    assert operator(x).std().item() == pytest.approx(0.155565453, rel=1e-4)
    assert operator.variance(x).mean().item() == pytest.approx(10.0540207, rel=1e-4)


def test_what_is_learned_of_several_channels(tmp_path):
    """Of errors that are alike, of rain that is mostly none, and of what tells nothing."""
    rng = np.random.default_rng(6)
    window = brightness(rng)
    alike = 240 + 6 * FIELDS[:, 0] + 0.6 * (window - 250 - 6 * (0.7 * FIELDS[:, 2]))
    rain = np.maximum(np.expm1(1.5 * FIELDS[:, 1] - 1 + 0.3 * rng.standard_normal(window.shape)), 0)
    rain[:, :, :6] = np.nan  # sea
    card, model = trained(
        tmp_path,
        {"irwin_cdr": window, "irwvp": alike, "precipitation": rain},
        steps=400,
        learning_rate=2e-2,
        validate_every=100,
        checkpoint_every=400,
    )
    correlation = np.array(card["error_correlation"])
    assert correlation[0, 1] > 0.5
    assert abs(correlation[0, 2]) < 0.3
    assert list(card["error_inflation"]) == ["irwin_cdr", "irwvp", "precipitation"]
    assert np.isnan(model.coefficients[2, :, :, :6]).all()
    operator = ImageryOperator(model, Normalisation(statistics()), VALIDATION)
    x = torch.from_numpy(FIELDS[60:])[None]
    predicted = operator(x)[0].numpy()
    values = np.stack([window, alike, rain], axis=1)[60:]
    target = model.normalise(values, VALIDATION)
    for channel in range(3):
        both = np.isfinite(target[:, channel])
        told = np.corrcoef(predicted[:, channel][both], target[:, channel][both])[0, 1]
        assert told > 0.6


@pytest.mark.parametrize("period", ["train", "validation"])
def test_a_channel_that_shows_nothing_in_a_period_is_told(tmp_path, period):
    rng = np.random.default_rng(4)
    values = {"irwin_cdr": brightness(rng), "irwvp": brightness(rng)}
    values["irwvp"][slice(0, 60) if period == "train" else slice(60, 80)] = np.nan
    with pytest.raises(SlamsError, match=rf"no pixel of irwvp was seen in periods\.{period}"):
        trained(tmp_path, values)
