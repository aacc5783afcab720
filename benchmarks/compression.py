"""Autoencoders of different compression, by the analyses that their priors lead to.

    python benchmarks/compression.py results/nature config/nature.yaml \\
        results/nature/models/prior-latent.pt results/other/models/prior-latent.pt

The priors are those of experiments that differ in `autoencoder` (and in the width of
`prior.latent`) alone. Each makes the analyses of the arm latent-background, from the same
observations, and a table shows CRPS, RMSE and spread/skill with 95 % intervals over cases. Where
two autoencoders reconstruct alike, only this says which is to be taken.
"""

import argparse
from pathlib import Path

import torch

from slams.assimilation import Streams, assimilate_cell
from slams.config import load, merge
from slams.prior import Prior
from slams.store import Store
from slams.verification import score_ensemble, summary

BASE = Path(__file__).parents[1] / "config/config.yaml"
ARM = {"name": "latent-background", "space": "latent", "streams": ["background"]}
SCORES = {"crps": "CRPS, K", "rmse": "RMSE, K", "spread_skill": "spread/skill"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of an experiment, for its stores")
    parser.add_argument("config", type=Path, help="its configuration")
    parser.add_argument("priors", type=Path, nargs="+")
    parser.add_argument("--cells", nargs="+", default=["coarse-4", "coarse-8", "sparse-4"])
    parser.add_argument("--cases", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = merge(load(BASE), load(arguments.config))
    test, validation = (
        Store(arguments.results / f"store/{split}.nc") for split in ("test", "validation")
    )
    for path in arguments.priors:
        prior = Prior.load(path)
        channels, rows, columns = prior.state_shape[1:]
        print(f"{path}: latents of {channels} channels, {rows} x {columns}")
        for cell in arguments.cells:
            axis, value = cell.split("-")
            analysis = assimilate_cell(
                prior,
                test,
                validation,
                arm=ARM,
                axis=axis,
                value=float(value),
                settings=config["axes"][axis],
                streams=Streams(),
                cases=arguments.cases,
                steps=prior.window,
                sampler=config["sampler"],
                seed=config["seed"],
            )
            table = summary(score_ensemble(analysis, seed=config["seed"]))
            table = table[table["level"] == "all"]
            found = {row.score: row for row in table.itertuples()}
            texts = [
                f"{label} {found[name].value:.3f} ({found[name].lower:.3f}-{found[name].upper:.3f})"
                for name, label in SCORES.items()
            ]
            print(f"  {cell:10}" + "  ".join(texts), flush=True)


if __name__ == "__main__":
    main()
