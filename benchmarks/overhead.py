"""What a cell costs beyond its own work: a job each, or a process for all cells of an arm.

    python benchmarks/overhead.py --cells 4 16

runs the tiny configuration in a folder of its own up to the cells, then so many cells of one arm
(assimilation, classical analyses, scores), every cell a job (with the most cells) and along an axis
and along all axes in one process. Prints processor seconds of the whole call, children included:
what further cells of a process take is their work, what is left is overhead. Takes some minutes
and two cores.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/workflow"))
from working_copy import Copy, checkout

TARGET = "results/tiny/scores.parquet"
ARM = {
    "name": "latent-both",
    "space": "latent",
    "streams": ["background", "stations", "imagery"],
}


def keys(cells: int, together: str | bool) -> dict[str, Any]:
    """One arm at so many noises."""
    others = {axis: {"values": []} for axis in ("coarse", "sparse", "persistence")}
    noises = [round(0.1 * (number + 1), 1) for number in range(cells)]
    axes = {"noise": {"values": noises}, **others}
    return {"arms": [ARM], "cells_together": together, "axes": axes}


def used() -> float:
    """Processor seconds of all that was called so far."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def run(copy: Copy, cells: int, together: str | bool) -> float:
    """Make the cells; processor seconds of the call."""
    (copy / TARGET).unlink(missing_ok=True)
    for name in ("cells", "classical"):
        shutil.rmtree(copy / f"results/tiny/{name}", ignore_errors=True)
    before, began = used(), time.perf_counter()
    call = copy.snakemake(TARGET, "--rerun-triggers", "mtime", keys=keys(cells, together))
    if call.status:
        sys.exit(call.text)
    seconds = used() - before
    print(
        f"{cells:4} cells, cells_together: {str(together).lower():6} {seconds:7.1f} s of a "
        f"processor, {time.perf_counter() - began:7.1f} s",
        flush=True,
    )
    return seconds


def main() -> None:
    """Print the calls, then the work of a cell and its overhead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs=2, default=[4, 16], metavar=("FEW", "MANY"))
    few, many = parser.parse_args().cells
    with tempfile.TemporaryDirectory() as folder:
        copy = checkout(Path(folder) / "copy")
        run(copy, 1, False)  # with all that comes before the cells
        times = {mode: (run(copy, few, mode), run(copy, many, mode)) for mode in ("axis", "arm")}
        alone = run(copy, many, False)
    for mode, (one, other) in times.items():
        work = (other - one) / (many - few)
        print(
            f"{mode}: work of a cell {work:.2f} s, overhead {(other - many * work) / many:.2f} s "
            f"a cell of {many}; a job a cell: {alone / many - work:.2f} s"
        )


if __name__ == "__main__":
    main()
