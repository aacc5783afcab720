"""A month of ERA5 (or some of its days and levels): its request, its halves, what a file lacks."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slams.archives import era5
from slams.errors import ArchiveError


@dataclass(frozen=True)
class Wanted:
    """Days of a month at some hours and levels.

    days: of the month, from 1. levels: hPa. hours: UTC, 0 to 23. spacing: degrees between the
    points, at most; None where any will do. area: north, west, south, east in degrees; None for
    the globe.
    """

    year: int
    month: int
    days: tuple[int, ...]
    levels: tuple[float, ...]
    hours: tuple[int, ...]
    spacing: float | None
    area: tuple[float, float, float, float] | None = None

    @property
    def name(self) -> str:
        """What tells it from other parts of the month."""
        first, last = min(self.levels), max(self.levels)
        return f"{self.days[0]:02d}-{self.days[-1]:02d}_{first:g}-{last:g}hPa"

    @property
    def times(self) -> NDArray[np.datetime64]:
        """The times wanted, in order."""
        days = np.array([f"{self.year:04d}-{self.month:02d}-{day:02d}" for day in self.days])
        hours = np.sort(np.asarray(self.hours))
        return (days.astype("M8[h]")[:, None] + hours).ravel().astype("M8[ns]")

    def halves(self) -> "tuple[Wanted, ...]":
        """Two parts that together are this: of its days, or of its levels where it is one day."""
        if len(self.days) > 1:
            middle = (len(self.days) + 1) // 2
            parts = self.days[:middle], self.days[middle:]
            return tuple(replace(self, days=part) for part in parts)
        if len(self.levels) > 1:
            middle = (len(self.levels) + 1) // 2
            halves = self.levels[:middle], self.levels[middle:]
            return tuple(replace(self, levels=half) for half in halves)
        return ()

    def request(self, product_type: str = "reanalysis") -> dict[str, Any]:
        """The request to the Climate Data Store."""
        asked: dict[str, Any] = {
            "product_type": [product_type],
            "variable": ["temperature"],
            "year": [f"{self.year:04d}"],
            "month": [f"{self.month:02d}"],
            "day": [f"{day:02d}" for day in self.days],
            "time": [f"{hour:02d}:00" for hour in sorted(self.hours)],
            "pressure_level": [f"{level:g}" for level in sorted(self.levels)],
            "data_format": "netcdf",
            "download_format": "unarchived",
        }
        if self.spacing is not None:
            asked["grid"] = [f"{self.spacing:g}", f"{self.spacing:g}"]
        if self.area is not None:
            asked["area"] = [float(edge) for edge in self.area]
        return asked

    def lacks(self, path: Path) -> str | None:
        """What a file lacks or why it cannot be read; None when it is whole.

        A file may hold more: other times and levels, points that lie closer, a larger area.
        """
        found: list[NDArray[np.datetime64]] = []
        try:
            for field in era5.pieces(path, self.levels):
                coarse = self._uncovered(field.latitude.values, field.longitude.values)
                if coarse is not None:
                    return f"{path} {coarse}"
                found.append(field.time.values)
        except ArchiveError as error:
            return str(error)
        missing = self.times[~np.isin(self.times, np.concatenate(found))]
        if not missing.size:
            return None
        first = np.datetime_as_string(missing[0], unit="h")
        return (
            f"it lacks {missing.size} of {self.times.size} times, the first {first}; fetch the "
            "month again, later if it is the present one."
        )

    def _uncovered(self, latitude: NDArray[Any], longitude: NDArray[Any]) -> str | None:
        """Why points do not cover the area at the spacing; None where they do."""
        if self.spacing is None:
            return None
        limit = self.spacing * 1.001 + 1e-4
        north, west, south, east = self.area or (90.0, 0.0, -90.0, 360.0)
        rows = np.concatenate([[north], latitude[(latitude < north) & (latitude > south)], [south]])
        span = 360.0 if east - west >= 360.0 else (east - west) % 360.0
        around = np.sort((longitude - west) % 360.0)
        columns = np.concatenate([[0.0], around[around < span], [span]])
        for name, gap in (("latitudes", -np.diff(rows)), ("longitudes", np.diff(columns))):
            if gap.max() > limit:
                return (
                    f"has {name} {gap.max():g} degrees apart, not {self.spacing:g} as asked for; "
                    "fetch it again."
                )
        return None


def whole_month(
    year: int,
    month: int,
    *,
    levels: Sequence[float],
    hours: Sequence[int],
    spacing: float | None,
    area: Sequence[float] | None = None,
) -> Wanted:
    """All days of a month; see `Wanted`."""
    return Wanted(
        year,
        month,
        tuple(range(1, monthrange(year, month)[1] + 1)),
        tuple(sorted(levels)),
        tuple(sorted(hours)),
        spacing,
        None if area is None else (area[0], area[1], area[2], area[3]),
    )
