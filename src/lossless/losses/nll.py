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
    return Call(NLL, (inputs, targets), (), reduction, where=where, axis=axis)
