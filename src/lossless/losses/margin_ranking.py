"""How much one score falls short of being above another one by a margin."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec, Parameter
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any, targets: Any, margin: Any) -> Any:
    """The margin less y r, at least 0."""
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

    Its gradient by `inputs1` is minus the target where the loss is above 0, and 0 elsewhere.

    Args:
        inputs1: scores, an array of any shape, of NumPy, MLX, PyTorch, JAX or another library that
            follows the Python array API standard.
        inputs2: the scores to compare with, of the same shape. Either one may be a scalar instead;
            other shapes are not broadcast.
        targets: 1 where `inputs1` is to be higher, -1 where `inputs2` is (any number is taken), of
            the same shape or a scalar.
        margin: by how much, in the units of the scores: a number, or an array that broadcasts to
            their shape.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `inputs1`, `inputs2` and `targets`
        (`huber_loss` says more). Where the native kernels serve and without weights each loss is
        the exact one, correctly rounded.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

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
