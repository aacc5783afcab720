"""What the paper's encoder takes beside the temperature: paired by date, zero where missing."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from worlds import GRID, LEVELS, SHAPE, days, statistics, store, weather

from slams.assimilation import Streams, assimilate_cell
from slams.autoencoder import encode_store
from slams.cases import Case
from slams.errors import SlamsError
from slams.observation import EveryNth, Identity
from slams.observation.background import Degraded
from slams.paper.arms import observe
from slams.paper.autoencoder import PaperAutoencoder, load_autoencoder
from slams.paper.denoiser import EpsDenoiser
from slams.paper.inputs import EncoderInputs, read_inputs
from slams.paper.recipes import train_paper_autoencoder
from slams.prior import Prior
from slams.store import Store
from slams.training import Settings

CHANNELS = ("olr", "precipitation")
TIMES = days("2001-01-01", 60)
FIELDS = weather(60, seed=3)


def images(count=60):
    """Radiation that goes with the temperature, rain over one hemisphere of longitudes only."""
    rng = np.random.default_rng(7)
    radiation = 240 + 30 * FIELDS[:count, 0]
    rain = rng.exponential(3.0, (count, *GRID.shape)).astype(np.float32)
    rain[..., : GRID.shape[1] // 2] = np.nan
    return EncoderInputs(CHANNELS, TIMES[:count], np.stack([radiation, rain], axis=1))


def model(inputs=CHANNELS, seed=0):
    torch.manual_seed(seed)
    net = PaperAutoencoder(*SHAPE, inputs=inputs)
    net(torch.randn(16, *SHAPE), torch.randn(16, len(inputs), *GRID.shape) if inputs else None)
    return net.eval().requires_grad_(False)


def test_the_encoder_alone_takes_more():
    nets = [PaperAutoencoder(10, 8, 16, inputs=CHANNELS[:n]) for n in range(3)]
    assert [net.encoder[0].in_channels for net in nets] == [10, 11, 12]
    assert {net.decoder[-1].out_channels for net in nets} == {10}
    assert {net.latent_shape for net in nets} == {(5, 8, 16)}
    sizes = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert sizes[0] == 14_695 and set(np.diff(sizes)) == {9 * 25}


def test_what_is_missing_is_zero_in_its_own_unit():
    net, x, beside = model(), torch.from_numpy(FIELDS[:4]), torch.from_numpy(images().values[:4])
    net.normalise_inputs(np.array([240.0, 3.0]), np.array([30.0, 4.0]))
    found = net.encode(x, beside)
    assert torch.isfinite(found).all()
    assert torch.equal(found, net.encode(x, beside.nan_to_num(0.0)))
    assert not torch.allclose(found, net.encode(x, beside.nan_to_num(3.0)), atol=1e-3)
    # Shifted and scaled together with its mean and deviation a channel says the same.
    net.normalise_inputs(np.array([480.0, 6.0]), np.array([60.0, 8.0]))
    torch.testing.assert_close(net.encode(x, 2 * beside), found)
    # Any leading dimensions.
    shaped = net.encode(x.unflatten(0, (2, 2)), 2 * beside.unflatten(0, (2, 2)))
    torch.testing.assert_close(shaped.flatten(0, 1), found)


def test_inputs_that_are_not_the_encoders_are_refused():
    x, beside = torch.from_numpy(FIELDS[:4]), torch.from_numpy(images().values[:4])
    told = r"takes olr, precipitation beside the temperature: inputs of \(4, 2, 8, 16\).*given none"
    with pytest.raises(SlamsError, match=told):
        model().encode(x)
    with pytest.raises(SlamsError, match=r"was given \(4, 1, 8, 16\)"):
        model().encode(x, beside[:, :1])
    with pytest.raises(SlamsError, match=r"takes nothing beside the temperature"):
        model(()).encode(x, beside)


def test_they_meet_the_fields_by_date():
    given, wanted = images(), TIMES[[40, 3, 3, 59]]
    np.testing.assert_array_equal(given.at(wanted), given.values[[40, 3, 3, 59]])
    # Whatever the order and the gaps of either.
    few = EncoderInputs(CHANNELS, TIMES[::2], given.values[::2])
    found = few.at(TIMES[:3])
    np.testing.assert_array_equal(found[::2], given.values[[0, 2]])
    assert np.isnan(found[1]).all()
    assert np.isnan(few.at(days("1999-01-01", 1))).all()
    assert np.isnan(few.at(days("2020-01-01", 1))).all()
    # What was given is not changed by what is missing.
    np.testing.assert_array_equal(few.values, given.values[::2])


def test_fields_without_an_image_are_counted_and_none_at_all_is_refused(caplog):
    given = images(50)
    with caplog.at_level("WARNING", logger="slams.paper.inputs"):
        given.check(TIMES[:50], "train")
        assert not caplog.messages
        given.check(TIMES, "train")
    assert "10 of 60 fields have no image of olr, precipitation" in caplog.messages[0]
    with pytest.raises(SlamsError, match=r"no image of olr, precipitation coincides .*\.test"):
        given.check(days("2003-01-01", 5), "test")


def test_moments_are_of_what_was_seen():
    given = images()
    mean, deviation = given.moments()
    np.testing.assert_allclose(mean, np.nanmean(given.values, (0, 2, 3), dtype=float), rtol=1e-6)
    np.testing.assert_allclose(deviation, np.nanstd(given.values, (0, 2, 3), dtype=float), 1e-5)
    for values, told in [(np.nan, "no value of precipitation"), (2.0, "precipitation does not va")]:
        spoilt = given.values.copy()
        spoilt[:, 1] = values
        with pytest.raises(SlamsError, match=told):
            EncoderInputs(CHANNELS, TIMES, spoilt).moments()


def test_they_are_read_from_regridded_images(tmp_path):
    given, cells = images(), ("time", "latitude", "longitude")
    names = ("outgoing_longwave_radiation", "precipitation", "brightness_temperature")
    fields = dict(zip(names, [*given.values.swapaxes(0, 1), given.values[:, 0]], strict=True))
    for name, part in {"a": slice(0, 30), "b": slice(30, 60)}.items():
        xr.Dataset(
            {key: (cells, value[part]) for key, value in fields.items()},
            coords={"time": TIMES[part], **GRID.coordinates()},
        ).to_netcdf(tmp_path / f"{name}.nc")
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    found = read_inputs(paths, CHANNELS)
    assert found.channels == CHANNELS
    np.testing.assert_array_equal(found.times, TIMES)
    np.testing.assert_array_equal(found.values, given.values)
    first, last = (TIMES[n].astype("datetime64[us]").item() for n in (10, 40))
    np.testing.assert_array_equal(read_inputs(paths, CHANNELS, (first, last)).times, TIMES[10:41])
    with pytest.raises(SlamsError, match="lacks water_vapour_brightness_temperature"):
        read_inputs(paths, ["irwvp"])


def described(folder, split, part):
    """A store that has what a reconstruction error in K asks for."""
    made = store(folder, split, TIMES[part], FIELDS[part])
    scale = xr.DataArray(np.ones(len(LEVELS)), {"level": LEVELS})
    made.description = made.description.assign(scale=scale, latitude=("latitude", GRID.latitude))
    return made


def train(folder, given, checked, **settings):
    target = folder / "models/paper-autoencoder.pt"
    keys = {"steps": 60, "batch": 16, "learning_rate": 1e-2, "warmup_steps": 1, "ema_decay": 0.0}
    keys |= {"validate_every": 20, "checkpoint_every": 20}
    train_paper_autoencoder(
        described(folder, "train", slice(0, 40)),
        described(folder, "validation", slice(40, 60)),
        target,
        inputs=(given, checked),
        settings=Settings(**(keys | settings)),
        seed=3,
        checkpoints=folder / "checkpoints",
        fingerprint="f",
        device=torch.device("cpu"),
        attributes={},
    )
    return target


@pytest.mark.parametrize("roll", [False, True])
def test_training_uses_them_and_writes_all_of_it(tmp_path, roll):
    given = images()
    path = train(tmp_path, given, given, roll_longitude=roll)
    net = load_autoencoder(path)
    assert net.inputs == CHANNELS
    mean, deviation = given.moments()
    np.testing.assert_allclose(net.input_mean.flatten(), mean, rtol=1e-6)
    np.testing.assert_allclose(net.input_deviation.flatten(), deviation, rtol=1e-6)
    x = torch.from_numpy(FIELDS[40:])
    with torch.no_grad():
        error = (net(x, torch.from_numpy(given.values[40:])) - x).square()
        blind = (net(x, torch.zeros(20, 2, *GRID.shape)) - x).square()
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["validation_loss"] == pytest.approx(float(error.mean()), rel=1e-5)
    weights = GRID.area_weights[:, None]
    rmse = np.sqrt((error.numpy() * weights).mean((0, 2, 3)))
    assert list(card["reconstruction_rmse_K"].values()) == pytest.approx(rmse, abs=1e-3)
    # The radiation follows the first level: without it that level is worse.
    assert float(blind[:, 0].mean()) > 1.1 * float(error[:, 0].mean())


def test_an_encoder_without_any_image_of_the_fields_is_not_trained(tmp_path):
    late = EncoderInputs(CHANNELS, days("2005-01-01", 60), images().values)
    with pytest.raises(SlamsError, match=r"coincides in time with a field of periods\.validation"):
        train(tmp_path, images(), late)


def prior(net):
    torch.manual_seed(1)
    return Prior(
        EpsDenoiser(3, *net.latent_shape, width=[8, 8], blocks=1, embedding=8),
        statistics(),
        step_hours=24,
        autoencoder=net,
    )


@pytest.mark.parametrize("operator", [Identity(), EveryNth(2)])
def test_an_arm_observes_the_encoding_of_all_of_it(tmp_path, operator):
    given, net = images(), model()
    held = prior(net)
    held.save(tmp_path / "prior.pt")
    held = Prior.load(tmp_path / "prior.pt")
    fields = store(tmp_path, "test", TIMES, FIELDS)
    encode_store(net, fields, tmp_path / "latents.nc", {}, given.encoder(net))
    latents = Store(tmp_path / "latents.nc")
    case, background = Case(fields, 5, 3), Degraded(operator, 0.01, 1)
    found = observe(held, case, background, inputs=given, seed=2)
    # The stored latents, which the prior learned from, are what is observed.
    encoded = torch.from_numpy(latents.window(5, 3))[None]
    torch.testing.assert_close(found.full, operator(encoded)[0], atol=0.06, rtol=0)
    # The same noise, other images, which are at full resolution whatever the axis.
    other = EncoderInputs(CHANNELS, TIMES, given.values[::-1].copy())
    changed = observe(held, case, background, inputs=other, seed=2)
    assert float((changed.full - found.full).abs().mean()) > 0.02


def test_a_cell_of_such_an_arm(tmp_path):
    """From start to end; longer than the prior's window, one member, one case, as in the paper."""
    arm = {"name": "paper-lsda-2", "space": "latent", "streams": ["background"], "recipe": "paper"}
    fields = [store(tmp_path, name, TIMES, FIELDS) for name in ("test", "validation")]

    def cell(beside):
        return assimilate_cell(
            prior(model()),
            *fields,
            arm=arm | {"encoder": list(CHANNELS)},
            axis="coarse",
            value=2,
            settings={"noise": 0.1, "every": 2},
            streams=Streams(),
            beside=beside,
            cases=1,
            steps=7,
            sampler={
                **{"members": 1, "steps": 4, "corrections": 1, "tau": 0.5, "gamma": 1.0},
                **{"plausible": 1e9, "gross_error": 5.0, "robust": None},
            },
            seed=3,
        )

    found = cell(images())
    assert found["analysis"].shape == (1, 1, 7, *SHAPE)
    assert np.isfinite(found["analysis"].values).all()
    latents, rows, columns = model().latent_shape
    assert found["observations_used"].item() == 4 * latents * rows * columns // 4
    other = cell(EncoderInputs(CHANNELS, TIMES, images().values[::-1].copy()))
    assert not np.array_equal(found["analysis"], other["analysis"])
    np.testing.assert_array_equal(found["truth"], other["truth"])
    with pytest.raises(SlamsError, match=r"takes olr, precipitation beside the temperature"):
        cell(None)


def test_an_arm_and_a_prior_of_other_encoders_do_not_go_together(tmp_path):
    case = Case(store(tmp_path, "test", TIMES, FIELDS), 5, 3)
    with pytest.raises(SlamsError, match=r"takes olr, precipitation, but its prior was trained"):
        observe(prior(model(("olr",))), case, Degraded(Identity(), 0.1, 1), inputs=images(), seed=2)
    with pytest.raises(SlamsError, match=r"takes olr beside the temperature"):
        observe(prior(model(("olr",))), case, Degraded(Identity(), 0.1, 1), seed=2)
