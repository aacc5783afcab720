"""Keys that do not agree with one another, or with what is there."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from paper_arms import ENCODED, PAPER

from slams.config import check
from slams.consistency import cells as checks_of_cells
from slams.errors import ConfigError
from slams.experiment import wanted_times
from slams.observation import persistence_fit

Configuration = Callable[..., dict[str, Any]]


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


def test_the_least_number_of_pairs_is_that_of_the_fit() -> None:
    assert checks_of_cells.LEAST_PAIRS == persistence_fit.LEAST_PAIRS


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
