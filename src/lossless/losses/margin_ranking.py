"""How much one score falls short of being above another one by a margin."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any, targets: Any, margin: Any) -> Any:
    """margin - y r, at least 0."""
    rest = margin - targets * r
    return xp.where(rest <= 0, 0.0, rest)


def gradient(xp: Any, r: Any, targets: Any, margin: Any) -> Any:
    """-y where the loss is not 0."""
    rest = margin - targets * r
    return xp.where(rest <= 0, 0.0, zero(xp, rest) - targets)


def second_derivative(xp: Any, r: Any, targets: Any, margin: Any) -> Any:
    """0."""
    return zero(xp, margin - targets * r)


MARGIN_RANKING = LossSpec(
    "margin_ranking",
    value,
    gradient,
    second_derivative,
    parameters=(Parameter("targets"), Parameter("margin")),
    operands=("inputs1", "inputs2", "targets"),
    targets=(-1.0, 1.0),
    mlx_name="margin_ranking_loss",
)


@loss
def margin_ranking_loss(
    inputs1: Array | Numbers,
    inputs2: Array | Numbers,
    targets: Array | Numbers,
    margin: Values = 0.0,
    reduction: Reduction = "none",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""How much one score falls short of being above another one by a margin.

    .. math::
        l = \max(0, \text{margin} - \text{targets} \cdot (\text{inputs1} - \text{inputs2}))

    Args:
        inputs1: the scores.
        inputs2: the scores to compare with.
        targets: 1 where `inputs1` should be higher, -1 where `inputs2` should be (other numbers are
            accepted); an array of the same shape, or a scalar.
        margin: the required difference, in the units of the scores: a number, or an array that
            broadcasts to their shape.

    Raises:
        TypeError: a `margin` that is neither a number nor an array.

    Special values:
        The gradient with respect to `inputs1` is minus the target where the loss is positive. At
        the kink, where the scores differ by exactly the margin, and beyond it, value and gradient
        are 0. The second derivative is 0 everywhere. With a `margin` of inf, the loss of finite
        scores is inf, and with one of -inf it is 0. Equal infinite scores give NaN.

    Example:
        >>> import lossless, numpy as np
        >>> first, second = np.array([0.5, 2.0, 0.25]), np.array([1.5, 1.0, 1.0])
        >>> lossless.margin_ranking_loss(first, second, np.array([1, 1, -1]), margin=0.5)
        array([1.5, 0. , 0. ])

    References:
        R. Herbrich, T. Graepel and K. Obermayer, "Large Margin Rank Boundaries for Ordinal
        Regression", Advances in Large Margin Classifiers (2000), 115-132.

    *New in 0.1.0.*
    """
    return Call(
        MARGIN_RANKING, (inputs1, inputs2, targets), (margin,), reduction, weights, where, axis
    )
