"""What a latent prior's decoder cannot give, as an error of the observations.

In latent space the likelihood is that of the decoded field, p(y | H(D(z))). The nearest field
that the decoder can give still misses the truth, and H carries that to the observations: it is
part of R there, and of no other arm's.
"""

import torch
from torch import Tensor

from slams.observation.base import Observation, Observations
from slams.observation.degraded import Masked


def representation_variance(observation: Observation, fields: Tensor, rebuilt: Tensor) -> Tensor:
    """Variance that a decoder's error adds to an observation's, to be added to R.

    ``fields`` (n, step, level, latitude, longitude) are normalised windows that were not
    trained on, ``rebuilt`` the same through the autoencoder. The mean square of
    H(fields) - H(rebuilt) is pooled over everything but the level, where the operator gives one
    (``by_level``): shape (level, 1, ...), else a scalar. Of masked cells, the mean is that of all.
    """
    operator = observation.operator
    if isinstance(operator, Masked):
        with torch.no_grad():
            return operator.pick(_mean_square(operator.of, fields, rebuilt))
    return _mean_square(operator, fields, rebuilt)


def _mean_square(operator: object, fields: Tensor, rebuilt: Tensor) -> Tensor:
    with torch.no_grad():
        square = (operator(fields) - operator(rebuilt)) ** 2  # type: ignore[operator]
    if not getattr(operator, "by_level", False):
        return square.mean()
    by_level = square.transpose(0, 2).flatten(1).mean(1)
    return by_level.view(-1, *[1] * (square.ndim - 3))


class DecoderError:
    """The decoder's error of every stream of a cell, computed once where it is one number.

    ``fields`` and ``rebuilt`` as in :func:`representation_variance`. What an affine operator
    makes of a difference of fields does not depend on the case, as long as every case has the same
    streams with the same operators in the same order; an operator with a context of its own
    (imagery, by season) is asked anew.
    """

    def __init__(self, fields: Tensor, rebuilt: Tensor) -> None:
        self.fields, self.rebuilt = fields, rebuilt
        self.known: dict[tuple[int, str], Tensor] = {}

    def add_to(self, observations: Observations) -> None:
        """Inflate the errors of every stream that has seen something."""
        for number, stream in enumerate(observations):
            if len(stream):
                stream.inflate(self._variance((number, stream.name), stream))

    def _variance(self, key: tuple[int, str], stream: Observation) -> Tensor:
        if key in self.known:
            return self.known[key]
        variance = representation_variance(stream, self.fields, self.rebuilt)
        if getattr(stream.operator, "affine", False):
            self.known[key] = variance
        return variance
