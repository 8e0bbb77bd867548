"""`LOSSES`: what is known of each element-wise loss, a file for each, found in this folder.

Tests, tables and `lossless verify` read it. A file has the loss and its derivatives from their
definition, in mpmath; the same in long double, with bounds; and the rest of what `Loss` asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from ..reference import Loss


def _found() -> Iterator[tuple[str, Loss]]:
    for file in iter_modules(__path__):
        loss: Loss = import_module(f"{__name__}.{file.name}").LOSS
        if loss.name != file.name:
            raise ImportError(f"{__name__}.{file.name} must be called {loss.name}, as its loss is")
        yield loss.name, loss


LOSSES = dict(_found())
