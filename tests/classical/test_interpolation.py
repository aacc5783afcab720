"""Interpolation against direct calculation, and against what it was before a stream was added."""

import numpy as np
import pytest
import torch
from worlds import GRID, LEVELS, SCALE, SHAPE, cartesian, days, statistics, thermometers, weather

from slams.classical import FirstGuess, fit_first_guess, interpolate, interpolate_background
from slams.errors import SlamsError
from slams.grid import Grid, bilinear
from slams.observation import BlockMean, EveryNth, Identity, Masked, Observation, Observations
from slams.observation.degraded import degrade
from slams.observation.stations import StationOperator
from slams.statistics import Normalisation

STEPS = 3
TIMES = days("2001-04-01", STEPS)
WINDOW = (STEPS, *SHAPE)
ZERO = np.zeros(WINDOW)
ROWS, COLUMNS = GRID.shape
FINE = Grid(7.5)  # 24 x 48


def windows(count: int, seed: int) -> torch.Tensor:
    """Independent windows (count, *WINDOW); a step keeps 0.7 of the one before."""
    return torch.from_numpy(np.stack([weather(STEPS, seed=1000 * seed + n) for n in range(count)]))


def background(truth: np.ndarray, operator=None, noise: float = 1e-6, **more) -> Observation:
    times = TIMES[:1] + np.arange(len(truth)) * np.timedelta64(1, "D")
    return degrade(truth.astype(np.float32), operator or Identity(), times, noise=noise, **more)


def single(field: np.ndarray) -> np.ndarray:
    """A window (1, 1, latitude, longitude) of one field."""
    return np.asarray(field, dtype=np.float32)[None, None]


def analysis(streams: list[Observation], first: FirstGuess, of: torch.Tensor, climate=ZERO):
    return interpolate(
        Observations(streams),
        first,
        windows=of,
        climate=climate,
        latitude=GRID.latitude,
        longitude=GRID.longitude,
    )


def rmse(one: np.ndarray, other: np.ndarray) -> float:
    square = (one - other) ** 2 * GRID.area_weights[:, None]
    return float(np.sqrt(square.mean()))


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_block_means_are_interpolated_as_points_of_the_coarse_grid(factor):
    """Bilinear as the grid's own, over the poles and the date line too."""
    field = np.random.default_rng(0).standard_normal(FINE.shape)
    found = interpolate_background(background(single(field), BlockMean(factor)), *FINE.shape)[0, 0]
    coarse = Grid(7.5 * factor)
    blocks = field.reshape(coarse.shape[0], factor, coarse.shape[1], factor).mean((1, 3))
    mesh = np.meshgrid(FINE.latitude, FINE.longitude, indexing="ij")
    indices, weights = bilinear(coarse, mesh[0].ravel(), mesh[1].ravel())
    expected = (blocks.ravel()[indices] * weights).sum(-1).reshape(FINE.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def between(values: np.ndarray, seen: np.ndarray, at: float, turn: float) -> float:
    """Linear interpolation on a ring of circumference ``turn``, point by point."""
    left = max((s for s in seen if s <= at), default=seen[-1] - turn)
    right = min((s for s in seen if s > at), default=seen[0] + turn)
    one, other = (values[list(seen % turn).index(side % turn)] for side in (left, right))
    return one + (other - one) * (at - left) / (right - left)


@pytest.mark.parametrize("step", [4, 5, 7, 9, 16])
def test_every_nth_cell_is_interpolated_whatever_the_number_of_columns(step):
    """An odd or uneven number of columns has none opposite to another: 3, 5 and 7 of them here."""
    rows, columns = FINE.shape
    field = np.random.default_rng(1).standard_normal(FINE.shape)
    operator = EveryNth(step)
    found = interpolate_background(background(single(field), operator), rows, columns)[0, 0]
    row, column = operator.positions(rows, columns)
    seen = field[np.ix_(row.astype(int), column.astype(int))]

    def along(number: int, at: float) -> float:
        return between(seen[number], column, at % columns, columns)

    for i in range(rows):
        for j in (0, 1, columns // 2, columns - 1):
            above, below = row[row <= i], row[row > i]
            # Over a pole the outermost row comes back half a turn away.
            upper = above[-1] if len(above) else -1 - row[0]
            lower = below[0] if len(below) else 2 * rows - 1 - row[-1]
            first = along(len(above) - 1, j) if len(above) else along(0, j + columns / 2)
            last = along(len(above), j) if len(below) else along(-1, j + columns / 2)
            expected = first + (last - first) * (i - upper) / (lower - upper)
            assert found[i, j] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("operator", [BlockMean(4), EveryNth(4), EveryNth(5)], ids=str)
def test_linear_fields_come_back_exactly_between_what_was_seen(operator):
    rows, columns = FINE.shape
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    field = 3.0 + 0.5 * row - 0.25 * column
    found = interpolate_background(background(single(field), operator), rows, columns)[0, 0]
    seen_rows, seen_columns = operator.positions(rows, columns)
    inside = (row >= seen_rows[0]) & (row <= seen_rows[-1])
    inside &= (column >= seen_columns[0]) & (column <= seen_columns[-1])
    assert inside.mean() > 0.6
    np.testing.assert_allclose(found[inside], field[inside], atol=1e-3)


@pytest.mark.parametrize("operator", [BlockMean(4), EveryNth(4), EveryNth(5), EveryNth(9)], ids=str)
def test_a_smooth_field_has_no_seam_at_the_poles_or_the_date_line(operator):
    """Cartesian coordinates, which a rotation of the sphere makes of one another."""
    column = operator.positions(*FINE.shape)[1]
    widest = np.radians(7.5 * max(np.diff(column, append=column[0] + FINE.shape[1])))
    for field in cartesian(FINE):
        found = interpolate_background(background(single(field), operator), *FINE.shape)[0, 0]
        # In each direction h^2 / 8 of a curvature of one, and h^2 / 24 lost in block means.
        assert np.abs(found - field).max() < widest**2 / 3


def test_between_the_steps_seen_time_is_linear():
    truth = np.random.default_rng(2).standard_normal((7, 2, *GRID.shape)).astype(np.float32)
    seen = background(truth, every=3)
    found = interpolate_background(seen, *GRID.shape)
    for step, expected in {
        0: truth[0],
        1: (2 * truth[0] + truth[3]) / 3,
        2: (truth[0] + 2 * truth[3]) / 3,
        3: truth[3],
        5: (truth[3] + 2 * truth[6]) / 3,
    }.items():
        np.testing.assert_allclose(found[step], expected, atol=1e-4)
    # Constant before the first step seen and after the last; one step alone holds throughout.
    seen.full[[0, 6]] = torch.nan
    found = interpolate_background(seen, *GRID.shape)
    np.testing.assert_allclose(found, np.broadcast_to(truth[3], truth.shape), atol=1e-4)
    seen.full[3] = torch.nan
    with pytest.raises(SlamsError, match=r"seen at no step of the window: lower axes.\*.every"):
        interpolate_background(seen, *GRID.shape)


def test_a_first_guess_is_scaled_to_its_worth():
    """White noise of variance n leaves 1 / (1 + n) of a background's amplitude."""
    of = torch.randn(20, *WINDOW, generator=torch.Generator().manual_seed(0))
    noisy = [background(w.numpy(), noise=2.0, seed=n) for n, w in enumerate(of)]
    first = fit_first_guess(of, np.zeros(of.shape), noisy)
    assert first.amplitude.shape == (STEPS, len(LEVELS))
    np.testing.assert_allclose(first.amplitude, 1 / (1 + 4), atol=0.02)
    guess = np.stack([b.full.numpy() for b in noisy])
    expected = of.numpy() - first.amplitude[..., None, None] * guess
    np.testing.assert_allclose(first.errors, expected, atol=1e-5)
    assert first.errors.var() == pytest.approx(4 / 5, rel=0.02)


def test_steps_between_are_worth_less_than_steps_seen():
    of = windows(20, seed=1)
    seen = [background(w.numpy(), every=2) for w in of]
    first = fit_first_guess(of, np.zeros(of.shape), seen)
    spread = (first.errors**2).mean((0, 2, 3, 4))
    assert max(spread[[0, 2]]) < 1e-6
    assert spread[1] > 0.1
    np.testing.assert_allclose(first.amplitude[[0, 2]], 1, atol=1e-3)


def test_the_climatology_is_the_first_guess_whatever_the_fields_are_relative_to():
    """Fields about a climatology and fields about nothing: the same analysis, relative to each."""
    climate = 5.0 + weather(STEPS, seed=50)
    of, truth = windows(10, seed=2), weather(STEPS, seed=51)
    seen = {}
    for shift in (0 * climate, climate):
        moved = of + torch.from_numpy(shift)
        degraded = [background(w.numpy(), noise=3.0, seed=n) for n, w in enumerate(moved)]
        climates = np.broadcast_to(shift, of.shape)
        first = fit_first_guess(moved, climates, degraded)
        streams = [background(truth + shift, noise=3.0, seed=99)]
        seen[float(shift.max())] = analysis(streams, first, moved, shift) - shift
        nothing = fit_first_guess(moved, climates, None)
        np.testing.assert_allclose(nothing.errors, of, atol=1e-5)
        assert not nothing.amplitude.any()
    np.testing.assert_allclose(*seen.values(), atol=1e-4)
    assert rmse(next(iter(seen.values())), truth) < 1


@pytest.mark.parametrize("noise", [0.1, 1.0, 4.0])
def test_a_background_is_never_worse_than_none(noise):
    """However noisy it is: the interpolation falls back on the climatology by degrees."""
    of = windows(24, seed=3)
    degraded = [background(w.numpy(), BlockMean(2), noise, seed=n) for n, w in enumerate(of)]
    first = fit_first_guess(of, np.zeros(of.shape), degraded)
    found, none = [], []
    for number in range(10):
        truth = weather(STEPS, seed=400 + number)
        streams = [background(truth, BlockMean(2), noise, seed=1000 + number)]
        found.append(rmse(analysis(streams, first, of), truth) ** 2)
        none.append(rmse(ZERO, truth) ** 2)
    assert np.mean(found) < 1.01 * np.mean(none)


STATIONS = thermometers(GRID.latitude[[3]], GRID.longitude[[5]])


def stations(readings: np.ndarray, fit=STATIONS) -> Observation:
    """Anomalies (step, station) in K of what the climatology lets the stations read."""
    operator = StationOperator(fit, Normalisation(statistics()), TIMES)
    variance = torch.from_numpy(fit["error_variance"].values).float()
    value = operator.constant.numpy() + readings
    return Observation(operator, value, variance, TIMES, "stations")


def test_an_isolated_station_pulls_the_cells_around_towards_it():
    of = windows(24, seed=4)
    first = fit_first_guess(of, np.zeros(of.shape), None)
    reading = np.array([[4.0], [np.nan], [-2.0]])
    found = analysis([stations(reading)], first, of)
    assert not found[1].any()
    errors = of.numpy()
    surface = SCALE[-1] * errors[:, :, -1]
    for step in (0, 2):
        power = (surface[:, step] ** 2).mean()
        gain = (errors[:, step] * surface[:, step, None]).mean((0, 2, 3)) / power
        # At its own cell the best linear estimate from one observation.
        expected = gain * reading[step] * power / (power + 1.0)
        np.testing.assert_allclose(found[step, :, 3, 5], expected, rtol=1e-3)
        assert SCALE[-1] * gain[-1] == pytest.approx(1.0)
        assert 0 < gain[0] < gain[-1] * SCALE[-1] / SCALE[0]
        largest = np.unravel_index(np.abs(found[step, -1]).argmax(), GRID.shape)
        assert largest == (3, 5)
        around = np.abs(found[step, -1, 3])
        assert (np.diff(around[5:14]) <= 0).all()
        assert around[13] < 1e-3 * around[5]


def test_zero_innovation_changes_nothing():
    of = windows(8, seed=5)
    first = fit_first_guess(of, np.zeros(of.shape), None)
    np.testing.assert_allclose(analysis([stations(np.zeros((3, 1)))], first, of), 0, atol=1e-4)
    truth = weather(STEPS, seed=60)
    seen = background(truth)
    exact = fit_first_guess(of, np.zeros(of.shape), [background(w.numpy()) for w in of])
    imagery = Observation(
        lambda x: x.mean(2, keepdim=True), truth.mean(1, keepdims=True), 0.1, TIMES, "imagery"
    )
    np.testing.assert_allclose(analysis([seen, imagery], exact, of), truth, atol=1e-4)


def test_a_large_error_dampens_a_station():
    of = windows(8, seed=6)
    first = fit_first_guess(of, np.zeros(of.shape), None)
    drawn = [
        analysis([stations(np.ones((3, 1)), thermometers([56.25], [60.0], variance))], first, of)
        for variance in (0.01, 1.0, 100.0)
    ]
    sizes = [float(np.abs(field[0, -1]).max()) * SCALE[-1] for field in drawn]
    assert sizes[0] > 2 * sizes[2] and sizes == sorted(sizes, reverse=True)
    assert sizes[2] < 0.1


def test_a_station_reaches_as_far_as_errors_do():
    smooth, white = windows(8, seed=7), torch.randn(8, *WINDOW)
    reach = []
    for of in (smooth, white):
        first = fit_first_guess(of, np.zeros(of.shape), None)
        found = analysis([stations(np.ones((3, 1)))], first, of)[0, -1]
        reach.append(found[3, 6] / found[3, 5])
    assert reach[0] > 0.02
    assert 0 <= reach[1] < 1e-3


def test_streams_without_a_value_change_nothing():
    of = windows(4, seed=8)
    first = fit_first_guess(of, np.zeros(of.shape), None)
    nothing = np.full((STEPS, 1, *GRID.shape), np.nan, np.float32)
    imagery = Observation(lambda x: x.mean(2, keepdim=True), nothing, 0.1, TIMES, "imagery")
    found = analysis([imagery, stations(np.full((3, 1), np.nan))], first, of)
    np.testing.assert_array_equal(found, 0)
    with pytest.raises(SlamsError, match=r"was not made by observation.stations"):
        analysis([Observation(Identity(), ZERO, 1.0, TIMES, "stations")], first, of)


def test_imagery_is_carried_to_the_levels_by_regression():
    """A linear operator: the gain is that of linear regression, with its sign and its scale."""
    of = windows(24, seed=9)
    degraded = [background(w.numpy(), BlockMean(4), 0.5, seed=n) for n, w in enumerate(of)]
    first = fit_first_guess(of, np.zeros(of.shape), degraded)
    weights = torch.tensor([0.2, -0.7, 0.4])

    def operator(x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("btlyx,l->btyx", x, weights)[:, :, None]

    truth = weather(STEPS, seed=61)
    seen = background(truth, BlockMean(4), 0.5, seed=99)
    guess = analysis([seen], first, of)
    value = operator(torch.from_numpy(truth)[None])[0]
    value[0, :, :4] = torch.nan
    imagery = Observation(operator, value, 0.3, TIMES, "imagery")
    increment = analysis([seen, imagery], first, of) - guess
    assert not increment[0, :, :4].any()
    in_images = np.einsum("ntlyx,l->ntyx", first.errors, weights.numpy())
    for step in range(STEPS):
        power = (in_images[:, step] ** 2).mean() + 0.3
        gain = (first.errors[:, step] * in_images[:, step, None]).mean((0, 2, 3)) / power
        innovation = np.einsum("lyx,l->yx", truth[step] - guess[step], weights.numpy())
        expected = gain[:, None, None] * innovation
        np.testing.assert_allclose(increment[step, :, 4:], expected[:, 4:], atol=1e-5)
    assert gain[1] < 0 < gain[0]


def test_two_channels_are_carried_by_their_joint_regression_and_one_by_its_own():
    of = windows(24, seed=9)
    first = fit_first_guess(of, np.zeros(of.shape), None)
    weights = torch.tensor([[0.2, -0.7, 0.4], [0.5, 0.5, 0.0]])

    def operator(x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("btlyx,cl->btcyx", x, weights)

    truth = weather(STEPS, seed=61)
    value = operator(torch.from_numpy(truth)[None])[0]
    value[:, 0, :2], value[:, 1, 2:4], value[:, :, 4:6] = torch.nan, torch.nan, torch.nan
    noise = torch.tensor([0.3, 0.1])[:, None, None]
    increment = analysis([Observation(operator, value, noise, TIMES, "imagery")], first, of)
    seen = np.einsum("ntlyx,cl->ntcyx", first.errors, weights.numpy())
    for step in range(STEPS):
        flat = np.moveaxis(seen[:, step], 1, 0).reshape(2, -1)
        levels = np.moveaxis(first.errors[:, step], 1, 0).reshape(len(truth[0]), -1)
        count = flat.shape[1]
        power = flat @ flat.T / count + np.diag([0.3, 0.1])
        together = levels @ flat.T / count
        gains = {
            (0, 2): together[:, 1:] / power[1, 1],
            (2, 4): together[:, :1] / power[0, 0],
            (6, 8): together @ np.linalg.inv(power),
        }
        for (begin, end), gain in gains.items():
            innovation = value[step].numpy()[:, begin:end]
            there = np.isfinite(innovation).all((1, 2))
            expected = np.einsum("lc,cyx->lyx", gain, innovation[there])
            np.testing.assert_allclose(increment[step, :, begin:end], expected, atol=1e-5)
        assert not increment[step, :, 4:6].any()


def test_an_operators_own_error_counts():
    of = windows(8, seed=10)
    first = fit_first_guess(of, np.zeros(of.shape), None)
    value = torch.ones(STEPS, 1, *GRID.shape)
    sure, unsure = (
        analysis(
            [
                Observation(
                    lambda x: x.mean(2, keepdim=True),
                    value,
                    lambda x, v=v: v + 0 * x[:, :, :1],
                    TIMES,
                    "imagery",
                )
            ],
            first,
            of,
        )
        for v in (0.01, 10.0)
    )
    assert np.abs(unsure).max() < 0.3 * np.abs(sure).max()


def twin(names: set[str], number: int, fit) -> tuple[list[Observation], np.ndarray]:
    """Streams drawn from one truth: a coarse background, stations, images of the mean level."""
    truth = weather(STEPS, seed=7000 + number)
    rng = np.random.default_rng(number)
    streams = []
    if "background" in names:
        streams.append(background(truth, BlockMean(4), 0.3, every=2, seed=number))
    if "stations" in names:
        operator = StationOperator(fit, Normalisation(statistics()), TIMES)
        exact = operator(torch.from_numpy(truth)[None])[0] - operator.constant
        deviation = np.sqrt(fit["error_variance"].values)
        streams.append(stations(exact.numpy() + deviation * rng.standard_normal(exact.shape), fit))
    if "imagery" in names:
        value = truth.mean(1, keepdims=True)
        value = value + 0.3 * rng.standard_normal(value.shape)
        value[rng.random(value.shape) < 0.3] = np.nan
        streams.append(
            Observation(
                lambda x: x.mean(2, keepdim=True), value.astype(np.float32), 0.09, TIMES, "imagery"
            )
        )
    return streams, truth


@pytest.mark.parametrize("start", [set(), {"background"}], ids=["climatology", "background"])
def test_every_stream_that_is_added_brings_the_analysis_closer(start):
    of = windows(24, seed=11)
    degraded = [
        background(w.numpy(), BlockMean(4), 0.3, every=2, seed=5000 + n) for n, w in enumerate(of)
    ]
    first = fit_first_guess(of, np.zeros(of.shape), degraded if start else None)
    rng = np.random.default_rng(0)
    fit = thermometers(
        np.degrees(np.arcsin(rng.uniform(-1, 1, 60))), rng.uniform(0, 360, 60), variance=0.25
    )

    def error(names: set[str]) -> float:
        squares = []
        for number in range(12):
            streams, truth = twin(start | names, number, fit)
            found = analysis(streams, first, of) if streams else ZERO
            squares.append(rmse(found, truth) ** 2)
        return float(np.sqrt(np.mean(squares)))

    alone, with_stations, with_images = error(set()), error({"stations"}), error({"imagery"})
    both = error({"stations", "imagery"})
    assert with_stations < 0.97 * alone
    assert with_images < 0.97 * alone
    assert both < min(with_stations, with_images)


def test_what_is_believed_less_moves_interpolation_less():
    """An error that quality control has added takes its share of the observation's weight."""
    errors = windows(6, seed=3).numpy().astype(np.float64)
    first = FirstGuess(np.zeros((STEPS, len(LEVELS))), errors)
    fit = thermometers([10.0, -30.0], [20.0, 200.0])
    operator = StationOperator(fit, Normalisation(statistics()), TIMES)
    value = operator(torch.zeros(1, *WINDOW))[0] + 4.0

    def increments(*extra: float) -> np.ndarray:
        stations = Observation(operator, value, 1.0, TIMES, "stations")
        if extra:
            stations.inflate(torch.tensor(extra).expand(STEPS, 2))
        return analysis([stations], first, windows(6, seed=4))

    plain, none, less = increments(), increments(0.0, 0.0), increments(30.0, 0.0)
    np.testing.assert_array_equal(plain, none)
    cells = [(int((90 - lat) // 22.5), int(lon // 22.5)) for lat, lon in ((10, 20), (-30, 200))]
    (a, b), (c, d) = cells
    assert (np.abs(less[..., a, b]) < 0.3 * np.abs(plain[..., a, b])).all()
    np.testing.assert_allclose(less[..., c, d], plain[..., c, d], atol=1e-3)


def test_a_background_of_chosen_cells_is_not_interpolated():
    masked = background(np.zeros(WINDOW), Masked(np.ones(GRID.shape)), noise=0.1)
    with pytest.raises(SlamsError, match=r"interpolated from whole rows and columns"):
        interpolate_background(masked, ROWS, COLUMNS)
