"""Station reports as columns of numbers: every row of a file, and the first reason against it.

Text that repeats (ids, codes, types) is held as whole numbers beside the few names they stand
for, so that no Python runs for each row. The readers of the four formats make `Reports`;
`report_rules` judges them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# The reasons against a row, in the order in which they are looked for; 0 is none.
REASONS = (
    "",
    "report type",
    "missing temperature",
    "suspect",
    "erroneous",
    "unknown quality",
    "out of range",
    "station not in history",
    "no position",
    "no elevation",
    "duplicate",
    "other hour",
    "not the nearest",
    "outside the period",
)
# What a quality code says of a temperature: how far it was checked, best first, or what is wrong.
PASSED, EDITED, LIMITS, PRESENT, UNCODED = range(5)
SUSPECT, ERRONEOUS, UNKNOWN = 10, 11, 12
# What a report type says: whom a tie goes to, or that it is no observation of the moment.
SYNOPTIC, ROUTINE, OTHER = range(3)
UNWANTED = 10
PREFERENCES = 256  # more than there are of `Reports.preference`
COLUMNS = [
    "station_id",
    "time",
    "latitude",
    "longitude",
    "elevation",
    "air_temperature",
    "quality",
    "report_type",
]
ZERO_CELSIUS = 273.15


@dataclass
class Labels:
    """Text for each row: `names[codes]`."""

    codes: NDArray[np.int32]  # (row,)
    names: list[str]

    @classmethod
    def same(cls, name: str, rows: int) -> "Labels":
        """One text for all rows."""
        return cls(np.zeros(rows, dtype=np.int32), [name])

    @classmethod
    def of(cls, names: Iterable[str], codes: NDArray[np.integer]) -> "Labels":
        """Names of which several may be alike."""
        alike, distinct = pd.factorize(np.array(list(names), dtype=object))
        return cls(alike.astype(np.int32)[codes], [str(name) for name in distinct])

    def categorical(self) -> pd.Categorical:
        """As pandas has it."""
        return pd.Categorical.from_codes(self.codes, pd.Index(self.names, dtype="str"))


@dataclass
class Reports:
    """The rows of one file. NaN is missing; arrays are (row,)."""

    station: Labels
    seconds: NDArray[np.int64]  # since 1970, UTC
    latitude: NDArray[np.float64]  # degrees
    longitude: NDArray[np.float64]  # degrees
    elevation: NDArray[np.float64]  # m
    celsius: NDArray[np.float64]
    quality: Labels
    report_type: Labels
    trust: NDArray[np.int8]  # PASSED .. UNKNOWN
    kind: NDArray[np.int8]  # SYNOPTIC .. UNWANTED
    reason: NDArray[np.int8]  # index into REASONS
    shift: NDArray[np.int32]  # seconds from the report to the hour that it stands for
    has_places: bool  # whether the format states positions

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def open(self) -> NDArray[np.bool_]:
        """Rows that nothing speaks against so far."""
        return self.reason == 0

    @property
    def preference(self) -> NDArray[np.int32]:
        """Less is better, of reports that are equally near to their hour."""
        return self.trust.astype(np.int32) * 16 + self.kind

    def note(self, wrong: NDArray[np.bool_], reason: str) -> None:
        """Note a reason against the wrong rows that have none yet."""
        self.reason[wrong & self.open] = REASONS.index(reason)

    def override(self, wrong: NDArray[np.bool_], reason: str) -> None:
        """Note a reason against the wrong rows in place of any that they have."""
        self.reason[wrong] = REASONS.index(reason)

    def take(self, chosen: NDArray[np.bool_]) -> "Reports":
        """Some of the rows."""
        parts: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Labels):
                parts[field.name] = Labels(value.codes[chosen], value.names)
            else:
                parts[field.name] = value if isinstance(value, bool) else value[chosen]
        return Reports(**parts)

    def frame(self) -> pd.DataFrame:
        """The rows as COLUMNS, in their order; text as categories, time as datetime64[ns]."""
        return pd.DataFrame(
            {
                "station_id": self.station.categorical(),
                "time": (self.seconds * 10**9).view("datetime64[ns]"),
                "latitude": self.latitude,
                "longitude": self.longitude,
                "elevation": self.elevation,
                "air_temperature": self.celsius + ZERO_CELSIUS,
                "quality": self.quality.categorical(),
                "report_type": self.report_type.categorical(),
            },
            columns=COLUMNS,
            copy=False,
        )

    def rejected(self) -> dict[str, int]:
        """How many rows each reason speaks against."""
        counts = np.bincount(self.reason, minlength=len(REASONS))
        return {name: int(n) for name, n in zip(REASONS[1:], counts[1:], strict=True) if n}


def reports(
    *,
    station: Labels,
    seconds: NDArray[np.int64],
    place: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None,
    celsius: NDArray[np.float64],
    quality: Labels,
    report_type: Labels,
    trust: NDArray[np.int8],
    kind: NDArray[np.int8],
) -> Reports:
    """Unjudged reports.

    place: latitude, longitude (degrees) and elevation (m), or None where the format has none.
    """
    rows, has_places = len(seconds), place is not None
    if place is None:
        place = (np.full(rows, np.nan), np.full(rows, np.nan), np.full(rows, np.nan))
    return Reports(
        station,
        seconds,
        *place,
        celsius,
        quality,
        report_type,
        trust,
        kind,
        np.zeros(rows, dtype=np.int8),
        np.zeros(rows, dtype=np.int32),
        has_places,
    )
