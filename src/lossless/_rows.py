"""What every call of a loss of rows does, as `_call` says it of the element-wise losses.

The body of such a loss packs its arguments into a `RowCall`; the decorator `row_loss` makes the
function that users see, and what `value_and_grad` returns for it.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, cast

import numpy as np

from . import _types
from ._call import REDUCTIONS, Call, broadcasting, check_reduction, publish, without_reduction
from ._types import CurvedLoss, P, RowLoss
from .executors import backend_for
from .executors.base import Array, Backend

UNWEIGHTED = REDUCTIONS[:3]


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the user gave it, and where it must lie."""

    value: Any
    least: float = -math.inf
    below: float | None = None


@dataclass(slots=True)
class RowCall(Generic[_types.Array]):
    """The arguments of a loss of rows as the user gave them."""

    arrays: dict[str, Any]  # of one shape; gradients are by the first
    axis: Any  # along which a row lies
    reduction: str
    parameters: dict[str, Number] = field(default_factory=dict)
    targets: Any = None  # class indices, one for each row
    soft: bool = False  # or as many probabilities
    weights: Any = None
    weighted: bool = False  # whether the loss has weights
    where: Any = None


@dataclass(frozen=True, slots=True)
class RowProblem:
    """The arguments of a loss of rows, checked, as arrays of one backend."""

    loss: str  # the name of its formulas
    arrays: tuple[Array, ...]  # of one shape
    labels: Array | None  # class indices of the shape of the loss, perhaps out of range
    axis: int  # of the arrays, counted from the end
    shape: tuple[int, ...]  # of the loss
    dtype: Any  # of the result
    reduction: str
    parameters: tuple[Any, ...]  # floats, or what a backend makes of them
    weights: Any  # None, a float, or an array that broadcasts to the shape of the loss
    where: Array | None  # broadcasts to it
    kept: int = 0  # so many leading dimensions of the loss are a batch's, which nothing reduces

    @property
    def axes(self) -> tuple[int, ...]:
        """Of the loss, to reduce."""
        return tuple(range(self.kept, len(self.shape)))


def row_loss(body: Callable[P, RowCall[_types.Array]]) -> RowLoss[P, _types.Array]:
    """Make the public function of a loss of rows from the function that packs its arguments."""
    return cast("RowLoss[P, _types.Array]", _publish(body))


def curved_row_loss(body: Callable[P, RowCall[_types.Array]]) -> CurvedLoss[P, _types.Array]:
    """The same of one whose formulas have a second derivative, for `grad_and_hess`."""
    pack = without_reduction(body)

    def compute(*args: P.args, **kwargs: P.kwargs) -> Any:
        backend, problem = _check(body.__name__, pack(*args, **kwargs), arrays_only=True)
        return backend.row_grad_and_hess(problem)

    return cast("CurvedLoss[P, _types.Array]", _publish(body, grad_and_hess=compute))


def _publish(body: Callable[P, RowCall[_types.Array]], **derivatives: Any) -> Any:
    def compute(*args: P.args, **kwargs: P.kwargs) -> Any:
        backend, problem = _check(body.__name__, body(*args, **kwargs))
        return backend.row_value(problem)

    def compute_both(*args: P.args, **kwargs: P.kwargs) -> Any:
        backend, problem = _check(body.__name__, body(*args, **kwargs), arrays_only=True)
        return backend.row_value_and_grad(problem)

    publish(body, compute, value_and_grad=compute_both, **derivatives)
    return compute


def _check(
    name: str, call: RowCall[Any], *, arrays_only: bool = False
) -> tuple[Backend, RowProblem]:
    """Check the arguments of the loss `name`: what can be wrong with them is said here."""
    check_reduction(name, call.reduction, REDUCTIONS if call.weighted else UNWEIGHTED)
    parameters = tuple(_number(name, *item) for item in call.parameters.items())
    arguments = dict(call.arrays)
    if call.targets is not None:
        arguments["targets"] = call.targets
    options: Call[Any] = Call(arguments, call.reduction, {}, call.weights, call.where, None)
    backend = backend_for(name, options)
    first = next(iter(call.arrays))
    if arrays_only and not backend.is_array(call.arrays[first]):
        got = type(call.arrays[first]).__name__
        raise TypeError(f"{name}: {first} must be an array, got {got}")

    loss = name.removesuffix("_loss")
    is_soft = call.soft and _dimensions(call.targets, backend) == _dimensions(
        call.arrays[first], backend
    )
    if is_soft:
        loss = f"soft_{loss}"
    arrays, dtype = _arrays(name, arguments if is_soft else call.arrays, backend)
    full = tuple(backend.shape(arrays[0]))
    axis = _axis(name, call.axis, full)
    shape = full[:axis] + full[axis + 1 :]
    labels = weights = where = None
    if call.targets is not None and not is_soft:
        labels = backend.labels(f"{name}: targets", call.targets, arrays[0])
        _same_shape(f"{name}: targets", labels, shape, f"{first} without axis {axis}", backend)
    if call.weights is not None:
        weights = backend.real(f"{name}: weights", call.weights)
        broadcasting(f"{name}: weights", weights, shape, backend, "the loss")
    if call.where is not None:
        where = backend.mask(f"{name}: where", call.where)
        broadcasting(f"{name}: where", where, shape, backend, "the loss")
    if labels is not None:
        check_classes(name, labels, where, full[axis], backend)
    return backend, RowProblem(
        loss, arrays, labels, axis - len(full), shape, dtype, call.reduction, parameters, weights,
        where,
    )  # fmt: skip


def _number(name: str, parameter: str, number: Number) -> float:
    value, least, below = number.value, number.least, number.below
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if not isinstance(value, numbers.Real):
        hint = ""
        if isinstance(value, str) and value in REDUCTIONS:
            hint = f" (did you mean reduction={value!r}?)"
        elif hasattr(value, "shape"):  # derivatives by it would be lost without a word
            hint = f" (float({parameter}) makes one, to which no derivative goes)"
        raise TypeError(f"{name}: {parameter} must be a number, got {value!r}{hint}")
    real = float(value)
    if least > -math.inf and not (real >= least and (below is None or real < below)):
        wanted = f">= {least:g}" if below is None else f"in [{least:g}, {below:g})"
        raise ValueError(f"{name}: {parameter} must be {wanted}, got {value!r}")
    return real


def _dimensions(x: Any, backend: Backend) -> int:
    return len(backend.shape(x)) if hasattr(x, "shape") else np.ndim(x)


def _arrays(
    name: str, arguments: dict[str, Any], backend: Backend
) -> tuple[tuple[Array, ...], Any]:
    """Arrays of one shape, and the dtype of the result."""
    arrays: dict[str, Array] = {}
    for argument, x in arguments.items():
        arrays[argument] = backend.real(f"{name}: {argument}", x)
        if isinstance(arrays[argument], float):
            raise TypeError(f"{name}: {argument} must be an array, got {x!r}")
    first, *others = arrays
    shape = tuple(backend.shape(arrays[first]))
    for other in others:
        _same_shape(f"{name}: {other}", arrays[other], shape, first, backend)
    operands, dtype = backend.operands(name, arrays)
    return tuple(operands), dtype


def _same_shape(
    argument: str, x: Array, shape: tuple[int, ...], whose: str, backend: Backend
) -> None:
    own = () if isinstance(x, float) else tuple(backend.shape(x))
    if own != shape:
        raise ValueError(f"{argument} must have the shape of {whose} {shape}, got {own}")


def _axis(name: str, axis: Any, shape: tuple[int, ...]) -> int:
    """The place in the shape along which a row lies."""
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"{name}: axis must be an integer, got {axis!r}") from None
    if not -len(shape) <= index < len(shape):
        raise ValueError(f"{name}: axis must be within the {len(shape)} dimensions, got {axis!r}")
    index %= len(shape)
    if shape[index] == 0:
        raise ValueError(f"{name}: axis {axis!r} must have a size of at least 1, got shape {shape}")
    return index


def check_classes(
    name: str, labels: Array, where: Array | None, size: int, backend: Backend
) -> None:
    """An IndexError for a class that does not exist, as NumPy's and PyTorch's, if it can be seen.

    Where it cannot, the computation makes such a row NaN.
    """
    values = backend.readable(labels)
    mask = None if where is None else backend.readable(where)
    if values is None or (mask is None and where is not None):
        return
    wrong = (values < 0) | (values >= size)
    if mask is not None:
        wrong = wrong & mask
    if not wrong.any():
        return
    place = tuple(map(int, np.unravel_index(int(np.argmax(wrong)), np.shape(wrong))))
    raise IndexError(
        f"{name}: targets must be class indices from 0 to {size - 1}, got {int(values[place])} "
        f"at {place} (where= leaves out rows that have no class)"
    )
