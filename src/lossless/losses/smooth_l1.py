"""The absolute value of the residual, made smooth by a square near 0."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values
from . import l1
from ._parts import zero


def value(xp: Any, r: Any, beta: Any) -> Any:
    """r²/(2β) for |r| < β, |r| - β/2 elsewhere."""
    near = xp.abs(r) < beta
    inner = xp.where(near, r, 0.0)
    outer = xp.where(near, 0.0, l1.value(xp, r) - 0.5 * beta)
    return 0.5 * inner * (inner / xp.where(near, beta, 1.0)) + outer


def gradient(xp: Any, r: Any, beta: Any) -> Any:
    """r/β for |r| < β, the sign of r elsewhere."""
    near = xp.abs(r) < beta
    return xp.where(near, r / xp.where(near, beta, 1.0), l1.gradient(xp, r))


def second_derivative(xp: Any, r: Any, beta: Any) -> Any:
    """1/β for |r| < β, 0 elsewhere."""
    near = xp.abs(r) < beta
    return xp.where(near, 1.0 / xp.where(near, beta, 1.0), zero(xp, r))


SMOOTH_L1 = LossSpec(
    "smooth_l1",
    value,
    gradient,
    second_derivative,
    parameters=(Parameter("beta", least=0.0, threshold="<"),),
    operands=("predictions", "targets"),
    mlx_name="smooth_l1_loss",
)


@loss
def smooth_l1_loss(
    predictions: Array | Numbers,
    targets: Array | Numbers,
    beta: Values = 1.0,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The absolute value of the residual, made smooth by a square near 0.

    .. math::
        l(a) = \begin{cases}
            \frac{1}{2} a^2 / \beta & \text{where } |a| < \beta \\
            |a| - \frac{1}{2} \beta & \text{elsewhere}
        \end{cases}
        \qquad a = \text{predictions} - \text{targets}

    It is Huber's loss with :math:`\delta = \beta`, divided by :math:`\beta`.

    Args:
        beta: the magnitude of residuals at which the loss becomes absolute, in their units: a
            number >= 0, or an array that broadcasts to the shape of the residuals.

    Returns:
        In float64, the kernel is within 2 ULP and 2^-50 of the terms of a difference.

    Raises:
        TypeError: a `beta` that is neither a number nor an array.
        ValueError: a number `beta` that is not >= 0.

    Special values:
        Where the magnitude of a residual is `beta`, the second derivative is 0. An infinite
        residual has the loss inf and the gradient ±1. With a `beta` of 0, the loss is `l1_loss`,
        with the gradient 0 at 0. Where an array `beta` is not >= 0, the result is NaN.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> lossless.smooth_l1_loss(predictions, targets, reduction="none")
        array([0.125, 0.   , 6.5  ])
        >>> lossless.smooth_l1_loss(predictions, targets, beta=0.0, reduction="none")
        array([0.5, 0. , 7. ])

    References:
        R. Girshick, "Fast R-CNN", ICCV 2015, with the beta that implementations added since.

    *New in 0.1.0.*
    """
    return Call(SMOOTH_L1, (predictions, targets), (beta,), reduction, weights, where, axis)
