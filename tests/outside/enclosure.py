"""Real numbers in long double, each with a bound of its error: arrays that carry both along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Long = Any  # an array of np.longdouble, or a number

_LIMITS = np.finfo(np.longdouble)
# A rounding is off by eps / 2 of its result. The rest is for the bound, which is rounded itself.
UNIT = 2 * _LIMITS.eps
# The C library's exp, log, log1p, expm1 and tanh are good to 4 units (glibc says so).
FUNCTION = 16 * _LIMITS.eps
TINY = 4 * _LIMITS.smallest_subnormal


@dataclass(frozen=True)
class Enclosed:
    """All numbers from mid - error to mid + error."""

    mid: Long
    error: Long

    def __add__(self, other: Enclosed) -> Enclosed:
        mid = self.mid + other.mid
        return Enclosed(mid, self.error + other.error + UNIT * np.abs(mid))

    def __sub__(self, other: Enclosed) -> Enclosed:
        return self + -other

    def __neg__(self) -> Enclosed:
        return Enclosed(-self.mid, self.error)

    def __abs__(self) -> Enclosed:
        return Enclosed(np.abs(self.mid), self.error)

    def __mul__(self, other: Enclosed) -> Enclosed:
        mid = self.mid * other.mid
        error = np.abs(self.mid) * other.error + (np.abs(other.mid) + other.error) * self.error
        return Enclosed(mid, error + UNIT * np.abs(mid) + TINY)

    def __truediv__(self, other: Enclosed) -> Enclosed:
        mid = self.mid / other.mid
        room = np.abs(other.mid) - other.error
        error = (self.error + np.abs(mid) * other.error) / np.where(room > 0, room, 0)
        return Enclosed(mid, error + UNIT * np.abs(mid) + TINY)

    def times(self, power_of_two: float) -> Enclosed:
        return Enclosed(self.mid * power_of_two, self.error * power_of_two + TINY)

    def log(self) -> Enclosed:
        mid = np.log(self.mid)
        room = self.mid - self.error
        return Enclosed(mid, self.error / np.where(room > 0, room, 0) + FUNCTION * np.abs(mid))

    def log1p(self) -> Enclosed:
        mid = np.log1p(self.mid)
        room = 1 + self.mid - self.error
        error = self.error / np.where(room > 0, room, 0)
        return Enclosed(mid, error + FUNCTION * np.abs(mid) + TINY)

    def exp(self) -> Enclosed:
        mid = np.exp(self.mid)
        error = np.where(self.error < 0.5, 2 * self.error, np.inf)  # e^d - 1 <= 2 d
        return Enclosed(mid, mid * error + FUNCTION * mid + TINY)

    def tanh(self) -> Enclosed:
        mid = np.tanh(self.mid)
        return Enclosed(mid, self.error + FUNCTION * np.abs(mid) + TINY)


def exactly(number: Any) -> Enclosed:
    """What is not rounded: a number of any of the four formats, or one of Python."""
    return Enclosed(np.asarray(number).astype(np.longdouble), np.longdouble(0))


def chosen(condition: Any, yes: Enclosed, no: Enclosed) -> Enclosed:
    mid = np.where(condition, yes.mid, no.mid)
    return Enclosed(mid, np.where(condition, yes.error, no.error))


def decided(left: Enclosed, right: Enclosed) -> Any:
    """Whether it is known which of them is larger."""
    return np.abs(left.mid - right.mid) > 2 * (left.error + right.error)


def unless(undecided: Any, number: Enclosed) -> Enclosed:
    """The number, of which nothing is known where this holds."""
    return Enclosed(number.mid, np.where(undecided, np.inf, number.error))
