"""The frame around a rule's script: its log file, its threads, its errors.

A SlamsError ends the job with its message alone, in the log and on standard error; any other
exception keeps its traceback, in both.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slams.errors import SlamsError

ERROR_MARK = "error: "  # begins the line of a log that says why a job failed


@contextmanager
def job(log: str | Path, threads: int = 1) -> Iterator[None]:
    """Run a block as a job that logs to the file ``log`` and uses ``threads`` threads."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger("slams")
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    try:
        yield
    except SlamsError as error:
        _write(log, ERROR_MARK + str(error))
        sys.stderr.write(f"{ERROR_MARK}{error}\n")
        raise SystemExit(1) from None
    except Exception:
        _write(log, ERROR_MARK + traceback.format_exc())
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def _write(log: str | Path, text: str) -> None:
    with Path(log).open("a") as file:
        file.write(text + "\n")
