"""The negative log-likelihood of class labels, given the log-probabilities of all classes."""

from __future__ import annotations

from typing import Any

from .._problem import Call
from .._public import loss_without_second_derivative
from .._spec import RowLossSpec
from .._types import Array, Numbers, RowReduction, Values


def value(rows: Any, x: Any, labels: Any) -> Any:
    """Minus the logarithm of the label's probability."""
    return -rows.pick(x, labels)


def gradient(rows: Any, x: Any, labels: Any) -> Any:
    """-1 at the label."""
    return rows.where(rows.is_at(x, labels), -rows.ones_like(x), 0.0)


NLL = RowLossSpec(
    "nll",
    value,
    gradient,
    labels=True,
    rounds=False,
    mlx_name="nll_loss",
)


@loss_without_second_derivative
def nll_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    axis: int = -1,
    reduction: RowReduction = "none",
    *,
    where: Values | None = None,
) -> Call[Array]:
    r"""The negative log-likelihood of class labels, given the log-probabilities of all classes.

    .. math::
        l = -x_t

    for the log-probabilities x of a row and its label t.

    Args:
        inputs: the log-probabilities.
        targets: the class of each row, an array of integers in the shape of `inputs` without
            `axis`.
        axis: the axis of the classes.
        where: The class of such a row need not exist.

    Returns:
        Without a reduction, no result is rounded.

    Raises:
        TypeError: class indices that are not integers.
        IndexError: a class that does not exist, if values can be read, as in `cross_entropy`; if
            not, the loss of such a row is NaN.

    Special values:
        A log-probability of -inf at the label has the loss inf. The log-probabilities of the other
        classes do not count, even if they are NaN.

    Example:
        >>> import lossless, numpy as np
        >>> log_probabilities = np.log([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
        >>> lossless.nll_loss(log_probabilities, np.array([1, 0]))
        array([1.38629436, 2.07944154])

    References:
        The definition, as `mlx.nn.losses.nll_loss` and `torch.nn.functional.nll_loss` have it.

    *New in 0.1.0.*
    """
    return Call(NLL, (inputs, targets), (), reduction, where=where, axis=axis)
