"""Room on the disk, asked for before a long step and not found missing at its end."""

import shutil
from pathlib import Path

from slams.errors import SlamsError

MARGIN = 1.02  # headers, logs and what else is written beside


def check(folder: Path | str, needed: float, what: str) -> None:
    """Raise SlamsError where the disk of ``folder`` has less room than ``needed`` bytes.

    The folder need not be there yet; ``what`` is what the room is for, such as a file's name.
    """
    above = existing(Path(folder))
    free = shutil.disk_usage(above).free
    if needed * MARGIN > free:
        raise SlamsError(
            f"{what} needs {size_text(needed * MARGIN)} and {above} has {size_text(free)} left: "
            "free some space (slams plan says what the whole experiment needs), or put results/ "
            "on another disk"
        )


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder


def size_text(size: float) -> str:
    """Bytes as a person says them: 512 B, 3.4 MB, 12 GB."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    power = 0
    while size >= 1000 and power < len(units) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.0f} {units[power]}" if size >= 10 or not power else f"{size:.1f} {units[power]}"
