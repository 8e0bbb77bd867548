"""Functions that several formulas use."""

from typing import Any


def zero(xp: Any, x: Any) -> Any:
    """0, or NaN where x is NaN; an infinity gives 0."""
    return xp.where(xp.isnan(x), x, xp.zeros_like(x))


def is_zero(parameter: Any) -> bool:
    """Whether it is the number 0. Only 0 may select another program; other numbers share one."""
    return isinstance(parameter, float) and parameter == 0.0
