"""The cosine of the angle between two vectors."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss_without_second_derivative
from .._spec import Parameter, RowLossSpec
from .._types import Array, Numbers, RowReduction, Values


def _scaled(rows: Any, x: Any) -> tuple[Any, Any, Any, Any]:
    """x divided by its largest magnitude, the norm of that, the magnitude, and whether x is 0.

    A vector of zeros counts as scaled by 1, with the norm 1: the root has no derivative at 0.
    """
    largest = rows.constant(rows.largest(rows.abs(x)))
    zero = largest == 0.0
    scale = rows.where(zero, 1.0, largest)
    x = x / scale
    return x, rows.sqrt(rows.where(zero, 1.0, rows.total(x * x))), scale, zero


def value(rows: Any, x1: Any, x2: Any, eps: float) -> Any:
    """x1·x2 / max(|x1| |x2|, eps), from scaled vectors: no square over- or underflows.

    The scales count only where the norms are below eps.
    """
    x1, norm1, scale1, zero1 = _scaled(rows, x1)
    x2, norm2, scale2, zero2 = _scaled(rows, x2)
    root, by_norms = math.sqrt(eps), 1.0 / (norm1 * norm2)
    by_eps = (scale1 / root) * (scale2 / root)  # infinite without eps
    below = rows.logical_or(rows.logical_or(zero1, zero2), by_eps < by_norms)
    cosine = rows.total(x1 * x2) * rows.where(below, by_eps, by_norms)
    # Rounding may exceed 1. The excess is a constant, since the derivatives are right there.
    over = rows.where(cosine > 1.0, cosine - 1.0, rows.where(cosine < -1.0, cosine + 1.0, 0.0))
    return cosine - rows.constant(over)


def gradient(rows: Any, x1: Any, x2: Any, eps: float) -> Any:
    """(x2/|x2| - cos·x1/|x1|) / |x1|, and x2/eps where the norms are below eps."""
    x1, norm1, scale1, zero1 = _scaled(rows, x1)
    x2, norm2, scale2, zero2 = _scaled(rows, x2)
    x1, x2, root = x1 / norm1, x2 / norm2, math.sqrt(eps)
    size1, size2 = norm1 * (scale1 / root), norm2 * (scale2 / root)
    below = rows.logical_or(rows.logical_or(zero1, zero2), size1 * size2 < 1.0)
    gradient = (x2 - rows.total(x1 * x2) * x1) / norm1 / scale1
    return rows.where(below, x2 * (size2 / root), gradient)


COSINE_SIMILARITY = RowLossSpec(
    "cosine_similarity",
    value,
    gradient,
    parameters=(Parameter("eps", least=0.0, selects=True),),
    operands=("x1", "x2"),
    mlx_name="cosine_similarity_loss",
)


@loss_without_second_derivative
def cosine_similarity_loss(
    x1: Array | Numbers,
    x2: Array | Numbers,
    axis: int = 1,
    eps: float = 1e-8,
    reduction: RowReduction = "none",
    *,
    where: Values | None = None,
) -> Call[Array]:
    r"""The cosine of the angle between two vectors.

    .. math::
        l = \frac{x_1 \cdot x_2}{\max(|x_1| \, |x_2|, \epsilon)}

    This is a similarity, largest for equal directions: to train towards equal directions, minimize
    its negative.

    Args:
        x1: the first vectors.
        x2: the second vectors, of the same shape. Unlike in MLX, neither is broadcast.
        axis: the axis of each vector.
        eps: the smallest denominator, a number >= 0.

    Returns:
        No square of a large or small component overflows or underflows, and no cosine is beyond
        ±1.

    Raises:
        TypeError: an `eps` that is not a number.
        ValueError: an `eps` that is not >= 0.

    Special values:
        The cosine with a vector of zeros is 0, or NaN if `eps` is 0. A vector that contains an
        infinity or NaN gives NaN.

    Example:
        >>> import lossless, numpy as np
        >>> x1, x2 = np.array([[3e200, 4e200], [1.0, 0.0]]), np.array([[6.0, 8.0], [-2.0, 0.0]])
        >>> lossless.cosine_similarity_loss(x1, x2)
        array([ 1., -1.])

    References:
        The definition, as `mlx.nn.losses.cosine_similarity_loss` has it.

    *New in 0.1.0.*
    """
    return Call(COSINE_SIMILARITY, (x1, x2), (eps,), reduction, where=where, axis=axis)
