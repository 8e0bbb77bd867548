"""The arguments of a call, checked once: what can be wrong with them is said here.

What depends on a framework is asked of its `Arrays`, whose messages begin with `argument`, the
function and the argument, as in "huber_loss: weights".
"""

from __future__ import annotations

import numbers
import operator
from typing import Any

import numpy as np

from ._problem import REDUCTIONS, UNWEIGHTED, VALUE, Array, Call, Problem
from ._spec import LossSpec, Parameter, RowLossSpec
from .executors.arrays import Arrays


def is_simple(call: Call[Any]) -> bool:
    """Whether a call has nothing to be checked but its two operands, which are of one type.

    This is asked once, for all fast paths: they get an element-wise loss without options, whose
    parameters are numbers in their ranges, and a reduction that is known.
    """
    if call.weights is not None or call.where is not None or call.axis is not None:
        return False
    loss, operands, reduction = call.loss, call.operands, call.reduction
    if (
        type(loss) is not LossSpec
        or len(operands) != 2
        or type(operands[0]) is not type(operands[1])
    ):
        return False
    if type(reduction) is not str or reduction not in REDUCTIONS:
        return False
    if loss.keywords:
        for parameter, x in zip(loss.keywords, call.parameters, strict=True):
            if type(x) is not float or not parameter.admits(x):
                return False
    return True


def check_words(function: str, call: Call[Any]) -> None:
    """What is wrong whatever the arrays are: an unknown reduction, a word for a number."""
    loss: LossSpec = call.loss
    if isinstance(loss, RowLossSpec):
        check_reduction(function, call.reduction, REDUCTIONS if loss.weighted else UNWEIGHTED)
        for parameter, x in zip(loss.keywords, call.parameters, strict=True):
            _number(function, parameter, x)
        return
    check_reduction(function, call.reduction)
    if loss.keywords:
        for parameter, x in zip(loss.keywords, call.parameters, strict=True):
            refuse_word(function, parameter.name, x)


def problem_of(
    function: str,
    call: Call[Any],
    arrays: Arrays,
    outputs: tuple[str, ...],
    *,
    simple: bool = False,
) -> Problem:
    """The problem of a call on these arrays, which is perhaps known to be simple."""
    if outputs != VALUE and not arrays.is_array(call.operands[0]):
        argument, got = call.loss.operands[0], type(call.operands[0]).__name__
        raise TypeError(f"{function}: {argument} must be an array, got {got}")
    if isinstance(call.loss, RowLossSpec):
        return _row_problem(function, call, arrays, outputs)
    if simple:
        operands, dtype = arrays.operands(
            function, dict(zip(call.loss.operands, call.operands, strict=True))
        )
        shape = arrays.shape(operands[0])
        if shape == arrays.shape(operands[1]):
            return Problem(
                call.loss, tuple(operands), call.parameters, None, None, shape, dtype,
                call.reduction, tuple(range(len(shape))), outputs,
            )  # fmt: skip
    return _element_problem(function, call, arrays, outputs)


def _element_problem(
    function: str, call: Call[Any], arrays: Arrays, outputs: tuple[str, ...]
) -> Problem:
    loss: LossSpec = call.loss
    given = dict(zip(loss.operands, call.operands, strict=True))
    (inputs, targets, *others), dtype = arrays.operands(function, given)
    shape, other = arrays.shape(inputs), arrays.shape(targets)
    parameters: list[Any] = []
    if shape != other or others:
        same = (inputs, targets) if loss.broadcasts else (inputs, targets, *others)
        shape = _common_shape(function, loss.operands, same, arrays)
        if loss.broadcasts:
            for argument, x in zip(loss.operands[2:], others, strict=True):
                broadcasting(f"{function}: {argument}", x, shape, arrays)
        # A number that is a parameter counts in full, whatever the dtype.
        parameters = [
            float(number) if isinstance(number, int | float) else x
            for number, x in zip(call.operands[2:], others, strict=True)
        ]
    for parameter, value in zip(loss.keywords, call.parameters, strict=True):
        if type(value) is not float or not parameter.admits(value):
            value = number_or_array(function, parameter, value, arrays)
            value = broadcasting(f"{function}: {parameter.name}", value, shape, arrays)
        parameters.append(value)
    weights, where = _options(function, call, shape, arrays, "the residuals")
    axes = tuple(range(len(shape)))
    if call.axis is not None:
        axes = _axes(function, call, len(shape))
    return Problem(
        loss, (inputs, targets), tuple(parameters), weights, where, shape, dtype, call.reduction,
        axes, outputs,
    )  # fmt: skip


def _row_problem(
    function: str, call: Call[Any], arrays: Arrays, outputs: tuple[str, ...]
) -> Problem:
    loss: RowLossSpec = call.loss
    parameters = tuple(
        _number(function, parameter, value)
        for parameter, value in zip(loss.parameters, call.parameters, strict=True)
    )
    given = dict(zip(loss.operands, call.operands, strict=True))
    first, last = loss.operands[0], loss.operands[-1]
    if loss.of_probabilities is not None:
        same = _dimensions(given[last], arrays) == _dimensions(given[first], arrays)
        loss = loss.of_probabilities if same else loss
    targets = given.pop(last) if loss.labels else None
    operands, dtype = _of_one_shape(function, given, arrays)
    full = tuple(arrays.shape(operands[0]))
    axis = _row_axis(function, call.axis, full)
    shape = full[:axis] + full[axis + 1 :]
    labels = None
    if loss.labels:
        labels = arrays.labels(f"{function}: {last}", targets, operands[0])
        whose = f"{first} without axis {axis}"
        _same_shape(f"{function}: {last}", labels, shape, whose, arrays)
    weights, where = _options(function, call, shape, arrays, "the loss")
    if labels is not None:
        check_classes(function, labels, where, full[axis], arrays)
    return Problem(
        loss, operands, parameters, weights, where, shape, dtype, call.reduction,
        tuple(range(len(shape))), outputs, labels, axis - len(full),
    )  # fmt: skip


def _options(
    function: str, call: Call[Any], shape: tuple[int, ...], arrays: Arrays, whose: str
) -> tuple[Any, Any]:
    """The weights and the mask."""
    weights = where = None
    if call.weights is not None:
        argument = f"{function}: weights"
        weights = arrays.real(argument, call.weights)
        weights = broadcasting(argument, weights, shape, arrays, whose)
    if call.where is not None:
        argument = f"{function}: where"
        where = arrays.mask(argument, call.where)
        where = broadcasting(argument, where, shape, arrays, whose)
    return weights, where


def _common_shape(
    function: str, names: tuple[str, ...], operands: tuple[Array, ...], arrays: Arrays
) -> tuple[int, ...]:
    """The shape that all have but for scalars; not both of the first two may be scalars."""
    leader = ""
    shape: tuple[int, ...] = ()
    for argument, x in zip(names, operands, strict=False):
        own = arrays.shape(x)
        if shape and own and own != shape:
            raise ValueError(
                f"{function}: {argument} must have the shape of {leader} {tuple(shape)}, "
                f"got {tuple(own)}"
            )
        if own and not shape:
            leader, shape = argument, own
    first, second, *_ = names
    if leader not in ("", first, second):
        raise ValueError(
            f"{function}: {first} or {second} must have the shape of {leader} {tuple(shape)}, "
            f"got scalars"
        )
    return shape


def check_reduction(function: str, reduction: Any, known: tuple[str, ...] = REDUCTIONS) -> None:
    """A ValueError for one that is not known."""
    if reduction not in known:
        raise ValueError(
            f"{function}: reduction must be one of {', '.join(map(repr, known))}, got {reduction!r}"
        )


def refuse_word(function: str, parameter: str, value: Any) -> None:
    """A TypeError for a text, which is perhaps a reduction in the place of a parameter."""
    if isinstance(value, str):
        hint = f" (did you mean reduction={value!r}?)" if value in REDUCTIONS else ""
        raise TypeError(
            f"{function}: {parameter} must be a number or an array, got {value!r}{hint}"
        )


def number_or_array(function: str, parameter: Parameter, value: Any, arrays: Arrays) -> Any:
    """A number in its range, as a float, or an array, whose values only the computation sees."""
    real = arrays.real(f"{function}: {parameter.name}", value)
    if isinstance(real, float) and not parameter.admits(real):
        raise ValueError(f"{function}: {parameter.name} must be {parameter.range}, got {value!r}")
    return real


def _number(function: str, parameter: Parameter, value: Any) -> float:
    """A number in its range, as a float."""
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if not isinstance(value, numbers.Real):
        hint = ""
        if isinstance(value, str) and value in REDUCTIONS:
            hint = f" (did you mean reduction={value!r}?)"
        elif hasattr(value, "shape"):  # derivatives with respect to it would be lost silently
            hint = f" (float({parameter.name}) makes one, to which no derivative goes)"
        raise TypeError(f"{function}: {parameter.name} must be a number, got {value!r}{hint}")
    real = float(value)
    if not parameter.admits(real):
        raise ValueError(f"{function}: {parameter.name} must be {parameter.range}, got {value!r}")
    return real


def broadcasting(
    argument: str, x: Any, shape: tuple[int, ...], arrays: Arrays, whose: str = "the residuals"
) -> Any:
    """A number, or an array that broadcasts to this shape."""
    if not isinstance(x, float) and not _broadcasts_to(own := arrays.shape(x), shape):
        raise ValueError(
            f"{argument} must broadcast to the shape of {whose} {tuple(shape)}, got {tuple(own)}"
        )
    return x


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    missing = len(target) - len(shape)
    return missing >= 0 and all(
        size in (1, wanted) for size, wanted in zip(shape, target[missing:], strict=True)
    )


def _axes(function: str, call: Call[Any], dimensions: int) -> tuple[int, ...]:
    """The axes to reduce, in order."""
    axis = call.axis
    if call.reduction == "none":
        raise ValueError(
            f"{function}: axis needs a reduction, got axis={axis!r} with reduction='none'"
        )
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    try:
        indices = [operator.index(a) for a in axes]
    except TypeError:
        raise TypeError(
            f"{function}: axis must be an integer or a tuple of them, got {axis!r}"
        ) from None
    if not all(-dimensions <= a < dimensions for a in indices):
        raise ValueError(
            f"{function}: axis must be within the {dimensions} dimensions, got {axis!r}"
        )
    unique = sorted({a % dimensions for a in indices})
    if len(unique) != len(indices):
        raise ValueError(f"{function}: axis must not name a dimension twice, got {axis!r}")
    return tuple(unique)


def _dimensions(x: Any, arrays: Arrays) -> int:
    return len(arrays.shape(x)) if hasattr(x, "shape") else np.ndim(x)


def _of_one_shape(
    function: str, given: dict[str, Any], arrays: Arrays
) -> tuple[tuple[Array, ...], Any]:
    """Arrays of one shape, and the dtype of the result."""
    found: dict[str, Array] = {}
    for argument, x in given.items():
        found[argument] = arrays.real(f"{function}: {argument}", x)
        if isinstance(found[argument], float):
            raise TypeError(f"{function}: {argument} must be an array, got {x!r}")
    first, *others = found
    shape = tuple(arrays.shape(found[first]))
    for other in others:
        _same_shape(f"{function}: {other}", found[other], shape, first, arrays)
    operands, dtype = arrays.operands(function, found)
    return tuple(operands), dtype


def _same_shape(
    argument: str, x: Array, shape: tuple[int, ...], whose: str, arrays: Arrays
) -> None:
    own = () if isinstance(x, float) else tuple(arrays.shape(x))
    if own != shape:
        raise ValueError(f"{argument} must have the shape of {whose} {shape}, got {own}")


def _row_axis(function: str, axis: Any, shape: tuple[int, ...]) -> int:
    """The place in the shape along which a row lies."""
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"{function}: axis must be an integer, got {axis!r}") from None
    if not -len(shape) <= index < len(shape):
        raise ValueError(
            f"{function}: axis must be within the {len(shape)} dimensions, got {axis!r}"
        )
    index %= len(shape)
    if shape[index] == 0:
        raise ValueError(
            f"{function}: axis {axis!r} must have a size of at least 1, got shape {shape}"
        )
    return index


def check_classes(
    function: str, labels: Array, where: Array | None, size: int, arrays: Arrays
) -> None:
    """An IndexError for a class that does not exist, as NumPy's and PyTorch's, if it can be seen.

    Where it cannot, the computation makes such a row NaN.
    """
    values = arrays.concrete_values(labels)
    mask = None if where is None else arrays.concrete_values(where)
    if values is None or (mask is None and where is not None):
        return
    wrong = (values < 0) | (values >= size)
    if mask is not None:
        wrong = wrong & mask
    if not wrong.any():
        return
    place = tuple(map(int, np.unravel_index(int(np.argmax(wrong)), np.shape(wrong))))
    raise IndexError(
        f"{function}: targets must be class indices from 0 to {size - 1}, got {int(values[place])} "
        f"at {place} (where= leaves out rows that have no class)"
    )
