"""The absolute value of the residual; by default its mean, the mean absolute error."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any) -> Any:
    """|r|, with the derivative 0 at 0, where JAX's abs has the derivative 1."""
    zero = xp.where(r > 0, 0.0, xp.where(r < 0, 0.0, r))  # or NaN
    return xp.where(r > 0, r, xp.where(r < 0, -r, zero * zero))  # no square of infinity


def gradient(xp: Any, r: Any) -> Any:
    """The sign of r, 0 at 0."""
    return xp.where(xp.logical_or(r == 0, xp.isnan(r)), r, xp.sign(r))


def second_derivative(xp: Any, r: Any) -> Any:
    """0."""
    return zero(xp, r)


L1 = LossSpec(
    "l1",
    value,
    gradient,
    second_derivative,
    operands=("predictions", "targets"),
    mlx_name="l1_loss",
)


@loss
def l1_loss(
    predictions: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The absolute value of the residual; by default its mean, the mean absolute error.

    .. math::
        l(a) = |a| \qquad a = \text{predictions} - \text{targets}

    Special values:
        The gradient is the sign of the residual, and 0 where the residual is 0. The second
        derivative is 0 everywhere. An infinite residual has the loss inf and the gradient ±1.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> float(lossless.l1_loss(predictions, targets))
        2.5
        >>> lossless.l1_loss(predictions, targets, reduction="none")
        array([0.5, 0. , 7. ])

    References:
        The definition; its minimum is the median (P. S. Laplace, 1774).

    *New in 0.1.0.*
    """
    return Call(L1, (predictions, targets), (), reduction, weights, where, axis)
