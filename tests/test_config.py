"""The configurations that ship are right; every fault is told by its key, with the remedy."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from slams.config import check, load, merge
from slams.errors import ConfigError

Configuration = Callable[..., dict[str, Any]]
EXPERIMENTS = ["config", "paper", "demo", "tiny", "nature", "nature-gpu", "sample"]


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
            {"cases": "12"},
            'cases is "12": must be a whole number, at least 1 (windows of the test period); it'
            " came as text: leave out the quotes",
        ),
        (
            {"cells_together": "axes"},
            'cells_together is "axes": must be one of auto, false, axis, arm, or a whole number, at'
            " least 2",
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


def test_a_password_in_an_address_is_not_repeated(fault: Callable[..., str]) -> None:
    era5 = {"source": "arco", "address": "https://me:hush@here/x.zarr"}
    message = fault({"archives": {"era5": era5}})
    assert "~/.netrc" in message and "hush" not in message


def test_all_faults_are_told_at_once(fault: Callable[..., str]) -> None:
    message = fault({"cases": 0, "seed": -1, "sampler": {"steps": "many"}})
    assert message.startswith("the configuration has 3 faults:")
    assert message.count("\n") == 3


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
