"""What a case's observations say against the climatology, and what a sample says of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from slams.classical.ensemble import Sample, few
from slams.classical.localisation import observation_places
from slams.observing import Observed

ROWS = 1024  # of a covariance that are found together


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
    def few(self) -> Tensor:
        """The images of a few windows about their mean, (m, windows), to be compared."""
        images = few(self.images, 0)
        return (images - images.mean(0)).T.contiguous()

    @cached_property
    def signal(self) -> Tensor:
        """The variance (m,) of these images."""
        return self.few.square().mean(1)

    @cached_property
    def covariance(self) -> Tensor:
        """The images' covariance (m, m) of all values, whatever their distance."""
        about, size = self.about_mean, len(self.about_mean)
        whole = about.new_empty(size, size)
        # It is symmetric: some rows at a time, up to the diagonal.
        for start in range(0, size, ROWS):
            end = min(start + ROWS, size)
            whole[start:end, :end] = about[start:end] @ about[:end].T
            whole[:start, start:end] = whole[start:end, :start].T
        return whole.div_(len(self.images) - 1)


def innovations(
    seen: Observed, sample: Sample, latitude: np.ndarray, longitude: np.ndarray
) -> Innovations:
    """The innovations of a case; cells lie at ``latitude``, ``longitude`` in degrees.

    The error's variance is that at the first guess, with what quality control has added. All is on
    the sample's device.
    """
    device = sample.device
    about = torch.from_numpy(seen.climate).float().to(device)[None]
    guess = torch.from_numpy(seen.guess).float().to(device)[None]
    observations = seen.observations.on(device)
    places, place, stream, affine, count = [], [], [], [], 0
    for number, one in enumerate(observations):
        found = observation_places(one, latitude, longitude).to(device)
        places.append(found)
        place.append(count + one.seen % len(found))
        stream.append(torch.full_like(one.seen, number))
        linear = bool(getattr(one.operator, "affine", False))
        affine.append(torch.full_like(one.seen, linear, dtype=torch.bool))
        count += len(found)
    images = sample.images(observations.predict, seen.climate)
    with torch.no_grad():
        value = observations.value - observations.predict(about)[0]
        variance = observations.variance(guess)[0]
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
