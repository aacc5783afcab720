"""The length that the header of a netCDF file of the classic formats implies.

The netCDF library reads what is cut off the end of such a file as zeros, without a word. The
formats (CDF-1, CDF-2 with 64-bit offsets, CDF-5 with 64-bit data) are described in the NetCDF
Users Guide, appendix "File Format Specifications".
"""

from math import prod
from pathlib import Path
from typing import BinaryIO

MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # bytes, by type
MOST = 1 << 24  # dimensions, attributes or variables; a damaged header may claim anything


def check_length(path: Path) -> None:
    """Raise ValueError where a file of a classic format is shorter than its header implies.

    Also where the header itself is cut, damaged or none.
    """
    held = path.stat().st_size
    with path.open("rb") as file:
        needed = _Header(file).least_length()
    if held < needed:
        raise ValueError(f"{held} of {needed} bytes are there")


class _Header:
    """A header, read once from its start."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        magic = file.read(4)
        if magic not in MAGIC:
            raise ValueError("no netCDF of a classic format")
        self._count_bytes = 8 if magic == MAGIC[2] else 4
        self._offset_bytes = 4 if magic == MAGIC[0] else 8

    def least_length(self) -> int:
        """Bytes up to the last value of any variable; the padding behind it may be missing."""
        records = self._count()
        if records == 2 ** (8 * self._count_bytes) - 1:
            raise ValueError("it was still being written")
        lengths = [self._dimension() for _ in range(self._entries())]
        self._skip_attributes()
        variables = [self._variable(lengths) for _ in range(self._entries())]
        ends = [self._file.tell()]
        ends += [begin + size for repeated, begin, size in variables if not repeated]
        rest = [(begin, size) for repeated, begin, size in variables if repeated]
        if records and rest:
            # Of a single record variable the records follow one another without padding.
            padded = sum(_padded(size) for _, size in rest)
            step = rest[0][1] if len(rest) == 1 else padded
            ends += [begin + (records - 1) * step + size for begin, size in rest]
        return max(ends)

    def _integer(self, size: int) -> int:
        read = self._file.read(size)
        if len(read) < size:
            raise ValueError("its header is cut")
        return int.from_bytes(read, "big")

    def _count(self) -> int:
        return self._integer(self._count_bytes)

    def _entries(self) -> int:
        """How many entries a list has, from its tag and count."""
        self._integer(4)
        count = self._count()
        if count > MOST:
            raise ValueError("its header is damaged")
        return count

    def _skip(self, size: int) -> None:
        """Pass over bytes and their padding."""
        self._file.seek(_padded(size), 1)

    def _dimension(self) -> int:
        self._skip(self._count())
        return self._count()

    def _skip_attributes(self) -> None:
        for _ in range(self._entries()):
            self._skip(self._count())
            size = _size_of(self._integer(4))
            self._skip(size * self._count())

    def _variable(self, lengths: list[int]) -> tuple[bool, int, int]:
        """Whether it is repeated in every record, where it begins, its bytes (of one record)."""
        self._skip(self._count())
        rank = self._count()
        if rank > len(lengths):
            raise ValueError("its header is damaged")
        numbers = [self._count() for _ in range(rank)]
        if any(number >= len(lengths) for number in numbers):
            raise ValueError("its header is damaged")
        self._skip_attributes()
        size = _size_of(self._integer(4))
        self._count()  # the size as the header has it, which large variables exceed
        begin = self._integer(self._offset_bytes)
        shape = [lengths[number] for number in numbers]
        repeated = bool(shape) and shape[0] == 0
        return repeated, begin, size * prod(shape[1:] if repeated else shape)


def _size_of(kind: int) -> int:
    if kind not in SIZES:
        raise ValueError("its header is damaged")
    return SIZES[kind]


def _padded(size: int) -> int:
    return -(-size // 4) * 4
