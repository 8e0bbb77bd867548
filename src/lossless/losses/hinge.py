"""The hinge loss, with which support vector machines separate two classes."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, x: Any, t: Any) -> Any:
    """1 - t x, at least 0."""
    margin = 1.0 - t * x
    return xp.where(margin <= 0, 0.0, margin)


def gradient(xp: Any, x: Any, t: Any) -> Any:
    """-t where the loss is not 0."""
    margin = 1.0 - t * x
    return xp.where(margin <= 0, 0.0, zero(xp, margin) - t)


def second_derivative(xp: Any, x: Any, t: Any) -> Any:
    """0."""
    return zero(xp, t * x)


HINGE = LossSpec(
    "hinge",
    value,
    gradient,
    second_derivative,
    uses_difference_only=False,
    targets=(-1.0, 1.0),
    mlx_name="hinge_loss",
)


@loss
def hinge_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "none",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The hinge loss, with which support vector machines separate two classes.

    .. math::
        l = \max(0, 1 - \text{targets} \cdot \text{inputs})

    Args:
        inputs: the scores.
        targets: the labels, -1 or 1 (other numbers are accepted).

    Special values:
        The gradient is minus the target where the loss is positive. At the kink, where the product
        of target and score is 1, and beyond it, value and gradient are 0. The second derivative is
        0 everywhere. An infinite score has the loss 0 if its sign is that of the label, inf if
        not, and NaN if the label is 0.

    Example:
        >>> import lossless, numpy as np
        >>> lossless.hinge_loss(np.array([0.5, -2.0, 3.0]), np.array([1, -1, -1]))
        array([0.5, 0. , 4. ])

    References:
        C. Cortes and V. Vapnik, "Support-Vector Networks", Machine Learning 20 (1995), 273-297.

    *New in 0.1.0.*
    """
    return Call(HINGE, (inputs, targets), (), reduction, weights, where, axis)
