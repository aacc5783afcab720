"""The linear-Gaussian base against dense linear algebra and processes of known covariance."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import days, store

from slams.composition import Composed
from slams.covariances import RIDGES, toeplitz
from slams.errors import SlamsError
from slams.gaussian import GaussianBase, _autoregressive
from slams.prior import Denoiser
from slams.store import Store

WINDOW, CHANNELS, ROWS, COLUMNS = 3, 2, 4, 8
SHAPE = (WINDOW, CHANNELS, ROWS, COLUMNS)
SIZE = math.prod(SHAPE)


def travelling(count: int, seed: int = 0) -> np.ndarray:
    """Fields (count, channel, latitude, longitude) that keep 0.8 a step and move one cell east.

    The innovations are correlated over rows, channels and neighbouring cells.
    """
    rng = np.random.default_rng(seed)
    mix = np.linalg.cholesky(0.4 * np.ones((8, 8)) + 0.6 * np.eye(8))
    fields = np.zeros((count, 8, COLUMNS))
    for step in range(count):
        drawn = rng.standard_normal((8, COLUMNS))
        drawn = mix @ (drawn + np.roll(drawn, 1, -1) + np.roll(drawn, -1, -1)) / 3**0.5
        before = np.roll(fields[step - 1], 1, -1) if step else 0.0
        fields[step] = 0.8 * before + 0.6 * drawn
    return fields.reshape(count, CHANNELS, ROWS, COLUMNS).astype(np.float32)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Stores for training and for validation."""
    folder = tmp_path_factory.mktemp("gaussian")
    times = days("1990-01-01", 6000)
    return (
        store(folder, "train", times, travelling(6000)),
        store(folder, "validation", times[:500], travelling(500, seed=1)),
    )


@pytest.fixture(scope="module")
def world(worlds):
    return worlds[0]


def checked(worlds) -> tuple[Store, np.ndarray]:
    """The store for validation, and where its windows begin."""
    return worlds[1], worlds[1].starts(WINDOW, 24.0)


@pytest.fixture(scope="module")
def fitted(worlds):
    """A function that fits a base with so many modes, once."""
    training = worlds[0]

    @cache
    def fit(modes: int = 100, joint: int = 0) -> GaussianBase:
        base = GaussianBase(*SHAPE, modes, joint)
        base.fit(training, training.starts(WINDOW, 24.0), *checked(worlds))
        return base

    return fit


def matrix(base: GaussianBase, sigma: float, *, root: bool) -> Tensor:
    """The operator as a matrix (SIZE, SIZE)."""
    units = torch.eye(SIZE).view(SIZE, *SHAPE)
    return base.scaled(units, torch.full((SIZE,), sigma), root=root).view(SIZE, SIZE).T.double()


def exact_covariance(window: int = WINDOW) -> Tensor:
    """Of windows of :func:`travelling`, in closed form."""
    shift = np.roll(np.eye(COLUMNS), 1, 0)
    smooth = (np.eye(COLUMNS) + shift + shift.T) / 3**0.5
    still = np.kron(0.4 * np.ones((8, 8)) + 0.6 * np.eye(8), smooth @ smooth.T)
    move = np.kron(np.eye(8), shift)
    blocks = [
        [
            0.8 ** abs(a - b)
            * (
                np.linalg.matrix_power(move, a - b) @ still
                if a >= b
                else still @ np.linalg.matrix_power(move.T, b - a)
            )
            for b in range(window)
        ]
        for a in range(window)
    ]
    return torch.from_numpy(np.block(blocks))


def optimal(covariance: Tensor, sigma: float) -> Tensor:
    """The gain of the best linear estimate of what has a covariance, from it and white noise."""
    return covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(len(covariance)))


def error(gain: Tensor, covariance: Tensor, sigma: float) -> float:
    """Expected square of the error of the estimate by any gain, in closed form."""
    left = gain - torch.eye(len(gain))
    return float(torch.trace(left @ covariance @ left.T) + sigma**2 * (gain**2).sum())


def test_before_it_is_fitted_it_is_the_preconditioning_of_unit_variance():
    base, x = GaussianBase(*SHAPE, 100), torch.randn(2, *SHAPE)
    sigma = torch.tensor([0.3, 5.0])
    square = sigma.view(-1, 1, 1, 1, 1) ** 2
    torch.testing.assert_close(base.scaled(x, sigma, root=False), x / (1 + square))
    torch.testing.assert_close(base.scaled(x, sigma, root=True), x * (square / (1 + square)).sqrt())


@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
def test_fitted_it_is_the_optimal_interpolation_of_the_process(fitted, sigma):
    """The error of the estimate, in closed form for any matrix L, is near the least possible."""
    covariance, unit = exact_covariance(), torch.eye(SIZE).double()
    best = error(optimal(covariance, sigma), covariance, sigma)
    white = error(unit / (1 + sigma**2), covariance, sigma)
    ours = error(matrix(fitted(), sigma, root=False), covariance, sigma)
    assert ours < best + 0.06 * (white - best)


def test_what_travels_is_expected_further_on(fitted):
    """A single warm cell at the first step is expected one cell further east at each next one."""
    x = torch.zeros(1, *SHAPE)
    x[0, 0, :, :, 2] = 1.0
    seen = fitted().scaled(x, torch.tensor([0.5]), root=False)[0]
    assert [int(step.mean((0, 1)).argmax()) for step in seen] == [2, 3, 4]


@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
def test_a_longer_base_is_that_of_the_longer_process(fitted, sigma):
    """The process depends on one step before it, and the base was fitted to windows of three."""
    steps = 7
    covariance = exact_covariance(steps)
    size = len(covariance)
    units = torch.eye(size).view(size, steps, *SHAPE[1:])
    gain = fitted().longer(steps).scaled(units, torch.full((size,), sigma), root=False)
    best = error(optimal(covariance, sigma), covariance, sigma)
    alone = torch.kron(torch.eye(steps).double(), exact_covariance(1))
    single = error(optimal(alone, sigma), covariance, sigma)
    ours = error(gain.view(size, size).T.double(), covariance, sigma)
    assert ours < best + 0.1 * (single - best)


def test_a_base_of_no_more_steps_is_itself(fitted):
    assert fitted().longer(WINDOW) is fitted()


def test_a_longer_base_is_made_once_and_anew_for_another_covariance(fitted):
    base = GaussianBase(*SHAPE, 3)
    before = base.longer(5)
    assert base.longer(5) is before
    assert before.basis is base.basis
    base.load_state_dict(fitted(3).state_dict())
    after = base.longer(5)
    assert after.largest > 1.5 * before.largest
    torch.testing.assert_close(after.variance, fitted(3).longer(5).variance)
    with pytest.raises(SlamsError, match="2 steps are fewer than the prior's window of 3"):
        base.longer(2)


def test_lags_stay_on_their_device():
    lags = [torch.zeros(4, dtype=torch.complex128, device="meta") for _ in range(3)]
    assert toeplitz(_autoregressive(lags, 7)).device.type == "meta"


def test_a_longer_base_keeps_what_is_left_over(fitted):
    short = fitted(3)
    long = short.longer(9)
    assert (long.truncated, long.ridge) == (short.truncated, short.ridge)
    # The variance of a mode is that of all its steps, and there are as many as before.
    torch.testing.assert_close(long.variance.mean(2), short.variance.mean(2), rtol=1e-4, atol=1e-6)
    x = torch.randn(2, 9, *SHAPE[1:])
    assert long.scaled(x, torch.tensor([0.5, 1.0]), root=True).shape == x.shape


def test_lags_that_no_process_has_are_drawn_to_the_nearest_that_has():
    """Sample covariances of few windows; a stable process of the same variance comes of them."""
    lags = [torch.tensor([2.0 + 0j, 1.0]), torch.tensor([2.5 + 0j, 0.3]), torch.tensor([-3j, 0.1])]
    found = _autoregressive([lag.to(torch.complex128) for lag in lags], 30)
    assert (torch.linalg.eigvalsh(toeplitz(found)) > -1e-6).all()
    torch.testing.assert_close(found[:, 0].real, torch.tensor([2.0, 1.0]).double())
    torch.testing.assert_close(found[1, :3].real, torch.tensor([1.0, 0.3, 0.1]).double())


MODES = pytest.mark.parametrize("modes", [(100,), (3,), (100, 5), (3, 3)])


@MODES
def test_the_roots_and_the_gain_belong_to_one_covariance(fitted, modes):
    base, sigma = fitted(*modes), 0.7
    gain, root = matrix(base, sigma, root=False), matrix(base, sigma, root=True)
    torch.testing.assert_close(gain, gain.T, atol=1e-5, rtol=0)
    values = torch.linalg.eigvalsh(gain)
    assert values.min() > -1e-5 and values.max() < 1
    torch.testing.assert_close(root @ root, sigma**2 * gain, atol=1e-5, rtol=0)


@MODES
def test_turning_the_globe_turns_the_estimate(fitted, modes):
    base, x = fitted(*modes), torch.randn(1, *SHAPE)
    one = base.scaled(x.roll(3, -1), torch.ones(1), root=True)
    torch.testing.assert_close(one, base.scaled(x, torch.ones(1), root=True).roll(3, -1))


def test_few_modes_keep_the_variance(world, fitted):
    """The trace of the covariance is the same: what is cut off is white, not lost."""
    large = 1e3  # where the gain is C / sigma^2
    few, all_modes = (torch.trace(matrix(fitted(modes), large, root=False)) for modes in (3, 100))
    assert float(few) == pytest.approx(float(all_modes), rel=1e-4)
    mean_square = float((world.fields.astype(float) ** 2).mean())
    assert float(all_modes) * large**2 / SIZE == pytest.approx(mean_square, rel=1e-3)


def test_few_fields_are_drawn_towards_their_diagonal(tmp_path, worlds, fitted, monkeypatch):
    """Twelve fields know little of correlations: how little, the validation period says."""
    few = store(tmp_path, "train", days("1990-01-01", 12), travelling(12))
    covariance, unit, sigma = exact_covariance(), torch.eye(SIZE).double(), 1.0

    def fit() -> tuple[float, float]:
        base = GaussianBase(*SHAPE, 100)
        base.fit(few, few.starts(WINDOW, 24.0), *checked(worlds))
        gain = matrix(base, sigma, root=False)
        left = gain - unit
        error = torch.trace(left @ covariance @ left.T) + sigma**2 * (gain**2).sum()
        return base.ridge, float(error)

    ridge, chosen = fit()
    monkeypatch.setattr("slams.covariances.RADII", (None,))
    without_taper, drawn = fit()
    assert without_taper > max(ridge, fitted().ridge)
    monkeypatch.setattr("slams.covariances.RIDGES", RIDGES[:1])
    assert chosen < drawn < 0.9 * fit()[1]


class Untrained:
    """The state space of a prior that knows its base and no more."""

    def __init__(self, base: GaussianBase) -> None:
        self.base, self.state_shape = base, SHAPE

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """The base's estimate."""
        return self.base.scaled(x, sigma.expand(len(x)), root=False)


def led(first: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Fields (step, channel, latitude, longitude) whose second channel follows the first.

    ``first`` (step + 1, ...) is new at every step and is what the second channel has a step later
    and a cell further east, beside ``other`` (step, ...). At one step the two know nothing of each
    other. Both (..., latitude, longitude), and so for any number of such.
    """
    followed = 0.4 * np.roll(first[:-1], 1, -1) + 0.1 * other
    return np.stack([first[1:], followed], 1)


class TestModesTogether:
    """What one channel says of another a step later, which modes by themselves cannot know."""

    @pytest.fixture(scope="class")
    @classmethod
    def bases(cls, tmp_path_factory):
        """Of the same windows, with every mode by itself and with all together."""
        folder = tmp_path_factory.mktemp("led")

        def made(name: str, count: int, seed: int) -> Store:
            rng = np.random.default_rng(seed)
            drawn = rng.standard_normal((2 * count + 1, ROWS, COLUMNS))
            fields = led(drawn[: count + 1], drawn[count + 1 :]).astype("f4")
            return store(folder, name, days("1990-01-01", count), fields)

        training, validation = made("train", 6000, 0), made("validation", 500, 1)
        found = []
        for joint in (0, 100):
            base = GaussianBase(*SHAPE, 100, joint)
            starts = (one.starts(WINDOW, 24.0) for one in (training, validation))
            base.fit(training, next(starts), validation, next(starts))
            found.append(base)
        return found

    @staticmethod
    def errors(sigma: float, gains: list[Tensor], steps: int = WINDOW) -> list[float]:
        """Of estimates of so many steps with some gains, and the least possible.

        The covariance comes from what each number that was drawn adds to a window.
        """
        parts = (2 * steps + 1) * ROWS * COLUMNS
        drawn = np.eye(parts).reshape(parts, 2 * steps + 1, ROWS, COLUMNS)
        windows = np.stack([led(one[: steps + 1], one[steps + 1 :]).ravel() for one in drawn], 1)
        covariance = torch.from_numpy(windows @ windows.T)
        best = optimal(covariance, sigma)
        return [error(gain, covariance, sigma) for gain in (*gains, best)]

    @pytest.mark.parametrize("sigma", [0.1, 0.4, 2.0])
    def test_they_are_the_optimal_interpolation_of_the_process(self, bases, sigma):
        gains = [matrix(base, sigma, root=False) for base in bases]
        alone, together, best = self.errors(sigma, gains)
        assert best < together < best + 0.02 * (alone - best)

    @pytest.mark.parametrize("sigma", [0.1, 0.4])
    def test_what_a_window_knows_of_them_is_not_lost_in_a_longer_trajectory(self, bases, sigma):
        """It is added as what the network knows, of the windows that hold a step."""
        steps = 5
        size = steps * SIZE // WINDOW
        units = torch.eye(size).view(size, steps, *SHAPE[1:])
        gains = [
            Composed(Untrained(base), steps)
            .denoise(units, torch.tensor(sigma), days("2000-01-01", steps))
            .view(size, size)
            .T.double()
            for base in bases
        ]
        alone, together, best = self.errors(sigma, gains, steps)
        assert best < together < best + 0.5 * (alone - best)

    def test_the_validation_period_says_how_much(self, bases):
        alone, together = bases
        assert (alone.joint, alone.share) == (0, 0.0)
        assert together.joint == CHANNELS * ROWS and together.share >= 0.8

    def test_beyond_a_window_every_mode_is_by_itself(self, bases):
        alone, together = bases
        assert alone.apart() is alone
        apart = together.apart()
        assert (apart.joint, together.apart() is apart) == (0, True)
        for wave in range(COLUMNS // 2 + 1):
            found, expected = apart._over_steps(wave), together._over_steps(wave)
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        x, sigma = torch.randn(2, *SHAPE), torch.tensor([0.3, 0.5])
        seen = [base.scaled(x, sigma, root=False) for base in (alone, apart, together)]
        assert (seen[1] - seen[0]).abs().max() < 0.3 * (seen[2] - seen[0]).abs().max()
        longer = together.longer(7)
        assert longer.variance.shape[2] == 7 and longer.joint == 0
        torch.testing.assert_close(longer.variance.mean(2), apart.variance.mean(2))

    def test_a_file_from_before_they_were_is_read(self, bases):
        before = {"basis", "steps", "variance", "remainder"}
        assert set(bases[0].state_dict()) == before
        assert set(bases[1].state_dict()) == before | {"together"}

    def test_of_one_step_there_is_nothing_to_join(self):
        assert GaussianBase(1, CHANNELS, ROWS, COLUMNS, 100, 100).joint == 0


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_fields_that_do_not_vary_or_are_not_finite_are_refused(tmp_path, worlds, fill):
    empty = store(tmp_path, "train", days("2001-01-01", 9), np.full((9, *SHAPE[1:]), fill, "f4"))
    with pytest.raises(SlamsError, match=r"train.nc: its fields are not finite or do not vary"):
        GaussianBase(*SHAPE, 100).fit(empty, empty.starts(WINDOW, 24.0), *checked(worlds))


def test_an_untrained_denoiser_is_the_base_and_its_file_keeps_it(worlds):
    net = Denoiser(*SHAPE, width=[8], longitude=False, modes=100, joint_modes=3)
    net.base.fit(worlds[0], worlds[0].starts(WINDOW, 24.0), *checked(worlds))
    x, sigma = torch.randn(2, *SHAPE), torch.tensor([0.4, 3.0])
    expected = net.base.scaled(x, sigma, root=False)
    torch.testing.assert_close(net(x, sigma, torch.zeros(2)), expected)
    again = Denoiser(**net.settings)
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again(x, sigma, torch.zeros(2)), expected)


def test_the_fit_does_not_depend_on_how_much_is_held_at_once(worlds, fitted, monkeypatch):
    whole, parts = fitted(3, 2), GaussianBase(*SHAPE, 3, 2)
    monkeypatch.setattr("slams.covariances.BYTES_AT_ONCE", 1)
    monkeypatch.setattr("slams.covariances.FIELDS_AT_ONCE", 7)
    parts.fit(worlds[0], worlds[0].starts(WINDOW, 24.0), *checked(worlds))
    torch.testing.assert_close(whole.variance, parts.variance, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(
        matrix(whole, 1.0, root=False), matrix(parts, 1.0, root=False), atol=1e-5, rtol=0
    )
