"""What the checks have in common."""

from collections.abc import Callable, Iterator, Sequence

from slams.experiment import Config

# Each yields the faults of a configuration as sentences.
Checks = tuple[Callable[[Config], Iterator[str]], ...]


def listed(values: Sequence[float]) -> str:
    """Numbers in a sentence."""
    return ", ".join(f"{value:g}" for value in values)
