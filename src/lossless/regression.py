"""Losses of the residual, the difference of inputs and targets."""

from __future__ import annotations

from ._call import Call, loss
from ._types import Array, Axis, Numbers, Reduction, Values


@loss
def huber_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    delta: Values = 1.0,
    reduction: Reduction = "none",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""Huber's loss: squared for small residuals, absolute for large ones.

    .. math::
        l(a) = \begin{cases}
            \frac{1}{2} a^2 & \text{where } |a| \le \delta \\
            \delta \left(|a| - \frac{1}{2} \delta\right) & \text{elsewhere}
        \end{cases}
        \qquad a = \text{inputs} - \text{targets}

    Args:
        inputs: the predictions, an array of any shape, of NumPy, MLX, PyTorch or another library
            that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        delta: where the loss turns from squared to absolute, in the units of the residual: a
            number > 0 (`inf`: half the squared error everywhere), or an array that broadcasts to
            the shape of the residuals, one for each element, row or sample; where such an array
            is not > 0, the result is NaN.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0). Unlike PyTorch's, the default is `"none"`.
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the residuals, or their reduction (a scalar, or an array of the
        axes that remain). The dtype is that of `inputs` and `targets`: float16, bfloat16,
        float32 and float64 keep theirs, integers and booleans become the framework's default
        float; `delta` and `weights` do not change it. Where the native kernels serve (`info` tells)
        and without weights, each loss is the exact one, correctly rounded (in float64 within 1
        ULP), and sums are accumulated in double and rounded once; elsewhere within a few ULP
        (docs/numerics.md).

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `delta` that
            is no number or array, a `where` that is not boolean.
        ValueError: shapes that do not match, a number `delta` that is not > 0, an unknown
            reduction, an axis that does not exist, an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> lossless.huber_loss(predictions, truth)
        array([0.125, 0.   , 6.5  ])
        >>> float(lossless.huber_loss(predictions, truth, delta=2.0, reduction="sum"))
        12.125

    References:
        P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of Mathematical
        Statistics 35 (1964), 73-101.

    *New in 0.1.0.*
    """
    return Call(
        {"inputs": inputs, "targets": targets}, reduction, {"delta": delta}, weights, where, axis
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

    About :math:`a^2/2` for small residuals, where its gradient :math:`\tanh(a)` is stable, and
    :math:`|a| - \log 2` for large ones, which makes it less sensitive to outliers than the squared
    error. Unlike Huber's loss it has all derivatives everywhere.

    Args:
        inputs: the predictions, an array of any shape, of NumPy, MLX, PyTorch or another library
            that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0). Unlike PyTorch's, the default is `"none"`.
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the residuals, or their reduction (a scalar, or an array of the
        axes that remain). The dtype is that of `inputs` and `targets`: float16, bfloat16,
        float32 and float64 keep theirs, integers and booleans become the framework's default
        float; `weights` does not change it. Where the native kernels serve (`info` tells) and
        without weights, each loss is the exact one, correctly rounded (in float64 within a few
        ULP), and sums are accumulated in double and rounded once; elsewhere within a few ULP
        (docs/numerics.md).

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1e-8, 2.0], np.float32), np.array([0, -3], np.float32)
        >>> lossless.log_cosh_loss(predictions, truth)
        array([5.000000e-17, 4.306898e+00], dtype=float32)
        >>> lossless.log_cosh_loss(predictions, truth, reduction="mean")
        np.float32(2.153449)

    References:
        The definition; for its use as a loss see R. A. Saleh and A. K. Md. E. Saleh,
        "Statistical Properties of the log-cosh Loss Function Used in Machine Learning" (2022),
        arXiv:2208.04564.

    *New in 0.1.0.*
    """
    return Call({"inputs": inputs, "targets": targets}, reduction, {}, weights, where, axis)


@loss
def l1_loss(
    predictions: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The absolute value of the residual.

    .. math::
        l(a) = |a| \qquad a = \text{predictions} - \text{targets}

    Its gradient is the sign of the residual, 0 where that is 0.

    Args:
        predictions: the predictions, an array of any shape, of NumPy, MLX, PyTorch, JAX or another
            library that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `predictions` and `targets`
        (`huber_loss` says more). Where the native kernels serve and without weights each loss is
        the exact one, correctly rounded.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> float(lossless.l1_loss(predictions, truth))
        2.5
        >>> lossless.l1_loss(predictions, truth, reduction="none")
        array([0.5, 0. , 7. ])

    References:
        The definition; its minimum is the median (P. S. Laplace, 1774).

    *New in 0.1.0.*
    """
    operands = {"predictions": predictions, "targets": targets}
    return Call(operands, reduction, {}, weights, where, axis)


@loss
def mse_loss(
    predictions: Array | Numbers,
    targets: Array | Numbers,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The square of the residual; by default its mean, the mean squared error.

    .. math::
        l(a) = a^2 \qquad a = \text{predictions} - \text{targets}


    Args:
        predictions: the predictions, an array of any shape, of NumPy, MLX, PyTorch, JAX or another
            library that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `predictions` and `targets`
        (`huber_loss` says more). Where the native kernels serve and without weights each loss is
        the exact one, correctly rounded.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.5])
        >>> lossless.mse_loss(predictions, truth, reduction="none")
        array([ 0.25,  0.  , 42.25])

    References:
        The definition; its minimum is the mean (C. F. Gauss, 1809).

    *New in 0.1.0.*
    """
    operands = {"predictions": predictions, "targets": targets}
    return Call(operands, reduction, {}, weights, where, axis)


@loss
def smooth_l1_loss(
    predictions: Array | Numbers,
    targets: Array | Numbers,
    beta: Values = 1.0,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The absolute value of the residual, made smooth by a square near 0.

    .. math::
        l(a) = \begin{cases}
            \frac{1}{2} a^2 / \beta & \text{where } |a| < \beta \\
            |a| - \frac{1}{2} \beta & \text{elsewhere}
        \end{cases}
        \qquad a = \text{predictions} - \text{targets}

    It is Huber's loss with :math:`\delta = \beta`, divided by :math:`\beta`.


    Args:
        predictions: the predictions, an array of any shape, of NumPy, MLX, PyTorch, JAX or another
            library that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        beta: where the loss turns from squared to absolute, in the units of the residual: a number
            >= 0 (0: `l1_loss`), or an array that broadcasts to the shape of the residuals; where
            such an array is not >= 0, the result is NaN.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `predictions` and `targets`
        (`huber_loss` says more). Where the native kernels serve and without weights each loss is
        the exact one, correctly rounded.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an unknown reduction, an axis that does not exist,
            an axis without a reduction,
            a number `beta` that is not >= 0.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 3.0])
        >>> lossless.smooth_l1_loss(predictions, truth, reduction="none")
        array([0.125, 0.   , 6.5  ])
        >>> lossless.smooth_l1_loss(predictions, truth, beta=0.0, reduction="none")
        array([0.5, 0. , 7. ])

    References:
        R. Girshick, "Fast R-CNN", ICCV 2015, with the beta that implementations added since.

    *New in 0.1.0.*
    """
    operands = {"predictions": predictions, "targets": targets}
    return Call(operands, reduction, {"beta": beta}, weights, where, axis)


@loss
def gaussian_nll_loss(
    inputs: Array | Numbers,
    targets: Array | Numbers,
    vars: Array | Numbers,  # noqa: A002, as MLX calls it
    full: bool = False,
    eps: Values = 1e-6,
    reduction: Reduction = "mean",
    *,
    weights: Values | None = None,
    where: Values | None = None,
    axis: Axis = None,
) -> Call[Array]:
    r"""The negative log-likelihood of targets under normal distributions.

    .. math::
        l = \frac{1}{2} \left(\log v + \frac{(\text{inputs} - \text{targets})^2}{v}\right)
        \qquad v = \max(\text{vars}, \epsilon)

    Args:
        inputs: the predicted means, an array of any shape, of NumPy, MLX, PyTorch, JAX or another
            library that follows the Python array API standard.
        targets: the true values, of the same shape. Either one may be a scalar instead; other
            shapes are not broadcast.
        vars: the predicted variances, in the square of the units of the means: an array that
            broadcasts to the shape of the residuals (one for each element, row or sample), or a
            scalar.
        full: whether to add the constant log(2 pi) / 2.
        eps: variances below it count as it; a number > 0.
        reduction: `"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number
            of elements that `where` selects) or `"weighted_mean"` (the sum divided by the sum of
            the weights; NaN where that is 0).
        weights: factors of the losses, a number or an array that broadcasts to their shape.
        where: a boolean array that broadcasts to that shape. An element where it is false adds
            nothing, even if it is NaN or infinite; with `"none"` its loss is 0.
        axis: reduce over this axis or these axes only.

    Returns:
        The losses in the shape of the arguments, or their reduction (a scalar, or an array of the
        axes that remain), in the dtype of `inputs`, `targets` and `vars` (`huber_loss` says more).
        Where the native kernels serve, each loss is within 0.5 + 2^-20 ULP of the exact one, also
        where its two terms cancel. Gradients by `vars` come of the formula.

    Raises:
        TypeError: complex, non-numeric or masked arrays, arrays of two frameworks, a `where` that
            is not boolean.
        ValueError: shapes that do not match, an `eps` that is not > 0, an unknown reduction, an
            axis that does not exist, an axis without a reduction.

    Example:
        >>> import lossless, numpy as np
        >>> means, truth = np.array([0.5, 2.0]), np.array([1.5, 2.0])
        >>> lossless.gaussian_nll_loss(means, truth, np.array([1.0, 0.25]), reduction="none")
        array([ 0.5       , -0.69314718])

    References:
        D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability
        distribution", ICNN 1994.

    *New in 0.1.0.*
    """
    operands = {"inputs": inputs, "targets": targets, "vars": vars}
    name = "full_gaussian_nll" if full else "gaussian_nll"
    return Call(operands, reduction, {"eps": eps}, weights, where, axis, name, broadcasts=True)
