"""What formulas share."""

from typing import Any


def zero(xp: Any, x: Any) -> Any:
    """0 with the NaNs of x; infinities are none."""
    return xp.where(xp.isnan(x), x, xp.zeros_like(x))


def is_zero(parameter: Any) -> bool:
    """Whether it is the number 0: another number of another call would need the same program."""
    return isinstance(parameter, float) and parameter == 0.0
