"""The cross entropy of class labels, or of probabilities, and the softmax of logits."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import Parameter, RowLossSpec
from .._types import Array, Numbers, Reduction, Values
from ._parts import is_zero

SMOOTHING = (Parameter("label_smoothing", least=0.0, below=1.0),)


def _largest(rows: Any, x: Any) -> tuple[Any, Any, Any]:
    """The place of the largest score m, itself, and log Σ exp(x - m), of which it is the m."""
    place = rows.first_largest(x)
    largest = rows.pick(x, place, of_all=True)
    others = rows.total(rows.where(rows.is_at(x, place), 0.0, rows.exp(x - largest)))
    finite = rows.constant(largest)
    return place, largest, rows.log1p(others) + (finite - finite)  # NaN for an infinity


def value(rows: Any, x: Any, labels: Any, smoothing: Any) -> Any:
    """How far the label's score is below the largest, plus log Σ exp(x - largest): both >= 0.

    Where it is the largest, its derivative must not be added up of 1, -1 and what remains.
    Smoothed, a part of the loss is the mean of that over all labels.
    """
    place, largest, log_sum = _largest(rows, x)
    below = rows.where(labels == place, 0.0, largest - rows.pick(x, labels, of_all=True))
    loss = below + log_sum
    if not is_zero(smoothing):
        loss = (1.0 - smoothing) * loss + smoothing * (rows.mean(largest - x) + log_sum)
    return loss


def gradient(rows: Any, x: Any, labels: Any, smoothing: Any) -> Any:
    """softmax(x) - 1 at the label, which is minus the part of the others, softmax(x) elsewhere."""
    exponentials = rows.exp(x - rows.largest(x))
    here = rows.is_at(x, labels)
    others = rows.total(rows.where(here, 0.0, exponentials))
    gradient = rows.where(here, -others, exponentials) / rows.total(exponentials)
    if not is_zero(smoothing):
        gradient = rows.where(here, gradient + smoothing, gradient) - smoothing / rows.size(x)
    return gradient


def second_derivative(rows: Any, x: Any, labels: Any, smoothing: Any) -> Any:
    """p·(1 - p) for p = softmax(x), whatever the label."""
    exponentials, place = rows.exp(x - rows.largest(x)), rows.first_largest(x)
    total = rows.total(exponentials)
    others = rows.total(rows.where(rows.is_at(x, place), 0.0, exponentials))
    # All but the largest probability are at most 1/2, so that 1 - p does not cancel.
    rest = rows.where(rows.is_at(x, place), others, total - exponentials)
    return (exponentials / total) * (rest / total)


def soft_value(rows: Any, x: Any, targets: Any, smoothing: Any) -> Any:
    """The same for probabilities, which need not add up to 1: minus Σ t·log(softmax(x)).

    The largest score has no distance from itself, so that what is above it in derivatives is the
    sum of the other probabilities. A probability of 0 adds 0 even to a score of -inf, where it is
    a constant to derivatives.
    """
    place, largest, log_sum = _largest(rows, x)
    here = rows.is_at(x, place)
    below = rows.where(here, 0.0, largest - x)
    impossible = rows.logical_and(targets == 0.0, below == math.inf)
    targets = rows.where(impossible, 0.0, targets)
    distances = targets * rows.where(impossible, 0.0, below)
    loss = rows.total(targets) * log_sum + rows.total(distances)
    if not is_zero(smoothing):
        loss = (1.0 - smoothing) * loss + smoothing * (rows.mean(below) + log_sum)
    return loss


def soft_gradient(rows: Any, x: Any, targets: Any, smoothing: Any) -> Any:
    """softmax(x), times the sum of the smoothed targets, minus these."""
    exponentials = rows.exp(x - rows.largest(x))
    softmax = exponentials / rows.total(exponentials)
    gradient = rows.total(targets) * softmax - targets
    if not is_zero(smoothing):
        gradient = (1.0 - smoothing) * gradient + smoothing * (softmax - 1.0 / rows.size(x))
    return gradient


def soft_second_derivative(rows: Any, x: Any, targets: Any, smoothing: Any) -> Any:
    """The same, times the sum of the smoothed targets."""
    targets = rows.total(targets)
    if not is_zero(smoothing):
        targets = (1.0 - smoothing) * targets + smoothing
    return targets * second_derivative(rows, x, targets, smoothing)


SOFT_CROSS_ENTROPY = RowLossSpec(
    "soft_cross_entropy",
    soft_value,
    soft_gradient,
    soft_second_derivative,
    parameters=SMOOTHING,
    operands=("logits", "targets"),
    targets=(0.0, 1.0),
    function="cross_entropy",
    mlx_name="cross_entropy",
    weighted=True,
    in_blocks=True,
)

CROSS_ENTROPY = RowLossSpec(
    "cross_entropy",
    value,
    gradient,
    second_derivative,
    parameters=SMOOTHING,
    operands=("logits", "targets"),
    function="cross_entropy",
    mlx_name="cross_entropy",
    labels=True,
    of_probabilities=SOFT_CROSS_ENTROPY,
    weighted=True,
    in_blocks=True,
)


@loss
def cross_entropy(
    logits: Array | Numbers,
    targets: Array | Numbers,
    weights: Values | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "none",
    *,
    where: Values | None = None,
) -> Call[Array]:
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
    operands = logits, targets
    parameters = (label_smoothing,)
    return Call(CROSS_ENTROPY, operands, parameters, reduction, weights, where, axis)
