"""Networks, trainings, the sampler, classical analyses, verification."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from slams.consistency.words import Checks
from slams.experiment import (
    Config,
    kind_of_prior,
    prior_settings,
    prior_space,
    shape,
)

LEAST_FIRST_LEVEL = 40.0  # of noise, where the key is null: as in posterior.ladder


def _networks(config: Config) -> Iterator[str]:
    rows, _ = shape(config)
    down = config["autoencoder"]["downsample"]
    kinds = sorted({kind_of_prior(prior_space(arm)) for arm in config["arms"]})
    for space in kinds:
        factor = down if space == "latent" else 1
        halvings = len(prior_settings(config, space)["width"]) - 1
        if rows % (factor * 2**halvings):
            reason = f"autoencoder.downsample {down} and " if factor > 1 else ""
            yield (
                f"{_section(space)}.width: {reason}{halvings + 1} resolutions need rows divisible "
                f"by {factor * 2**halvings}; the grid has {rows}"
            )
    for space in kinds:
        yield from _carries_noise(config, space)
    for space, section in config["prior"].items():
        if section["parameterisation"] == "eps" and section["modes"]:
            yield (
                f"prior.{space}.modes is {section['modes']}: with parameterisation: eps it must be "
                "0, because only the parameterisation karras builds on a linear-Gaussian base"
            )


def _carries_noise(config: Config, space: str) -> Iterator[str]:
    """A network that predicts the noise has as many channels as there are numbers in a cell."""
    section, levels = prior_settings(config, space), len(config["levels"])
    if section["parameterisation"] == "eps":
        of_latents = {
            "latent": config["autoencoder"]["latent_channels"],
            "paper-latent": levels // 2,
        }
        needed = config["window"] * of_latents.get(space, levels)
        if section["width"][0] < needed:
            yield (
                f"{_section(space)}.width begins with {section['width'][0]}: a network that "
                f"predicts the noise needs a channel for each of the {needed} numbers of a cell, "
                "steps times channels"
            )


def _section(space: str) -> str:
    """The key of a prior's section."""
    return f"paper.prior.{space.removeprefix('paper-')}" if "-" in space else f"prior.{space}"


def _training(config: Config) -> Iterator[str]:
    sections: dict[str, Any] = {
        "autoencoder": config["autoencoder"],
        "prior.pixel": config["prior"]["pixel"],
        "prior.latent": config["prior"]["latent"],
        "operators.imagery": config["operators"]["imagery"],
        "paper.autoencoder": config["paper"]["autoencoder"],
        "paper.prior.pixel": config["paper"]["prior"]["pixel"],
        "paper.prior.latent": config["paper"]["prior"]["latent"],
    }
    processes = config["trainer"]["devices"] * config["trainer"]["nodes"]
    for name, section in sections.items():
        training = section["training"]
        for key in ("warmup_steps", "validate_every"):
            if training[key] > training["steps"]:
                yield (
                    f"{name}.training.{key} is {training[key]}: more than the "
                    f"{training['steps']} steps of the training"
                )
        if training["batch"] % processes and name != "paper.autoencoder":
            yield (
                f"{name}.training.batch is {training['batch']}: not shared evenly by "
                f"trainer.devices times trainer.nodes, {processes}"
            )


def _sampler(config: Config) -> Iterator[str]:
    low, high = config["sampler"]["sigma_min"], config["sampler"]["sigma_max"]
    if low >= (LEAST_FIRST_LEVEL if high is None else high):
        least = f"{LEAST_FIRST_LEVEL:g}, the least" if high is None else f"{high:g}"
        yield f"sampler.sigma_min is {low:g}: must be less than sampler.sigma_max, {least}"
    for space in sorted({arm["space"] for arm in config["arms"] if "recipe" not in arm}):
        if config["prior"][space]["modes"]:
            continue
        if config["sampler"]["method"] == "gaussian":
            yield (
                f"sampler.method is gaussian: needs prior.{space}.modes above 0 (and "
                "parameterisation: karras), the base whose covariance it takes; or take mmps"
            )
        if high is None:
            yield (
                f"sampler.sigma_max is null: with prior.{space}.modes 0 it must be a number, "
                "because only a prior with a base says how much it varies: some times the standard "
                "deviation of what all cells share"
            )
    robust, gross = config["sampler"]["robust"], config["sampler"]["gross_error"]
    if robust is not None and robust >= gross:
        yield (
            f"sampler.robust is {robust:g}: must be less than sampler.gross_error, {gross:g}, "
            "beyond which observations are refused"
        )


def _classical(config: Config) -> Iterator[str]:
    """Radii in order, and windows enough to choose analogues among."""
    section = config["classical"]
    for method in ("oi", "letkf"):
        radii = section[method]["radii_km"]
        if any(later <= radius for radius, later in pairwise(radii)):
            yield f"classical.{method}.radii_km is {radii}: must increase"
    members, windows = section["letkf"]["members"], section["samples"]
    if members > windows * max(1, section["rotations"]):
        yield (
            f"classical.letkf.members is {members}: must be at most classical.samples, {windows}, "
            "times classical.rotations"
        )


def _verification(config: Config) -> Iterator[str]:
    """Blocks are of the cases there are, and the reference is an arm."""
    section, cases = config["verification"], config["cases"]
    if section["block"] is not None and section["block"] > cases:
        yield (f"verification.block is {section['block']}: must be at most cases, {cases}, or null")
    names = [arm["name"] for arm in config["arms"]]
    if section["reference"] is not None and section["reference"] not in names:
        yield (
            f"verification.reference is {section['reference']}: no arm has that name; arms: "
            f"{', '.join(names)}"
        )


CHECKS: Checks = (_networks, _training, _sampler, _classical, _verification)
