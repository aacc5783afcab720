"""What a configuration says: files, times, cells, priors."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from paper_arms import ENCODED, PAPER

from slams.experiment import (
    case_steps,
    caveats,
    cells,
    encoder_inputs,
    expand_paths,
    imagery_channels,
    periods,
    prior_settings,
    prior_space,
    shape,
    station_list_beside,
    station_product,
    statistics_period,
    step_hours,
    times,
    value_text,
    wanted_times,
    years,
)

Configuration = Callable[..., dict[str, Any]]


def test_paths_expand(
    tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "odd [name]"
    for name in ("2001/b.gz", "2001/a.gz", "2002/a.gz", "2001/folder.gz/x"):
        (odd / name).parent.mkdir(parents=True, exist_ok=True)
        (odd / name).touch()
    keys = {
        "samples": str(odd),
        "archives": {
            "stations": {"source": "local", "paths": ["{samples}/{year}/*.gz", "{samples}/*/a.gz"]}
        },
    }
    config = configuration("demo", keys)
    found = [path.relative_to(odd).as_posix() for path in expand_paths(config, "stations", 2001)]
    assert found == ["2001/a.gz", "2001/b.gz", "2002/a.gz"]
    monkeypatch.chdir(odd / "2002")
    relative = configuration("demo", keys | {"samples": ".."})
    assert Path("../2001/b.gz") in expand_paths(relative, "stations", 2001)


@pytest.mark.parametrize(
    ("keys", "product"),
    [
        ({"source": "auto", "years": [2010, 2024]}, "isd-lite"),
        ({"source": "auto", "years": [2010, 2025]}, "ghcnh"),
        ({"source": "auto"}, "isd-lite"),
        ({"source": "ghcnh", "years": [2010]}, "ghcnh"),
        ({"source": "isd"}, "isd"),
        ({"source": "planet"}, ""),
        ({"source": "local"}, ""),
        ({"source": "none"}, ""),
    ],
)
def test_one_product_holds_all_years_of_the_stations(
    keys: dict[str, Any], product: str, configuration: Configuration
) -> None:
    assert station_product(configuration("config", {"archives": {"stations": keys}})) == product


def test_a_folder_stands_for_the_files_of_the_year(
    tmp_path: Path, configuration: Configuration
) -> None:
    for name in (
        "isd-lite/2001/b.gz",
        "by-year/2001/psv/GHCNh_a_2001.psv",
        "by-year/2002/psv/GHCNh_a_2002.psv",
        "doc/ghcnh-station-list.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def local(path: str) -> dict[str, Any]:
        section = {"source": "local", "paths": [path]}
        return configuration("demo", {"archives": {"stations": section}})

    whole = local(str(tmp_path))
    found = [p.name for p in expand_paths(whole, "stations", 2001)]
    assert sorted(found) == ["GHCNh_a_2001.psv", "b.gz"]
    assert station_list_beside(whole, 2001) == [tmp_path / "doc/ghcnh-station-list.csv"]
    lite = local(f"{tmp_path}/isd-lite/{{year}}")
    assert [p.name for p in expand_paths(lite, "stations", 2001)] == ["b.gz"]
    assert station_list_beside(lite, 2001) is None
    (tmp_path / "doc/ghcnh-station-list.csv").unlink()
    assert station_list_beside(whole, 2002) == [] and station_list_beside(whole, 2001) is None


def _local(**keys: Any) -> dict[str, Any]:
    return {"archives": {"era5": {"source": "local", **keys}}}


def test_a_folder_stands_for_the_fields_in_it(tmp_path: Path, configuration: Configuration) -> None:
    names = ("b.nc", "a.GRIB", "c.zip", ".b.partial-1.nc", "b.nc.part", "notes.txt", "deep/d.nc")
    for name in names:
        (tmp_path / "2001" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "2001" / name).touch()
    config = configuration("demo", _local(paths=[f"{tmp_path}/{{year}}"]))
    found = [path.name for path in expand_paths(config, "era5", 2001)]
    assert found == ["a.GRIB", "b.nc", "c.zip", "d.nc"]
    assert expand_paths(config, "era5", 2002) == []
    flat = configuration("demo", _local(paths=[f"{tmp_path}/2001/deep"]))
    assert [path.name for path in expand_paths(flat, "era5", 1999)] == ["d.nc"]


def test_sample_stations_are_found(configuration: Configuration, samples: Path) -> None:
    config = configuration("sample", {"samples": str(samples)})
    names = {
        year: {path.name for path in expand_paths(config, "stations", year)}
        for year in years(config, "stations")
    }
    assert {"1901.gz"} <= names[1901]
    assert {"722540-13904-2014", "642820-99999-2014"} <= names[2014]
    assert "014160-99999-2016.gz" in names[2016]
    assert all("00702699999.csv" in found for found in names.values())


def test_times_and_periods(configuration: Configuration) -> None:
    config = configuration("sample")
    assert times(config, "train") == [datetime(2017, 1, 1, 0), datetime(2017, 1, 1, 12)]
    assert times(config, "test") == [datetime(2017, 1, 2, 12)]
    assert step_hours(config) == 12
    demo = configuration("demo")
    first, last = periods(demo)["test"]
    assert first == datetime(2003, 4, 1)
    assert last.date() == date(2003, 9, 30)
    assert len(times(demo, "test")) == 183
    assert times(demo, "train")[-1] == datetime(2002, 12, 31)


def test_years(configuration: Configuration) -> None:
    config = configuration()
    assert 2020 not in years(config, "era5")
    assert years(config, "imagery")[-1] == 2022
    assert years(configuration("sample"), "stations")[0] == 1901
    assert years(configuration("sample"), "imagery") == []


def test_cells(configuration: Configuration) -> None:
    config = configuration()
    assert shape(config) == (120, 240)
    found = cells(config)
    assert len(found) == len(set(found)) == 9 * 13 + 1
    assert found[0] == ("pixel-background", "coarse", "4")
    assert ("latent-both", "noise", "0.5") in found
    assert [cell for cell in found if cell[0] == "latent-no-background"] == [
        ("latent-no-background", "none", "0")
    ]


def test_the_papers_arms_have_the_cells_and_the_priors_of_the_paper(
    configuration: Configuration,
) -> None:
    arms = [PAPER, PAPER | {"name": "paper-p", "space": "pixel"}]
    config = configuration("demo", {"arms": arms, "axes": {"persistence": {"values": [1]}}})
    assert {axis for _, axis, _ in cells(config)} == {"coarse", "noise", "sparse"}
    assert [prior_space(arm) for arm in config["arms"]] == ["paper-latent", "paper-pixel"]
    section = prior_settings(config, "paper-latent")
    assert section["parameterisation"] == "eps" and section["width"] == [32, 64, 128]
    assert prior_settings(config, "pixel") == config["prior"]["pixel"]
    assert prior_space(configuration("tiny")["arms"][-1]) == "paper-latent+irwvp"


def test_an_encoder_names_its_prior_and_what_is_ingested(configuration: Configuration) -> None:
    config = configuration()
    spaces = [prior_space(arm) for arm in config["arms"]]
    assert spaces[-2:] == ["paper-latent+precipitation", "paper-latent+olr+precipitation"]
    assert encoder_inputs(spaces[-1]) == ["olr", "precipitation"]
    assert encoder_inputs("paper-latent") == encoder_inputs("pixel") == []
    assert prior_settings(config, spaces[-1]) == prior_settings(config, "paper-latent")
    # The stream shows what it did; the encoders' channels are ingested beside.
    assert config["archives"]["imagery"]["channels"] == ["irwin_cdr"]
    assert imagery_channels(config) == ["irwin_cdr", "olr", "precipitation"]
    assert imagery_channels(configuration("paper")) == ["precipitation", "olr"]
    swapped = ENCODED | {"encoder": ["irwvp", "irwin_cdr"]}
    assert prior_space(swapped) == "paper-latent+irwin_cdr+irwvp"


def test_the_papers_set_up(configuration: Configuration) -> None:
    """The facts of the paper that the file is there to keep, and what the report says of them."""
    config = configuration("paper")
    assert cells(config) == [
        (f"paper-{model}", axis, value_text(value))
        for model in ("sda-0", "lsda-0", "lsda-1", "lsda-2")
        for axis, values in [
            ("coarse", [4, 8, 12, 15, 20]),
            ("noise", [0.5, 1, 2, 4]),
            ("sparse", [4, 8, 12, 16]),
        ]
        for value in values
    ]
    first, last = statistics_period(config)
    assert (first.isoformat(), last.isoformat()[:10]) == ("2000-01-01T00:00:00", "2022-12-31")
    days = wanted_times(config, "train", "validation", "test")
    # Once each, though 2021 is in two periods.
    assert len(days) == len(set(days)) == 23 * 365 + 6
    scored = range(0, case_steps(config), config["verification"]["every"])
    assert len(scored) == 8
    told = " ".join(caveats(config))
    for words in ("share fields", "of all periods", "one case", "0, 4, 8 and so on are scored"):
        assert words in told
    assert not caveats(configuration()) and not caveats(configuration("demo"))
    honest = configuration("demo")
    assert statistics_period(honest) == periods(honest)["train"]


@pytest.mark.parametrize(
    ("value", "text"), [(4, "4"), (4.0, "4"), (0.5, "0.5"), (20, "20"), (0.00001, "0.00001")]
)
def test_value_text(value: float, text: str) -> None:
    assert value_text(value) == text


def test_persistence_has_a_cell_an_age(configuration: Configuration) -> None:
    keys = {"axes": {"persistence": {"values": [1, 2]}}}
    found = cells(configuration("demo", keys))
    ages = [cell for cell in found if cell[1] == "persistence"]
    assert len(found) - len(cells(configuration("demo"))) == len(ages) == 5 * 2
    assert ages[:2] == [("pixel-background", "persistence", v) for v in ("1", "2")]
