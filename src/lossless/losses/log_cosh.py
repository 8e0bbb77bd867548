"""The logarithm of the hyperbolic cosine of the residual."""

from __future__ import annotations

import math
from typing import Any

from .._problem import Call
from .._public import loss
from .._spec import LossSpec
from .._types import Array, Axis, Numbers, Reduction, Values

LOG_2 = math.log(2)
# Below it, the form for large |r| loses digits of the value; above it, the form for small |r| loses
# digits of the second derivative (tests/formula_errors.py --branch prints how many).
BRANCH = 0.75


def value(xp: Any, r: Any) -> Any:
    """log cosh r, in two forms that do not cancel as log(eʳ + e⁻ʳ) - log 2 does.

    For small r, cosh r = 1 + 2 sinh²(r/2), so that log1p keeps the digits. For larger |r|,
    cosh r = e^|r| (1 + e^(-2|r|)) / 2 and log cosh r = |r| - log 2 + log(1 + e^(-2|r|)).
    """
    a = xp.abs(r)
    small = a < BRANCH
    s = xp.sinh(xp.where(small, 0.5 * r, 0.0))
    far = (a - LOG_2) + xp.log1p(xp.exp(-2.0 * a))
    return xp.where(small, xp.log1p(2.0 * s * s), far)


def gradient(xp: Any, r: Any) -> Any:
    """tanh r."""
    return xp.tanh(r)


def second_derivative(xp: Any, r: Any) -> Any:
    """1/cosh² r, which does not cancel as 1 - tanh² r does; 0 where it underflows."""
    far = xp.abs(r) > 0.5 * math.log(xp.finfo(r.dtype).max)
    result = xp.square(1.0 / xp.cosh(xp.where(far, 0.0, r)))
    return xp.where(far, 0.0, result)


LOG_COSH = LossSpec(
    "log_cosh",
    value,
    gradient,
    second_derivative,
    mlx_name="log_cosh_loss",
)


@loss
def log_cosh_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "none",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The logarithm of the hyperbolic cosine of the residual.

    .. math::
        l(a) = \log(\cosh(a)) \qquad a = \text{inputs} - \text{targets}

    It is about :math:`a^2/2` for small residuals and :math:`|a| - \log 2` for large ones, which
    makes it less sensitive to outliers than the squared error. Its gradient is :math:`\tanh(a)`.
    Unlike Huber's loss, it has all derivatives everywhere.

    Returns:
        In float64, values and gradients of the kernel are within 6 ULP.

    Special values:
        An infinite residual has the loss inf, the gradient ±1 and the second derivative 0. The
        loss of a small residual keeps its digits; it is 0 only if :math:`a^2/2` underflows.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1e-8, 2.0], np.float32), np.array([0, -3], np.float32)
        >>> lossless.log_cosh_loss(predictions, targets)
        array([5.000000e-17, 4.306898e+00], dtype=float32)
        >>> lossless.log_cosh_loss(predictions, targets, reduction="mean")
        np.float32(2.153449)

    References:
        The definition; for its use as a loss see R. A. Saleh and A. K. Md. E. Saleh,
        "Statistical Properties of the log-cosh Loss Function Used in Machine Learning" (2022),
        arXiv:2208.04564.

    *New in 0.1.0.*
    """
    return Call(LOG_COSH, (inputs, targets), (), reduction, weights, where, axis)
