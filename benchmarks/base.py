"""What the linear-Gaussian base of a prior knows, and what its network adds.

    python benchmarks/base.py results/nature pixel

prints the denoising loss of a trained prior over the validation period by noise level, beside
that of its base alone, and of any other priors named with --beside, from the same noise; then
analyses of the test period with the guidance methods that the base allows: CRPS in normalised
units, spread/skill, and seconds a case. With --joint 0 32 64, instead: of bases fitted anew to
the fields, with so many modes that vary together over the steps; each without a taper, too.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from slams import covariances, verification
from slams.netcdf import load_dataset
from slams.observation import BlockMean, EveryNth, degrade
from slams.posterior import sample
from slams.prior import Denoiser, Prior
from slams.recipes import spread_out
from slams.store import Store

SIGMAS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0, 400.0)
NOISE, MEMBERS, STEPS, SEED = 0.1, 8, 12, 20261123
# What is seen: operator, and every how many steps.
SEEN = {
    "coarse 2": (BlockMean(2), 4),
    "coarse 4": (BlockMean(4), 4),
    "coarse 8": (BlockMean(8), 4),
    "every 4th": (EveryNth(4), 1),
    "every 2nd": (EveryNth(2), 1),
}
METHODS = (("mmps", 2), ("mmps", 4), ("gaussian", 2), ("gaussian", 4), ("gaussian", 8))


class BaseAlone(Prior):
    """A prior whose network has unlearned everything."""

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """The base's estimate."""
        return self.known(x, sigma)


def losses(prior: Prior, store: Store) -> list[float]:
    """Karras-weighted denoising loss by noise level."""
    generator = torch.Generator().manual_seed(SEED)
    starts = spread_out(store.starts(prior.window, prior.step_hours))[::4]
    total = np.zeros(len(SIGMAS))
    for start in starts:
        x = torch.from_numpy(store.window(start, prior.window))[None]
        x, times = prior.encode(x), store.times[start : start + prior.window]
        for number, sigma in enumerate(SIGMAS):
            noisy = x + sigma * torch.randn(x.shape, generator=generator)
            clean = prior.denoise(noisy, torch.tensor(sigma), times)
            total[number] += (1 + sigma**2) / sigma**2 * float((clean - x).square().mean())
    return list(total / len(starts))


def analyses(prior: Prior, store: Store, method: str, iterations: int, cases: int) -> None:
    """Print one row: every kind of observation."""
    starts = store.starts(prior.window, prior.step_hours)
    chosen = starts[np.linspace(0, len(starts) - 1, cases).round().astype(int)]
    scale = prior.normalisation.scale
    texts = []
    for operator, every in SEEN.values():
        crps, error, variance, seconds = [], [], [], 0.0
        for start in chosen:
            times = store.times[start : start + prior.window]
            fields = store.window(start, prior.window)
            seen = degrade(fields, operator, times, noise=NOISE, every=every, seed=int(start))
            begin = time.perf_counter()
            ensemble = sample(
                prior,
                seen,
                MEMBERS,
                steps=STEPS,
                seed=SEED,
                method=method,
                solver_iterations=iterations,
            )
            seconds += time.perf_counter() - begin
            truth = prior.to_kelvin(fields, times)
            by_level = verification.crps(ensemble, truth).mean("time") / scale
            crps.append(float(by_level.mean()))
            error.append(normalised(verification.rmse(ensemble, truth) ** 2, scale))
            variance.append(normalised(verification.spread(ensemble) ** 2, scale))
        ratio = np.sqrt((1 + 1 / MEMBERS) * np.mean(variance) / np.mean(error))
        texts.append(f"{np.mean(crps):.4f} ({ratio:.2f}) {seconds / cases:5.1f} s")
    print(f"{method:9}{iterations:2}  " + "   ".join(texts), flush=True)


def normalised(squares: xr.DataArray, scale: np.ndarray) -> float:
    """The mean over steps and levels of squares in K, in normalised units."""
    return float((squares.mean("time") / scale**2).mean())


def fitted(results: Path, like: Prior, joint: int) -> tuple[Prior, float]:
    """A prior in pixel space that knows its base alone, and how long the fit took (s)."""
    training, validation = (Store(results / f"store/{n}.nc") for n in ("train", "validation"))
    settings = like.denoiser.settings | {"joint_modes": joint}
    net = Denoiser(**settings)
    starts = [store.starts(like.window, like.step_hours) for store in (training, validation)]
    begin = time.perf_counter()
    net.base.fit(training, starts[0], validation, starts[1])
    seconds = time.perf_counter() - begin
    statistics = load_dataset(results / "statistics.nc")
    return BaseAlone(net, statistics, step_hours=like.step_hours), seconds


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of a finished experiment")
    parser.add_argument("space", choices=["pixel", "latent"])
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="other trained priors")
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--joint", type=int, nargs="+", help="bases with so many joint modes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.results / f"models/prior-{arguments.space}.pt"
    if arguments.joint is not None:
        if arguments.space != "pixel":
            parser.error("--joint goes with pixel")
        test = Store(arguments.results / "store/test.nc")
        print("CRPS (spread/skill) seconds: " + ", ".join(SEEN))
        for joint, radii in product(arguments.joint, ((None,), covariances.RADII)):
            covariances.RADII = radii
            prior, seconds = fitted(arguments.results, Prior.load(path), joint)
            base = prior.base
            assert base is not None
            ends = f"ends at {base.radius_km:g} km" if base.radius_km else "none"
            print(
                f"{joint} joint modes, fitted in {seconds:.1f} s: taper {ends}, "
                f"ridge {base.ridge:g}, share {base.share:g}"
            )
            analyses(prior, test, "gaussian", 4, arguments.cases)
        return
    priors = {"base alone": BaseAlone.load(path), "with its network": Prior.load(path)}
    others = {str(other): Prior.load(other) for other in arguments.beside}
    validation = Store(arguments.results / "store/validation.nc")
    print(f"{'denoising loss':18}" + "".join(f"{f'sigma {s:g}':>11}" for s in SIGMAS))
    with torch.no_grad():
        for name, prior in (priors | others).items():
            print(f"{name:18}" + "".join(f"{loss:11.4f}" for loss in losses(prior, validation)))
    test = Store(arguments.results / "store/test.nc")
    print("CRPS (spread/skill) seconds: " + ", ".join(SEEN))
    for name, prior in priors.items():
        print(name)
        # The base's own derivative is its covariance: there the methods are one.
        for method, iterations in METHODS if name != "base alone" else METHODS[-2:-1]:
            analyses(prior, test, method, iterations, arguments.cases)


if __name__ == "__main__":
    main()
