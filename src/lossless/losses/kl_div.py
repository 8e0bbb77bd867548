"""The Kullback-Leibler divergence of one distribution from another, both as logarithms."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss_without_second_derivative
from .._spec import RowLossSpec
from .._types import Array, Numbers, RowReduction, Values


def value(rows: Any, x: Any, targets: Any) -> Any:
    """Σ exp(targets)·(targets - x), to which a probability of 0 adds 0."""
    absent = targets == -math.inf
    probabilities = rows.exp(targets)
    # A probability too small for the dtype where x allows none at all.
    lost = rows.logical_and(x == -math.inf, probabilities == 0.0)
    lost = rows.logical_and(lost, targets > -math.inf)
    targets = rows.where(absent, 0.0, targets)
    no_term = rows.logical_or(lost, rows.logical_and(absent, rows.logical_not(rows.isnan(x))))
    x = rows.where(no_term, 0.0, x)
    return rows.total(rows.where(lost, math.inf, probabilities * (targets - x)))


def gradient(rows: Any, x: Any, targets: Any) -> Any:
    """-exp(targets)."""
    return -rows.exp(targets)


KL_DIV = RowLossSpec(
    "kl_div",
    value,
    gradient,
    mlx_name="kl_div_loss",
    in_blocks=True,
)


@loss_without_second_derivative
def kl_div_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    axis: int = -1,
    reduction: RowReduction = "none",
    *,
    where: Values | None = None,
) -> Call[Array]:
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
    return Call(KL_DIV, (inputs, targets), (), reduction, where=where, axis=axis)
