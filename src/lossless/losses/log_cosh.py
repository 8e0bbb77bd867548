"""The logarithm of the hyperbolic cosine of the residual."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values

LOG_2 = math.log(2)
# Below this, |r| - log 2 + ... loses digits of the value; above, the derivatives of the other form
# lose some of the second derivative (tests/formula_errors.py --branch prints by how much).
BRANCH = 0.75


def value(xp: Any, r: Any) -> Any:
    """Without the cancellation of log(eʳ + e⁻ʳ) - log 2.

    cosh r = 1 + 2 sinh²(r/2), and, as cosh r = e^|r| (1 + e^(-2|r|)) / 2, for larger |r|:
    log cosh r = |r| - log 2 + log(1 + e^(-2|r|)).
    """
    a = xp.abs(r)
    small = a < BRANCH
    s = xp.sinh(xp.where(small, 0.5 * r, 0.0))
    far = (a - LOG_2) + xp.log1p(xp.exp(-2.0 * a))
    return xp.where(small, xp.log1p(2.0 * s * s), far)


def gradient(xp: Any, r: Any) -> Any:
    """tanh r."""
    return xp.tanh(r)


def second_derivative(xp: Any, r: Any) -> Any:
    """1/cosh² r, 0 from where that underflows: unlike 1 - tanh² r it does not cancel."""
    far = xp.abs(r) > 0.5 * math.log(xp.finfo(r.dtype).max)
    result = xp.square(1.0 / xp.cosh(xp.where(far, 0.0, r)))
    return xp.where(far, 0.0, result)


LOG_COSH = LossSpec(
    "log_cosh",
    value,
    gradient,
    second_derivative,
    mlx_name="log_cosh_loss",
)


@loss
def log_cosh_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "none",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The logarithm of the hyperbolic cosine of the residual.

    .. math::
        l(a) = \log(\cosh(a)) \qquad a = \text{inputs} - \text{targets}

    About :math:`a^2/2` for small residuals, where its gradient :math:`\tanh(a)` is stable, and
    :math:`|a| - \log 2` for large ones, which makes it less sensitive to outliers than the squared
    error. Unlike Huber's loss it has all derivatives everywhere.

    Args:
        inputs: the predictions, an array of any shape, of NumPy, MLX, PyTorch or another library
            that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0). Unlike PyTorch's, the default is `"none"`.
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the residuals, or their reduction (a scalar, or an array of the
        axes that remain). The dtype is that of `inputs` and `targets`: float16, bfloat16,
        float32 and float64 keep theirs, integers and booleans become the framework's default
        float; `weights` does not change it. Where the native kernels serve (`info` tells) and
        without weights, each loss is the exact one, correctly rounded (in float64 within a few
        ULP), and sums are accumulated in double and rounded once; elsewhere within a few ULP
        (docs/numerics.md).

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1e-8, 2.0], np.float32), np.array([0, -3], np.float32)
        >>> lossless.log_cosh_loss(predictions, truth)
        array([5.000000e-17, 4.306898e+00], dtype=float32)
        >>> lossless.log_cosh_loss(predictions, truth, reduction="mean")
        np.float32(2.153449)

    References:
        The definition; for its use as a loss see R. A. Saleh and A. K. Md. E. Saleh,
        "Statistical Properties of the log-cosh Loss Function Used in Machine Learning" (2022),
        arXiv:2208.04564.

    *New in 0.1.0.*
    """
    return Call(LOG_COSH, (inputs, targets), (), reduction, weights, where, axis)
