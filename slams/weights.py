"""Networks' weights as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def save(state: Mapping[str, Any], path: Path | str) -> None:
    """Write a state for ``torch.load(..., weights_only=True)``; equal states give equal bytes.

    Given a path, torch would put its name, here that of a temporary file, into the file.
    """
    with Path(path).open("wb") as file:
        torch.save(dict(state), file)
