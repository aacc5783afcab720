"""What the paper's encoder takes beside the temperature, and how it meets the fields.

Such data never are observations in the paper: they enter at full resolution, without an error and
without being degraded, through the encoder alone. They are paired with the fields by date here,
where the public code pairs files by their place in a list. Missing values become zero, in the
channel's own unit and before it is normalised, as the public code has it (precipitation over the
sea is none, an image that is lost is of 0 W m-2): a fault of the paper that is kept.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slams.autoencoder import Encode
from slams.errors import SlamsError
from slams.observation.imagery import read
from slams.observation.rows import Spool
from slams.paper.autoencoder import PaperAutoencoder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderInputs:
    """Images of some channels at some times.

    ``channels`` are names of :mod:`slams.channels`; ``times`` (time,) UTC, in order; ``values``
    (time, channel, latitude, longitude) in each channel's unit, NaN where missing.
    """

    channels: tuple[str, ...]
    times: np.ndarray
    values: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Those of ``times`` (n,): (n, channel, latitude, longitude), NaN where there is none."""
        place = np.searchsorted(self.times, times).clip(max=len(self.times) - 1)
        found = np.array(self.values[place])
        found[self.times[place] != times] = np.nan
        return found

    def check(self, times: np.ndarray, period: str) -> None:
        """Say for how many of ``times`` there is nothing; SlamsError where that is all of them."""
        lacking = int((~np.isin(times, self.times)).sum())
        if lacking == len(times):
            raise SlamsError(
                f"archives.imagery: no image of {', '.join(self.channels)} coincides in time with "
                f"a field of periods.{period}; add images of that period, or leave them out of the "
                "arm's encoder"
            )
        if lacking:
            log.warning(
                "%s: %d of %d fields have no image of %s: the encoder takes zeros there",
                period,
                lacking,
                len(times),
                ", ".join(self.channels),
            )

    def encoder(self, model: PaperAutoencoder) -> Encode:
        """Fields (batch, level, ...) at their times (batch,) to latents, with these beside them."""

        def encode(fields: Tensor, times: np.ndarray) -> Tensor:
            return model.encode(fields, torch.from_numpy(self.at(times)).to(fields.device))

        return encode

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (channel,) of what is not missing, every cell alike.

        Raises SlamsError where a channel is missing throughout, or never varies.
        """
        count, total, squares = (np.zeros(len(self.channels)) for _ in range(3))
        for image in self.values:
            flat = image.reshape(len(self.channels), -1).astype(np.float64)
            count += np.isfinite(flat).sum(1)
            total += np.nansum(flat, axis=1)
            squares += np.nansum(flat**2, axis=1)
        for name, seen in zip(self.channels, count, strict=True):
            if not seen:
                raise SlamsError(
                    f"archives.imagery: no value of {name} in periods.train; add files of that "
                    "period, or leave it out of the arm's encoder"
                )
        mean = total / count
        variance = squares / count - mean**2
        for name, size in zip(self.channels, variance, strict=True):
            if not size > 0:
                raise SlamsError(
                    f"archives.imagery: {name} does not vary in periods.train; an encoder learns "
                    "nothing from it: leave it out, or look at its files"
                )
        return mean, np.sqrt(variance)


def read_inputs(
    paths: Iterable[Path], channels: Sequence[str], period: tuple[datetime, datetime] | None = None
) -> EncoderInputs:
    """The ``channels`` of regridded images, of a ``period`` only, where given.

    They lie in a temporary file, so that the period need not be in memory.

    Raises SlamsError where a file lacks a channel, and where the files hold no image.
    """
    times, values = [], None
    for piece in read(paths, channels, period):
        values = values or Spool(piece.shape[1:])
        values.add(piece.values)
        times.append(piece["time"].values)
    if values is None:
        raise SlamsError(
            f"archives.imagery: the files hold no image of {', '.join(channels)} in the period; "
            "add images, or leave them out of the arm's encoder"
        )
    return EncoderInputs(tuple(channels), np.concatenate(times), values.mapped())
