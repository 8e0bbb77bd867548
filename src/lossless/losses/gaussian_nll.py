"""The negative log-likelihood of targets under normal distributions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """(log v + r²/v) / 2, in halves: the sum may overflow where its half does not."""
    v = _variance(xp, variances, eps)
    return 0.5 * xp.log(v) + (0.5 * r) * (r / v)


def gradient(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """r/v."""
    return r / _variance(xp, variances, eps)


def second_derivative(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """1/v."""
    return zero(xp, r) + 1.0 / _variance(xp, variances, eps)


def full_value(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """The same plus log(2π)/2."""
    return value(xp, r, variances, eps) + 0.5 * math.log(2.0 * math.pi)


def _variance(xp: Any, variances: Any, eps: Any) -> Any:
    """The variances, at least eps."""
    return xp.where(variances < eps, eps, variances)


GAUSSIAN_NLL = LossSpec(
    "gaussian_nll",
    value,
    gradient,
    second_derivative,
    parameters=(Parameter("vars"), Parameter("eps", above=0.0)),
    operands=("inputs", "targets", "vars"),
    broadcasts=True,
    mlx_name="gaussian_nll_loss",
)

FULL_GAUSSIAN_NLL = replace(
    GAUSSIAN_NLL, name="full_gaussian_nll", value=full_value, function="gaussian_nll_loss"
)


@loss
def gaussian_nll_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    vars: Array | Numbers,  # noqa: A002, as MLX calls it
    full: bool = False,
    eps: Values = 1e-6,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The negative log-likelihood of targets under normal distributions.

    .. math::
        l = \frac{1}{2} \left(\log v + \frac{(\text{inputs} - \text{targets})^2}{v}\right)
        \qquad v = \max(\text{vars}, \epsilon)

    Args:
        inputs: the predicted means.
        vars: the predicted variances, in the squared units of the means: an array that broadcasts
            to the shape of the residuals (one for each element, row or sample), or a scalar.
        full: whether to add the constant log(2 pi) / 2.
        eps: the smallest variance, a number > 0, or an array that broadcasts to the shape of the
            residuals. It replaces smaller variances.

    Returns:
        Derivatives with respect to `vars` come from the formula.

    Raises:
        TypeError: an `eps` that is neither a number nor an array.
        ValueError: a number `eps` that is not > 0.

    Special values:
        A variance below `eps`, 0 and negative ones included, counts as `eps`. With a variance of
        inf, the loss is inf and the gradient 0. An infinite residual has the loss inf and an
        infinite gradient, and NaN if the variance is infinite, too.

    Example:
        >>> import lossless, numpy as np
        >>> means, targets = np.array([0.5, 2.0]), np.array([1.5, 2.0])
        >>> lossless.gaussian_nll_loss(means, targets, np.array([1.0, 0.25]), reduction="none")
        array([ 0.5       , -0.69314718])

    References:
        D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability
        distribution", ICNN 1994.

    *New in 0.1.0.*
    """
    spec = FULL_GAUSSIAN_NLL if full else GAUSSIAN_NLL
    return Call(spec, (inputs, targets, vars), (eps,), reduction, weights, where, axis)
