"""The negative log-likelihood of targets under normal distributions."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """Half of log v + r²/v, of which twice as much may overflow."""
    v = _variance(xp, variances, eps)
    return 0.5 * xp.log(v) + (0.5 * r) * (r / v)


def gradient(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """r/v."""
    return r / _variance(xp, variances, eps)


def second_derivative(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """1/v."""
    return zero(xp, r) + 1.0 / _variance(xp, variances, eps)


def full_value(xp: Any, r: Any, variances: Any, eps: Any) -> Any:
    """The same and log(2π)/2."""
    return value(xp, r, variances, eps) + 0.5 * math.log(2.0 * math.pi)


def _variance(xp: Any, variances: Any, eps: Any) -> Any:
    """At least eps."""
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

FULL_GAUSSIAN_NLL = LossSpec(
    "full_gaussian_nll",
    full_value,
    gradient,
    second_derivative,
    parameters=(Parameter("vars"), Parameter("eps", above=0.0)),
    operands=("inputs", "targets", "vars"),
    broadcasts=True,
    function="gaussian_nll_loss",
    mlx_name="gaussian_nll_loss",
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
        inputs: the predicted means, an array of any shape, of NumPy, MLX, PyTorch, JAX or another
            library that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        vars: the predicted variances, in the square of the units of the means: an array that
            broadcasts to the shape of the residuals (one for each element, row or sample), or a
            scalar.
        full: whether to add the constant log(2 pi) / 2.
        eps: variances below it count as it; a number > 0.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `inputs`, `targets` and `vars` (`huber_loss` says more).
        Where the native kernels serve, each loss is within 0.5 + 2^-20 ULP of the exact one, also
        where its two terms cancel. Gradients by `vars` come of the formula.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an `eps` that is not > 0, an unknown reduction, an
            axis that does not exist, an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> means, truth = np.array([0.5, 2.0]), np.array([1.5, 2.0])
        >>> lossless.gaussian_nll_loss(means, truth, np.array([1.0, 0.25]), reduction="none")
        array([ 0.5       , -0.69314718])

    References:
        D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability
        distribution", ICNN 1994.

    *New in 0.1.0.*
    """
    spec = FULL_GAUSSIAN_NLL if full else GAUSSIAN_NLL
    return Call(spec, (inputs, targets, vars), (eps,), reduction, weights, where, axis)
