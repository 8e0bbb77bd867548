"""By how much an anchor is not nearer to a positive than to a negative sample."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss_without_second_derivative
from .._spec import Parameter, RowLossSpec
from .._types import Array, Numbers, RowReduction, Values


def _magnitude(rows: Any, x: Any) -> Any:
    """|x|, whose derivative at 0 is 0: JAX takes 1 for that of abs."""
    return x * rows.constant(rows.sign(x))


def _distance(rows: Any, x: Any, p: float, eps: float) -> tuple[Any, Any, Any]:
    """x divided by the largest of its magnitudes and eps^(1/p), (Σ|x|^p + eps)^(1/p) then, scale.

    p is not infinite. Without eps the distance 0 is a constant: the root has no derivative there.
    """
    root = eps ** (1.0 / p)
    largest = rows.constant(rows.largest(rows.abs(x)))
    scale = rows.where(largest > root, largest, root or 1.0)
    scale = rows.where(largest == math.inf, 1.0, scale)
    x = x / scale
    # No magnitudes where there is a choice: to frameworks they have no second derivative at 0.
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
    """The distance of the positive minus that of the negative plus the margin, 0 if below."""
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
    """The slopes of both distances, 0 where the loss is."""
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
    r"""By how much an anchor is not nearer to a positive than to a negative sample.

    .. math::
        l = \max\left(d(a - a^+) - d(a - a^-) + \alpha, 0\right)
        \qquad d(x) = \left(\epsilon + \sum_j |x_j|^p\right)^{1/p}

    Args:
        anchors: the vectors a, an array of at least one dimension, of NumPy, MLX, PyTorch or
            another library that follows the Python array API standard. Unlike MLX's, none is
            broadcast.
        positives: vectors that should be near to the anchors, of the same shape.
        negatives: vectors that should be far from them, of the same shape.
        axis: the axis of each vector.
        p: which norm the distance is, a number >= 1; `inf` is the largest component (then there is
            no `eps`).
        margin: the difference of distances that is enough.
        eps: what is added to the sum before the root, a number >= 0.
        reduction: `"none"` (an array of losses), `"sum"` or `"mean"` (the sum divided by the number
            of rows that `where` selects). Unlike PyTorch's, the default is `"none"`.
        where: a boolean array that broadcasts to the shape of the losses. A row where it is false
            adds nothing, even if it holds NaN; with `"none"` its loss is 0.

    Returns:
        The losses in the shape of `anchors` without `axis`, or their reduction, a scalar. The dtype
        is that of the three arrays; integers and booleans become the framework's default float. No
        power of a large or small component over- or underflows; half types are computed in
        float32, float32 in float64 where there is one (docs/numerics.md). Gradients at a distance
        of 0 are 0.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an axis that does not exist or is empty, a `p` that
            is not >= 1, an `eps` that is not >= 0, an unknown reduction.

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
