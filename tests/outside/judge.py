"""Which results of a batch are not what is promised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gmpy2 import mpq

from lossless.verification.formats import FLOAT64, Array, Format

from .enclosures import Result
from .formats import SHAPES, cell, fraction, known_to, power, rounded_real, unit
from .losses import LOSSES
from .operands import Batch

# What the calls give, and where it stands among the results.
GIVEN = (("value", 0), ("gradient", 1), ("gradient of grad_and_hess", 1), ("second derivative", 2))
LOST = 2.0**-50  # of the terms that cancel, in float64


@dataclass
class Tally:
    """What was seen of a loss in a format."""

    pairs: int = 0
    results: int = 0
    exactly: int = 0  # how many the long doubles left open
    wrong: int = 0
    worst: Counter[int] = field(default_factory=Counter)  # in float64, ULP / 1000 of each output

    def add(self, other: Tally) -> None:
        self.pairs += other.pairs
        self.results += other.results
        self.exactly += other.exactly
        self.wrong += other.wrong
        self.worst |= other.worst


def judge(
    name: str, fmt: Format, given: Batch, actual: list[Array] | None = None
) -> tuple[Tally, list[str]]:
    """What was seen, and each result that is not the exact one, rounded once.

    Of float64, that is not within as many ULP as the documentation says.
    """
    loss = LOSSES[name]
    actual = actual or loss(*given.arguments)
    with np.errstate(all="ignore"):
        enclosed = loss.enclose(*given.enclosed())
        open_ = []
        tally = Tally(len(given.x))
        for results, (_, place) in zip(actual, GIVEN, strict=True):
            if fmt is FLOAT64:
                bound = loss.ulp_float64[place]
                proved, ulps = _within(results, enclosed[place], bound)
                worst = int(1000 * np.max(ulps, where=proved, initial=0))
                tally.worst[place] = max(tally.worst[place], worst)
            else:
                proved = _rounded_rightly(results, enclosed[place], fmt)
            open_.append(~proved)
            tally.results += len(results)
            tally.exactly += int(open_[-1].sum())
    failures = list(_exactly(name, fmt, given, actual, open_, enclosed))
    tally.wrong = len(failures)
    return tally, failures


def _rounded_rightly(results: Array, true: Result, fmt: Format) -> Any:
    """Proved where the enclosure lies in what is rounded to the result."""
    low, high = cell(results, fmt)
    mid, error = true.number.mid, 2 * true.number.error
    return (low < mid - error) & (mid + error < high)


def _within(results: Array, true: Result, bound: float) -> tuple[Any, Any]:
    mid, error = true.number.mid, 2 * true.number.error
    least = np.maximum(np.abs(mid) - error, 0)
    digits, lowest, highest = SHAPES[FLOAT64]
    exponent = np.where(least > 0, np.frexp(least)[1] - 1, lowest)
    ulp = np.ldexp(np.longdouble(1), np.maximum(exponent, lowest) - digits + 1)
    slack = 0 if true.terms is None else LOST * np.maximum(true.terms - least - error, 0)
    ulps = np.maximum(np.abs(results - mid) + error - slack, 0) / ulp
    overflows = np.isinf(results) & (np.sign(results) == np.sign(mid))
    overflows &= least >= np.ldexp(np.longdouble(1), highest + 1)
    return overflows | (ulps <= bound), np.where(overflows, 0, ulps)


def _exactly(
    name: str,
    fmt: Format,
    given: Batch,
    actual: list[Array],
    open_: list[Any],
    enclosed: tuple[Result, Result, Result],
) -> Iterator[str]:
    loss = LOSSES[name]
    arguments = np.broadcast_arrays(*given.arguments)
    for i in np.flatnonzero(np.logical_or.reduce(open_)):
        numbers = [float(array[i]) for array in arguments]
        true = loss.exact(*map(fraction, numbers))
        for results, undecided, (output, place) in zip(actual, open_, GIVEN, strict=True):
            if not undecided[i]:
                continue
            result = float(results[i])
            if fmt is FLOAT64:
                terms = enclosed[place].terms
                slack = None if terms is None else terms[i]
                right = _near_enough(result, true[place], loss.ulp_float64[place], slack)
            else:
                right = result == rounded_real(true[place], fmt)
            if not right:
                expected = rounded_real(true[place], fmt)
                yield (
                    f"{name} {fmt.name} {output} at "
                    f"({', '.join(number.hex() for number in numbers)}): "
                    f"expected {expected.hex()}, got {result.hex()}"
                )


def _near_enough(result: float, true: Any, bound: float, terms: Any) -> bool:
    if math.isnan(result):
        return False
    number = known_to(true, 80)
    allowed = mpq(bound) * unit(number, FLOAT64)
    if terms is not None:
        allowed += mpq(LOST) * max(_fraction(terms) - abs(number), 0)
    if math.isinf(result):
        beyond = number if result > 0 else -number
        return bool(beyond + allowed >= power(SHAPES[FLOAT64][2] + 1))
    return bool(abs(mpq(result) - number) <= allowed)


def _fraction(long: Any) -> Any:
    mantissa, exponent = np.frexp(long)
    whole = np.ldexp(mantissa, 64)
    return mpq(int(whole)) * power(int(exponent) - 64) if np.isfinite(long) else mpq(0)
