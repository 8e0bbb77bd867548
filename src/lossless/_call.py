"""What every call of a loss does: check the arguments, once, then hand them to one backend.

A public loss is a signature and a docstring: its body packs the arguments into a `Call`, and the
decorator `loss` makes the function that users see, and out of the same body the two that
`value_and_grad` and `grad_and_hess` return.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from ._losses import NOT_NEGATIVE, POSITIVE
from ._types import Array, CurvedLoss, Loss, P, Unknown
from .executors import at_once, backend_for
from .executors.base import Backend

REDUCTIONS = ("none", "sum", "mean", "weighted_mean")


@dataclass(slots=True)
class Call(Generic[Array]):
    """The arguments of a loss as the user gave them.

    Operands, the first two or three arguments, have one shape and decide on the dtype. A third is
    the first parameter of the loss, and may be one that broadcasts to the shape of the others.
    """

    operands: dict[str, Any]
    reduction: str
    parameters: dict[str, Any]
    weights: Any
    where: Any
    axis: Any
    loss: str | None = None  # if it is not called as the function, without "_loss"
    broadcasts: bool = False  # the third operand


@dataclass(slots=True)
class Problem:
    """The arguments of a loss, checked, as arrays of one backend."""

    loss: str
    inputs: Any
    targets: Any
    shape: tuple[int, ...]  # of the residuals
    dtype: Any  # of the result
    reduction: str
    axes: tuple[int, ...]  # to reduce, in order
    parameters: tuple[Any, ...]  # floats or arrays
    weights: Any  # None, a float or an array
    where: Any  # None or an array


Function = Callable[..., Any]
# By a loss, what these functions return for it.
_derivatives: dict[str, dict[Any, Function]] = {"value_and_grad": {}, "grad_and_hess": {}}


def loss(body: Callable[P, Call[Array]]) -> CurvedLoss[P, Array]:
    """Make the public function of a loss from the function that packs its arguments."""
    name = body.__name__
    loss = name.removesuffix("_loss")

    def compute(*args: P.args, **kwargs: P.kwargs) -> Any:
        call = body(*args, **kwargs)
        value = at_once("value", loss, call)
        if value is None:
            backend, problem = _check(name, call)
            value = backend.value(problem)
        return value

    publish(
        body,
        compute,
        value_and_grad=_with_derivatives("value_and_grad", name, body),
        grad_and_hess=_with_derivatives("grad_and_hess", name, without_reduction(body)),
    )
    return cast("CurvedLoss[P, Array]", compute)


def publish(body: Function, compute: Function, **derivatives: Function) -> None:
    """Make these functions look like the body, and give them the place where pickle finds them."""
    _dress(compute, body, "Array")
    for method, derivative in derivatives.items():
        _dress(derivative, body, "tuple[Array, Array]")
        derivative.__qualname__ = f"{body.__qualname__}._{method}"
        setattr(compute, f"_{method}", derivative)
        _derivatives[method][compute] = derivative


def names() -> list[str]:
    """Of the public losses."""
    return sorted(loss.__name__ for loss in _derivatives["value_and_grad"])


def _dress(function: Any, body: Function, returns: str) -> None:
    functools.update_wrapper(function, body)
    function.__annotations__ = {**body.__annotations__, "return": returns}
    function.__signature__ = inspect.signature(body).replace(return_annotation=returns)


@overload
def value_and_grad(loss: Loss[P, Array]) -> Callable[P, tuple[Array, Array]]: ...
@overload
def value_and_grad(loss: Unknown) -> Any: ...
def value_and_grad(loss: Any) -> Any:
    """Return a function that computes a loss and its gradient in one pass over memory.

    The gradient is that of the reduced value by `inputs` (the first argument, whatever a loss
    calls it), in the shape of `inputs`, rounded once:
    the division by the number of elements comes before the rounding. With `reduction="none"` it
    is the element-wise derivative.

    Args:
        loss: a loss of this package.

    Returns:
        A function of the loss's arguments that returns `(value, gradient)`. Its `inputs` must be
        an array.

    Raises:
        TypeError: `loss` is not a loss of this package.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 4.0])
        >>> lossless.value_and_grad(lossless.huber_loss)(predictions, truth, reduction="sum")
        (np.float64(5.625), array([-0.5,  0. ,  1. ]))

    *New in 0.1.0.*
    """
    return _derivative("value_and_grad", loss)


@overload
def grad_and_hess(loss: CurvedLoss[P, Array]) -> Callable[P, tuple[Array, Array]]: ...
@overload
def grad_and_hess(loss: Unknown) -> Any: ...
def grad_and_hess(loss: Any) -> Any:
    """Return a function that computes the first and second derivative of a loss by its inputs.

    Both are element-wise, with the weights, without a reduction: what gradient boosting asks for.
    Of `cross_entropy` the second is the diagonal, p·(1 - p) for the probabilities p.

    Args:
        loss: an element-wise loss of this package, or `cross_entropy`.

    Returns:
        A function of the loss's arguments that returns `(first, second)` derivative in the shape
        of the residuals, or of the logits. Its `inputs` must be an array, its `reduction` stays
        `"none"`.

    Raises:
        TypeError: `loss` is not a loss of this package.

    Example:
        >>> import lossless, numpy as np
        >>> predictions, truth = np.array([1.0, 2.0, 10.0]), np.array([1.5, 2.0, 4.0])
        >>> lossless.grad_and_hess(lossless.huber_loss)(predictions, truth)
        (array([-0.5,  0. ,  1. ]), array([1., 1., 0.]))

    *New in 0.1.0.*
    """
    return _derivative("grad_and_hess", loss)


def _derivative(method: str, loss: Any) -> Function:
    try:
        if (found := _derivatives[method].get(loss)) is not None:
            return found
        is_loss = loss in _derivatives["value_and_grad"]
    except TypeError:  # of what cannot be a key
        is_loss = False
    wanted = (
        "element-wise or cross_entropy" if is_loss else "a loss of lossless, such as huber_loss"
    )
    got = loss.__name__ if is_loss else repr(loss)
    raise TypeError(f"{method}: loss must be {wanted}, got {got}")


class _Packed(Protocol):
    """The arguments of a call, of elements or of rows."""

    reduction: str


Packed = TypeVar("Packed", bound=_Packed)


def without_reduction(body: Callable[P, Packed]) -> Callable[P, Packed]:
    """The same without a reduction, whatever the default is."""
    place = list(inspect.signature(body).parameters).index("reduction")

    def pack(*args: P.args, **kwargs: P.kwargs) -> Packed:
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


def _with_derivatives(method: str, name: str, pack: Callable[P, Call[Array]]) -> Function:
    """The function of a method of `Backend`."""
    loss = name.removesuffix("_loss")

    def compute(*args: P.args, **kwargs: P.kwargs) -> Any:
        call = pack(*args, **kwargs)
        results = at_once(method, loss, call)
        if results is None:
            backend, problem = _check(name, call, arrays_only=True)
            results = getattr(backend, method)(problem)
        return results

    return compute


def _check(name: str, call: Call[Any], *, arrays_only: bool = False) -> tuple[Backend, Problem]:
    """Check the arguments of the loss `name`: what can be wrong with them is said here."""
    check_reduction(name, call.reduction)
    for parameter, value in call.parameters.items():
        refuse_word(name, parameter, value)
    backend = backend_for(name, call)
    if arrays_only:
        argument, first = next(iter(call.operands.items()))
        if not backend.is_array(first):
            raise TypeError(f"{name}: {argument} must be an array, got {type(first).__name__}")

    (inputs, targets, *others), dtype = backend.operands(name, call.operands)
    shape, other = backend.shape(inputs), backend.shape(targets)
    parameters: list[Any] = []
    if shape != other or others:
        same = (inputs, targets) if call.broadcasts else (inputs, targets, *others)
        shape = _common_shape(name, call.operands, same, backend)
        if call.broadcasts:
            argument = f"{name}: {list(call.operands)[2]}"
            for x in others:
                broadcasting(argument, x, shape, backend)
        # A number that is a parameter counts in full, whatever the dtype.
        given = list(call.operands.values())[2:]
        parameters = [
            float(number) if isinstance(number, int | float) else x
            for number, x in zip(given, others, strict=True)
        ]
    for parameter, value in call.parameters.items():
        if type(value) is not float or not value > 0:  # which most calls have
            value = number_or_array(name, parameter, value, backend)
            value = broadcasting(f"{name}: {parameter}", value, shape, backend)
        parameters.append(value)
    weights = where = None
    if call.weights is not None:
        argument = f"{name}: weights"
        weights = broadcasting(argument, backend.real(argument, call.weights), shape, backend)
    if call.where is not None:
        argument = f"{name}: where"
        where = broadcasting(argument, backend.mask(argument, call.where), shape, backend)
    axes = tuple(range(len(shape))) if call.axis is None else _axes(name, call, len(shape))
    loss = call.loss or name.removesuffix("_loss")
    return backend, Problem(
        loss, inputs, targets, shape, dtype, call.reduction, axes, tuple(parameters), weights, where
    )


def _common_shape(
    name: str, operands: dict[str, Any], arrays: tuple[Any, ...], backend: Backend
) -> tuple[int, ...]:
    """The shape that all have but for scalars; not both of the first two may be scalars."""
    leader = ""
    shape: tuple[int, ...] = ()
    for argument, x in zip(operands, arrays, strict=False):
        own = backend.shape(x)
        if shape and own and own != shape:
            raise ValueError(
                f"{name}: {argument} must have the shape of {leader} {tuple(shape)}, "
                f"got {tuple(own)}"
            )
        if own and not shape:
            leader, shape = argument, own
    first, second, *_ = operands
    if leader not in ("", first, second):
        raise ValueError(
            f"{name}: {first} or {second} must have the shape of {leader} {tuple(shape)}, "
            f"got scalars"
        )
    return shape


def check_reduction(name: str, reduction: Any, known: tuple[str, ...] = REDUCTIONS) -> None:
    """A ValueError for one that is not known."""
    if reduction not in known:
        raise ValueError(
            f"{name}: reduction must be one of {', '.join(map(repr, known))}, got {reduction!r}"
        )


def refuse_word(name: str, parameter: str, value: Any) -> None:
    if isinstance(value, str):
        hint = f" (did you mean reduction={value!r}?)" if value in REDUCTIONS else ""
        raise TypeError(f"{name}: {parameter} must be a number or an array, got {value!r}{hint}")


def number_or_array(name: str, parameter: str, value: Any, backend: Backend) -> Any:
    """A number in its range, as a float, or an array, whose values only the computation sees."""
    real = backend.real(f"{name}: {parameter}", value)
    if isinstance(real, float):
        if parameter in POSITIVE and not real > 0:
            raise ValueError(f"{name}: {parameter} must be > 0, got {value!r}")
        if parameter in NOT_NEGATIVE and not real >= 0:
            raise ValueError(f"{name}: {parameter} must be >= 0, got {value!r}")
    return real


def broadcasting(
    argument: str, x: Any, shape: tuple[int, ...], backend: Backend, whose: str = "the residuals"
) -> Any:
    """A number, or an array that broadcasts to this shape."""
    if not isinstance(x, float) and not _broadcasts_to(own := backend.shape(x), shape):
        raise ValueError(
            f"{argument} must broadcast to the shape of {whose} {tuple(shape)}, got {tuple(own)}"
        )
    return x


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    missing = len(target) - len(shape)
    return missing >= 0 and all(
        size in (1, wanted) for size, wanted in zip(shape, target[missing:], strict=True)
    )


def _axes(name: str, call: Call[Any], dimensions: int) -> tuple[int, ...]:
    axis = call.axis
    if call.reduction == "none":
        raise ValueError(f"{name}: axis needs a reduction, got axis={axis!r} with reduction='none'")
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    try:
        indices = [operator.index(a) for a in axes]
    except TypeError:
        raise TypeError(
            f"{name}: axis must be an integer or a tuple of them, got {axis!r}"
        ) from None
    if not all(-dimensions <= a < dimensions for a in indices):
        raise ValueError(f"{name}: axis must be within the {dimensions} dimensions, got {axis!r}")
    unique = sorted({a % dimensions for a in indices})
    if len(unique) != len(indices):
        raise ValueError(f"{name}: axis must not name a dimension twice, got {axis!r}")
    return tuple(unique)
