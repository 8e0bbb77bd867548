"""What serves the calls of this process."""

from typing import Any

import numpy as np

from . import _core


def info() -> dict[str, Any]:
    """Return what serves the calls of this process.

    Returns:
        A dictionary with `version` (of lossless) and `numpy` (its version), `losses` (their
        names), `backends` (the array frameworks that calls take), `instruction_set` (the one in
        use) and `instruction_sets` (those that this processor runs, the best last), and `threads`
        (the most that a call uses).

    Example:
        >>> import lossless
        >>> lossless.info()["losses"]
        ['huber', 'log_cosh']

    *New in 0.1.0.*
    """
    from . import __version__

    return {
        "version": __version__,
        "numpy": np.__version__,
        "losses": [name for name, *_ in _core.losses()],
        "backends": ["numpy"],
        "instruction_set": _core.instruction_set(),
        "instruction_sets": _core.instruction_sets(),
        "threads": _core.threads(),
    }
