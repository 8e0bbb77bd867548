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
    """The place of the largest score m, m, and log Σ exp(x - m)."""
    place = rows.first_largest(x)
    largest = rows.pick(x, place, of_all=True)
    others = rows.total(rows.where(rows.is_at(x, place), 0.0, rows.exp(x - largest)))
    finite = rows.constant(largest)
    return place, largest, rows.log1p(others) + (finite - finite)  # NaN for an infinity


def value(rows: Any, x: Any, labels: Any, smoothing: Any) -> Any:
    """The distance of the label's score from the largest, plus log Σ exp(x - largest): both >= 0.

    If the label's score is the largest, the distance is a constant, so that its derivative is not
    1 - 1 plus a small rest. With smoothing, a part of the loss is the mean over all labels.
    """
    place, largest, log_sum = _largest(rows, x)
    below = rows.where(labels == place, 0.0, largest - rows.pick(x, labels, of_all=True))
    loss = below + log_sum
    if not is_zero(smoothing):
        loss = (1.0 - smoothing) * loss + smoothing * (rows.mean(largest - x) + log_sum)
    return loss


def gradient(rows: Any, x: Any, labels: Any, smoothing: Any) -> Any:
    """softmax(x), minus 1 at the label: there it is minus the share of the other classes."""
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
    # All probabilities except the largest are at most 1/2, so that 1 - p does not cancel.
    rest = rows.where(rows.is_at(x, place), others, total - exponentials)
    return (exponentials / total) * (rest / total)


def soft_value(rows: Any, x: Any, targets: Any, smoothing: Any) -> Any:
    """The same for probabilities t, which need not add up to 1: -Σ t·log(softmax(x)).

    The distance of the largest score from itself is the constant 0, so that the derivative at this
    score is the sum of the shares of the others. A probability of 0 adds 0 even if its score is
    -inf; this term, too, is a constant.
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
    """softmax(x) times the sum of the smoothed targets, minus these targets."""
    exponentials = rows.exp(x - rows.largest(x))
    softmax = exponentials / rows.total(exponentials)
    gradient = rows.total(targets) * softmax - targets
    if not is_zero(smoothing):
        gradient = (1.0 - smoothing) * gradient + smoothing * (softmax - 1.0 / rows.size(x))
    return gradient


def soft_second_derivative(rows: Any, x: Any, targets: Any, smoothing: Any) -> Any:
    """p·(1 - p) times the sum of the smoothed targets."""
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
    kernel="cross_entropy",
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
        logits: the scores.
        targets: the class of each row, an array of integers in the shape of `logits` without
            `axis`; or probabilities, in the shape of `logits`. Probabilities need not add up to 1:
            the formula holds, and a row of zeros has the loss and the gradient 0, as in PyTorch
            and unlike in MLX (docs/mlx.md).
        axis: the axis of the classes.
        label_smoothing: the part s of each label, in [0, 1), that is spread over all classes.
        reduction: Unlike in PyTorch, `"mean"` does not divide by the weights.
        where: The class of such a row need not exist.

    Returns:
        No step of the computation cancels or overflows.

    Raises:
        TypeError: class indices that are not integers; a `label_smoothing` that is not a number.
        ValueError: a `label_smoothing` outside [0, 1).
        IndexError: a class that does not exist, in NumPy arrays, and in PyTorch tensors and JAX
            arrays on a CPU outside of compilers and transforms. Elsewhere, values cannot be read,
            and the loss of such a row is NaN. Negative classes do not count from the end.

    Special values:
        A logit of -inf is an impossible class: the loss is inf if it is the label. With
        probabilities, the loss is inf unless the probability of the class is 0 (PyTorch and MLX
        give NaN then); with label smoothing, it is always inf. A row in which a logit is inf or
        NaN, or all are -inf, has the loss NaN.

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
