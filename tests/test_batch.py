"""Cells that share a process: each has its own inputs, and what was finished is not made twice."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slams.batch import Cell, cells_of
from slams.errors import SlamsError

VALUES = ("0.5", "1", "2")


class Named(dict[str, Any]):
    """As Snakemake gives inputs and parameters: by name, and as attributes."""

    def __getattr__(self, name: str) -> object:
        return self[name]


@pytest.fixture
def rule(tmp_path: Path) -> SimpleNamespace:
    """What a job of three cells is given."""
    files = {name: tmp_path / name for name in ("prior.pt", "store.nc", "store.npy")}
    own = [tmp_path / f"classical-{value}.nc" for value in VALUES]
    for path in (*files.values(), *own):
        path.write_text(path.name)
    given = Named(
        prior=str(files["prior.pt"]),
        test=[str(files["store.nc"]), str(files["store.npy"])],
        classical=[str(path) for path in own],
    )
    return SimpleNamespace(
        input=given,
        output=[str(tmp_path / f"cells/arm/noise-{value}/analysis.nc") for value in VALUES],
        params=Named(code="1a", sampler={"steps": 4}, axis={"coarse": 2}),
        wildcards=Named(arm="arm"),
    )


def make(rule: SimpleNamespace, cells: int | None = None) -> list[str]:
    """Make so many of the cells that are asked for, and say which were."""
    made: list[str] = []
    for cell in cells_of(rule):
        if len(made) == cells:
            break
        cell.output.parent.mkdir(parents=True, exist_ok=True)
        cell.output.write_text(f"{cell.value} made")
        cell.keep()
        made.append(cell.value)
    return made


def forget(rule: SimpleNamespace) -> None:
    """What Snakemake does to the outputs of a job that failed."""
    for path in map(Path, rule.output):
        path.unlink(missing_ok=True)


def test_every_cell_has_its_own_inputs(rule: SimpleNamespace) -> None:
    cells = list(cells_of(rule))
    assert [(cell.axis, cell.value) for cell in cells] == [("noise", value) for value in VALUES]
    for cell, classical in zip(cells, rule.input.classical, strict=True):
        assert cell.given.classical == classical
        assert cell.given.test == rule.input.test
        # An array's description stands for it.
        assert cell.inputs == [rule.input.prior, rule.input.test[0], classical]


def test_a_killed_job_goes_on_where_it_was(rule: SimpleNamespace) -> None:
    assert make(rule, 2) == ["0.5", "1"]
    forget(rule)
    assert make(rule) == ["2"]
    assert [Path(path).read_text() for path in rule.output] == [f"{v} made" for v in VALUES]
    forget(rule)
    assert make(rule) == []


def test_another_value_leaves_the_others(rule: SimpleNamespace) -> None:
    make(rule)
    folder = Path(rule.input.prior).parent
    rule.output.insert(0, str(folder / "cells/arm/noise-4/analysis.nc"))
    rule.input.classical.insert(0, rule.input.classical[0])
    forget(rule)
    assert make(rule) == ["4"]


def change_code(rule: SimpleNamespace) -> None:
    rule.params["code"] = "2b"


def change_setting(rule: SimpleNamespace) -> None:
    rule.params["sampler"]["steps"] = 5


def change_input(rule: SimpleNamespace) -> None:
    os.utime(rule.input.prior, ns=(0, 0))


@pytest.mark.parametrize("change", [change_code, change_setting, change_input])
def test_nothing_is_kept_over_a_change(rule: SimpleNamespace, change: Any) -> None:
    make(rule)
    forget(rule)
    change(rule)
    assert make(rule) == list(VALUES)
    for path in map(Path, rule.output):
        assert len(list(path.parent.glob(".analysis.kept-*"))) == 1


def test_only_the_cell_whose_own_input_changed(rule: SimpleNamespace) -> None:
    make(rule)
    forget(rule)
    Path(rule.input.classical[1]).write_text("another")
    assert make(rule) == ["1"]


def test_a_cell_alone_is_made_whenever_it_is_asked_for(rule: SimpleNamespace) -> None:
    make(rule)
    rule.output, rule.input["classical"] = rule.output[:1], rule.input["classical"][:1]
    rule.wildcards |= {"axis": "noise", "value": "0.5"}
    for _ in range(2):
        forget(rule)
        assert make(rule) == ["0.5"]
        # What was kept of it is no longer of use, and would take room.
        assert not list(Path(rule.output[0]).parent.glob(".analysis.kept-*"))


def test_the_only_cell_of_an_axis_is_kept_for_further_ones(rule: SimpleNamespace) -> None:
    output, classical = rule.output, rule.input["classical"]
    rule.output, rule.input["classical"] = output[:1], classical[:1]
    assert make(rule) == ["0.5"]
    rule.output, rule.input["classical"] = output, classical
    forget(rule)
    assert make(rule) == ["1", "2"]


def test_the_time_of_its_own_input_is_none_of_a_cells_concern(rule: SimpleNamespace) -> None:
    make(rule)
    forget(rule)
    os.utime(rule.input["classical"][0], ns=(0, 0))  # as Snakemake does with what was restored
    assert make(rule) == []


def test_an_error_says_of_which_cell_it_is(
    rule: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    cells = cells_of(rule)
    next(cells)
    with (
        caplog.at_level("INFO", logger="slams"),
        pytest.raises(SlamsError, match=r"^cell noise-1: case 3 is damaged$"),
        next(cells).named(),
    ):
        raise SlamsError("case 3 is damaged")
    assert "cell noise-1" in caplog.text
    rule.output = rule.output[:1]
    rule.wildcards |= {"axis": "noise", "value": "0.5"}
    with pytest.raises(SlamsError, match=r"^case 3 is damaged$"), next(cells_of(rule)).named():
        raise SlamsError("case 3 is damaged")


def test_what_cannot_be_kept_is_said(
    rule: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    with caplog.at_level("INFO", logger="slams"):
        assert make(rule) == list(VALUES)
    assert "is lost if this job is killed" in caplog.text and "no links here" in caplog.text
    assert isinstance(next(cells_of(rule)), Cell)
