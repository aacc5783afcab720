"""Memory and time of one guided estimate of a long trajectory, by how many windows are at once.

    python benchmarks/long_windows.py results/nature/models/prior-pixel.pt

Each chunk is a process of its own, whose largest memory is told by the system, beside that of a
process that only loads the prior. The observations are block means of 4 of a made-up trajectory.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from slams.composition import Composed
from slams.observation import BlockMean, Observations, degrade
from slams.posterior import guidance
from slams.prior import Prior


def memory() -> float:
    """The largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def estimate(path: str, chunk: int, steps: int, members: int, method: str) -> None:
    """Print what the process took: MB, and seconds of the estimate; no estimate for chunk 0."""
    torch.set_num_threads(1)
    prior = Prior.load(path)
    apart = np.timedelta64(int(prior.step_hours * 60), "m")
    times = np.datetime64("2002-10-01", "ns") + np.arange(steps) * apart
    seconds = 0.0
    if chunk:
        x = torch.randn(members, steps, *prior.state_shape[1:])
        with torch.no_grad():
            fields = torch.cat([prior.decode(step[None, None])[0] for step in x[0]])
        seen = Observations([degrade(fields.numpy(), BlockMean(4), times, noise=0.1, seed=0)])
        space, guide = Composed(prior, steps, chunk), guidance(method)
        began = time.perf_counter()
        guide(space, seen, x, torch.tensor(1.0), None)
        seconds = time.perf_counter() - began
    print(memory(), seconds)


def main() -> None:
    """Print a line a chunk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prior", help="a trained prior, models/prior-<space>.pt")
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 4, 16, 1000])
    parser.add_argument("--steps", type=int, default=29)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--method", choices=["mmps", "gaussian"], default="mmps")
    parser.add_argument("--chunk", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.chunk is not None:
        estimate(given.prior, given.chunk, given.steps, given.members, given.method)
        return
    print(f"{given.prior}: {given.steps} steps, {given.members} members, {given.method}")
    for chunk in [0, *given.chunks]:
        command = [sys.executable, *sys.argv, "--chunk", str(chunk)]
        text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        size, seconds = map(float, text.split())
        if not chunk:
            alone = size
            print(f"the prior alone: {alone:.0f} MB")
        else:
            print(f"chunk {chunk}: {size - alone:.0f} MB more, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
