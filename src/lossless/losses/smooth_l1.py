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
    """r²/(2β) below β, |r| - β/2 from there on."""
    near = xp.abs(r) < beta
    inner = xp.where(near, r, 0.0)
    outer = xp.where(near, 0.0, l1.value(xp, r) - 0.5 * beta)
    return 0.5 * inner * (inner / xp.where(near, beta, 1.0)) + outer


def gradient(xp: Any, r: Any, beta: Any) -> Any:
    """r/β below β, the sign of r from there on."""
    near = xp.abs(r) < beta
    return xp.where(near, r / xp.where(near, beta, 1.0), l1.gradient(xp, r))


def second_derivative(xp: Any, r: Any, beta: Any) -> Any:
    """1/β below β, 0 from there on."""
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
        predictions: the predictions, an array of any shape, of NumPy, MLX, PyTorch, JAX or another
            library that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        beta: where the loss turns from squared to absolute, in the units of the residual: a number
            >= 0 (0: `l1_loss`), or an array that broadcasts to the shape of the residuals; where
            such an array is not >= 0, the result is NaN.
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
            an axis without a reduction,
            a number `beta` that is not >= 0.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> lossless.smooth_l1_loss(predictions, truth, reduction="none")
        array([0.125, 0.   , 6.5  ])
        >>> lossless.smooth_l1_loss(predictions, truth, beta=0.0, reduction="none")
        array([0.5, 0. , 7. ])

    References:
        R. Girshick, "Fast R-CNN", ICCV 2015, with the beta that implementations added since.

    *New in 0.1.0.*
    """
    return Call(SMOOTH_L1, (predictions, targets), (beta,), reduction, weights, where, axis)
