"""Losses of rows of scores or log-probabilities, one for each class."""

from __future__ import annotations

from ._rows import Number, RowCall, curved_row_loss, row_loss
from ._types import Array, Numbers, Reduction, RowReduction, Values


@curved_row_loss
def cross_entropy(
    logits: Array | Numbers,
    targets: Array | Numbers,
    weights: Values | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "none",
    *,
    where: Values | None = None,
) -> RowCall[Array]:
    r"""The cross entropy of class labels, or of probabilities, and the softmax of logits.

    .. math::
        l = -\sum_j \left((1 - s) t_j + \frac{s}{C}\right) \log \frac{e^{x_j}}{\sum_i e^{x_i}}

    for the C logits x of a row, the targets t (1 at the label and 0 elsewhere, or probabilities)
    and the label smoothing s.

    Args:
        logits: the scores, an array of at least one dimension, of NumPy, MLX, PyTorch or another
            library that follows the Python array API standard.
        targets: the class of each row, an array of integers in the shape of `logits` without
            `axis`; or probabilities, in the shape of `logits`. These need not add up to 1: the
            formula holds, and a row of zeros has the loss and the gradient 0, as in PyTorch and
            unlike in MLX (docs/mlx.md).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        axis: the axis of the classes.
        label_smoothing: the part s of each label, in [0, 1), that all classes share.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of rows that `where` selects) or `"weighted_mean"` (the sum divided by the sum of the
            weights; NaN where that is 0). Unlike PyTorch's, the default is `"none"`, and `"mean"`
            does not divide by the weights.
        where: a boolean array that broadcasts to the shape of the losses. A row where it is false
            adds nothing, even if it holds NaN or no class at all; with `"none"` its loss is 0.

    Returns:
        The losses in the shape of `logits` without `axis`, or their reduction, a scalar. The dtype
        is that of `logits` (and of probabilities); integers and booleans become the framework's
        default float. Nothing cancels or overflows on the way: half types are computed in float32,
        float32 in float64 where there is one (docs/numerics.md).

        A logit of -inf is a class that cannot be; the loss of its label is infinite, and of
        probabilities if its own is not 0 (where it is, PyTorch and MLX have NaN) or with label
        smoothing.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, class indices
            that are no integers, a `where` that is not boolean.
        ValueError: shapes that do not match, an axis that does not exist or is empty, label
            smoothing outside [0, 1), an unknown reduction.
        IndexError: a class that does not exist, on NumPy arrays, and on PyTorch's and JAX's on a
            CPU outside of compilers and transforms. Elsewhere values cannot be looked at, and the
            loss of such a row is NaN. Negative classes do not count from the end.

    Example:
        >>> import lossless, numpy as np
        >>> logits = np.array([[2.0, -1.0, 0.5], [0.0, 40.0, -np.inf]])
        >>> lossless.cross_entropy(logits, np.array([0, 1]))
        array([2.41311297e-01, 4.24835426e-18])
        >>> lossless.cross_entropy(logits, np.array([1, -1]), where=np.array([True, False]))
        array([3.2413113, 0.       ])

    References:
        C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016),
        arXiv:1512.00567, for label smoothing.

    *New in 0.1.0.*
    """
    return RowCall(
        {"logits": logits},
        axis,
        reduction,
        {"label_smoothing": Number(label_smoothing, 0.0, below=1.0)},
        targets=targets,
        soft=True,
        weights=weights,
        weighted=True,
        where=where,
    )


@row_loss
def nll_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    axis: int = -1,
    reduction: RowReduction = "none",
    *,
    where: Values | None = None,
) -> RowCall[Array]:
    r"""The negative log-likelihood of class labels, given the log-probabilities of all classes.

    .. math::
        l = -x_t

    for the log-probabilities x of a row and its label t.

    Args:
        inputs: the log-probabilities, an array of at least one dimension, of NumPy, MLX, PyTorch or
            another library that follows the Python array API standard.
        targets: the class of each row, an array of integers in the shape of `inputs` without
            `axis`.
        axis: the axis of the classes.
        reduction: `"none"` (an array of losses), `"sum"` or `"mean"` (the sum divided by the number
            of rows that `where` selects). Unlike PyTorch's, the default is `"none"`.
        where: a boolean array that broadcasts to the shape of the losses. A row where it is false
            adds nothing, even if it holds NaN or no class at all; with `"none"` its loss is 0.

    Returns:
        The losses in the shape of `inputs` without `axis`, or their reduction, a scalar. The dtype
        is that of `inputs`; integers and booleans become the framework's default float. Nothing
        rounds but a reduction, once.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, class indices
            that are no integers, a `where` that is not boolean.
        ValueError: shapes that do not match, an axis that does not exist or is empty, an unknown
            reduction.
        IndexError: a class that does not exist, where `cross_entropy` says so; elsewhere the loss
            of such a row is NaN.

    Example:
        >>> import lossless, numpy as np
        >>> log_probabilities = np.log([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
        >>> lossless.nll_loss(log_probabilities, np.array([1, 0]))
        array([1.38629436, 2.07944154])

    References:
        The definition, as `mlx.nn.losses.nll_loss` and `torch.nn.functional.nll_loss` have it.

    *New in 0.1.0.*
    """
    return RowCall({"inputs": inputs}, axis, reduction, targets=targets, where=where)


@row_loss
def kl_div_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    axis: int = -1,
    reduction: RowReduction = "none",
    *,
    where: Values | None = None,
) -> RowCall[Array]:
    r"""The Kullback-Leibler divergence of one distribution from another, both as logarithms.

    .. math::
        l = \sum_j e^{t_j} (t_j - x_j)

    for the log-probabilities x that were predicted and the true ones, t. A true probability of 0,
    t = -inf, adds 0, and a predicted one of 0 infinity elsewhere.

    Args:
        inputs: the predicted log-probabilities, an array of at least one dimension, of NumPy, MLX,
            PyTorch or another library that follows the Python array API standard.
        targets: the true log-probabilities, of the same shape; they are not broadcast.
        axis: the axis of each distribution.
        reduction: `"none"` (an array of losses), `"sum"` or `"mean"` (the sum divided by the number
            of rows that `where` selects). Unlike PyTorch's, the default is `"none"`, and the mean
            is that of rows.
        where: a boolean array that broadcasts to the shape of the losses. A row where it is false
            adds nothing, even if it holds NaN; with `"none"` its loss is 0.

    Returns:
        The losses in the shape of `inputs` without `axis`, or their reduction, a scalar. The dtype
        is that of `inputs` and `targets`; integers and booleans become the framework's default
        float. Half types are computed in float32, float32 in float64 where there is one
        (docs/numerics.md).

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an axis that does not exist or is empty, an unknown
            reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predicted, true = np.log([0.25, 0.5, 0.25]), np.log([0.25, 0.25, 0.5])
        >>> float(lossless.kl_div_loss(predicted, true))
        0.17328679513998632

    References:
        S. Kullback and R. A. Leibler, "On Information and Sufficiency", The Annals of Mathematical
        Statistics 22 (1951), 79-86.

    *New in 0.1.0.*
    """
    return RowCall({"inputs": inputs, "targets": targets}, axis, reduction, where=where)
