"""The Parquet data set of station observations: a folder for each year, a file in each.

`{folder}/year=2015/reports.parquet` holds a year, sorted by time and station; pandas and pyarrow
read the folder as one table, with the further column year.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import dataset, parquet

ROWS_A_GROUP = 200_000  # at least, of all but the last group of rows
TEXT = pa.dictionary(pa.int32(), pa.string())
UNITS = {
    "time": "UTC",
    "latitude": "degrees_north",
    "longitude": "degrees_east",
    "elevation": "m",
    "air_temperature": "K",
    "report_time": "UTC",
}
FIELDS = {
    "station_id": TEXT,
    "time": pa.timestamp("ns"),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
    "elevation": pa.float64(),
    "air_temperature": pa.float64(),
    "quality": TEXT,
    "report_type": TEXT,
    "report_time": pa.timestamp("ns"),
}


def schema(attributes: Mapping[str, str]) -> pa.Schema:
    """The columns of a file, with units, and the attributes where pandas and pyarrow find them."""
    like_pandas = pa.schema(list(FIELDS.items())).empty_table().to_pandas()
    like_pandas.attrs = dict(attributes)
    described = pa.Schema.from_pandas(like_pandas, preserve_index=False).metadata
    fields = [
        pa.field(name, kind, metadata={"units": UNITS[name]} if name in UNITS else None)
        for name, kind in FIELDS.items()
    ]
    return pa.schema(fields, metadata={**described, **attributes})


class Writer:
    """Writes the observations of a year in order, a piece at a time."""

    def __init__(
        self, path: Path, attributes: Mapping[str, str], names: Mapping[str, Sequence[str]]
    ) -> None:
        """names: what the numbers in the columns of text stand for, by column."""
        self.rows = 0
        self._schema = schema(attributes)
        self._names = {column: pa.array(list(text), pa.string()) for column, text in names.items()}
        self._pending: list[pa.RecordBatch] = []
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._write()
        self._file.close()

    def write(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows; times in seconds since 1970, text as numbers."""
        arrays = []
        for name, kind in FIELDS.items():
            values = columns[name]
            if name in self._names:
                codes = pa.array(values.astype(np.int32))
                arrays.append(pa.DictionaryArray.from_arrays(codes, self._names[name]))
            elif pa.types.is_timestamp(kind):
                arrays.append(pa.array((values * 10**9).view("datetime64[ns]")))
            else:
                arrays.append(pa.array(values))
        self._pending.append(pa.record_batch(arrays, schema=self._schema))
        self.rows += len(columns["time"])
        if sum(batch.num_rows for batch in self._pending) >= ROWS_A_GROUP:
            self._write()

    def _write(self) -> None:
        if self._pending:
            table = pa.Table.from_batches(self._pending)
            self._file.write_table(table, row_group_size=table.num_rows or None)
            self._pending = []


def read(files: Iterable[Path | str], times: NDArray[np.datetime64] | None = None) -> pd.DataFrame:
    """The observations of some files of the data set, one below the other; text as categories.

    times: only those of these times (UTC) are read into memory.
    """
    wanted = None
    if times is not None:
        wanted = dataset.field("time").isin(pa.array(np.asarray(times, "datetime64[ns]")))
    table = dataset.dataset([str(path) for path in files], format="parquet").to_table(filter=wanted)
    return table.unify_dictionaries().combine_chunks().to_pandas()


def places(files: Iterable[Path | str]) -> pd.DataFrame:
    """Every station of some files, by station_id: its first place, and the number of its rows.

    The columns are latitude, longitude (degrees) and rows. A piece of a file is in memory at a
    time.
    """
    wanted = ["station_id", "latitude", "longitude"]
    known = pd.DataFrame(columns=[*wanted, "rows"])
    for path in files:
        for batch in parquet.ParquetFile(path).iter_batches(ROWS_A_GROUP, columns=wanted):
            found = batch.to_pandas().assign(rows=1)
            found["station_id"] = found["station_id"].astype(str)
            found = _by_station(found)
            known = _by_station(pd.concat([known, found])) if len(known) else found
    return known.set_index("station_id")


def _by_station(rows: pd.DataFrame) -> pd.DataFrame:
    groups = rows.groupby("station_id", as_index=False)
    return groups.agg({"latitude": "first", "longitude": "first", "rows": "sum"})
