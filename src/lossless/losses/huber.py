"""Huber's loss: squared for small residuals, absolute for large ones."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values


def value(xp: Any, r: Any, delta: Any) -> Any:
    """r²/2 up to delta, delta·(delta/2 + excess) with excess = |r| - delta above.

    One of the two summands is 0: an infinite delta meets no infinite excess.
    """
    linear = xp.abs(r) > delta
    inner = xp.where(linear, 0.0, r)
    slope = xp.where(linear, delta, 0.0)
    excess = xp.where(linear, xp.abs(r) - delta, 0.0)
    return 0.5 * inner * inner + slope * (0.5 * slope + excess)


def gradient(xp: Any, r: Any, delta: Any) -> Any:
    """r up to delta, delta with the sign of r above."""
    linear = xp.abs(r) > delta
    return xp.where(linear, xp.where(linear, delta, 0.0) * xp.sign(r), r)


def second_derivative(xp: Any, r: Any, delta: Any) -> Any:
    """1 up to delta, where |r| = delta included, 0 above."""
    inside = xp.where(xp.isnan(r), r, xp.ones_like(r))
    return xp.where(xp.abs(r) > delta, 0.0, inside)


HUBER = LossSpec(
    "huber",
    value,
    gradient,
    second_derivative,
    parameters=(Parameter("delta", above=0.0, threshold="<="),),
    mlx_name="huber_loss",
)


@loss
def huber_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    delta: Values = 1.0,
    reduction: Reduction = "none",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""Huber's loss: squared for small residuals, absolute for large ones.

    .. math::
        l(a) = \begin{cases}
            \frac{1}{2} a^2 & \text{where } |a| \le \delta \\
            \delta \left(|a| - \frac{1}{2} \delta\right) & \text{elsewhere}
        \end{cases}
        \qquad a = \text{inputs} - \text{targets}

    Args:
        inputs: the predictions, an array of any shape, of NumPy, MLX, PyTorch or another library
            that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        delta: where the loss turns from squared to absolute, in the units of the residual: a
            number > 0 (`inf`: half the squared error everywhere), or an array that broadcasts to
            the shape of the residuals, one for each element, row or sample; where such an array
            is not > 0, the result is NaN.
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
        float; `delta` and `weights` do not change it. Where the native kernels serve (`info` tells)
        and without weights, each loss is the exact one, correctly rounded (in float64 within 1
        ULP), and sums are accumulated in double and rounded once; elsewhere within a few ULP
        (docs/numerics.md).

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `delta` that
            is no number or array, a `where` that is not boolean.
        ValueError: shapes that do not match, a number `delta` that is not > 0, an unknown
            reduction, an axis that does not exist, an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> lossless.huber_loss(predictions, truth)
        array([0.125, 0.   , 6.5  ])
        >>> float(lossless.huber_loss(predictions, truth, delta=2.0, reduction="sum"))
        12.125

    References:
        P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of Mathematical
        Statistics 35 (1964), 73-101.

    *New in 0.1.0.*
    """
    return Call(HUBER, (inputs, targets), (delta,), reduction, weights, where, axis)
