"""The default sampler against the paper's: the same network, the same observations, one run.

    python benchmarks/paper_sampler.py results/demo/models/prior-pixel.pt \
        results/demo/store/test.nc --config config/demo.yaml

For cases spread over the store it draws an ensemble by the configuration's `sampler` and one by
its `paper.sampler` (512 steps of one correction: 1,024 network evaluations, each with guidance),
both from block means of the truth, and prints seconds a case, CRPS, RMSE and spread/skill. With
--precision bf16-mixed the default sampler is run once more with its networks in bfloat16.
"""

import argparse
import contextlib
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from slams import verification
from slams.config import load, merge
from slams.observation import BlockMean, Observation, Observations, degrade
from slams.paper.sampler import sample_states
from slams.posterior import sample
from slams.prior import Prior
from slams.store import Store

BASE = Path(__file__).parents[1] / "config/config.yaml"
Draw = Callable[[Observation, int], xr.DataArray]


def default_draw(prior: Prior, members: int, settings: dict[str, Any], precision: str) -> Draw:
    """The default sampler, its networks in the arithmetic of ``precision``."""
    taken = ("steps", "method", "solver_iterations", "sigma_min", "sigma_max")
    chosen = {key: settings[key] for key in taken}

    def draw(observation: Observation, seed: int) -> xr.DataArray:
        context: Any = contextlib.nullcontext()
        if precision == "bf16-mixed":
            context = torch.autocast(prior.device.type, dtype=torch.bfloat16)
        with context:
            return sample(prior, observation, members, seed=seed, **chosen)

    return draw


def paper_draw(prior: Prior, members: int, settings: dict[str, Any]) -> Draw:
    """The paper's sampler, guided by observations of decoded fields as the default one is."""
    chosen = {key: settings[key] for key in ("steps", "corrections", "tau", "gamma")}

    def draw(observation: Observation, seed: int) -> xr.DataArray:
        states = sample_states(
            prior,
            # A copy, for the default sampler's stay on the CPU until it moves them.
            Observations([copy.deepcopy(observation)]).to(prior.device),
            members,
            generator=torch.Generator().manual_seed(seed),
            times=observation.times,
            **chosen,
        )
        with torch.no_grad():
            return prior.to_kelvin(prior.decode(states), observation.times)

    return draw


def run(prior: Prior, store: Store, starts: np.ndarray, draw: Draw, factor: int) -> dict[str, Any]:
    """Seconds a case, and scores averaged over cases, steps and levels."""
    seconds, found = 0.0, []
    for number, start in enumerate(starts):
        times = store.times[start : start + prior.window]
        truth = store.window(start, prior.window)
        observation = degrade(truth, BlockMean(factor), times, noise=0.1, seed=number)
        began = time.perf_counter()
        ensemble = draw(observation, number)
        seconds += time.perf_counter() - began
        kelvin = prior.to_kelvin(truth, times)
        scores = (verification.crps, verification.rmse, verification.spread_skill)
        found.append([float(score(ensemble, kelvin).mean()) for score in scores])
    crps, rmse, ratio = np.mean(found, axis=0)
    return {"seconds": seconds / len(starts), "crps": crps, "rmse": rmse, "spread_skill": ratio}


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("prior", type=Path, help="a trained prior, models/prior-<space>.pt")
    parser.add_argument("store", type=Path, help="a store's description, store/test.nc")
    parser.add_argument("--config", type=Path, default=BASE, help="whose samplers to take")
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--factor", type=int, default=4, help="rows and columns a block mean")
    parser.add_argument("--paper-steps", type=int, help="instead of the configuration's; 0: skip")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    given = arguments()
    config = merge(load(BASE), load(given.config))
    prior, store = Prior.load(given.prior).to(torch.device(given.device)), Store(given.store)
    starts = store.starts(prior.window, prior.step_hours)
    starts = starts[np.linspace(0, len(starts) - 1, given.cases).round().astype(int)]
    ours, theirs = config["sampler"], dict(config["paper"]["sampler"])
    theirs["steps"] = theirs["steps"] if given.paper_steps is None else given.paper_steps
    draws = {
        f"{ours['method']}, {ours['steps']} evaluations": default_draw(
            prior, given.members, ours, "32-true"
        )
    }
    if given.precision == "bf16-mixed":
        draws["the same in bf16-mixed"] = default_draw(prior, given.members, ours, given.precision)
    if theirs["steps"]:
        evaluations = theirs["steps"] * (1 + theirs["corrections"])
        draws[f"the paper's, {evaluations} evaluations"] = paper_draw(prior, given.members, theirs)
    print(
        f"{given.prior}: {prior.space} space, {given.cases} cases of {given.members} members, "
        f"block means of {given.factor} with noise 0.1; {given.device}, "
        f"{torch.get_num_threads()} threads"
    )
    heads = "s/case", "ratio", "CRPS, K", "RMSE, K", "spread/skill"
    print(f"{'sampler':32}" + "".join(f"{head:>14}" for head in heads))
    first = None
    for name, draw in draws.items():
        row = run(prior, store, starts, draw, given.factor)
        first = first or row["seconds"]
        numbers = row["seconds"], row["seconds"] / first, *list(row.values())[1:]
        print(f"{name:32}" + "".join(f"{number:14.3f}" for number in numbers), flush=True)


if __name__ == "__main__":
    main()
