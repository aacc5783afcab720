"""The configurations that ship are right; every fault is told by its key, with the remedy."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from slams.config import (
    cells,
    check,
    expand_paths,
    load,
    merge,
    periods,
    shape,
    step_hours,
    times,
    value_text,
    years,
)
from slams.consistency import cells as checks_of_cells
from slams.errors import ConfigError
from slams.experiment import (
    case_steps,
    caveats,
    encoder_inputs,
    imagery_channels,
    prior_settings,
    prior_space,
    station_list_beside,
    station_product,
    statistics_period,
    wanted_times,
)
from slams.observation import persistence_fit

Configuration = Callable[..., dict[str, Any]]
EXPERIMENTS = ["config", "paper", "demo", "tiny", "nature", "nature-gpu", "sample"]


PAPER = {"name": "paper-latent", "space": "latent", "streams": ["background"], "recipe": "paper"}
ENCODED = PAPER | {"encoder": ["irwvp"]}


@pytest.fixture
def schema(repository: Path) -> dict[str, Any]:
    return load(repository / "config/schema.yaml")


@pytest.fixture
def fault(configuration: Configuration, schema: dict[str, Any]) -> Callable[..., str]:
    """The message about the demo's configuration with some keys changed."""

    def message(keys: dict[str, Any], name: str = "demo") -> str:
        with pytest.raises(ConfigError) as caught:
            check(configuration(name, keys), schema)
        return str(caught.value)

    return message


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_shipped_configurations_pass(
    name: str,
    configuration: Configuration,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if name in ("nature", "nature-gpu", "sample"):
        request.getfixturevalue("samples")
    monkeypatch.chdir(repository)
    check(configuration(name), repository / "config/schema.yaml")


def test_schema_is_one(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for child in node.values():
            yield from _objects(child)


def test_schema_refuses_unknown_keys_and_describes_known_ones(schema: dict[str, Any]) -> None:
    for node in _objects(schema):
        assert node["additionalProperties"] is False
        optional = set(node["properties"]) - set(node["required"])
        # An arm is ours unless it says otherwise; every other key has its value in config.yaml.
        assert optional <= {"recipe", "encoder"}
        assert set(node["required"]) <= set(node["properties"])
        for name, child in node["properties"].items():
            assert "$ref" in child or child.get("type") == "object" or "description" in child, name


def _leaves(node: dict[str, Any]) -> Iterator[str]:
    for name, child in node.items():
        if isinstance(child, dict):
            yield from _leaves(child)
        else:
            yield name


def test_every_key_of_the_base_configuration_has_a_comment(repository: Path) -> None:
    path = repository / "config/config.yaml"
    commented = {
        line.split(":")[0].strip() for line in path.read_text().splitlines() if "#" in line
    }
    assert set(_leaves(load(path))) <= commented


def test_nature_on_a_gpu_is_the_same_planet(configuration: Configuration) -> None:
    small, large = configuration("nature"), configuration("nature-gpu")
    for key in ("levels", "periods", "archives", "arms", "axes", "cases", "report", "raw"):
        assert small[key] == large[key], key


def test_the_papers_arms_on_nature_are_added_to_the_others(
    configuration: Configuration, repository: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    small, paper = configuration("nature"), load(repository / "config/nature-paper.yaml")
    count = len(small["arms"])
    assert paper["arms"][:count] == small["arms"]
    assert {arm["recipe"] for arm in paper["arms"][count:]} == {"paper"}
    check(merge(small, paper), repository / "config/schema.yaml")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"sampler": {"member": 4}}, "sampler.member is unknown; did you mean sampler.members?"),
        ({"bootstrap": 4}, "bootstrap is unknown; did you mean verification.bootstrap?"),
        ({"qqq": 4}, "qqq is unknown; known here: name, seed"),
        ({"sampler": {"members": 0}}, "sampler.members is 0: must be a whole number, at least 2"),
        ({"sampler": {"members": 8.0}}, "sampler.members is 8.0: must be a whole number"),
        (
            {"sampler": {"method": "pdm"}},
            'sampler.method is "pdm": must be one of mmps, gaussian, sda, dps',
        ),
        (
            {"sampler": {"solver": "lu"}},
            'sampler.solver is "lu": must be one of cg, gmres, bicgstab',
        ),
        (
            {"verification": {"block": 0}},
            "verification.block is 0: must be a whole number or null, at least 1",
        ),
        ({"sampler": {"plausible": 0}}, "sampler.plausible is 0: must be a number, more than 0"),
        ({"cases": True}, "cases is true: must be a whole number"),
        (
            {"report": {"place": [95, 0]}},
            "report.place[0] is 95: must be a number, at least -90, at most 90",
        ),
        ({"report": {"place": [95]}}, "report.place"),
        (
            {"axes": {"persistence": {"values": [0]}}},
            "axes.persistence.values[0] is 0: must be a whole number, at least 1",
        ),
        (
            {"axes": {"persistence": {"values": [1.5]}}},
            "axes.persistence.values[0] is 1.5: must be a whole number",
        ),
        (
            {"classical": {"oi": {"radii_km": [30000]}}},
            "classical.oi.radii_km[0] is 30000: must be a number, more than 0, at most 20015",
        ),
        (
            {"classical": {"samples": 7}},
            "classical.samples is 7: must be a whole number, at least 8",
        ),
        (
            {"classical": {"letkf": {"inflations": [0.5]}}},
            "classical.letkf.inflations[0] is 0.5: must be a number, at least 1",
        ),
        ({"sampler": {"robust": 0}}, "sampler.robust is 0: must be a number or null, more than 0"),
        ({"device": "gpu"}, 'device is "gpu": must be one of auto, cpu, cuda'),
        ({"grid": {"spacing": float("nan")}}, "grid.spacing is NaN: must be a number"),
        ({"levels": ["surface"]}, 'levels[0] is "surface": must be a number'),
        (
            {"prior": {"pixel": {"training": {"learning_rate": "2e-4"}}}},
            'prior.pixel.training.learning_rate is "2e-4": must be a number, more than 0, at most'
            " 1 (largest learning rate); YAML reads 2e-4 as text, write 0.0002",
        ),
        (
            {"arms": [{"name": "a", "space": "pixel", "streams": ["wind"]}]},
            'arms[0].streams[0] is "wind": must be one of background, stations, imagery',
        ),
        ({"arms": [{"name": "a", "space": "pixel"}]}, "arms[0].streams is missing"),
        ({"periods": {"test": ["2003"]}}, 'periods.test[0] is "2003": must be text, of the form'),
        ({"archives": {"era5": {"source": None}}}, "archives.era5.source is null: must be one of"),
        (
            {"archives": {"stations": {"source": "noaa"}}},
            'archives.stations.source is "noaa": must be one of none, auto, isd, isd-lite,',
        ),
        (
            {"archives": {"stations": {"format": "isd-lite"}}},
            "archives.stations.format is unknown; did you mean archives.stations.paths?",
        ),
        (
            {"archives": {"stations": {"mirrors": ["ftp://here"]}}},
            'archives.stations.mirrors[0] is "ftp://here": must be text, of the form',
        ),
    ],
)
def test_a_wrong_key_type_or_range_is_told(
    keys: dict[str, Any], told: str, fault: Callable[..., str]
) -> None:
    assert f"config key {told}" in fault(keys)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"levels": [500, 200]}, "levels is [500, 200]: must increase (top first)"),
        (
            {"levels": [500, 500]},
            "levels is [500, 500]: must increase (top first), each level once",
        ),
        ({"operators": {"stations": {"levels_used": 5}}}, "levels_used is 5: there are 4 levels"),
        ({"grid": {"spacing": 7}}, "grid.spacing is 7: must divide 180 degrees"),
        ({"time": {"hours": [0, 6]}}, "time.hours is [0, 6]: must be in order and 12 hours apart"),
        (
            {"periods": {"test": [date(2003, 3, 1), date(2003, 9, 30)]}},
            "periods.validation and periods.test overlap",
        ),
        ({"periods": {"test": ["2003-09-30", "2003-04-01"]}}, "periods.test ends"),
        ({"periods": {"test": ["2003-02-30", "2003-04-01"]}}, "periods.test: '2003-02-30' is no"),
        ({"periods": {"validation": ["2003-01-01"] * 2}}, "periods.validation holds 1 fields"),
        ({"cases": 1000}, "cases is 1000: periods.test holds 181 windows"),
        (
            {"periods": {"train": ["2001-01-01", "2001-06-30"]}},
            "statistics.harmonics is 2: an annual cycle needs a year, and periods.train has 181",
        ),
        (
            {"archives": {"era5": {"members": "stack"}}},
            "window is 3: with archives.era5.members: stack it must be 1",
        ),
        (
            {"arms": [{"name": "a", "space": "pixel", "streams": ["background"]}] * 2},
            "arms has the name a more than once",
        ),
        (
            {"archives": {"imagery": {"source": "none"}}},
            "arms[3].streams of latent-imagery names imagery, but archives.imagery.source is none",
        ),
        (
            {"archives": {"imagery": {"channels": ["irwin_cdr", "olr", "precipitation"]}}},
            "archives.imagery.channels has olr, precipitation: the synthetic planet has irwin_cdr, "
            "irwvp alone",
        ),
        (
            {"archives": {"imagery": {"source": "noaa"}}, "time": {"hours": [1, 13]}},
            "time.hours is [1, 13]: GridSat-B1 has images at 0, 3, ... 21 UTC only",
        ),
        (
            {
                "archives": {"imagery": {"source": "noaa", "channels": ["olr"]}},
                "periods": {"test": ["2022-04-01", "2023-02-01"]},
            },
            "periods end in 2023: NOAA's outgoing longwave radiation ends with 2022; leave olr out",
        ),
        ({"axes": {"coarse": {"values": [3]}}}, "axes.coarse.values: 3 does not divide the grid's"),
        ({"axes": {"noise": {"coarse": 5}}}, "axes.noise.coarse: 5 does not divide the grid's 16"),
        ({"axes": {"sparse": {"values": [17]}}}, "axes.sparse.values: every 17-th row"),
        (
            {"axes": {axis: {"values": []} for axis in ("coarse", "noise", "sparse")}},
            "axes has no values",
        ),
        (
            {"prior": {"latent": {"width": [8, 8, 8, 8, 8]}}},
            "prior.latent.width: autoencoder.downsample 2 and 5 resolutions need rows divisible by "
            "32; the grid has 16",
        ),
        (
            {"prior": {"pixel": {"training": {"validate_every": 10000}}}},
            "prior.pixel.training.validate_every is 10000: more than",
        ),
        (
            {"sampler": {"sigma_min": 50, "sigma_max": 40}},
            "sampler.sigma_min is 50: must be less than",
        ),
        (
            {"sampler": {"sigma_min": 50}},
            "sampler.sigma_min is 50: must be less than sampler.sigma",
        ),
        (
            {"prior": {"latent": {"modes": 0}}},
            "sampler.sigma_max is null: with prior.latent.modes 0 it must be a number",
        ),
        (
            {"prior": {"pixel": {"modes": 0}}, "sampler": {"method": "gaussian", "sigma_max": 60}},
            "sampler.method is gaussian: needs prior.pixel.modes above 0",
        ),
        ({"case_steps": 2}, "case_steps is 2: must be at least window, 3, or null"),
        ({"case_steps": 700}, "fields: a case takes 700"),
        (
            {"classical": {"oi": {"radii_km": [5000, 3000]}}},
            "classical.oi.radii_km is [5000, 3000]: must increase",
        ),
        (
            {"classical": {"letkf": {"radii_km": [1000, 4000, 2000]}}},
            "classical.letkf.radii_km is [1000, 4000, 2000]: must increase",
        ),
        (
            {"classical": {"samples": 50, "letkf": {"members": 60}}},
            "classical.letkf.members is 60: must be at most classical.samples, 50, times",
        ),
        ({"sampler": {"robust": 5}}, "sampler.robust is 5: must be less than sampler.gross_error"),
        (
            {"axes": {"persistence": {"values": [1, 180]}}},
            "axes.persistence.values has 180: periods.validation holds 90 fields, and needs 184",
        ),
        (
            {"axes": {"persistence": {"values": [180]}}},
            "axes.persistence.values has 180: periods.test holds 183 fields, and needs 186",
        ),
        (
            {"axes": {"persistence": {"values": [720]}}},
            "axes.persistence.values has 720: periods.train holds 730 fields, and needs 740",
        ),
        (
            {"axes": {"persistence": {"values": [1], "coarse": 3}}},
            "axes.persistence.coarse: 3 does not divide the grid's 16",
        ),
        (
            {
                "archives": {"era5": {"members": "stack"}},
                "window": 1,
                "axes": {"persistence": {"values": [1]}},
            },
            "axes.persistence.values is [1]: must be [] with archives.era5.members: stack",
        ),
        (
            {"arms": [PAPER | {"name": "reproduced"}]},
            "arms[0].name is reproduced: with recipe: paper it must have the word paper, such as "
            "paper-latent",
        ),
        (
            {"arms": [PAPER | {"space": "pixel", "encoder": ["irwvp"]}]},
            "arms[0].encoder of paper-latent: an arm in pixel space has no encoder",
        ),
        (
            {"arms": [ENCODED | {"encoder": ["olr"]}]},
            "arms has olr: the synthetic planet has irwin_cdr, irwvp alone",
        ),
        (
            {"arms": [ENCODED], "archives": {"imagery": {"source": "none"}}},
            "arms[0].encoder of paper-latent is [irwvp], but archives.imagery.source is none: give",
        ),
        (
            {
                "arms": [
                    {
                        "name": "own",
                        "space": "latent",
                        "streams": ["background"],
                        "encoder": ["irwvp"],
                    }
                ]
            },
            "arms[0].encoder of own: only an arm with recipe: paper takes data in through its",
        ),
        (
            {"arms": [ENCODED | {"encoder": []}]},
            "arms[0].encoder is []: must be a list, 1 entries or more",
        ),
        ({"axes": {"sparse": {"offset": 16}}}, "axes.sparse.offset is 16: the grid's 16 rows"),
        (
            {"arms": [ENCODED], "periods": {"validation": ["2002-12-01", "2003-03-31"]}},
            "periods.train and periods.validation overlap",
        ),
        (
            {"arms": [{"name": "paper-own", "space": "pixel", "streams": ["background"]}]},
            "arms[0].name is paper-own: the word paper labels arms with recipe: paper",
        ),
        (
            {"arms": [PAPER | {"streams": ["background", "stations"]}]},
            "arms[0].streams of paper-latent is [background, stations]: with recipe: paper it must "
            "be [background]",
        ),
        (
            {
                "arms": [PAPER],
                "levels": [500],
                "operators": {"stations": {"levels_used": 1}},
            },
            "levels is [500]: the paper's autoencoder, which arm paper-latent takes, halves",
        ),
        (
            {"arms": [PAPER], "paper": {"prior": {"latent": {"width": [8, 8, 8, 8, 8, 8]}}}},
            "paper.prior.latent.width: 6 resolutions need rows divisible by 32; the grid has 16",
        ),
        (
            {"arms": [PAPER], "paper": {"prior": {"latent": {"width": [5, 8]}}}},
            "paper.prior.latent.width begins with 5: a network that predicts the noise needs a "
            "channel for each of the 6 numbers of a cell",
        ),
        (
            {"paper": {"autoencoder": {"training": {"steps": 10}}}},
            "paper.autoencoder.training.validate_every is 200: more than the 10 steps",
        ),
        (
            {"trainer": {"devices": 3, "nodes": 2}},
            "operators.imagery.training.batch is 16: not shared evenly by trainer.devices times "
            "trainer.nodes, 6",
        ),
        (
            {"prior": {"pixel": {"parameterisation": "eps"}}},
            "prior.pixel.modes is 300: with parameterisation: eps it must be 0",
        ),
        (
            {"verification": {"block": 5}},
            "verification.block is 5: must be at most cases, 4, or null",
        ),
        (
            {"verification": {"reference": "pixel"}},
            "verification.reference is pixel: no arm has that name; arms: pixel-background,",
        ),
        (
            {"archives": {"stations": {"source": "isd-lite", "years": [2024, 2025]}}},
            "archives.stations.source is isd-lite, and 2025 is asked for: NOAA stopped updating "
            "ISD at the end of August 2025; choose auto or ghcnh",
        ),
        (
            {"archives": {"stations": {"source": "global-hourly", "years": [2026]}}},
            "archives.stations.source is global-hourly, and 2026 is asked for",
        ),
        (
            {"archives": {"stations": {"mirrors": ["https://here"]}}},
            "archives.stations.mirrors has addresses: source planet fetches nothing",
        ),
        (
            {"levels": [333, 500], "archives": {"era5": {"source": "cds"}}},
            "levels has 333: ERA5 has 1, 2, 3,",
        ),
        ({"raw": "results/demo/raw"}, "raw is results/demo/raw: must not lie in results/"),
        (
            {"archives": {"stations": {"source": "isd", "mirrors": ["https://me:pw@here"]}}},
            "archives.stations.mirrors holds a user name or password",
        ),
    ],
)
def test_keys_that_do_not_agree_are_told(
    keys: dict[str, Any], told: str, fault: Callable[..., str]
) -> None:
    assert told in fault(keys)


def test_periods_may_overlap_where_the_configuration_says_so(
    configuration: Configuration, schema: dict[str, Any]
) -> None:
    keys = {"periods": {"validation": ["2002-12-01", "2003-04-30"]}, "periods_overlap": True}
    check(configuration("demo", keys), schema)
    assert len(wanted_times(configuration("demo", keys), "train", "validation")) == 730 + 120


def test_a_password_in_an_address_is_not_repeated(fault: Callable[..., str]) -> None:
    era5 = {"source": "arco", "address": "https://me:hush@here/x.zarr"}
    message = fault({"archives": {"era5": era5}})
    assert "~/.netrc" in message and "hush" not in message


def test_all_faults_are_told_at_once(fault: Callable[..., str]) -> None:
    message = fault({"cases": 0, "seed": -1, "sampler": {"steps": "many"}})
    assert message.startswith("the configuration has 3 faults:")
    assert message.count("\n") == 3


def _local(**keys: Any) -> dict[str, Any]:
    return {"archives": {"era5": {"source": "local", **keys}}}


def test_missing_files_are_told(tmp_path: Path, fault: Callable[..., str]) -> None:
    assert "archives.era5.paths is empty: source local needs" in fault(_local())
    nowhere = {"samples": str(tmp_path / "nowhere")}
    message = fault(_local(paths=["{samples}/a_{year}.nc"]) | nowhere)
    assert f"config key samples: folder {tmp_path}/nowhere is not there; get the sample" in message
    here = {"samples": str(tmp_path)}
    message = fault(_local(paths=["{samples}/a_{year}.nc"]) | here)
    assert f"archives.era5.paths: no file matches {tmp_path}/a_{{year}}.nc" in message
    for year in (2001, 2003):
        (tmp_path / f"a_{year}.nc").touch()
    message = fault(_local(paths=["{samples}/a_{year}.nc"]) | here)
    assert "archives.era5.paths: no file for 2002; get the files or change" in message
    message = fault(_local(paths=["{samples}/a_{month}.nc"]) | here)
    assert "has braces about something other than samples and year" in message
    message = fault({"archives": {"stations": {"history": f"{tmp_path}/list.csv"}}})
    assert f"archives.stations.history: no file matches {tmp_path}/list.csv" in message


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


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"spacing": 0}, "archives.era5.spacing is 0: must be a number or null, more than 0"),
        ({"spacing": 2}, "archives.era5.spacing is 2: must be at most grid.spacing, 1.5, or null"),
        (
            {"source": "arco", "spacing": 0.7},
            "archives.era5.spacing is 0.7: with source arco it must divide 180 degrees",
        ),
        ({"area": [60, 0, 30]}, "archives.era5.area is [60, 0, 30]: must be a list or null"),
        ({"area": [30, 0, 60, 9]}, "must be north, west, south, east, with south < north"),
        ({"area": [60, 9, 30, 0]}, "must be north, west, south, east, with south < north"),
        (
            {"source": "arco", "area": [60, 0, 30, 9]},
            "archives.era5.area is [60, 0, 30, 9]: source arco takes none; set it to null",
        ),
        ({"address": "data/x.zarr"}, 'archives.era5.address is "data/x.zarr": must be text'),
        ({"source": "arco", "address": None, "spacing": 1.5}, None),
        ({"area": [60, -10, 30, 40], "spacing": 0.25}, None),
        ({"area": [90, -180, -90, 180]}, None),
    ],
)
def test_what_is_fetched_of_era5(
    keys: dict[str, Any], message: str | None, configuration: Configuration, repository: Path
) -> None:
    config = configuration("config", {"archives": {"era5": keys}})
    if message is None:
        check(config, repository / "config/schema.yaml")
    else:
        with pytest.raises(ConfigError) as error:
            check(config, repository / "config/schema.yaml")
        assert message in str(error.value)


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


def test_merge_is_key_by_key() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert merge(base, {"a": {"c": [3]}}, {"e": 4}) == {"a": {"b": 1, "c": [3]}, "d": 3, "e": 4}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 3}


def test_a_file_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    for text in ("a: [1", "- 1\n", "a: 2001-02-30"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"broken\.yaml"):
            load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


def test_persistence_has_a_cell_an_age(configuration: Configuration) -> None:
    keys = {"axes": {"persistence": {"values": [1, 2]}}}
    found = cells(configuration("demo", keys))
    ages = [cell for cell in found if cell[1] == "persistence"]
    assert len(found) - len(cells(configuration("demo"))) == len(ages) == 5 * 2
    assert ages[:2] == [("pixel-background", "persistence", v) for v in ("1", "2")]


def test_the_least_number_of_pairs_is_that_of_the_fit() -> None:
    assert checks_of_cells.LEAST_PAIRS == persistence_fit.LEAST_PAIRS
