"""The synthetic planet: what it writes can be read, is true, is defective as stated, and moves."""

import csv
import gzip
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest

from slams.archives import era5, gridsat, isd, planet, planet_imagery, planet_stations
from slams.archives.planet import Planet
from slams.errors import SlamsError

PERIOD = {"start": "2000-11-20", "end": "2001-02-10"}
OPTIONS = {"levels": [850, 200, 500], "spacing": 11.25, "stations": 30, "imagery_spacing": 5.0}
LATITUDE = np.arange(80.0, -81.0, -10.0)
LONGITUDE = np.arange(0.0, 360.0, 10.0)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    planet.write(folder, **PERIOD, **OPTIONS, seed=4)
    return folder


@pytest.fixture(scope="module")
def truth() -> Planet:
    return Planet(**PERIOD, seed=4)


@pytest.fixture(scope="module")
def anomaly() -> np.ndarray:
    """Two years about the annual cycle: (time, level 200 | 500 | 850, latitude, longitude), K."""
    world = Planet("2000-01-01", "2001-12-31", seed=1)
    times = np.arange("2000-01-01", "2002-01-01", dtype="datetime64[D]")
    field = world.temperature(times, [200, 500, 850], LATITUDE[:, None], LONGITUDE)
    phase = 2 * np.pi * np.arange(len(times))[:, None] / 365.2425
    waves = [np.ones_like(phase), *(f(k * phase) for f in (np.sin, np.cos) for k in (1, 2, 3))]
    design, flat = np.hstack(waves), field.reshape(len(times), -1)
    return (flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]).reshape(field.shape)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# The files' layout


def test_era5_files_have_the_layout_of_the_climate_data_store(raw: Path) -> None:
    names = sorted(path.name for path in raw.glob("era5/2000/*"))
    assert names == ["era5_t_2000-11.nc", "era5_t_2000-12.nc"]
    with netCDF4.Dataset(raw / "era5/2000/era5_t_2000-11.nc") as file:
        assert file.data_model == "NETCDF4"
        t = file["t"]
        assert t.dimensions == ("valid_time", "pressure_level", "latitude", "longitude")
        assert (t.dtype, t.units, t.standard_name) == (np.float32, "K", "air_temperature")
        assert t.filters()["zlib"]
        assert file["valid_time"].dtype == np.int64
        assert file["valid_time"].units == "seconds since 1970-01-01"
        assert file["valid_time"][0] == pd.Timestamp("2000-11-20").timestamp()
        assert file["pressure_level"][:].tolist() == [850.0, 500.0, 200.0]
        assert file["latitude"][[0, -1]].tolist() == [90.0, -90.0]
        assert file["longitude"][[0, -1]].tolist() == [0.0, 348.75]
        assert set(file["expver"][:]) == {"0001"}
        assert file["number"].shape == ()


def test_gridsat_files_are_packed_and_end_at_70_degrees(raw: Path) -> None:
    path = raw / "gridsat/2001/GRIDSAT-B1.2001.01.01.00.v02r01.nc"
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        image = file["irwin_cdr"]
        assert (image.dtype, image.dimensions) == (np.int16, ("time", "lat", "lon"))
        assert image.scale_factor == pytest.approx(0.01)
        assert (image.add_offset, image._FillValue) == (200, -31999)
        assert file.dimensions["time"].isunlimited()
        assert file["time"][:].tolist() == [pd.Timestamp("2001-01-01").timestamp() / 3600]
        assert file["lat"][[0, -1]].tolist() == [-70.0, 70.0]
        assert file["lon"][[0, -1]].tolist() == [-180.0, 175.0]


def test_no_temporary_file_remains(raw: Path) -> None:
    assert not list(raw.rglob("*.partial"))


# The project's readers and the truth


def test_era5_reader_gives_the_truth(raw: Path, truth: Planet) -> None:
    field = era5.open(sorted(raw.glob("era5/*/era5_t_*.nc")))
    assert field.sizes["time"] == 83
    expected = truth.temperature(
        field.time.values, field.level.values, field.latitude.values[:, None], field.longitude
    )
    np.testing.assert_allclose(field.values, expected, atol=2e-3)
    # A pole is one place.
    assert np.ptp(field.values[:, :, 0], axis=-1).max() < 5e-3


def test_land_mask_is_the_truth_and_a_third_land(raw: Path, truth: Planet) -> None:
    mask = era5.open_land_mask(raw / "era5/land_sea_mask.nc")
    expected = truth.land(mask.latitude.values[:, None], mask.longitude.values)
    np.testing.assert_allclose(mask.values, expected, atol=1e-5)
    weights = np.cos(np.deg2rad(mask.latitude))
    assert 0.2 < float(mask.weighted(weights).mean()) < 0.4


def test_gridsat_reader_gives_the_truth_and_the_gaps(raw: Path, truth: Planet) -> None:
    missing, errors = [], []
    for path in sorted(raw.glob("gridsat/*/*.nc")):
        image = gridsat.open(path)
        expected = truth.brightness_temperature(
            image.time.values, image.latitude.values[:, None], image.longitude.values
        )
        errors.append((image.values - expected)[~np.isnan(image.values)])
        missing.append(float(np.isnan(image.values).mean()))
    error = np.concatenate(errors)
    assert abs(error.mean()) < 0.02
    assert error.std() == pytest.approx(planet_imagery.NOISE_SD, rel=0.05)
    assert 0 < np.median(missing) < 0.02
    assert 0.03 < np.mean(np.array(missing) > 0.05) < 0.35  # a sector is lost


def test_water_vapour_comes_with_the_same_gaps(tmp_path: Path) -> None:
    start, days = "2000-01-01", pd.date_range("2000-01-01", "2000-01-20")
    world = Planet(start, "2000-01-20")
    folders = {}
    for channels in (["irwin_cdr"], ["irwin_cdr", "irwvp"]):
        folders[len(channels)] = tmp_path / str(len(channels))
        planet_imagery.write(folders[len(channels)], world, days, 10.0, channels)
    errors = []
    for path in sorted(folders[2].rglob("*.nc")):
        window, vapour = gridsat.open(path), gridsat.open(path, "irwvp")
        # A second channel leaves the first as it is.
        alone = folders[1] / path.relative_to(folders[2])
        np.testing.assert_array_equal(window, gridsat.open(alone))
        np.testing.assert_array_equal(np.isnan(window), np.isnan(vapour))
        expected = world.water_vapour_brightness_temperature(
            vapour.time.values, vapour.latitude.values[:, None], vapour.longitude.values
        )
        errors.append((vapour.values - expected)[~np.isnan(vapour.values)])
    error = np.concatenate(errors)
    assert abs(error.mean()) < 0.02
    assert error.std() == pytest.approx(planet_imagery.NOISE_SD, rel=0.05)
    # It sees higher, and so colder, air than the window does.
    assert float(vapour.mean()) < float(window.mean()) - 5


def test_some_imagery_files_do_not_exist(tmp_path: Path) -> None:
    times = pd.date_range("2000-01-01", "2000-12-31")
    planet_imagery.write(tmp_path, Planet("2000-01-01", "2000-12-31"), times, 30.0)
    assert 358 <= len(list(tmp_path.rglob("*.nc"))) < 366


# Stations and their defects


@pytest.fixture(scope="module")
def history(raw: Path) -> pd.DataFrame:
    return isd.read_history(raw / "isd/isd-history.csv")


def test_station_list_has_the_archive_s_defects(raw: Path, history: pd.DataFrame) -> None:
    listed = rows(raw / "isd/isd-history.csv")
    assert len(listed) == 30 + 6
    assert sum(row["LAT"] == "" for row in listed) == 2  # one of them bogus
    assert sum(row["LAT"] == "+00.000" and row["LON"] == "+000.000" for row in listed) == 1
    assert sum("BOGUS" in row["STATION NAME"] for row in listed) == 1
    places = [(row["LAT"], row["LON"]) for row in listed if row["LAT"]]
    assert len(places) - len(set(places)) == 1
    assert any(row["USAF"].startswith("A") for row in listed)
    assert history.attrs["rejected"] == {"bogus": 1, "no position": 2}
    assert len(history) == 33
    text = (raw / "isd/isd-history.csv").read_text()
    assert all(line.startswith('"') and line.endswith('"') for line in text.splitlines())


def test_sound_reports_are_the_truth_with_bias_and_error(
    raw: Path, history: pd.DataFrame, truth: Planet
) -> None:
    kinds = {s.usaf + s.wban: s for s in planet_stations.network(truth, 30)}
    biases, spreads, gross = [], [], 0
    for paths in (raw.glob("isd/isd-lite/2000/*"), raw.glob("isd/global-hourly/2000/*")):
        for path in paths:
            table, _ = isd.read(path, history)
            if len(table) < 30:
                continue
            station = kinds[table["station_id"].iloc[0]]
            assert table["latitude"].unique().tolist() == [station.latitude]
            assert table["longitude"].unique() == pytest.approx(station.longitude % 360)
            assert table["elevation"].unique().tolist() == [station.elevation]
            here = (station.latitude, station.longitude)
            expected = truth.surface_temperature(table["time"].to_numpy(), *here)
            error = table["air_temperature"].to_numpy() - expected.ravel()
            gross += int((np.abs(error) > 15).sum())
            error = error[np.abs(error) < 15]
            biases.append(error.mean())
            spreads.append(error.std())
    assert len(biases) == 31  # the sound ones and the second id
    assert np.mean(spreads) == pytest.approx(planet_stations.STATION_ERROR_SD, rel=0.1)
    assert np.std(biases) == pytest.approx(planet_stations.STATION_BIAS_SD, rel=0.5)
    assert 1 <= gross <= 15  # 0.3 % of some 1000


def test_reader_rejects_and_counts_every_defect(raw: Path, history: pd.DataFrame) -> None:
    paths = sorted([*raw.glob("isd/isd-lite/*/*"), *raw.glob("isd/global-hourly/*/*")])
    total: dict[str, int] = {}
    for path in paths:
        _, rejected = isd.read(path, history)
        for reason, count in rejected.items():
            total[reason] = total.get(reason, 0) + count
    hourly = [row for path in raw.glob("isd/global-hourly/*/*") for row in rows(path)]
    lite = [
        line
        for path in raw.glob("isd/isd-lite/*/*")
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]
    flags = pd.Series([row["TMP"][-1] for row in hourly]).value_counts()
    summaries = sum(row["REPORT_TYPE"] == "SOD" for row in hourly)
    missing = sum(line[13:19] == " -9999" for line in lite)
    assert min(summaries, missing, flags.get("2", 0) + flags.get("6", 0)) > 0
    assert total["report type"] == summaries
    assert total["missing temperature"] == missing + flags["9"] - summaries
    assert total["suspect"] == flags.get("2", 0) + flags.get("6", 0)
    assert total["erroneous"] == flags.get("3", 0) + flags.get("7", 0)
    assert total["duplicate"] == flags["5"] - sum(
        row["TMP"][-1] == "5" and row["STATION"].startswith("007018") for row in hourly
    )
    assert total["station not in history"] > 150  # without a position, and at 0/0
    known = {"report type", "missing temperature", "suspect", "erroneous", "duplicate"}
    assert set(total) == known | {"station not in history"}


def test_flagged_values_are_wrong(raw: Path, truth: Planet) -> None:
    for path in raw.glob("isd/global-hourly/*/*"):
        for row in rows(path):
            value, flag = row["TMP"].split(",")
            here = (float(row["LATITUDE"]), float(row["LONGITUDE"]))
            if flag in planet_stations.BAD_FLAGS:
                expected = truth.surface_temperature([row["DATE"]], *here)[0] - 273.15
                assert abs(int(value) / 10 - expected) > 15


def test_odd_station_files(raw: Path, history: pd.DataFrame) -> None:
    silent, rejected = isd.read(raw / "isd/isd-lite/2001/990002-99999-2001.gz", history)
    assert (len(silent), rejected) == (0, {"missing temperature": 41})
    single, _ = isd.read(raw / "isd/isd-lite/2001/990003-99999-2001.gz", history)
    assert len(single) == 1
    american, _ = isd.read(raw / "isd/global-hourly/2001/72000910009.csv", history)
    assert set(american["time"].dt.strftime("%H:%M")) == {"23:53"}
    assert (raw / "isd/isd-lite/2001/A00001-99999-2001.gz").exists()


# Seeds


def contents(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".nc":
            with netCDF4.Dataset(path) as file:
                file.set_auto_maskandscale(False)
                values = [
                    np.asarray(v[...]).astype(bytes).tobytes() for v in file.variables.values()
                ]
            found[str(path.relative_to(folder))] = b"".join(values)
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_equal_arguments_give_equal_values_and_another_seed_others(tmp_path: Path) -> None:
    small = {"levels": [500], "spacing": 30.0, "stations": 3, "imagery_spacing": 30.0}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        planet.write(
            tmp_path / name, start="2000-12-31", end="2001-01-02", **small, seed=seed, hours=(0, 12)
        )
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    for pattern in ("era5_t_2001-01.nc", "land_sea_mask.nc", "100000-99999-2001.gz"):
        (path,) = (name for name in a if name.endswith(pattern))
        assert a[path] != c[path]


def test_weather_of_a_date_does_not_depend_on_the_end_or_on_what_else_is_asked() -> None:
    times = np.arange("2000-01-01", "2000-01-09", dtype="datetime64[D]")
    short, long = Planet("2000-01-01", "2000-01-10", 5), Planet("2000-01-01", "2000-06-01", 5)
    expected = short.temperature(times, [100, 850], LATITUDE[:, None], LONGITUDE)
    one = long.temperature(times[3], [850], LATITUDE[2], LONGITUDE[[7]])
    np.testing.assert_allclose(one[0, 0, 0], expected[3, 1, 2, 7], atol=1e-3)


# Climate and weather


def test_seasons_are_opposite_in_the_hemispheres_and_larger_over_land() -> None:
    world = Planet("2000-01-01", "2000-12-31", seed=1)
    times = np.arange("2000-01-01", "2001-01-01", dtype="datetime64[D]")
    month = times.astype("datetime64[M]").astype(int) % 12
    field = world.surface_temperature(times, LATITUDE[:, None], LONGITUDE)
    swing = field[month == 6].mean(0) - field[month == 0].mean(0)
    assert swing[LATITUDE > 30].min() > 1 and swing[LATITUDE < -30].max() < -1
    land = world.land(LATITUDE[:, None], LONGITUDE) > 0.9
    middle = (np.abs(LATITUDE) > 35)[:, None] & (np.abs(LATITUDE) < 75)[:, None]
    assert np.abs(swing)[land & middle].mean() > 1.5 * np.abs(swing)[~land & middle].mean()


def test_profile_is_that_of_an_atmosphere() -> None:
    world = Planet("2000-06-01", "2000-06-30", seed=1)
    times = np.arange("2000-06-01", "2000-06-30", dtype="datetime64[D]")
    levels = [1000, 500, 250, 100, 10]
    profile = world.temperature(times, levels, LATITUDE[:, None], LONGITUDE).mean((0, -1))
    tropics, north = profile[:, LATITUDE == 0].ravel(), profile[:, LATITUDE == 80].ravel()
    np.testing.assert_allclose(tropics, [299, 268, 233, 198, 234], atol=8)  # NCEP, June
    np.testing.assert_allclose(north, [272, 246, 228, 230, 244], atol=20)


def test_weather_has_realistic_spread_and_is_not_gaussian(anomaly: np.ndarray) -> None:
    middle = np.isin(np.abs(LATITUDE), (40, 50, 60))
    spread = anomaly.std(0).mean(-1)
    assert 3.5 < spread[2, middle].mean() < 6.5
    assert 1.0 < spread[0, middle].mean() < 4.0
    assert spread[2, LATITUDE == 0] < 0.4 * spread[2, middle].mean()
    skewness = (anomaly**3).mean((0, -1)) / (anomaly**2).mean((0, -1)) ** 1.5
    assert skewness[2, LATITUDE == 60] > 0.3 and skewness[2, LATITUDE == 30] < -0.2


def test_weather_moves_east_and_is_forgotten(anomaly: np.ndarray) -> None:
    at = anomaly[:, 1, LATITUDE == 50].squeeze()

    def correlation(lag: int, shift: int) -> float:
        ahead = np.roll(at[lag:], -shift, axis=-1)
        return float((at[:-lag] * ahead).mean() / (at**2).mean())

    assert correlation(1, 1) > 0.5 > correlation(1, -1)  # 10 degrees east in a day
    assert abs(correlation(15, 0)) < 0.2


def test_weather_is_correlated_in_the_vertical_and_tilts_west(anomaly: np.ndarray) -> None:
    low, middle = (anomaly[:, k, LATITUDE == 50].squeeze() for k in (2, 1))

    def correlation(shift: int) -> float:
        return float((low * np.roll(middle, shift, axis=-1)).mean() / low.std() / middle.std())

    assert 0.5 < correlation(0) < 0.95
    assert correlation(1) > correlation(-1)  # moved back east, the upper wave fits the lower


def test_clouds_are_cold_and_follow_poleward_air(anomaly: np.ndarray) -> None:
    world = Planet("2000-01-01", "2001-12-31", seed=1)
    times = np.arange("2000-01-01", "2000-03-01", dtype="datetime64[D]")
    here = (np.array([[50.0]]), LONGITUDE)
    cloud = world.cloud(times, *here)
    seen = world.brightness_temperature(times, *here)
    assert cloud.min() >= 0 and cloud.max() <= 1 and 0.1 < cloud.mean() < 0.6
    middle = anomaly[: len(times), 1, LATITUDE == 50]
    assert np.corrcoef(cloud.ravel(), middle.ravel())[0, 1] > 0.3
    cleared = seen - world.surface_temperature(times, *here)
    assert np.corrcoef(cloud.ravel(), cleared.ravel())[0, 1] < -0.8


# Arguments


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"spacing": 7.0}, "spacing"),
        ({"imagery_spacing": 0.0}, "imagery_spacing"),
        ({"channels": ["olr"]}, "channels"),
        ({"channels": []}, "channels"),
        ({"levels": []}, "levels"),
        ({"levels": [5, 500]}, "levels"),
        ({"levels": [500, 500]}, "levels"),
        ({"hours": (1,)}, "hours"),
        ({"stations": 0}, "stations"),
        ({"end": "1999-01-01"}, "end"),
        ({"start": "yesterday"}, "start"),
        ({"seed": -1}, "seed"),
    ],
)
def test_an_unusable_argument_is_named(tmp_path: Path, change: dict, name: str) -> None:
    with pytest.raises(SlamsError, match=name):
        planet.write(tmp_path, **{**PERIOD, **OPTIONS, **change})
    assert not list(tmp_path.iterdir())


def test_times_outside_the_period_are_refused() -> None:
    with pytest.raises(SlamsError, match="longer"):
        Planet("2000-01-01", "2000-01-02").temperature(["2000-03-01"], [500], 0.0, 0.0)
