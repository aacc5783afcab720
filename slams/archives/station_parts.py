"""Observations set down on disk by slabs of time, and taken up again a slab at a time.

A year of the world's stations does not fit in memory; a week of it does. Rows go to a temporary
file for each slab as they come, file by file, and each slab is then brought into order alone.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slams.archives.report_rules import nearness
from slams.archives.reports import ZERO_CELSIUS, Labels, Reports

SLABS = 53  # of the period: about a week of a year
BATCH_ROWS = 500_000  # rows held before they are set down

PART = pa.schema(
    [
        ("station", pa.int32()),
        ("time", pa.int64()),
        ("shift", pa.int32()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("elevation", pa.float64()),
        ("air_temperature", pa.float64()),
        ("quality", pa.int32()),
        ("report_type", pa.int32()),
        ("nearness", pa.int64()),
        ("file", pa.int32()),
    ]
)


class Names:
    """Text numbered in the order in which it is first seen."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def codes(self, labels: Labels) -> NDArray[np.int32]:
        """The numbers of labels that have numbers of their own."""
        numbers = [self.known.setdefault(name, len(self.known)) for name in labels.names]
        return np.array(numbers, dtype=np.int32)[labels.codes]


class Parts:
    """Rows between two instants (seconds since 1970, both included), in slabs on disk."""

    def __init__(self, folder: Path, first: int, last: int) -> None:
        self.folder = folder
        self.first, self.width = first, (last - first) // SLABS + 1
        self.stations, self.qualities, self.types = Names(), Names(), Names()
        self.most_held = 0  # rows in memory at once
        self._held: list[pa.RecordBatch] = []
        self._files: dict[int, pa.ipc.RecordBatchFileWriter] = {}

    def add(self, table: Reports, file: int) -> None:
        """Take the rows that nothing speaks against; file: its number."""
        kept = table.take(table.open)
        columns = [
            self.stations.codes(kept.station),
            kept.seconds,
            kept.shift,
            kept.latitude,
            kept.longitude,
            kept.elevation,
            kept.celsius + ZERO_CELSIUS,
            self.qualities.codes(kept.quality),
            self.types.codes(kept.report_type),
            nearness(kept),
            np.full(len(kept), file, dtype=np.int32),
        ]
        self._held.append(pa.record_batch([pa.array(column) for column in columns], schema=PART))
        if self._rows() >= BATCH_ROWS:
            self._set_down()

    def _rows(self) -> int:
        rows = sum(batch.num_rows for batch in self._held)
        self.most_held = max(self.most_held, rows)
        return rows

    def _set_down(self) -> None:
        table = pa.Table.from_batches(self._held, schema=PART)
        self._held = []
        slab = (table.column("time").to_numpy() - self.first) // self.width
        order = np.argsort(slab, kind="stable")
        ordered = table.take(pa.array(order)).combine_chunks()
        edges = np.searchsorted(slab[order], np.arange(SLABS + 1))
        for number in np.flatnonzero(np.diff(edges)).tolist():
            start, end = int(edges[number]), int(edges[number + 1])
            self._file(number).write_table(ordered.slice(start, end - start))

    def _file(self, slab: int) -> pa.ipc.RecordBatchFileWriter:
        if slab not in self._files:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            path = str(self.folder / f"{slab:02d}.arrow")
            self._files[slab] = pa.ipc.new_file(path, PART, options=options)
        return self._files[slab]

    def slabs(self) -> Iterable[dict[str, NDArray[np.generic]]]:
        """The columns of each slab that has rows, in order of time; rows in the order they came."""
        if self._held:
            self._set_down()
        for file in self._files.values():
            file.close()
        for slab in sorted(self._files):
            with pa.OSFile(str(self.folder / f"{slab:02d}.arrow")) as source:
                table = pa.ipc.open_file(source).read_all()
            self.most_held = max(self.most_held, table.num_rows)
            yield {name: table.column(name).to_numpy() for name in PART.names}
