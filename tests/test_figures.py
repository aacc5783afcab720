"""Figures are made of synthetic results, whole and of the awkward kinds, and saved."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from slams import figures
from slams.errors import SlamsError
from slams.grid import Grid
from slams.verification import COLUMNS

ARMS = ["pixel-background", "latent-background", "latent-stations", "latent-imagery", "latent-both"]
NO_BACKGROUND = "latent-no-background"
CELLS = {"coarse": [4, 8, 12, 20], "noise": [0.5, 1, 2, 4], "sparse": [4, 8, 16]}


def scores_of(
    arms: list[str] | None = None,
    cells: dict[str, list[float]] | None = None,
    levels: tuple[float, ...] = (50, 200, 500, 700, 850, 1000),
    intervals: bool = True,
    no_background: bool = True,
) -> pd.DataFrame:
    """A merged table that looks like that of an experiment."""
    arms = ARMS if arms is None else arms
    rows = []
    where = [(a, x, v) for a in arms for x, vs in (cells or CELLS).items() for v in vs]
    where += [(NO_BACKGROUND, "none", 0.0)] if no_background else []
    for arm, axis, strength in where:
        place = (cells or CELLS).get(axis, [0.0]).index(strength)
        quality = 1.0 - 0.1 * (arms.index(arm) if arm in arms else 3)
        for level in ["all", *levels]:
            depth = 1.0 if level == "all" else 0.7 + 0.5 * np.sin(level / 300)
            base = {
                "analysis": quality * (0.7 + 0.35 * place) + (1.2 if axis == "none" else 0),
                "interpolation": 0.9 + 0.6 * place + (1.5 if axis == "none" else 0),
                "climatology": 2.6,
            }
            for method, size in base.items():
                crps = size * depth
                values = {"crps": crps, "rmse": 1.8 * crps, "bias": 0.1 * np.cos(10 * crps)}
                if method != "interpolation":
                    values |= {"spread": 1.5 * crps, "spread_skill": 1.5 / 1.8}
                for score, value in values.items():
                    half = 0.08 * abs(value) if intervals else np.nan
                    rows.append(
                        {
                            "arm": arm,
                            "axis": axis,
                            "axis_value": float(strength),
                            "method": method,
                            "score": score,
                            "level": level if level == "all" else f"{level:g}",
                            "case": "all",
                            "bin": -1,
                            "value": value,
                            "lower": value - half,
                            "upper": value + half,
                            "unit": "1" if score == "spread_skill" else "K",
                            "cases": 4,
                            "members": {"analysis": 8, "interpolation": 1, "climatology": 0}[
                                method
                            ],
                        }
                    )
    return pd.DataFrame(rows)[list(COLUMNS)]


def smooth(grid: Grid, rng: np.random.Generator, waves: int = 6) -> np.ndarray:
    """A field of a few large waves, (latitude, longitude)."""
    phi, lam = np.deg2rad(grid.latitude)[:, None], np.deg2rad(grid.longitude)[None, :]
    field = np.zeros(grid.shape)
    for k in range(1, waves):
        field += rng.normal() * np.cos(phi) ** 2 * np.cos(k * lam + 3 * rng.normal() * phi) / k**0.5
    return field


def analysis_of(spacing: float = 7.5, members: int = 4, steps: int = 1) -> xr.Dataset:
    """One case at two levels of a planet with a warm equator."""
    grid, rng = Grid(spacing), np.random.default_rng(0)
    mean = 255 + 45 * np.cos(np.deg2rad(grid.latitude))[:, None] ** 2 * np.ones(grid.shape)
    shape = (1, steps, 2, *grid.shape)
    truth = np.broadcast_to(mean + 4 * smooth(grid, rng), shape)
    best = truth + smooth(grid, rng)
    noise = [smooth(grid, rng) for _ in range(members)]
    field = ("case", "step", "level", "latitude", "longitude")
    coarse = truth + 2 * rng.normal(size=shape)
    return xr.Dataset(
        {
            "analysis": (("case", "member", *field[1:]), np.stack([best + n for n in noise], 1)),
            "truth": (field, truth),
            "interpolation": (field, coarse),
            "climatology": (field, np.broadcast_to(mean, shape)),
            "climatology_spread": (field[2:], np.full((2, *grid.shape), 4.0)),
        },
        {
            "time": (("case", "step"), np.full((1, steps), "2001-01-05", "datetime64[ns]")),
            "level": [500.0, 850.0],
            "latitude": grid.latitude,
            "longitude": grid.longitude,
        },
        {"arm": "latent-both", "axis": "coarse", "axis_value": 4},
    )


def land(spacing: float = 5.0) -> xr.DataArray:
    """Two continents, one of them across the date line."""
    grid = Grid(spacing)
    east = (grid.longitude + 60) % 360
    inside = (abs(grid.latitude) < 50)[:, None] & ((east < 100) | (abs(east - 230) < 30))[None, :]
    coords = {"latitude": grid.latitude, "longitude": grid.longitude}
    return xr.DataArray(inside.astype(float), coords, ("latitude", "longitude"))


def station_table(stations: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    count = rng.integers(1, 400, stations)
    places = pd.DataFrame(
        {
            "station_id": [f"{i:06d}-99999" for i in range(stations)],
            "latitude": np.rad2deg(np.arcsin(rng.uniform(-0.9, 0.98, stations))),
            "longitude": rng.uniform(0, 360, stations),
            "elevation": 10.0,
        }
    )
    return places.loc[places.index.repeat(count)].reset_index(drop=True)


REJECTED = pd.DataFrame(
    {
        "file": ["a.gz", "b.gz", "c.csv", "c.csv"],
        "station_id": ["1", "2", "3", "3"],
        "reason": ["missing_value", "missing_value", "gross error", "position 0/0"],
        "rows": [9000, 1200, 41, 3],
    }
)


def curve(steps: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    step = np.arange(0, steps, 5)
    loss = 0.1 + np.exp(-step / 60) * rng.lognormal(0, 0.1, step.size)
    validation = np.where(step % 50 == 0, loss * 1.05, np.nan)
    return pd.DataFrame(
        {"step": step, "train_loss": loss, "validation_loss": validation, "seconds": step * 0.2}
    )


def residuals(constant: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    sd = np.full(2000, 1.5) if constant else rng.uniform(1, 6, 2000)
    stream = np.repeat(["stations", "imagery"], 1000)
    return pd.DataFrame(
        {"stream": stream, "predicted_sd": sd, "residual": rng.normal(size=2000) * sd * 1.1}
    )


@pytest.fixture
def drawn(tmp_path):
    """A function that saves a figure and checks that something was drawn."""

    def check(figure):
        paths = figures.save(figure, tmp_path / "figures" / "it")
        assert [path.suffix for path in paths] == [".pdf", ".png"]
        pixels = np.asarray(Image.open(paths[1]).convert("L"))
        assert pixels.std() > 5
        # Nothing is clipped: the rim of the canvas is empty.
        assert pixels[[0, -1]].min() > 250 and pixels[:, [0, -1]].min() > 250
        assert len(list(paths[0].parent.iterdir())) == 2
        return paths

    return check


class TestAblation:
    @pytest.mark.parametrize("score", ["crps", "rmse", "bias", "spread", "spread_skill"])
    def test_every_score(self, drawn, score):
        figure = figures.ablation_curves(scores_of(), score)
        assert len(figure.axes) == 3
        drawn(figure)

    def test_one_cell_one_arm_no_interval(self, drawn):
        few = scores_of(["only"], {"noise": [1.0]}, intervals=False, no_background=False)
        drawn(figures.ablation_curves(few, level="500"))

    def test_only_an_arm_without_background(self, drawn):
        drawn(figures.ablation_curves(scores_of([])))

    def test_a_cell_that_has_not_run(self, drawn):
        scores = scores_of().query("not (arm == 'latent-both' and axis == 'noise')")
        drawn(figures.ablation_curves(scores, arms=[*ARMS, NO_BACKGROUND, "later"]))

    def test_baselines_are_drawn_once(self):
        figure = figures.ablation_curves(scores_of())
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels == [*ARMS, NO_BACKGROUND, "interpolation", "climatology"]

    def test_unknown_score_or_arm(self):
        with pytest.raises(SlamsError, match="no score skill"):
            figures.ablation_curves(scores_of(), "skill")
        with pytest.raises(SlamsError, match="latent-both"):
            figures.ablation_curves(scores_of(), arms=ARMS[:1])


def test_an_arm_keeps_its_look():
    looks = figures.arm_styles(ARMS)
    assert looks["latent-imagery"] == figures.arm_styles([*ARMS, "more"])["latent-imagery"]
    paper = figures.arm_styles([*ARMS, "paper-pixel", "paper-latent"])
    one, other = paper["paper-pixel"], paper["paper-latent"]
    assert (one.marker, one.line) == (other.marker, other.line) and one.color != other.color
    assert one.marker not in {paper[arm].marker for arm in ARMS}
    many = figures.arm_styles([str(i) for i in range(20)])
    assert len(set(many.values())) == 20


class TestProfiles:
    @pytest.mark.parametrize("levels", [(850,), (500, 850), (10, 50, 100, 500, 850, 925, 1000)])
    def test_levels(self, drawn, levels):
        drawn(figures.profiles(scores_of(levels=levels), "coarse", 4))

    def test_one_arm_without_intervals(self, drawn):
        few = scores_of(["only"], intervals=False, no_background=False)
        drawn(figures.profiles(few, "noise", 0.5))

    def test_unknown_cell(self):
        with pytest.raises(SlamsError, match="no cell coarse-5; it has coarse-4"):
            figures.profiles(scores_of(), "coarse", 5)


class TestMaps:
    def test_with_coast(self, drawn):
        drawn(figures.maps(analysis_of(), land_mask=land()))

    def test_one_member_missing_interpolation_no_mask(self, drawn):
        analysis = analysis_of(members=1)
        analysis["interpolation"][:] = np.nan
        drawn(figures.maps(analysis, level=500.0))

    def test_unknown_level(self):
        with pytest.raises(SlamsError, match="no level 1000 hPa; it has 500, 850"):
            figures.maps(analysis_of(), level=1000.0)


class TestOthers:
    def test_losses(self, drawn):
        drawn(figures.losses({"autoencoder": curve(), "prior-pixel": curve(30)}))
        small, negative = curve(), curve()
        small[["train_loss", "validation_loss"]] = (
            0.5 + small[["train_loss", "validation_loss"]] / 9
        )
        negative[["train_loss", "validation_loss"]] -= 0.5
        figure = figures.losses({"wide": curve(), "small": small, "likelihood": negative})
        drawn(figure)
        assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]
        with pytest.raises(SlamsError, match="no loss curve"):
            figures.losses({})

    def test_stations(self, drawn):
        drawn(figures.stations(station_table(), REJECTED, land()))
        drawn(figures.stations(station_table(1), REJECTED.iloc[:0]))
        with pytest.raises(SlamsError, match="no station"):
            figures.stations(station_table().iloc[:0], REJECTED)

    def test_operator_fit(self, drawn):
        drawn(figures.operator_fit(residuals()))
        drawn(figures.operator_fit(residuals(constant=True)))
        with pytest.raises(SlamsError, match="no residual"):
            figures.operator_fit(residuals().iloc[:0])

    def test_levels(self, drawn):
        grid = Grid(15.0)
        heights = np.array([10.0, 100, 300, 500, 850, 1000])
        row = 1 + np.cos(np.deg2rad(grid.latitude)) ** 2
        values = 200 + 8 * np.log(heights)[:, None] * row
        section = xr.DataArray(
            values, {"level": heights, "latitude": grid.latitude}, ("level", "latitude")
        ).expand_dims(time=2)
        drawn(figures.levels(section))
        drawn(figures.levels(section.isel(level=[2, 4])))


def test_saving_again_gives_the_same_bytes(tmp_path):
    def once(name):
        return [
            p.read_bytes() for p in figures.save(figures.losses({"a": curve()}), tmp_path / name)
        ]

    assert once("a") == once("b")
