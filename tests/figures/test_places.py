"""Maps, increments, animations, time series: of made analyses, whole and of awkward kinds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from figures.made import REJECTED, cell_of, land, network
from PIL import Image, ImageSequence
from worlds import GRID, LEVELS, SHAPE, days, statistics, thermometers

from slams import figures
from slams.errors import SlamsError
from slams.figures import colours, sphere
from slams.figures.maps import station_places
from slams.figures.place import at_level, choose_station, place_name
from slams.grid import Grid


class TestMaps:
    def test_with_coast(self, drawn):
        figure = figures.maps(*cell_of(), land_mask=land())
        titles = [axes.get_title(loc="left") for axes in figure.axes[:6]]
        assert [title.partition(":")[0] for title in titles] == [
            *("truth", "background", "analysis mean", "optimal interpolation"),
            *("spread of 4 members", "error of the analysis mean"),
        ]
        drawn(figure)

    def test_departures_are_centred_and_temperatures_share_a_scale(self):
        figure = figures.maps(*cell_of())
        meshes = [axes.collections[0] for axes in figure.axes[:6]]
        assert len({mesh.get_clim() for mesh in meshes[:4]}) == 1
        low, high = meshes[5].get_clim()
        assert low == -high
        assert meshes[4].get_clim()[0] == 0

    def test_without_background_oi_spread_and_mask(self, drawn):
        analysis, classical = cell_of(members=1, background=False)
        figure = figures.maps(analysis, classical.drop_vars("oi"), level=500.0)
        titles = " ".join(axes.get_title(loc="left") for axes in figure.axes)
        for said in ("climatology, no background", "no optimal interpolation", "no spread"):
            assert said in titles
        drawn(figure)

    def test_a_planet_of_water_has_no_coast(self):
        sea = land() * 0
        with_sea, without = (figures.maps(*cell_of(), land_mask=m) for m in (sea, None))
        counts = [[len(a.collections) for a in f.axes] for f in (with_sea, without)]
        assert counts[0] == counts[1]
        ashore = figures.maps(*cell_of(), land_mask=land())
        assert len(ashore.axes[0].collections) > len(without.axes[0].collections)

    def test_unknown_level(self):
        with pytest.raises(SlamsError, match="no level 1000 hPa; it has 500, 850"):
            figures.maps(*cell_of(), level=1000.0)

    def test_the_projection_keeps_areas(self):
        """A cell at 60 degrees is half as large as one at the equator, on the map, too."""

        def area(latitude):
            corners = [(0, latitude), (1, latitude), (1, latitude + 1), (0, latitude + 1)]
            x, y = np.array(
                [sphere.projection().transform_point(*c, sphere.PLATE) for c in corners]
            ).T
            return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2

        sizes = [np.sin(np.deg2rad(lat + 1)) - np.sin(np.deg2rad(lat)) for lat in (0, 60)]
        # To the spheroid's flattening.
        assert area(60) / area(0) == pytest.approx(sizes[1] / sizes[0], rel=0.02)


class TestIncrements:
    def test_with_stations(self, drawn):
        analysis, classical = cell_of()
        figure = figures.increments(analysis, classical, land_mask=land())
        assert "dots: 19 stations assimilated" in figure._suptitle.get_text()
        assert len(station_places(analysis, 0, 0)[0]) == 19
        drawn(figure)

    def test_what_is_drawn_is_the_difference(self):
        analysis, classical = cell_of()
        mesh = figures.increments(analysis, classical).axes[1].collections[0]
        now = analysis.isel(case=0, step=0).sel(level=850.0)
        wanted = now["analysis"].mean("member") - now["background"]
        assert np.sort(np.asarray(mesh.get_array()).ravel()) == pytest.approx(
            np.sort(wanted.values.ravel())
        )
        assert mesh.get_clim()[0] == -mesh.get_clim()[1]

    def test_without_stations_or_background(self, drawn):
        figure = figures.increments(*cell_of(background=False, stations=0))
        assert "truth minus climatology" in figure.axes[0].get_title(loc="left")
        drawn(figure)


class TestAnimation:
    def test_every_step_is_a_frame(self, drawn, tmp_path):
        window = figures.Window(*cell_of(steps=3), land_mask=land())
        drawn(window.figure())
        path = window.save(tmp_path / "film")
        with Image.open(path) as film:
            frames = [np.asarray(f.convert("RGB"), int) for f in ImageSequence.Iterator(film)]
            assert film.info["loop"] == 0 and film.info["duration"] == 800
        assert path.name == "film.gif" and len(frames) == 3
        assert all(abs(one - frames[0]).max() > 100 for one in frames[1:])
        # The frames' rims are empty: nothing moved out of the picture.
        assert min(frame[[0, -1]].min() for frame in frames) > 250

    def test_colours_survive_the_palette(self, tmp_path):
        window = figures.Window(*cell_of(steps=1))
        with Image.open(window.save(tmp_path / "film")) as film:
            found = {tuple(pixel) for pixel in np.asarray(film.convert("RGB")).reshape(-1, 3)}
        ends = (255 * np.array(colours.DEPARTURE([0.0, 1.0]))[:, :3]).round()
        for end in ends:
            assert min(np.abs(end - np.array(colour)).max() for colour in found) <= 8

    def test_one_step_one_member(self, drawn, tmp_path):
        window = figures.Window(*cell_of(steps=1, members=1))
        drawn(window.figure())
        assert window.save(tmp_path / "film").stat().st_size > 1000


def test_departures_are_perceptually_uniform():
    """Equal steps in CIE L*a*b*, as light on either side, and every colour can be shown."""
    lab = colours.diverging_lab()
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps == pytest.approx(np.full(len(steps), steps[0]))
    assert lab[:, 0] == pytest.approx(lab[::-1, 0])
    middle = len(lab) // 2
    assert lab[middle, 1:] == pytest.approx([0, 0]) and lab[middle, 0] == lab[:, 0].max()
    rgb = colours.lab_to_rgb(lab)
    assert rgb.min() > -0.005 and rgb.max() < 1.005
    assert colours.lab_to_rgb(np.array([[100.0, 0, 0], [0, 0, 0]])) == pytest.approx(
        np.array([[1.0, 1, 1], [0, 0, 0]]), abs=2e-3
    )


def station_world() -> tuple[xr.Dataset, xr.Dataset, figures.Stations]:
    """An analysis on the small world's grid, three thermometers, and what they reported."""
    fitted = thermometers(
        np.array([11.25, 33.75, -33.75]), np.array([11.25, 33.75, 180.0]), held_out=2
    )
    times = days("2001-03-01", 4).reshape(2, 2)
    fields = 250 + np.random.default_rng(0).normal(size=(2, 3, 2, *SHAPE))
    field = ("case", "step", "level", "latitude", "longitude")
    coordinates = {
        "level": LEVELS,
        "latitude": GRID.latitude,
        "longitude": GRID.longitude,
        "time": (("case", "step"), times),
    }
    analysis = xr.Dataset(
        {"analysis": (("case", "member", *field[1:]), fields), "truth": (field, fields[:, 0])},
        coordinates,
        {"arm": "pixel", "axis": "none"},
    )
    classical = xr.Dataset(
        {
            "oi": (field, fields[:, 1]),
            "oi_stations": (("case", "step", "station"), np.full((2, 2, 2), 281.0)),
        },
        coordinates | {"station": fitted["station"].values[:2]},
    )
    table = pd.DataFrame(
        {
            "station_id": ["S0000"] * 2 + ["S0001"] * 3 + ["S0002"] * 4,
            "time": [*times.ravel()[:2], *times.ravel()[:3], *times.ravel()],
            "air_temperature": 280.0 + np.arange(9),
        }
    )
    places = fitted[["latitude", "longitude"]].to_dataframe().reset_index(names="station_id")
    return analysis, classical, figures.Stations(fitted, table.merge(places), statistics())


class TestSeries:
    def test_the_held_out_station_that_reports_most(self, drawn):
        analysis, classical, stations = station_world()
        found = figures.lines(analysis, classical, [0, 1], stations=stations)
        assert found[1].title == "2 m, station S0001, never assimilated\n33.8° N, 33.8° E"
        assert found[0].title.startswith("850 hPa, cell at 33.8° N, 33.8° E")
        assert found[1].truth[0] == pytest.approx([282, 283])
        assert found[1].truth[1, 0] == 284 and np.isnan(found[1].truth[1, 1])
        assert (found[1].oi == 281).all() and found[1].error == 1.0
        figure = figures.series(found, figures.arm_styles(["pixel"])["pixel"], "pixel")
        assert len(figure.axes) == 4
        drawn(figure)

    def test_a_thermometer_that_reads_the_lowest_level_says_what_it_is(self):
        """The made stations read the cell they stand in, at the lowest level."""
        analysis, classical, stations = station_world()
        level, station = figures.lines(analysis, classical, [0, 1], stations=stations)
        assert station.members == pytest.approx(level.members, abs=1e-3)

    def test_reports_are_read_as_they_are_needed(self):
        analysis, classical, stations = station_world()
        table, asked = stations.table, []

        def of(times):
            asked.append(np.size(times))
            return table[table["time"].isin(np.ravel(times))]

        lazy = replace(stations, table=of)
        shown = [0, 1]
        for one, other in zip(
            figures.lines(analysis, classical, shown, stations=lazy),
            figures.lines(analysis, classical, shown, stations=stations),
            strict=True,
        ):
            np.testing.assert_array_equal(one.truth, other.truth)
            assert one.title == other.title
        assert asked == [4, 2, 2]

    def test_the_station_nearest_to_a_place(self):
        _, _, stations = station_world()
        times = days("2001-03-01", 4)
        assert choose_station(stations, times, (10.0, 10.0)) == "S0000"
        # S0002 is nearest, but it was assimilated.
        assert choose_station(stations, times, (-30.0, 179.0)) != "S0002"
        assert choose_station(stations, days("1990-01-01", 2), None) is None

    def test_without_stations_one_row(self, drawn):
        analysis, classical = cell_of(steps=1)
        found = figures.lines(analysis, classical.drop_vars("oi"), [0, 1])
        assert len(found) == 1 and found[0].oi is None
        drawn(figures.series(found, figures.arm_styles(["a"])["a"]))

    def test_the_cell_is_that_of_the_place(self):
        analysis, classical = cell_of()
        line = at_level(analysis, classical, (-44.0, -10.0), [1], 500.0)
        cell = (
            analysis.sel(level=500.0)
            .isel(case=[1])
            .sel(latitude=-44, longitude=350, method="nearest")
        )
        assert line.truth == pytest.approx(cell["truth"].values)
        assert place_name(-44.0, 350.0) == "44.0° S, 10.0° W"
        with pytest.raises(SlamsError, match=r"report\.place: 95, 0"):
            figures.lines(analysis, classical, [0], place=(95.0, 0.0))

    @pytest.mark.parametrize(
        ("cases", "steps", "shown"), [(24, 5, 4), (4, 3, 4), (24, 1, 6), (3, 60, 1), (1, 1, 1)]
    )
    def test_no_more_cases_than_there_is_room_for(self, cases, steps, shown):
        chosen = figures.shown_cases(cases, steps)
        assert len(chosen) == shown and chosen[0] == 0 and max(chosen) < cases

    def test_a_long_window_of_six_hours(self, drawn):
        analysis, classical = cell_of(steps=24, cases=1)
        six = analysis["time"].values[:, :1] + np.arange(24) * np.timedelta64(6, "h")
        coordinate = {"time": (("case", "step"), six)}
        found = figures.lines(analysis.assign_coords(coordinate), classical, [0])
        drawn(figures.series(found, figures.arm_styles(["a"])["a"], "a"))


class TestOthers:
    def test_stations(self, drawn):
        figure = figures.stations(network(), REJECTED, land())
        rows = network()["rows"]
        title = f"{len(rows)} stations, {rows.sum():,} observations kept"
        assert title in {axes.get_title(loc="left") for axes in figure.axes}
        drawn(figure)
        drawn(figures.stations(network(1), REJECTED.iloc[:0]))
        with pytest.raises(SlamsError, match="no station"):
            figures.stations(network().iloc[:0], REJECTED)

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
