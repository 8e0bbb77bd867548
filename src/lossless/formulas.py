"""The losses as formulas: array operations that any framework runs, differentiates and exports.

Each loss has three functions, which are found by their names:

    NAME_value(xp, r, *parameters)              the loss
    NAME_gradient(xp, r, *parameters)           its first derivative by r
    NAME_second_derivative(xp, r, *parameters)  its second

`xp` is an array namespace with the names of the Python array API, `r` the residual with its sign,
and a parameter is an array of r's dtype, float32 or wider, that broadcasts to r. Nothing depends
on values outside of `where`, so that all of it can be traced.

Frameworks differentiate the value, once and again, so it is written for that:

- near 0 it is a function of r, not of |r|, whose derivative frameworks take for 0 at 0;
- a `where` multiplies derivatives by 0 on the branch that it does not take, and 0 times inf or
  NaN is NaN: each branch gets arguments at which its derivatives are finite;
- a NaN goes through a branch that keeps it: the sign of NaN is 0 in some frameworks.

The explicit derivatives are for calls that return them: they are more accurate, cost less, and
keep the sign of zero. What kernels do not give, frameworks differentiate from these, too.
"""

import math
from typing import Any

Array = Any
Namespace = Any

LOG_2 = math.log(2)


def huber_value(xp: Namespace, r: Array, delta: Array) -> Array:
    """r²/2 up to delta, delta·(delta/2 + excess) with excess = |r| - delta above.

    One of the two summands is 0: an infinite delta meets no infinite excess.
    """
    linear = xp.abs(r) > delta
    inner = xp.where(linear, 0.0, r)
    slope = xp.where(linear, delta, 0.0)
    excess = xp.where(linear, xp.abs(r) - delta, 0.0)
    return 0.5 * inner * inner + slope * (0.5 * slope + excess)


def huber_gradient(xp: Namespace, r: Array, delta: Array) -> Array:
    """r up to delta, delta with the sign of r above."""
    linear = xp.abs(r) > delta
    return xp.where(linear, xp.where(linear, delta, 0.0) * xp.sign(r), r)


def huber_second_derivative(xp: Namespace, r: Array, delta: Array) -> Array:
    """1 up to delta, where |r| = delta included, 0 above."""
    inside = xp.where(xp.isnan(r), r, xp.ones_like(r))
    return xp.where(xp.abs(r) > delta, 0.0, inside)


# Below this, |r| - log 2 + ... loses digits of the value; above, the derivatives of the other form
# lose some of the second derivative (tests/formula_errors.py --branch prints by how much).
LOG_COSH_BRANCH = 0.75


def log_cosh_value(xp: Namespace, r: Array) -> Array:
    """Without the cancellation of log(eʳ + e⁻ʳ) - log 2.

    cosh r = 1 + 2 sinh²(r/2), and, as cosh r = e^|r| (1 + e^(-2|r|)) / 2, for larger |r|:
    log cosh r = |r| - log 2 + log(1 + e^(-2|r|)).
    """
    a = xp.abs(r)
    small = a < LOG_COSH_BRANCH
    s = xp.sinh(xp.where(small, 0.5 * r, 0.0))
    far = (a - LOG_2) + xp.log1p(xp.exp(-2.0 * a))
    return xp.where(small, xp.log1p(2.0 * s * s), far)


def log_cosh_gradient(xp: Namespace, r: Array) -> Array:
    """tanh r."""
    return xp.tanh(r)


def log_cosh_second_derivative(xp: Namespace, r: Array) -> Array:
    """1/cosh² r, 0 from where that underflows: unlike 1 - tanh² r it does not cancel."""
    far = xp.abs(r) > 0.5 * math.log(xp.finfo(r.dtype).max)
    result = xp.square(1.0 / xp.cosh(xp.where(far, 0.0, r)))
    return xp.where(far, 0.0, result)
