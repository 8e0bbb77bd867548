"""The losses in enclosed long doubles: value, gradient, second derivative; and what may cancel.

The magnitudes of the terms of a result count where a promise for float64 speaks of them; None is
where it does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .enclosure import FUNCTION, UNIT, Enclosed, chosen, decided, exactly, unless

LEAST = np.exp(np.longdouble(-100))  # of no number of a format so near that its error counts


FAR = 6000  # e^-FAR is 0 in long double, and beside any number of a format


class Result(NamedTuple):
    number: Enclosed
    terms: Any = None


Results = tuple[Result, Result, Result]
ZERO, ONE, TWO = exactly(0), exactly(1), exactly(2)


def _sign(r: Enclosed) -> Enclosed:
    return Enclosed(np.sign(r.mid), np.longdouble(0))  # a difference rounds to its sign


def _of_shape(number: Enclosed, like: Enclosed) -> Enclosed:
    return Enclosed(np.broadcast_to(number.mid, like.mid.shape), number.error)


def huber(x: Enclosed, t: Enclosed, delta: Enclosed, _: Enclosed) -> Results:
    r = x - t
    a = abs(r)
    near, open_ = a.mid <= delta.mid, ~decided(a, delta)
    value = chosen(near, (r * r).times(0.5), delta * (a - delta.times(0.5)))
    slope = chosen(near, r, delta * _sign(r))
    bend = chosen(near, ONE, ZERO)
    # At |r| = delta the pieces of value and slope meet, so that either of them serves both.
    return Result(unless(open_, value)), Result(unless(open_, slope)), Result(unless(open_, bend))


def smooth_l1(x: Enclosed, t: Enclosed, beta: Enclosed, _: Enclosed) -> Results:
    r = x - t
    a = abs(r)
    near, open_ = a.mid < beta.mid, ~decided(a, beta)
    value = chosen(near, r * r / beta.times(2), a - beta.times(0.5))
    slope = chosen(near, r / beta, _sign(r))
    bend = chosen(near, ONE / beta, ZERO)
    return Result(unless(open_, value)), Result(unless(open_, slope)), Result(unless(open_, bend))


def l1(x: Enclosed, t: Enclosed, *_: Enclosed) -> Results:
    r = x - t
    return Result(abs(r)), Result(_sign(r)), Result(_of_shape(ZERO, r))


def mse(x: Enclosed, t: Enclosed, *_: Enclosed) -> Results:
    r = x - t
    return Result(r * r), Result(r.times(2)), Result(_of_shape(TWO, r))


def hinge(x: Enclosed, t: Enclosed, *_: Enclosed) -> Results:
    product = x * t
    rest = ONE - product
    return _of_margin(rest, t, 1 + np.abs(product.mid))


def margin_ranking(x: Enclosed, t: Enclosed, y: Enclosed, margin: Enclosed) -> Results:
    product = y * (x - t)
    return _of_margin(margin - product, y, np.abs(margin.mid) + np.abs(product.mid))


def _of_margin(rest: Enclosed, slope: Enclosed, terms: Any) -> Results:
    counts, open_ = rest.mid > 0, ~decided(rest, ZERO)
    value = unless(open_, chosen(counts, rest, ZERO))
    gradient = unless(open_, chosen(counts, -slope, ZERO))
    return Result(value, terms), Result(gradient), Result(_of_shape(ZERO, rest))


def log_cosh(x: Enclosed, t: Enclosed, *_: Enclosed) -> Results:
    r = x - t
    a = abs(r)
    bounded = chosen(a.mid < FAR, a, exactly(FAR))
    q = (bounded.times(-2)).exp()  # e^-2a
    far = a.mid > 1
    ln2 = TWO.log()
    sinh = chosen(far, a, _sinh(chosen(far, ONE, a.times(0.5))))
    value = chosen(far, a - ln2 + q.log1p(), (sinh * sinh).times(2).log1p())
    second = q.times(4) / ((ONE + q) * (ONE + q))
    tanh = chosen(far, (ONE - q) / (ONE + q), bounded.tanh())
    return Result(value), Result(chosen(r.mid < 0, -tanh, tanh)), Result(second)


def _sinh(a: Enclosed) -> Enclosed:
    """For a up to 1, which grow by less than 2."""
    mid = np.sinh(a.mid)
    return Enclosed(mid, 2 * a.error + FUNCTION * mid)


def binary_cross_entropy(x: Enclosed, t: Enclosed, *_: Enclosed) -> Results:
    a = abs(x)
    u = chosen(x.mid > 0, ONE - t, t)
    q = (-a).exp()
    m = ONE + q
    w = q / m
    linear, series = a * u, q.log1p()
    slope = u - w
    return (
        Result(linear + series, np.abs(linear.mid) + series.mid),
        Result(chosen(x.mid > 0, slope, -slope), np.abs(u.mid) + w.mid),
        Result(w / m),
    )


def of_probabilities(p: Enclosed, t: Enclosed, *_: Enclosed) -> Results:
    one, zero = p.mid > LEAST, p.mid < 1
    log_p = chosen(one, chosen(one, p, ONE).log(), exactly(-100))
    log_rest = chosen(zero, chosen(zero, -p, ZERO).log1p(), exactly(-100))
    rest_t, rest_p = ONE - t, ONE - p
    first, second = t * log_p, rest_t * log_rest
    by_one = chosen(one, t / chosen(one, p, ONE), ZERO)
    by_zero = chosen(zero, rest_t / chosen(zero, rest_p, ONE), ZERO)
    both = one & zero
    slope = chosen(both, (p - t) / chosen(both, p * rest_p, ONE), by_zero - by_one)
    bend_one = by_one / chosen(one, p, ONE)
    bend_zero = by_zero / chosen(zero, rest_p, ONE)
    return (
        Result(-(first + second), np.abs(first.mid) + np.abs(second.mid)),
        Result(slope),
        Result(bend_one + bend_zero, np.abs(bend_one.mid) + np.abs(bend_zero.mid)),
    )


def gaussian_nll(x: Enclosed, t: Enclosed, variance: Enclosed, eps: Enclosed) -> Results:
    v = Enclosed(np.maximum(variance.mid, eps.mid), np.longdouble(0))
    return _normal(x - t, v, ZERO)


def full_gaussian_nll(x: Enclosed, t: Enclosed, variance: Enclosed, eps: Enclosed) -> Results:
    v = Enclosed(np.maximum(variance.mid, eps.mid), np.longdouble(0))
    pi = Enclosed(np.longdouble("3.14159265358979323846264338327950288"), 4 * UNIT)
    return _normal(x - t, v, pi.times(2).log())


def _normal(r: Enclosed, v: Enclosed, constant: Enclosed) -> Results:
    log_v, square = v.log(), r * r / v
    value = (log_v + square + constant).times(0.5)
    terms = (np.abs(log_v.mid) + square.mid + constant.mid) / 2
    return Result(value, terms), Result(r / v), Result(ONE / v)
