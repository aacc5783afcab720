"""torch.compile, which takes minutes and then makes steps faster, where a compiler is at hand.

Nothing that it cannot compile is left uncompiled in silence: it is an error.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from slams.errors import SlamsError

log = logging.getLogger(__name__)


def compiled(model: nn.Module) -> nn.Module:
    """``model``, to be compiled at its first step as one graph; its weights are shared."""
    log.info("torch.compile: the first step takes minutes")
    return cast(nn.Module, torch.compile(model, fullgraph=True))


@contextmanager
def told_by_compiler() -> Iterator[None]:
    """Turn what goes wrong while a block compiles into a SlamsError with the remedy."""
    try:
        yield
    except RuntimeError as error:
        # Only there are torch's compiler modules loaded, which takes a second.
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        first = str(error).strip().partition("\n")[0]
        raise SlamsError(
            f"trainer.compile is true, but torch.compile failed ({first}); set it to false, or "
            "install a C++ compiler (g++)"
        ) from error
