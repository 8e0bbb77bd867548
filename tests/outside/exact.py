"""The losses by their definitions: value, gradient and second derivative of fractions.

A result that may be a fraction is one. Any other comes as a function of the number of bits,
computed by MPFR, whose functions are correctly rounded; no such number has an end, or is a tie.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import gmpy2
from gmpy2 import mpfr, mpq

from .formats import Exact, Real, power, precisely

Results = tuple[Exact | Real, Exact | Real, Exact | Real]
ZERO, ONE = mpq(0), mpq(1)
SPARE = 24  # bits that a handful of operations may lose, with arguments up to 2^16
FAR = 2000  # e^-FAR is 0 in every format, and beyond the digits of a product of two numbers
NEARER = 300  # the same beside a product of numbers of narrow formats, if that is not 0


def _real(evaluate: Callable[[], tuple[Any, Any]]) -> Real:
    """Of a number and the sum of the magnitudes of its terms, which are all that is rounded."""

    def enclose(bits: int) -> tuple[Exact, Exact]:
        with gmpy2.context(precisely(bits)):
            number, terms = evaluate()
        return mpq(number), mpq(terms) * power(SPARE - bits)

    return Real(enclose)


def _sign(r: Exact) -> Exact:
    return mpq((r > 0) - (r < 0))


def huber(x: Exact, t: Exact, delta: Exact, _: Exact) -> Results:
    r = x - t
    if abs(r) <= delta:
        return r * r / 2, r, ONE
    return delta * (abs(r) - delta / 2), delta * _sign(r), ZERO


def smooth_l1(x: Exact, t: Exact, beta: Exact, _: Exact) -> Results:
    r = x - t
    if abs(r) < beta:
        return r * r / (2 * beta), r / beta, 1 / beta
    return abs(r) - beta / 2, _sign(r), ZERO


def l1(x: Exact, t: Exact, *_: Exact) -> Results:
    return abs(x - t), _sign(x - t), ZERO


def mse(x: Exact, t: Exact, *_: Exact) -> Results:
    return (x - t) ** 2, 2 * (x - t), mpq(2)


def hinge(x: Exact, t: Exact, *_: Exact) -> Results:
    rest = 1 - x * t
    return max(rest, ZERO), -t if rest > 0 else ZERO, ZERO


def margin_ranking(x: Exact, t: Exact, y: Exact, margin: Exact) -> Results:
    rest = margin - y * (x - t)
    return max(rest, ZERO), -y if rest > 0 else ZERO, ZERO


def log_cosh(x: Exact, t: Exact, *_: Exact) -> Results:
    a = abs(x - t)
    if not a:
        return ZERO, ZERO, ONE

    def value() -> tuple[Any, Any]:
        if a > FAR:  # cosh a is e^a / 2 but for e^-2a
            return a - gmpy2.log(mpfr(2)), a
        # cosh a - 1 loses no digits as 2 sinh(a / 2)^2.
        number = gmpy2.log1p(2 * gmpy2.sinh(mpfr(a / 2)) ** 2)
        return number, number

    def gradient() -> tuple[Any, Any]:
        number = gmpy2.tanh(mpfr(min(a, mpq(FAR))))
        return _sign(x - t) * number, number

    def second() -> tuple[Any, Any]:
        number = gmpy2.sech(mpfr(min(a, mpq(FAR)))) ** 2
        return number, number

    return _real(value), _real(gradient), _real(second)


def binary_cross_entropy(x: Exact, t: Exact, *_: Exact) -> Results:
    a = abs(x)
    u = 1 - t if x > 0 else t
    narrow = u and a.denominator * u.denominator <= 1 << 298
    far = mpq(NEARER if narrow else FAR)

    def power_of_e(far: Exact = far) -> Any:
        """Of -a, or where only its sign counts, of what is far enough."""
        return gmpy2.exp(-mpfr(min(a, far)))

    def value() -> tuple[Any, Any]:
        series = gmpy2.log1p(power_of_e())
        return mpfr(a * u) + series, abs(mpfr(a * u)) + series

    def gradient() -> tuple[Any, Any]:
        q = power_of_e()
        w = q / (1 + q)
        return _sign(x) * (mpfr(u) - w), abs(mpfr(u)) + w

    def second() -> tuple[Any, Any]:
        q = power_of_e(mpq(FAR))
        number = q / (1 + q) ** 2
        return number, number

    if not x:
        return _real(value), mpq(1, 2) - t, mpq(1, 4)
    return _real(value), _real(gradient), _real(second)


@cache
def _least() -> Exact:
    """What has no number of any format between itself and e^-100."""
    with precisely(300):
        return mpq(gmpy2.exp(mpfr(-100)))


def of_probabilities(p: Exact, t: Exact, *_: Exact) -> Results:
    one, zero = p > _least(), p < 1  # which of the logarithms count
    by_one, by_zero = (t / p if one else ZERO), ((1 - t) / (1 - p) if zero else ZERO)
    second = (by_one / p if one else ZERO) + (by_zero / (1 - p) if zero else ZERO)
    return _of_probabilities(p, t, one=one, zero=zero), by_zero - by_one, second


def _of_probabilities(p: Exact, t: Exact, *, one: bool, zero: bool) -> Exact | Real:
    constant = (ZERO if one else 100 * t) + (ZERO if zero else 100 * (1 - t))
    first, second = one and t and p != 1, zero and t != 1 and p != 0
    if not (first or second):
        return constant

    def value() -> tuple[Any, Any]:
        terms = [mpfr(constant)]
        terms += [-mpfr(t) * gmpy2.log(mpfr(p))] if first else []
        terms += [-mpfr(1 - t) * gmpy2.log1p(-mpfr(p))] if second else []
        return sum(terms), sum(map(abs, terms))

    return _real(value)


def gaussian_nll(x: Exact, t: Exact, variance: Exact, eps: Exact, *, full: bool = False) -> Results:
    v, r = max(variance, eps), x - t
    square = r * r / v

    def value() -> tuple[Any, Any]:
        terms = [gmpy2.log(mpfr(v)), mpfr(square)]
        terms += [gmpy2.log(2 * gmpy2.const_pi())] if full else []
        return sum(terms) / 2, sum(map(abs, terms))

    rational = v == 1 and not full
    return square / 2 if rational else _real(value), r / v, 1 / v


def full_gaussian_nll(*arguments: Exact) -> Results:
    return gaussian_nll(*arguments, full=True)
