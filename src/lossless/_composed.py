"""The switch between native kernels and composed formulas."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

is_composed: ContextVar[bool] = ContextVar("lossless_is_composed", default=False)


@contextmanager
def composed() -> Iterator[None]:
    """Compute with the framework's own array operations inside this context, not native kernels.

    That is for graphs which must hold no foreign code, as for export to another program, and for
    comparisons. The results are accurate too, but not correctly rounded: docs/numerics.md tells
    the difference. Calls that have no kernel, such as those on other devices, are composed anyway.

    The context counts for the thread or task that enters it, and for what runs or is traced
    there: what was traced inside stays composed wherever it runs.

    Example:
        >>> import lossless, numpy as np
        >>> with lossless.composed():
        ...     lossless.huber_loss(np.array([0.5, 3.0]), np.array([0.0, 0.0]))
        array([0.125, 2.5  ])

    *New in 0.1.0.*
    """
    token = is_composed.set(True)
    try:
        yield
    finally:
        is_composed.reset(token)
