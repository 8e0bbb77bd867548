"""The public functions: each loss, and what `value_and_grad` and `grad_and_hess` return for it.

The body of a public loss packs its arguments into a `Call`. From this body, the decorator makes the
function that users see, with the whole docstring, and its two derivatives.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast, overload

from ._dispatch import compute
from ._docstrings import complete
from ._problem import GRADIENT_AND_SECOND_DERIVATIVE, VALUE, VALUE_AND_GRADIENT, Call
from ._types import Array, CurvedLoss, Loss, P, Reduction, RowLoss, RowReduction, Unknown

Function = Callable[..., Any]
# What these functions return for each loss.
_derivatives: dict[str, dict[Any, Function]] = {"value_and_grad": {}, "grad_and_hess": {}}
_RESULTS = {
    "value_and_grad": "(value, gradient)",
    "grad_and_hess": "(gradient, second_derivative)",
}


def loss(body: Callable[P, Call[Array]]) -> CurvedLoss[P, Array]:
    """Make the public function of a loss from the function that packs its arguments."""
    function = loss_without_second_derivative(body)
    pack, name = _without_reduction(body), body.__name__

    def derivatives(*args: P.args, **kwargs: P.kwargs) -> Any:
        return compute(name, pack(*args, **kwargs), GRADIENT_AND_SECOND_DERIVATIVE)

    _add("grad_and_hess", function, derivatives)
    return cast("CurvedLoss[P, Array]", function)


def loss_without_second_derivative(body: Callable[P, Call[Array]]) -> RowLoss[P, Array]:
    """The same for a loss whose formulas have no second derivative."""
    name = body.__name__

    def value(*args: P.args, **kwargs: P.kwargs) -> Any:
        return compute(name, body(*args, **kwargs), VALUE)[0]

    def value_and_gradient(*args: P.args, **kwargs: P.kwargs) -> Any:
        return compute(name, body(*args, **kwargs), VALUE_AND_GRADIENT)

    _dress(value, body, "Array")
    value.__signature__ = _with_words(value.__signature__)  # type: ignore[attr-defined]
    if body.__doc__ is not None:  # python -OO removes it
        value.__doc__ = complete(body.__doc__, inspect.signature(value))
    _add("value_and_grad", value, value_and_gradient)
    return cast("RowLoss[P, Array]", value)


def _add(method: str, function: Any, derivative: Any) -> None:
    """Let `method` find the derivative of a public function, and pickle too."""
    _dress(derivative, function, "tuple[Array, Array]")
    if function.__doc__ is not None:
        derivative.__doc__ = (
            f"Return `{_RESULTS[method]}` of `{function.__name__}`, with the same arguments.\n\n"
            f"`help(lossless.{method})` describes the results."
        )
    derivative.__qualname__ = f"{function.__qualname__}._{method}"
    setattr(function, f"_{method}", derivative)
    _derivatives[method][function] = derivative


def names() -> list[str]:
    """The names of the public losses."""
    return sorted(loss.__name__ for loss in _derivatives["value_and_grad"])


def _dress(function: Any, body: Any, returns: str) -> None:
    """Make a function look like the body, except for its result."""
    functools.update_wrapper(function, body)
    function.__annotations__ = {**body.__annotations__, "return": returns}
    function.__signature__ = inspect.signature(body).replace(return_annotation=returns)


def _with_words(signature: inspect.Signature) -> inspect.Signature:
    """Show the words that the reduction may be, not the name of their type."""
    parameters = dict(signature.parameters)
    reduction = parameters["reduction"]
    words = {"Reduction": Reduction, "RowReduction": RowReduction}.get(reduction.annotation)
    parameters["reduction"] = reduction.replace(annotation=words or reduction.annotation)
    return signature.replace(parameters=[*parameters.values()])


def _without_reduction(body: Callable[P, Call[Array]]) -> Callable[P, Call[Array]]:
    """The same body with the reduction "none", whatever its default is."""
    place = list(inspect.signature(body).parameters).index("reduction")

    def pack(*args: P.args, **kwargs: P.kwargs) -> Call[Array]:
        if place >= len(args):
            kwargs.setdefault("reduction", "none")
        call = body(*args, **kwargs)
        if call.reduction != "none":
            raise ValueError(
                f"{body.__name__}: grad_and_hess is element-wise, reduction must be 'none', "
                f"got {call.reduction!r}"
            )
        return call

    return pack


@overload
def value_and_grad(loss: Loss[P, Array]) -> Callable[P, tuple[Array, Array]]: ...
@overload
def value_and_grad(loss: Unknown) -> Any: ...
def value_and_grad(loss: Any) -> Any:
    """Return a function that computes a loss and its gradient in one pass over memory.

    The gradient is the derivative of the reduced loss with respect to the first argument, such as
    `inputs` or `logits`, and has its shape. It is rounded once: a mean is divided by the number of
    elements before the rounding. With `reduction="none"`, each loss is differentiated by itself.

    Args:
        loss: a loss of this package.

    Returns:
        A function with the arguments of the loss that returns `(value, gradient)`. Its first
        argument must be an array. The same loss gives the same function, which can be pickled.

    Raises:
        TypeError: `loss` is not a loss of this package.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 4.0])
        >>> lossless.value_and_grad(lossless.huber_loss)(predictions, targets, reduction="sum")
        (np.float64(5.625), array([-0.5,  0. ,  1. ]))

    *New in 0.1.0.*
    """
    return _derivative("value_and_grad", loss)


@overload
def grad_and_hess(loss: CurvedLoss[P, Array]) -> Callable[P, tuple[Array, Array]]: ...
@overload
def grad_and_hess(loss: Unknown) -> Any: ...
def grad_and_hess(loss: Any) -> Any:
    """Return a function that computes the gradient and the second derivative of a loss.

    Both are with respect to the first argument, such as `inputs` or `logits`, for each of its
    elements alone. They include the weights and are not reduced, as gradient boosting expects.
    For `cross_entropy`, the second derivative is the diagonal of the matrix of second derivatives:
    p·(1 - p) for class labels, where p = softmax(logits).

    Args:
        loss: an element-wise loss of this package, or `cross_entropy`.

    Returns:
        A function with the arguments of the loss that returns `(gradient, second_derivative)`,
        both in the shape of the residuals or logits. Its first argument must be an array, and its
        `reduction` must be `"none"`, which is the default here. The same loss gives the same
        function, which can be pickled.

    Raises:
        TypeError: `loss` is not a loss of this package, or has no second derivative.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, targets = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 4.0])
        >>> lossless.grad_and_hess(lossless.huber_loss)(predictions, targets)
        (array([-0.5,  0. ,  1. ]), array([1., 1., 0.]))

    *New in 0.1.0.*
    """
    return _derivative("grad_and_hess", loss)


def _derivative(method: str, loss: Any) -> Function:
    try:
        if (found := _derivatives[method].get(loss)) is not None:
            return found
        is_loss = loss in _derivatives["value_and_grad"]
    except TypeError:  # it is not hashable
        is_loss = False
    wanted = (
        "element-wise or cross_entropy" if is_loss else "a loss of lossless, such as huber_loss"
    )
    got = loss.__name__ if is_loss else repr(loss)
    raise TypeError(f"{method}: loss must be {wanted}, got {got}")
