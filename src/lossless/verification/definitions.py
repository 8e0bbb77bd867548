"""The losses and their derivatives from their definitions, at any precision, in mpmath.

Functions of the residual r = inputs - targets, or of inputs x and targets t where not only their
difference counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import mp

from .formats import Mpf

# Terms of a definition may cancel, by less than this for arguments of 53 bits.
GUARD = 300


def guarded(function: Callable[..., Mpf]) -> Callable[..., Mpf]:
    def with_guard(*arguments: Any, **parameters: Any) -> Mpf:
        with mp.workprec(mp.prec + GUARD):
            return function(*arguments, **parameters)

    return with_guard


def log_cosh(r: Mpf) -> Mpf:
    if not r:
        return r
    # cosh(r) - 1 begins that many bits behind the point.
    cancelled = max(0, -2 * int(mp.mag(r))) if mp.isfinite(r) else 0
    with mp.workprec(mp.prec + cancelled + 8):
        return mp.log(mp.cosh(r))


def sech_squared(r: Mpf) -> Mpf:
    return mp.sech(r) ** 2


def _magnitude(r: Mpf) -> Mpf:
    return mp.fneg(r, exact=True) if r < 0 else r  # abs() rounds to mp.prec


def huber(r: Mpf, delta: float) -> Mpf:
    a, d = _magnitude(r), mp.mpf(delta)
    if a <= d:
        return mp.ldexp(mp.fmul(a, a, exact=True), -1)
    return mp.fmul(d, mp.fsub(a, mp.ldexp(d, -1), exact=True), exact=True)


def huber_gradient(r: Mpf, delta: float) -> Mpf:
    if _magnitude(r) <= mp.mpf(delta):
        return r
    return mp.mpf(delta if r > 0 else -delta)


def huber_second_derivative(r: Mpf, delta: float) -> Mpf:
    return mp.mpf(1 if _magnitude(r) <= mp.mpf(delta) else 0)


def sign(r: Mpf) -> Mpf:
    return mp.mpf((r > 0) - (r < 0))


def zero(*_: Any, **__: Any) -> Mpf:
    return mp.mpf(0)


def smooth_l1(r: Mpf, beta: float) -> Mpf:
    a, b = abs(r), mp.mpf(beta)
    return r * r / (2 * b) if a < b else a - b / 2


def smooth_l1_gradient(r: Mpf, beta: float) -> Mpf:
    return r / mp.mpf(beta) if abs(r) < mp.mpf(beta) else sign(r)


def smooth_l1_second_derivative(r: Mpf, beta: float) -> Mpf:
    return 1 / mp.mpf(beta) if abs(r) < mp.mpf(beta) else mp.mpf(0)


def _positive(rest: Mpf, result: Mpf) -> Mpf:
    """The result where this is left, else 0, and NaN where nobody knows."""
    return rest if mp.isnan(rest) else result if rest > 0 else mp.mpf(0)


def hinge(x: Mpf, t: Mpf) -> Mpf:
    return _positive(1 - t * x, 1 - t * x)


def hinge_gradient(x: Mpf, t: Mpf) -> Mpf:
    return _positive(1 - t * x, -t)


def hinge_second_derivative(x: Mpf, t: Mpf) -> Mpf:
    return _positive(1 - t * x, mp.mpf(0))


def _missing(r: Mpf, targets: float, margin: float) -> Mpf:
    return mp.mpf(margin) - mp.mpf(targets) * r


def margin_ranking(r: Mpf, targets: float, margin: float) -> Mpf:
    missing = _missing(r, targets, margin)
    return _positive(missing, missing)


def margin_ranking_gradient(r: Mpf, targets: float, margin: float) -> Mpf:
    return _positive(_missing(r, targets, margin), mp.mpf(-targets))


def _variance(variances: float, eps: float) -> Mpf:
    return max(mp.mpf(variances), mp.mpf(eps))


def gaussian_nll(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002, as MLX calls it
    v = _variance(vars, eps)
    return (mp.log(v) + r * r / v) / 2


def full_gaussian_nll(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    v = _variance(vars, eps)
    return -mp.log(mp.exp(-r * r / (2 * v)) / mp.sqrt(2 * mp.pi * v))


def gaussian_nll_gradient(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    return r / _variance(vars, eps)


def gaussian_nll_second_derivative(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    return 1 / _variance(vars, eps)


# e^-FAR is below every number of every format; beyond it only its sign tells on which side of a
# midpoint a result is, and e^-x itself would take x bits to see.
FAR = 2000


def _sigmoid(x: Mpf) -> Mpf:
    return 1 / (1 + mp.exp(-max(-FAR, min(FAR, x))))


def _softplus(x: Mpf) -> Mpf:
    return mp.log1p(mp.exp(x)) if x < FAR else x + mp.log1p(mp.exp(-FAR))


def _weighed(t: Mpf, loss: Mpf) -> Mpf:
    """Of a class that is not the target, an infinite loss does not count."""
    return t * loss if t else t


def binary_cross_entropy(x: Mpf, t: Mpf) -> Mpf:
    return _weighed(t, _softplus(max(-FAR, -x))) + _weighed(1 - t, _softplus(max(-FAR, x)))


def binary_cross_entropy_gradient(x: Mpf, t: Mpf) -> Mpf:
    return (1 - t) * _sigmoid(x) - t * _sigmoid(-x)


def binary_cross_entropy_second_derivative(x: Mpf, _: Mpf) -> Mpf:
    return _sigmoid(x) * _sigmoid(-x)


def _parts(p: Mpf) -> tuple[bool, bool]:
    """Which of log p and log(1 - p) are above -100."""
    least = mp.exp(-100)
    return p > least, 1 - p > least


def _of_probability(function: Callable[[Mpf, Mpf], Mpf]) -> Callable[[Mpf, Mpf], Mpf]:
    return lambda p, t: function(p, t) if 0 <= p <= 1 else mp.nan


@_of_probability
def of_probabilities(p: Mpf, t: Mpf) -> Mpf:
    one, other = _parts(p)
    return -t * (mp.log(p) if one else -100) - (1 - t) * (mp.log1p(-p) if other else -100)


@_of_probability
def of_probabilities_gradient(p: Mpf, t: Mpf) -> Mpf:
    one, other = _parts(p)
    return (-t / p if one else 0) + ((1 - t) / (1 - p) if other else mp.mpf(0))


@_of_probability
def of_probabilities_second_derivative(p: Mpf, t: Mpf) -> Mpf:
    one, other = _parts(p)
    return (t / p**2 if one else 0) + ((1 - t) / (1 - p) ** 2 if other else mp.mpf(0))
