"""How much an anchor falls short of being nearer to a positive than to a negative sample."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss_without_second_derivative
from .._spec import Parameter, RowLossSpec
from .._types import Array, Numbers, RowReduction, Values


def _magnitude(rows: Any, x: Any) -> Any:
    """|x|, with the derivative 0 at 0, where JAX's abs has the derivative 1."""
    return x * rows.constant(rows.sign(x))


def _distance(rows: Any, x: Any, p: float, eps: float) -> tuple[Any, Any, Any]:
    """x divided by a scale, the norm (Σ|x|^p + eps)^(1/p) divided by it, and the scale.

    The scale is the largest magnitude, or eps^(1/p) if that is larger; p is not infinite. Without
    eps, a distance of 0 is a constant, since the root has no derivative there.
    """
    root = eps ** (1.0 / p)
    largest = rows.constant(rows.largest(rows.abs(x)))
    scale = rows.where(largest > root, largest, root or 1.0)
    scale = rows.where(largest == math.inf, 1.0, scale)
    x = x / scale
    # Magnitudes only if p needs them: to frameworks they have no second derivative at 0.
    magnitude = x if p == 2.0 else _magnitude(rows, x)
    powers = x * x if p == 2.0 else magnitude if p == 1.0 else magnitude**p
    total = rows.total(powers) + (root / scale) ** p
    zero = total == 0.0
    total = rows.where(zero, 1.0, total)
    norm = rows.sqrt(total) if p == 2.0 else total if p == 1.0 else total ** (1.0 / p)
    return x, rows.where(zero, 0.0, norm), scale


def _triplet_distance(rows: Any, x: Any, p: float, eps: float) -> Any:
    if p == math.inf:
        magnitudes = _magnitude(rows, x)
        return rows.pick(magnitudes, rows.first_largest(magnitudes), of_all=True)
    _, norm, scale = _distance(rows, x, p, eps)
    return norm * scale


def _triplet_slope(rows: Any, x: Any, p: float, eps: float) -> Any:
    """The derivative of that: sign(x)·(|x| / distance)^(p - 1)."""
    if p == math.inf:
        place = rows.first_largest(rows.abs(x))
        return rows.where(rows.is_at(x, place), rows.sign(x), 0.0)
    if p == 1.0:
        return rows.sign(x)
    x, norm, _ = _distance(rows, x, p, eps)
    x = x / rows.where(norm == 0.0, 1.0, norm)
    return x if p == 2.0 else rows.sign(x) * rows.abs(x) ** (p - 1.0)


def value(
    rows: Any,
    anchors: Any,
    positives: Any,
    negatives: Any,
    p: float,
    margin: Any,
    eps: float,
) -> Any:
    """The distance to the positive minus that to the negative, plus the margin; at least 0."""
    near = _triplet_distance(rows, anchors - positives, p, eps)
    far = _triplet_distance(rows, anchors - negatives, p, eps)
    loss = (near - far) + margin
    return rows.where(loss <= 0.0, 0.0, loss)


def gradient(
    rows: Any,
    anchors: Any,
    positives: Any,
    negatives: Any,
    p: float,
    margin: Any,
    eps: float,
) -> Any:
    """The difference of the slopes of both distances, 0 where the loss is 0."""
    loss = value(rows, anchors, positives, negatives, p, margin, eps)
    near = _triplet_slope(rows, anchors - positives, p, eps)
    far = _triplet_slope(rows, anchors - negatives, p, eps)
    return rows.where(loss == 0.0, 0.0, near - far)


TRIPLET = RowLossSpec(
    "triplet",
    value,
    gradient,
    parameters=(
        Parameter("p", least=1.0, selects=True),
        Parameter("margin"),
        Parameter("eps", least=0.0, selects=True),
    ),
    operands=("anchors", "positives", "negatives"),
    mlx_name="triplet_loss",
)


@loss_without_second_derivative
def triplet_loss(
    anchors: Array | Numbers,
    positives: Array | Numbers,
    negatives: Array | Numbers,
    axis: int = -1,
    p: float = 2,
    margin: float = 1.0,
    eps: float = 1e-6,
    reduction: RowReduction = "none",
    *,
    where: Values | None = None,
) -> Call[Array]:
    r"""How much an anchor falls short of being nearer to a positive than to a negative sample.

    .. math::
        l = \max\left(d(a - a^+) - d(a - a^-) + \text{margin}, 0\right)
        \qquad d(x) = \left(\epsilon + \sum_j |x_j|^p\right)^{1/p}

    Args:
        anchors: the vectors a.
        positives: vectors that should be near to the anchors, of the same shape.
        negatives: vectors that should be far from the anchors, of the same shape. Unlike in MLX,
            nothing is broadcast.
        axis: the axis of each vector.
        p: the norm that measures the distance, a number >= 1; `inf` means the largest component,
            without `eps`.
        margin: the required difference of the two distances, a number.
        eps: the number that is added to the sum before the root, >= 0.

    Returns:
        No power of a large or small component overflows or underflows.

    Raises:
        TypeError: a `p`, `margin` or `eps` that is not a number.
        ValueError: a `p` that is not >= 1; an `eps` that is not >= 0.

    Special values:
        Where the loss is 0, the gradient is 0, and so is the gradient of a distance of 0. The
        distance of a finite anchor to a vector with an infinite component is inf; an anchor with
        one gives NaN.

    Example:
        >>> import lossless, numpy as np
        >>> anchors, positives = np.array([[1.0, 2.0, 2.0]]), np.array([[1.0, 5.0, 6.0]])
        >>> negatives = np.array([[1.0, 2.0, 5.0]])
        >>> lossless.triplet_loss(anchors, positives, negatives, eps=0.0)
        array([3.])

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet: A Unified Embedding for Face
        Recognition and Clustering" (2015), arXiv:1503.03832.

    *New in 0.1.0.*
    """
    return Call(
        TRIPLET,
        (anchors, positives, negatives),
        (p, margin, eps),
        reduction,
        where=where,
        axis=axis,
    )
