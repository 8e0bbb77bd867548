"""The absolute value of the residual."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values
from ._parts import zero


def value(xp: Any, r: Any) -> Any:
    """|r|, with the derivative 0 at 0: that of JAX's abs is 1 there."""
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
    r"""The absolute value of the residual.

    .. math::
        l(a) = |a| \qquad a = \text{predictions} - \text{targets}

    Its gradient is the sign of the residual, 0 where that is 0.

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
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> float(lossless.l1_loss(predictions, truth))
        2.5
        >>> lossless.l1_loss(predictions, truth, reduction="none")
        array([0.5, 0. , 7. ])

    References:
        The definition; its minimum is the median (P. S. Laplace, 1774).

    *New in 0.1.0.*
    """
    return Call(L1, (predictions, targets), (), reduction, weights, where, axis)
