"""The hinge loss, by which support vector machines separate two classes."""

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
    r"""The hinge loss, by which support vector machines separate two classes.

    .. math::
        l = \max(0, 1 - \text{targets} \cdot \text{inputs})

    Its gradient by `inputs` is minus the target where the loss is above 0, and 0 elsewhere.

    Args:
        inputs: the scores, an array of any shape, of NumPy, MLX, PyTorch, JAX or another library
            that follows the Python array API standard.
        targets: the labels, -1 or 1 (any number is taken), of the same shape. Either one may be a
            scalar instead; other shapes are not broadcast.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `inputs` and `targets`
        (`huber_loss` says more). Where the native kernels serve and without weights each loss is
        the exact one, correctly rounded.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> lossless.hinge_loss(np.array([0.5, -2.0, 3.0]), np.array([1, -1, -1]))
        array([0.5, 0. , 4. ])

    References:
        C. Cortes and V. Vapnik, "Support-Vector Networks", Machine Learning 20 (1995), 273-297.

    *New in 0.1.0.*
    """
    return Call(HINGE, (inputs, targets), (), reduction, weights, where, axis)
