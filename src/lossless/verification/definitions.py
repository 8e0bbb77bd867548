"""What the definitions of losses share, in mpmath at any precision.

A definition is a function of the residual r = inputs - targets, or of inputs x and targets t where
not only their difference counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import mp

from .formats import Mpf

# Terms of a definition may cancel, by less than this for arguments of 53 bits.
GUARD = 300


def guarded(function: Callable[..., Mpf]) -> Callable[..., Mpf]:
    """The function with more bits for what may cancel in it."""

    def with_guard(*arguments: Any, **parameters: Any) -> Mpf:
        with mp.workprec(mp.prec + GUARD):
            return function(*arguments, **parameters)

    return with_guard


def magnitude(r: Mpf) -> Mpf:
    return mp.fneg(r, exact=True) if r < 0 else r  # abs() rounds to mp.prec


def sign(r: Mpf) -> Mpf:
    return mp.mpf((r > 0) - (r < 0))


def zero(*_: Any, **__: Any) -> Mpf:
    return mp.mpf(0)


def where_positive(number: Mpf, result: Mpf) -> Mpf:
    """The result where the number is positive, else 0, and NaN where the number is NaN."""
    return number if mp.isnan(number) else result if number > 0 else mp.mpf(0)
