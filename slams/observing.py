"""What the cases of a cell saw: observations, first guess, quality control.

The ensembles of every arm and the classical analyses beside them take the same observations from
here. The background of a case depends on the seed, axis, value and case, never on who asks, so
that all arms of an axis value see the same one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr

from slams.cases import Case, choose_cases, climate, seed_of, validation_cases
from slams.classical.interpolation import FirstGuess, first_guess, fit_first_guess
from slams.errors import SlamsError
from slams.observation import Observation, Observations
from slams.observation import imagery as imagery_stream
from slams.observation import stations as station_stream
from slams.observation.background import Background, background_of
from slams.observation.checks import whole
from slams.observation.quality import deweight, refuse_gross
from slams.statistics import Normalisation
from slams.store import Store
from slams.surface import Table


@dataclass
class Streams:
    """What an arm may observe beside a degraded background; None where it is not used.

    ``stations`` is their table or, so that not all years need be in memory, a function that gives
    that of some times. ``imagery`` is (time, channel, latitude, longitude), best read lazily.
    """

    stations: Table | None = None
    station_fit: xr.Dataset | None = None
    imagery: xr.DataArray | None = None
    imagery_model: imagery_stream.ImageryModel | None = None
    persistence: xr.Dataset | None = None


@dataclass(frozen=True)
class Counts:
    """What became of a stream's observations in one case; those deweighted are used too."""

    stream: str
    used: int
    refused: int
    deweighted: int

    def __str__(self) -> str:
        return (
            f"{self.stream} {self.used} used ({self.deweighted} deweighted), {self.refused} refused"
        )


@dataclass(frozen=True)
class Observed:
    """A case and what was seen of it, after quality control.

    ``climate`` and ``guess`` (step, level, latitude, longitude) are its climatology and first
    guess, normalised units; ``seed`` is that of its background's draws.
    """

    case: Case
    observations: Observations
    counts: list[Counts]
    climate: np.ndarray
    guess: np.ndarray
    seed: int


@dataclass(frozen=True)
class Observer:
    """All that says what a cell's cases see.

    ``names`` are those of the streams; ``background``'s ``axis`` is "none" and ``value`` 0 where
    they have none, ``settings`` is what the axis holds fixed. ``quality`` has ``gross_error`` and
    ``robust``, standard deviations. ``label`` is what errors call the cell.

    Raises SlamsError where a store is not of the statistics' fields, and where the periods hold
    too few windows of ``steps`` fields, ``step_hours`` apart.
    """

    normalisation: Normalisation
    test: Store
    validation: Store
    names: list[str]
    axis: str
    value: float
    settings: Mapping[str, Any]
    streams: Streams
    cases: int
    steps: int
    step_hours: float
    quality: Mapping[str, Any]
    seed: int
    label: str
    starts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        for period, store in (("test", self.test), ("validation", self.validation)):
            check_store(self.normalisation, store, period)
        possible = None if self.background is None else self.background.possible
        starts = choose_cases(self.test, self.cases, self.steps, self.step_hours, possible)
        object.__setattr__(self, "starts", starts)

    @cached_property
    def background(self) -> Background | None:
        """How a case's background is made; None where the streams have none."""
        if "background" not in self.names:
            return None
        return background_of(
            self.axis,
            self.value,
            self.settings,
            normalisation=self.normalisation,
            persistence=self.streams.persistence,
        )

    @cached_property
    def known(self) -> list[Case]:
        """The validation windows that say what is to be expected."""
        possible = None if self.background is None else self.background.possible
        return validation_cases(self.validation, self.steps, self.step_hours, possible)

    @cached_property
    def windows(self) -> torch.Tensor:
        """Their fields (n, step, level, latitude, longitude), normalised."""
        return torch.from_numpy(np.stack([case.truth for case in self.known]))

    @cached_property
    def first(self) -> FirstGuess:
        """How first guesses are made of backgrounds, and by how much they err."""
        degraded = None
        if self.background is not None:
            seeds = [self._validation_seed(number) for number in range(len(self.known))]
            pairs = zip(self.known, seeds, strict=True)
            degraded = [self.background.observe(case, seed) for case, seed in pairs]
        climates = np.stack([climate(self.normalisation, case.times) for case in self.known])
        return fit_first_guess(self.windows, climates, degraded)

    def observed(self) -> Iterator[Observed]:
        """The cases of the test period, in order.

        Raises SlamsError where a case has no observation left after quality control.
        """
        for number, start in enumerate(self.starts):
            seed = seed_of(self.seed, self.axis, float(self.value), number)
            yield self._observe(Case(self.test, int(start), self.steps), seed, "test")

    def observed_validation(self, count: int) -> Iterator[Observed]:
        """At most ``count`` of the validation windows, spread evenly, observed as the cases are.

        Raises SlamsError as :meth:`observed` does.
        """
        chosen = np.unique(np.linspace(0, len(self.known) - 1, count).round().astype(int))
        for number in chosen:
            yield self._observe(self.known[number], self._validation_seed(number), "validation")

    def _validation_seed(self, number: int) -> int:
        drawn = seed_of(self.seed, "validation", self.axis, float(self.value))
        return seed_of(drawn, number)

    def _observe(self, case: Case, seed: int, period: str) -> Observed:
        observations = observe_case(
            self.normalisation,
            case,
            names=self.names,
            background=self.background,
            streams=self.streams,
            seed=seed,
        )
        normal = climate(self.normalisation, case.times)
        guess = first_guess(observations, self.first, normal)
        counts = control(observations, guess, self.first, self.quality)
        if not len(observations):
            raise SlamsError(
                f"{self.label}: the case from {np.datetime_as_string(case.times[0], 'h')} has "
                f"no observation left after quality control; add a stream or move periods.{period}"
            )
        return Observed(case, observations, counts, normal, guess, seed)


def observe_case(
    normalisation: Normalisation,
    case: Case,
    *,
    names: list[str],
    background: Background | None,
    streams: Streams,
    seed: int,
) -> Observations:
    """The observations of one case by the streams called ``names``.

    Raises SlamsError where a stream is not given, is not of the state's levels and grid, or holds
    what is no temperature.
    """
    made: list[Observation] = []
    times = case.times
    if "background" in names:
        if background is None:
            raise SlamsError("an arm with a background needs an axis and a value")
        kelvin = normalisation.to_kelvin(case.truth, times)
        whole(kelvin, "background", "build the store again from whole fields in K")
        made.append(background.observe(case, seed))
    if "stations" in names:
        if streams.stations is None or streams.station_fit is None:
            raise SlamsError("the arm names stations, but archives.stations.source is none")
        made.append(
            station_stream.observe(streams.stations, streams.station_fit, normalisation, times)
        )
    if "imagery" in names:
        if streams.imagery is None or streams.imagery_model is None:
            raise SlamsError("the arm names imagery, but archives.imagery.source is none")
        made.append(
            imagery_stream.observe(streams.imagery, streams.imagery_model, normalisation, times)
        )
    observations = Observations(made)
    # Levels, grid and steps that do not fit are told now, not from within the sampler.
    with torch.no_grad():
        observations.predict(torch.from_numpy(case.truth)[None])
    return observations


def check_store(normalisation: Normalisation, store: Store, period: str) -> None:
    """The fields are of the statistics' levels and cells; SlamsError where they are not."""
    expected = tuple(normalisation.dataset.sizes[n] for n in ("level", "latitude", "longitude"))
    if store.shape != expected:
        raise SlamsError(
            f"store/{period}: fields of {store.shape} (level, latitude, longitude), the prior's "
            f"are {expected}: build the store with the prior's levels and grid.spacing"
        )


def control(
    observations: Observations, guess: np.ndarray, first: FirstGuess, quality: Mapping[str, Any]
) -> list[Counts]:
    """Quality control of every stream but the background, against the first guess.

    ``guess`` (step, level, latitude, longitude) is the case's, in normalised units; with the
    errors that first guesses make it says what is to be expected (:mod:`observation.quality`).
    ``quality`` has ``gross_error`` and ``robust``, in standard deviations.
    """
    fields = torch.from_numpy(guess + first.errors).float()
    counts = []
    for stream in observations:
        refused = deweighted = 0
        # The background is made here, has no gross errors, and is what the others are held to.
        if stream.name != "background" and len(stream):
            _, refused = refuse_gross(stream, fields, quality["gross_error"])
            if quality["robust"] is not None and len(stream):
                deweighted = deweight(stream, fields, quality["robust"])
        counts.append(Counts(stream.name, len(stream), refused, deweighted))
    return counts
