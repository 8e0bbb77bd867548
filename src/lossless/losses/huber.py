"""Huber's loss: squared for small residuals, absolute for large ones."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values


def value(xp: Any, r: Any, delta: Any) -> Any:
    """r²/2 up to delta; above, delta·(delta/2 + excess) with excess = |r| - delta.

    One of the two summands is always 0, so an infinite delta is never multiplied by an excess.
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
    """1 for |r| <= delta, 0 above."""
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
        delta: where the loss turns from squared to absolute, in the units of the residual: a
            number > 0, or an array that broadcasts to the shape of the residuals, such as one
            number for each row.

    Returns:
        In float64, the kernel is within 1 ULP.

    Raises:
        TypeError: a `delta` that is neither a number nor an array.
        ValueError: a number `delta` that is not > 0.

    Special values:
        An infinite residual has the loss inf and the gradient ±`delta`. Where the magnitude of a
        residual is `delta`, the second derivative is 1. With a `delta` of inf, the loss is half
        the squared error. Where an array `delta` is not > 0, the result is NaN.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> lossless.huber_loss(predictions, targets)
        array([0.125, 0.   , 6.5  ])
        >>> float(lossless.huber_loss(predictions, targets, delta=2.0, reduction="sum"))
        12.125

    References:
        P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of Mathematical
        Statistics 35 (1964), 73-101.

    *New in 0.1.0.*
    """
    return Call(HUBER, (inputs, targets), (delta,), reduction, weights, where, axis)
