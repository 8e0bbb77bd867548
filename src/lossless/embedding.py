"""Losses of rows that are vectors: the embeddings of samples."""

from __future__ import annotations

from ._rows import Number, RowCall, row_loss
from ._types import Array, Numbers, RowReduction, Values


@row_loss
def cosine_similarity_loss(
    x1: Array | Numbers,
    x2: Array | Numbers,
    axis: int = 1,
    eps: float = 1e-8,
    reduction: RowReduction = "none",
    *,
    where: Values | None = None,
) -> RowCall[Array]:
    r"""The cosine of the angle between two vectors.

    .. math::
        l = \frac{x_1 \cdot x_2}{\max(|x_1| \, |x_2|, \epsilon)}

    That is a similarity, largest for equal directions: to train towards these, minimise its
    negative.

    Args:
        x1: the first vectors, an array of at least one dimension, of NumPy, MLX, PyTorch or another
            library that follows the Python array API standard. Unlike MLX's, none is broadcast.
        x2: the second ones, of the same shape.
        axis: the axis of each vector.
        eps: the smallest denominator, a number >= 0. With 0 the result for a vector of zeros is
            NaN.
        reduction: `"none"` (an array of cosines), `"sum"` or `"mean"` (the sum divided by the
            number of rows that `where` selects).
        where: a boolean array that broadcasts to the shape of the result. A row where it is false
            adds nothing, even if it holds NaN; with `"none"` its result is 0.

    Returns:
        The cosines in the shape of `x1` without `axis`, or their reduction, a scalar. The dtype
        is that of `x1` and `x2`; integers and booleans become the framework's default float. No
        square of a large or small component over- or underflows; half types are computed in
        float32, float32 in float64 where there is one (docs/numerics.md).

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an axis that does not exist or is empty, an `eps`
            that is not >= 0, an unknown reduction.

    Example:
        >>> import lossless, numpy as np
        >>> x1, x2 = np.array([[3e200, 4e200], [1.0, 0.0]]), np.array([[6.0, 8.0], [-2.0, 0.0]])
        >>> lossless.cosine_similarity_loss(x1, x2)
        array([ 1., -1.])

    References:
        The definition, as `mlx.nn.losses.cosine_similarity_loss` has it.

    *New in 0.1.0.*
    """
    parameters = {"eps": Number(eps, 0.0)}
    return RowCall({"x1": x1, "x2": x2}, axis, reduction, parameters, where=where)


@row_loss
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
) -> RowCall[Array]:
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
    parameters = {"p": Number(p, 1.0), "margin": Number(margin), "eps": Number(eps, 0.0)}
    arrays = {"anchors": anchors, "positives": positives, "negatives": negatives}
    return RowCall(arrays, axis, reduction, parameters, where=where)
