"""Radii and inflation, by what they are worth over validation windows.

Each candidate analyses windows of the validation period, observed as the cases are, and the one
with the least CRPS of its Gaussian is taken. Of every window other blocks of the grid are
analysed, one in as many as there are windows: a candidate costs about as much as one case.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import scoringrules
import torch
from torch import Tensor

from slams.classical.blocks import Analyser, Block, analyse_blocks, no_points
from slams.classical.ensemble import Sample
from slams.classical.innovations import Innovations, innovations
from slams.classical.letkf import LETKF, Members, analogues
from slams.classical.oi import OptimalInterpolation
from slams.observing import Observed, Observer
from slams.tapers import cell_places

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """What was chosen: distances (km) at which the tapers end, and the LETKF's inflation."""

    oi_radius_km: float
    letkf_radius_km: float
    letkf_inflation: float

    def analysers(self, seen: list[Innovations], limit: int, members: int) -> list[Analyser]:
        """OI of cases that share their gain, then the LETKF of each of them."""
        return [
            optimal_interpolation(seen, self.oi_radius_km, limit),
            *(
                LETKF(
                    Members(one, analogues(one, members)),
                    self.letkf_radius_km,
                    self.letkf_inflation,
                )
                for one in seen
            ),
        ]


def optimal_interpolation(
    seen: list[Innovations], radius_km: float, limit: int
) -> OptimalInterpolation:
    """OI of cases whose innovations differ in their values alone."""
    departures = torch.stack([one.value - one.mean for one in seen], dim=1)
    return OptimalInterpolation(seen[0], departures, radius_km, limit)


def tune(
    observer: Observer,
    sample: Sample,
    settings: Mapping[str, Any],
    blocks: list[Block],
    latitude: np.ndarray,
    longitude: np.ndarray,
) -> Tuned:
    """Choose over validation windows; ``settings`` is the configuration's section classical."""
    oi, letkf = settings["oi"], settings["letkf"]
    radii = [float(radius) for radius in oi["radii_km"]]
    pairs = [(float(r), float(i)) for r, i in product(letkf["radii_km"], letkf["inflations"])]
    places = cell_places(latitude, longitude)
    windows = list(observer.observed_validation(settings["validation_windows"]))
    # The fields are what is tuned on: the stations are left for verification.
    blocks = [replace(block, stations=block.stations[:0]) for block in blocks]
    scores = np.zeros(len(radii) + len(pairs))
    for number, window in enumerate(windows):
        seen = innovations(window, sample, latitude, longitude)
        members = Members(seen, analogues(seen, letkf["members"]))
        candidates: list[Analyser] = [
            *(optimal_interpolation([seen], radius, oi["observations"]) for radius in radii),
            *(LETKF(members, radius, inflation) for radius, inflation in pairs),
        ]
        # Blocks lie in rows: shifted from window to window they are taken all over the grid.
        some = blocks[number :: len(windows)] or blocks
        found = analyse_blocks(
            candidates, [1] * len(candidates), sample, some, no_points(sample), places
        )
        for place, one in enumerate(found):
            scores[place] += gaussian_crps(window, one.mean[0], one.variance[0], places)
    scores /= len(windows)
    of_oi, of_letkf = scores[: len(radii)], scores[len(radii) :]
    for radius, score in zip(radii, of_oi, strict=True):
        log.info("oi, radius %g km: CRPS %.4f (normalised, validation)", radius, score)
    for (radius, inflation), score in zip(pairs, of_letkf, strict=True):
        log.info(
            "letkf, radius %g km, inflation %g: CRPS %.4f (normalised, validation)",
            radius,
            inflation,
            score,
        )
    best = pairs[int(np.argmin(of_letkf))]
    tuned = Tuned(radii[int(np.argmin(of_oi))], *best)
    log.info("chosen: %s", tuned)
    return tuned


def gaussian_crps(
    window: Observed, mean: np.ndarray, variance: np.ndarray, places: Tensor
) -> float:
    """CRPS of Gaussians (step, level, cell), normalised, by area; NaN cells are left out."""
    truth = (window.case.truth - window.climate).reshape(mean.shape)
    there = np.isfinite(mean[0, 0])
    # The cosine of latitude, which the height above the equator's plane gives.
    area = np.sqrt(1 - places[there, 2].numpy() ** 2)
    deviation = np.sqrt(np.maximum(variance[..., there], 1e-12))
    score = scoringrules.crps_normal(truth[..., there], mean[..., there], deviation)
    return float((score.mean((0, 1)) * area).sum() / area.sum())
