"""The Kullback-Leibler divergence of one distribution from another, both as logarithms."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss_without_second_derivative
from .._spec import RowLossSpec
from .._types import Array, Numbers, RowReduction, Values


def value(rows: Any, x: Any, targets: Any) -> Any:
    """Σ exp(targets)·(targets - x), where a probability of 0 adds 0."""
    absent = targets == -math.inf
    probabilities = rows.exp(targets)
    # A probability that underflows to 0 where the predicted one is exactly 0.
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

    for the log-probabilities x that were predicted and the true ones, t.

    Args:
        inputs: the predicted log-probabilities.
        targets: the true log-probabilities, of the same shape; they are not broadcast.
        axis: the axis of each distribution.
        reduction: Unlike in PyTorch, `"mean"` is the mean over rows.

    Special values:
        A true probability of 0 (a target of -inf) adds 0, also where the predicted probability is
        0. A predicted probability of 0 elsewhere gives inf.

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
