"""The square of the residual; by default its mean, the mean squared error."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any) -> Any:
    """r²."""
    return r * r


def gradient(xp: Any, r: Any) -> Any:
    """2r."""
    return 2.0 * r


def second_derivative(xp: Any, r: Any) -> Any:
    """2."""
    return zero(xp, r) + 2.0


MSE = LossSpec(
    "mse",
    value,
    gradient,
    second_derivative,
    operands=("predictions", "targets"),
    mlx_name="mse_loss",
)


@loss
def mse_loss(
    predictions: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The square of the residual; by default its mean, the mean squared error.

    .. math::
        l(a) = a^2 \qquad a = \text{predictions} - \text{targets}


    Args:
        predictions: the predictions, an array of any shape, of NumPy, MLX, PyTorch, JAX or another
            library that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `predictions` and `targets`
        (`huber_loss` says more). Where the native kernels serve and without weights each loss is
        the exact one, correctly rounded.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.5])
        >>> lossless.mse_loss(predictions, truth, reduction="none")
        array([ 0.25,  0.  , 42.25])

    References:
        The definition; its minimum is the mean (C. F. Gauss, 1809).

    *New in 0.1.0.*
    """
    return Call(MSE, (predictions, targets), (), reduction, weights, where, axis)
