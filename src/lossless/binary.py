"""Losses of labels: two classes, or which of two scores is to be higher."""

from __future__ import annotations

from ._call import Call, loss
from ._types import Array, Axis, Numbers, Reduction, Values


@loss
def binary_cross_entropy(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    weights: Values | None = None,
    with_logits: bool = True,
    reduction: Reduction = "mean",
    *,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The binary cross entropy of logits, or of probabilities.

    .. math::
        l = -t \log p - (1 - t) \log(1 - p)
        \qquad p = \frac{1}{1 + e^{-\text{inputs}}}
        \qquad t = \text{targets}

    Or :math:`p = \text{inputs}` without logits; logarithms below -100 then count as that, so that
    probabilities of 0 and 1 have a finite loss. Logits are more precise.

    Args:
        inputs: the logits, or the probabilities, an array of any shape, of NumPy, MLX, PyTorch,
            JAX or another library that follows the Python array API standard.
        targets: the labels 0 and 1, or probabilities, of the same shape. Either one may be a
            scalar instead; other shapes are not broadcast.
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        with_logits: whether `inputs` are logits.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `inputs` and `targets` (`huber_loss` says more). Where
        the native kernels serve and without weights each loss is the exact one, correctly rounded.
        Of a probability that is not from 0 to 1 it is NaN.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> logits, labels = np.array([2.0, -40.0, 0.5]), np.array([1, 0, 0])
        >>> lossless.binary_cross_entropy(logits, labels, reduction="none")
        array([1.26928011e-01, 4.24835426e-18, 9.74076984e-01])
        >>> probabilities = np.array([0.75, 0.0, 1.0])
        >>> lossless.binary_cross_entropy(
        ...     probabilities, labels, with_logits=False, reduction="none"
        ... )
        array([  0.28768207,   0.        , 100.        ])

    References:
        The negative log-likelihood of a Bernoulli distribution; D. R. Cox, "The Regression
        Analysis of Binary Sequences", Journal of the Royal Statistical Society B 20 (1958).

    *New in 0.1.0.*
    """
    operands = {"inputs": inputs, "targets": targets}
    name = "binary_cross_entropy" if with_logits else "binary_cross_entropy_of_probabilities"
    return Call(operands, reduction, {}, weights, where, axis, name)


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
    return Call({"inputs": inputs, "targets": targets}, reduction, {}, weights, where, axis)


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
    operands = {"inputs1": inputs1, "inputs2": inputs2, "targets": targets}
    return Call(operands, reduction, {"margin": margin}, weights, where, axis)
