"""The grid in blocks of cells that are analysed together, and the loop over them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from slams.classical.ensemble import Sample, few
from slams.tapers import EARTH_RADIUS_KM, cell_places, distances

DIRECTIONS = 32  # of the windows' space, in which a block's states are compared with observations


@dataclass(frozen=True)
class Block:
    """Cells (c,) of ``rows``, numbered row by row, and the numbers of the stations among them."""

    rows: slice
    cells: np.ndarray
    stations: np.ndarray
    centre: Tensor  # (1, 3) on the unit sphere
    reach_km: float  # from the centre to the farthest cell or station


@dataclass(frozen=True)
class Columns:
    """What is to be analysed at places (q, 3): ``states`` (q, r, n) of the sample's n windows.

    The r values of a place (a cell's levels and steps) are departures from the climatology.
    """

    places: Tensor
    states: Tensor
    known: dict[str, Tensor] = field(default_factory=dict, repr=False)  # of these same columns

    @property
    def leading(self) -> Tensor:
        """The directions (w, d) that hold nearly all that the states vary by in w windows.

        They are scaled: ``leading @ leading.T`` is about X' X / w, X the states (q r, w) of these
        few windows about their mean. Every case and every radius of OI asks for them.
        """
        if "leading" not in self.known:
            states = few(self.states, 2).flatten(0, 1)
            states = states - states.mean(1, keepdim=True)
            size, direction = torch.linalg.eigh(states.T @ states / states.shape[1])
            scale = size[-DIRECTIONS:].clamp_min(0.0).sqrt()
            self.known["leading"] = direction[:, -DIRECTIONS:] * scale
        return self.known["leading"]


class Analyser(Protocol):
    """A method with a case's observations, or those of several cases."""

    def analyse(self, block: Block, columns: list[Columns]) -> list[tuple[Tensor, Tensor]]:
        """Mean (case, q, r) and variance (case, q, r) of each of the ``columns``."""
        ...


@dataclass(frozen=True)
class Points:
    """Stations whose temperature is asked for: ``places`` (s, 3) and the cell (s,) of each.

    ``images`` (n, step, s) are the sample's windows there, less the climatology, K.
    """

    places: Tensor
    cells: np.ndarray
    images: Tensor


def no_points(sample: Sample) -> Points:
    """No station."""
    images = torch.zeros(len(sample), 1, 0, device=sample.device)
    return Points(torch.zeros(0, 3).double(), np.zeros(0, int), images)


def partition(
    latitude: np.ndarray, longitude: np.ndarray, points: Points, side_km: float
) -> list[Block]:
    """Blocks about ``side_km`` wide and high that together are the grid, north first.

    ``latitude``, ``longitude`` (degrees) are those of the cells. There are fewer blocks in a row
    near the poles, where columns are narrow.
    """
    high = len(latitude) * np.deg2rad(abs(latitude[1] - latitude[0])) * EARTH_RADIUS_KM
    places, columns = cell_places(latitude, longitude), len(longitude)
    blocks = []
    bands = min(len(latitude), _parts(high, side_km))
    for rows in np.array_split(np.arange(len(latitude)), bands):
        around = 2 * np.pi * EARTH_RADIUS_KM * np.cos(np.deg2rad(latitude[rows])).max()
        for part in np.array_split(np.arange(columns), min(columns, _parts(around, side_km))):
            cells = (rows[:, None] * columns + part).ravel()
            stations = np.flatnonzero(np.isin(points.cells, cells))
            centre = places[cells].mean(0, keepdim=True)
            centre = centre / centre.norm().clamp_min(1e-9)
            of = torch.cat([places[cells], points.places[stations]])
            reach = float(distances(centre, of).max())
            blocks.append(Block(slice(rows[0], rows[-1] + 1), cells, stations, centre, reach))
    return blocks


def _parts(length: float, side: float) -> int:
    return max(1, round(length / side))


def columns_of(
    sample: Sample, blocks: list[Block], points: Points, places: Tensor
) -> Iterator[tuple[Block, list[Columns]]]:
    """Each block with its cells' and its stations' columns, on the sample's device.

    ``places`` (cell, 3) are those of all cells.
    The rows that blocks have in common are read once.
    """
    at_cells, at_points = places.to(sample.device), points.places.to(sample.device)
    for (first, end), of_band in groupby(
        blocks, key=lambda block: (block.rows.start, block.rows.stop)
    ):
        band = sample.band(slice(first, end)).flatten(3)  # (n, step, level, cell)
        before = first * (band.shape[3] // (end - first))
        for block in of_band:
            states = band.index_select(3, torch.from_numpy(block.cells - before).to(band.device))
            states = states.flatten(1, 2).permute(2, 1, 0).contiguous()
            known = sample.known.setdefault(block.cells.tobytes(), {})
            columns = [Columns(at_cells[block.cells], states, known)]
            if len(block.stations):
                at = points.images[..., block.stations]
                columns.append(Columns(at_points[block.stations], at.permute(2, 1, 0)))
            yield block, columns


@dataclass(frozen=True)
class Found:
    """Mean and variance of cells (case, step, level, cell) and stations (case, step, s).

    Of cells normalised departures from the climatology, of stations departures in K.
    """

    mean: np.ndarray
    variance: np.ndarray
    station_mean: np.ndarray
    station_variance: np.ndarray


def analyse_blocks(
    analysers: list[Analyser],
    cases: list[int],
    sample: Sample,
    blocks: list[Block],
    points: Points,
    places: Tensor,
) -> list[Found]:
    """Every analyser over the ``blocks``; cells of no block stay NaN.

    ``cases`` are the numbers of cases that each analyser has.
    """
    steps, levels = sample.steps, sample.store.shape[0]
    found = []
    for count in cases:
        cells = np.full((count, steps, levels, len(places)), np.nan, np.float32)
        stations = np.full((count, steps, len(points.places)), np.nan, np.float32)
        found.append(Found(cells, cells.copy(), stations, stations.copy()))
    for block, columns in columns_of(sample, blocks, points, places):
        for analyser, into in zip(analysers, found, strict=True):
            parts = analyser.analyse(block, columns)
            for of_cells, part in zip((into.mean, into.variance), parts[0], strict=True):
                shaped = part.unflatten(2, (steps, levels)).permute(0, 2, 3, 1)
                of_cells[..., block.cells] = shaped.cpu().numpy()
            if len(block.stations):
                pair = (into.station_mean, into.station_variance)
                for of_stations, part in zip(pair, parts[1], strict=True):
                    of_stations[..., block.stations] = part.permute(0, 2, 1).cpu().numpy()
    return found
