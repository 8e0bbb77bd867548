"""The switch from the kernels to the formulas."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

is_composed: ContextVar[bool] = ContextVar("lossless_is_composed", default=False)


@contextmanager
def composed() -> Iterator[None]:
    """Use formulas in the framework's own operations inside this context, not the C++ kernels.

    Use it for graphs that must not contain foreign code, such as graphs for export, and for
    comparisons. The results are not correctly rounded; docs/numerics.md has their bounds. Calls
    without a kernel, such as calls on other devices than the CPU, use the formulas anyway.

    The context applies to the thread or task that enters it. A function that is traced inside
    keeps the formulas wherever it runs later.

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
