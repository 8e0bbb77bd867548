"""What serves the calls of this process."""

from typing import Any

import numpy as np

from . import _core
from ._call import names
from ._losses import LOSSES
from .executors import paths


def info() -> dict[str, Any]:
    """Return what serves the calls of this process.

    Returns:
        A dictionary with `version` (of lossless) and `numpy` (its version), `losses` (the names
        of the functions), `kernels` (what the native module computes), `backends` (for the arrays
        of each framework the `path` that serves them, which is `"native"`, `"composed"` or
        `"none"`, and `why`), `instruction_set` (the one in use) and `instruction_sets` (those that
        this processor runs, the best last), and `threads` (the most that a call uses).

    Example:
        >>> import lossless
        >>> "huber_loss" in lossless.info()["losses"]
        True
        >>> lossless.info()["backends"]["numpy"]
        {'path': 'native', 'why': "the kernels read NumPy's memory"}

    *New in 0.1.0.*
    """
    from . import __version__

    return {
        "version": __version__,
        "numpy": np.__version__,
        "losses": names(),
        "kernels": [*LOSSES, "cross_entropy"],
        "backends": paths(),
        "instruction_set": _core.instruction_set(),
        "instruction_sets": _core.instruction_sets(),
        "threads": _core.threads(),
    }
