"""The frame around a rule's script: its log file, its threads, its errors.

A SlamsError ends the job with its message alone, in the log and on standard error, Ctrl-C with a
word in the log; any other exception keeps its traceback, in both.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slams.errors import SlamsError

ERROR_MARK = "error: "  # begins the line of a log that says why a job failed


@contextmanager
def job(log: str | Path, threads: int = 1, mode: str = "w") -> Iterator[None]:
    """Run a block as a job that logs to the file ``log`` and uses ``threads`` threads.

    ``mode`` is "w" for a new log, "a" where another process has begun it.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    Path(log).open(mode).close()
    handler = logging.FileHandler(log, mode="a")  # several processes may write
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
    except KeyboardInterrupt:
        _write(log, "interrupted")
        raise SystemExit(130) from None  # as a shell has it; nobody asked for a traceback
    except Exception:
        _write(log, ERROR_MARK + traceback.format_exc())
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def error_in(log: str | Path) -> str | None:
    """The message, from its mark on, with which a job that wrote this log failed, if it did."""
    text = Path(log).read_text(errors="replace")
    found = re.search(f"^{ERROR_MARK}", text, re.MULTILINE)
    return text[found.start() :].strip() if found else None


def _write(log: str | Path, text: str) -> None:
    with Path(log).open("a") as file:
        file.write(text + "\n")
