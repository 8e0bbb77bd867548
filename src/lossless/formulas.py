"""The losses as formulas: array operations that any framework runs, differentiates and exports.

Each loss has three functions, which are found by their names:

    NAME_value(xp, r, *parameters)              the loss
    NAME_gradient(xp, r, *parameters)           its first derivative by r
    NAME_second_derivative(xp, r, *parameters)  its second

`xp` is an array namespace with the names of the Python array API, `r` the residual with its sign,
and a parameter is an array of r's dtype, float32 or wider, that broadcasts to r. A loss that is
not one of the residual has inputs x and targets t in its place, and is differentiated by x.
Nothing depends on values outside of `where`, so that all of it can be traced.

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


def l1_value(xp: Namespace, r: Array) -> Array:
    """|r|, with the derivative 0 at 0: that of JAX's abs is 1 there."""
    zero = xp.where(r > 0, 0.0, xp.where(r < 0, 0.0, r))  # or NaN
    return xp.where(r > 0, r, xp.where(r < 0, -r, zero * zero))  # no square of infinity


def l1_gradient(xp: Namespace, r: Array) -> Array:
    """The sign of r, 0 at 0."""
    return xp.where(xp.logical_or(r == 0, xp.isnan(r)), r, xp.sign(r))


def l1_second_derivative(xp: Namespace, r: Array) -> Array:
    """0."""
    return _zero(xp, r)


def mse_value(xp: Namespace, r: Array) -> Array:
    """r²."""
    return r * r


def mse_gradient(xp: Namespace, r: Array) -> Array:
    """2r."""
    return 2.0 * r


def mse_second_derivative(xp: Namespace, r: Array) -> Array:
    """2."""
    return _zero(xp, r) + 2.0


def smooth_l1_value(xp: Namespace, r: Array, beta: Array) -> Array:
    """r²/(2β) below β, |r| - β/2 from there on."""
    near = xp.abs(r) < beta
    inner = xp.where(near, r, 0.0)
    outer = xp.where(near, 0.0, l1_value(xp, r) - 0.5 * beta)
    return 0.5 * inner * (inner / xp.where(near, beta, 1.0)) + outer


def smooth_l1_gradient(xp: Namespace, r: Array, beta: Array) -> Array:
    """r/β below β, the sign of r from there on."""
    near = xp.abs(r) < beta
    return xp.where(near, r / xp.where(near, beta, 1.0), l1_gradient(xp, r))


def smooth_l1_second_derivative(xp: Namespace, r: Array, beta: Array) -> Array:
    """1/β below β, 0 from there on."""
    near = xp.abs(r) < beta
    return xp.where(near, 1.0 / xp.where(near, beta, 1.0), _zero(xp, r))


def hinge_value(xp: Namespace, x: Array, t: Array) -> Array:
    """1 - t x, at least 0."""
    margin = 1.0 - t * x
    return xp.where(margin <= 0, 0.0, margin)


def hinge_gradient(xp: Namespace, x: Array, t: Array) -> Array:
    """-t where the loss is not 0."""
    margin = 1.0 - t * x
    return xp.where(margin <= 0, 0.0, _zero(xp, margin) - t)


def hinge_second_derivative(xp: Namespace, x: Array, t: Array) -> Array:
    """0."""
    return _zero(xp, t * x)


def margin_ranking_value(xp: Namespace, r: Array, targets: Array, margin: Array) -> Array:
    """The margin less y r, at least 0."""
    rest = margin - targets * r
    return xp.where(rest <= 0, 0.0, rest)


def margin_ranking_gradient(xp: Namespace, r: Array, targets: Array, margin: Array) -> Array:
    """-y where the loss is not 0."""
    rest = margin - targets * r
    return xp.where(rest <= 0, 0.0, _zero(xp, rest) - targets)


def margin_ranking_second_derivative(
    xp: Namespace, r: Array, targets: Array, margin: Array
) -> Array:
    """0."""
    return _zero(xp, margin - targets * r)


def binary_cross_entropy_value(xp: Namespace, x: Array, t: Array) -> Array:
    """log(1 + e^-|x|), and x (1 - t) for x > 0, -x t else: 0 <= t <= 1 lets nothing cancel."""
    u = xp.where(x > 0, 1.0 - t, -t)
    nothing = xp.logical_and(u == 0, xp.isinf(x))  # `&` reads beyond x under MLX's vmap
    factor = xp.where(nothing, 0.0, x)
    return factor * u + xp.log1p(xp.exp(xp.where(x > 0, -x, x)))


def binary_cross_entropy_gradient(xp: Namespace, x: Array, t: Array) -> Array:
    """sigmoid(x) - t, without the cancellation of 1 - e^-x / (1 + e^-x) - t."""
    q = xp.exp(-xp.abs(x))
    rest = xp.where(x > 0, 1.0 - t, t) - q / (1.0 + q)
    return xp.where(x > 0, rest, -rest)


def binary_cross_entropy_second_derivative(xp: Namespace, x: Array, t: Array) -> Array:
    """e^-|x| / (1 + e^-|x|)²."""
    q = xp.exp(-xp.abs(x))
    curvature = q / xp.square(1.0 + q)
    return xp.where(curvature > 0.25, 0.25, curvature) + _zero(xp, t)  # rounding may pass that


# Of probabilities logarithms are at least LOWEST_LOG: of numbers up to these, the largest below
# e**-100.
LOWEST_LOG = -100.0
LEAST_FLOAT32 = 26 * 2.0**-149
LEAST_FLOAT64 = float.fromhex("0x1.a8c1f14e2af5cp-145")


def binary_cross_entropy_of_probabilities_value(xp: Namespace, x: Array, t: Array) -> Array:
    """-t log x - (1 - t) log(1 - x)."""
    x = _probability(xp, x)
    none, all_, small = _log_is_lowest(xp, x), x >= 1, x < 0.25
    log = xp.where(none, LOWEST_LOG, xp.log(xp.where(none, 1.0, x)))
    # Of a large x, 1 - x has all the digits that count, and XLA's log1p in float64 has not.
    large = xp.log(1.0 - xp.where(xp.logical_or(small, all_), 0.0, x))
    log_other = xp.where(small, xp.log1p(-xp.where(small, x, 0.0)), large)
    return -t * log - (1.0 - t) * xp.where(all_, LOWEST_LOG, log_other)


def binary_cross_entropy_of_probabilities_gradient(xp: Namespace, x: Array, t: Array) -> Array:
    """(x - t) / (x (1 - x)), the one part of it where the logarithm of the other is the lowest."""
    x = _probability(xp, x)
    none, all_ = _log_is_lowest(xp, x), x >= 1
    only_one = xp.logical_or(none, all_)
    some = xp.where(only_one, 0.5, x)
    by_one = xp.where(none, 0.0, t / xp.where(none, 1.0, x))
    by_zero = xp.where(all_, 0.0, (1.0 - t) / (1.0 - xp.where(all_, 0.0, x)))
    return xp.where(only_one, by_zero - by_one, (some - t) / some / (1.0 - some))


def binary_cross_entropy_of_probabilities_second_derivative(
    xp: Namespace, x: Array, t: Array
) -> Array:
    """t / x² + (1 - t) / (1 - x)², without what belongs to a lowest logarithm."""
    x = _probability(xp, x)
    none, all_ = _log_is_lowest(xp, x), x >= 1
    one, zero = xp.where(none, 1.0, x), 1.0 - xp.where(all_, 0.0, x)
    by_one, by_zero = t / one, (1.0 - t) / zero / zero
    # Of t / x / x XLA makes t / x², which is infinite where x² vanishes.
    by_one = xp.where(by_one == 0, by_one, by_one * (1.0 / one))
    return xp.where(none, 0.0, by_one) + xp.where(all_, 0.0, by_zero)


def gaussian_nll_value(xp: Namespace, r: Array, variances: Array, eps: Array) -> Array:
    """Half of log v + r²/v, of which twice as much may overflow."""
    v = _variance(xp, variances, eps)
    return 0.5 * xp.log(v) + (0.5 * r) * (r / v)


def gaussian_nll_gradient(xp: Namespace, r: Array, variances: Array, eps: Array) -> Array:
    """r/v."""
    return r / _variance(xp, variances, eps)


def gaussian_nll_second_derivative(xp: Namespace, r: Array, variances: Array, eps: Array) -> Array:
    """1/v."""
    return _zero(xp, r) + 1.0 / _variance(xp, variances, eps)


def full_gaussian_nll_value(xp: Namespace, r: Array, variances: Array, eps: Array) -> Array:
    """The same and log(2π)/2."""
    return gaussian_nll_value(xp, r, variances, eps) + 0.5 * math.log(2.0 * math.pi)


full_gaussian_nll_gradient = gaussian_nll_gradient
full_gaussian_nll_second_derivative = gaussian_nll_second_derivative


def _variance(xp: Namespace, variances: Array, eps: Array) -> Array:
    """At least eps."""
    return xp.where(variances < eps, eps, variances)


def _probability(xp: Namespace, x: Array) -> Array:
    """NaN where it is not from 0 to 1."""
    return x + xp.where(xp.logical_or(x < 0, x > 1), math.nan, xp.zeros_like(x))


def _log_is_lowest(xp: Namespace, x: Array) -> Array:
    """Where log x <= -100; at NaN it is not."""
    is_float32 = float(xp.finfo(x.dtype).max) < 2.0**128
    return x <= (LEAST_FLOAT32 if is_float32 else LEAST_FLOAT64)


def _zero(xp: Namespace, x: Array) -> Array:
    """0 with the NaNs of x; infinities are none."""
    return xp.where(xp.isnan(x), x, xp.zeros_like(x))
