"""What a case's observations say against the climatology, and what a sample says of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from slams.classical.ensemble import Sample
from slams.classical.localisation import observation_places
from slams.observing import Observed


@dataclass(frozen=True)
class Innovations:
    """All values (m,) that were seen of one case, of every stream.

    ``places`` (p, 3) are where values lie, ``place`` (m,) which of them is a value's, ``stream``
    (m,) the number of its stream. ``value`` (m,) is y - H(climatology), ``variance`` (m,) that of
    its error. ``images`` (n, m) are H(climatology + x) - H(climatology) of the sample's windows.
    ``mean`` (m,) is what the images have in the mean for no other reason than that H is not
    linear; it is zero where it is.
    """

    places: Tensor
    place: Tensor
    stream: Tensor
    value: Tensor
    variance: Tensor
    images: Tensor
    mean: Tensor

    @cached_property
    def about_mean(self) -> Tensor:
        """The images about their mean, (m, n): those of a value lie together, to be selected."""
        return (self.images - self.images.mean(0)).T.contiguous()

    @cached_property
    def covariance(self) -> Tensor:
        """The images' covariance (m, m) of all values, whatever their distance."""
        return self.about_mean @ self.about_mean.T / (len(self.images) - 1)


def innovations(
    seen: Observed, sample: Sample, latitude: np.ndarray, longitude: np.ndarray
) -> Innovations:
    """The innovations of a case; cells lie at ``latitude``, ``longitude`` in degrees.

    The error's variance is that at the first guess, with what quality control has added.
    """
    about = torch.from_numpy(seen.climate).float()[None]
    guess = torch.from_numpy(seen.guess).float()[None]
    places, place, stream, affine, count = [], [], [], [], 0
    for number, one in enumerate(seen.observations):
        found = observation_places(one, latitude, longitude)
        places.append(found)
        place.append(count + one.seen % len(found))
        stream.append(torch.full((len(one),), number))
        affine.append(torch.full((len(one),), bool(getattr(one.operator, "affine", False))))
        count += len(found)
    images = sample.images(seen.observations.predict, seen.climate)
    with torch.no_grad():
        value = seen.observations.value - seen.observations.predict(about)[0]
        variance = seen.observations.variance(guess)[0]
    return Innovations(
        torch.cat(places),
        torch.cat(place),
        torch.cat(stream),
        value,
        variance,
        images,
        torch.where(torch.cat(affine), 0.0, images.mean(0)),
    )


def sharing(observed: list[Observed]) -> list[list[int]]:
    """Groups of cases that saw the same places with the same errors, through affine operators.

    For these the gain is one, and so is the variance that is left: only values differ.
    """
    groups: dict[object, list[int]] = {}
    for number, seen in enumerate(observed):
        groups.setdefault(_pattern(seen) or number, []).append(number)
    return list(groups.values())


def _pattern(seen: Observed) -> tuple[bytes, ...] | None:
    parts = []
    for stream in seen.observations:
        if not getattr(stream.operator, "affine", False):
            return None
        guess = torch.from_numpy(seen.guess).float()[None]
        variance = stream.variance(guess).contiguous().numpy().tobytes()
        parts += [stream.name.encode(), stream.seen.numpy().tobytes(), variance]
    return tuple(parts)
