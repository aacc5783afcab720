"""What several tests share: the repository, the sample files, merged configurations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from slams.config import check, load, merge
from slams.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[1]

# On shared cores an example's time says nothing about the code.
settings.register_profile("slams", deadline=None)
settings.load_profile("slams")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample files; the test is skipped where it is absent."""
    folder = (REPOSITORY / load(REPOSITORY / "config/config.yaml")["samples"]).resolve()
    if not folder.is_dir():
        pytest.skip(f"no sample files in {folder}")
    return folder


@pytest.fixture
def configuration() -> Callable[..., dict[str, Any]]:
    """A function that gives config.yaml, the named file over it, and further keys over both."""

    def merged(name: str = "config", keys: dict[str, Any] | None = None) -> dict[str, Any]:
        base = load(REPOSITORY / "config/config.yaml")
        return merge(base, load(REPOSITORY / f"config/{name}.yaml"), keys or {})

    return merged


@pytest.fixture
def schema() -> dict[str, Any]:
    """The schema of every key."""
    return load(REPOSITORY / "config/schema.yaml")


@pytest.fixture
def fault(
    configuration: Callable[..., dict[str, Any]], schema: dict[str, Any]
) -> Callable[..., str]:
    """A function that gives the message about the demo's configuration with some keys changed."""

    def message(keys: dict[str, Any], name: str = "demo") -> str:
        with pytest.raises(ConfigError) as caught:
            check(configuration(name, keys), schema)
        return str(caught.value)

    return message
