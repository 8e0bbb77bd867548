"""NumPy arrays, and what NumPy converts to them: the native kernels on their memory."""

import numbers
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import _core
from .._losses import LOSSES
from .rows import HAVE_KERNELS, RowsInNumPy

if TYPE_CHECKING:
    from .._call import Problem
    from .._rows import RowProblem

Array: TypeAlias = np.ndarray[Any, Any]
Operand: TypeAlias = tuple[Array, int] | float | None

_REDUCTIONS = {"none": 0, "sum": 1, "mean": 2, "weighted_mean": 3}
# The numbers of the dtypes that kernels read; bfloat16 is added when first seen.
_CODES = {np.dtype("float16"): 0, np.dtype("float32"): 2, np.dtype("float64"): 3}
_LABELS = (np.dtype(np.int32), np.dtype(np.int64))
_BFLOAT16 = 1
_BOOLEAN = 4


def is_array(x: Any) -> bool:
    """Whether x is a NumPy array, or a scalar, as which NumPy returns arrays of no dimensions."""
    return isinstance(x, np.ndarray | np.generic)


shape = operator.attrgetter("shape")


def operands(name: str, given: dict[str, Any]) -> tuple[Sequence[Array], np.dtype[Any]]:
    """All as arrays, and the dtype of the result. Python numbers take the dtype of the others."""
    if len(given) == 2:  # soon done for most calls
        inputs, targets = given.values()
        plain = type(inputs) is type(targets) is np.ndarray
        if plain and inputs.dtype == targets.dtype in _CODES:
            return (inputs, targets), inputs.dtype
    arrays = [
        None if type(x) in (bool, int, float) else _real_array(f"{name}: {argument}", x)
        for argument, x in given.items()
    ]
    dtypes = [a.dtype if _is_float(a.dtype) else np.float64 for a in arrays if a is not None]
    try:
        dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
    except TypeError:
        raise TypeError(
            f"{name}: {' and '.join(given)} must have dtypes that NumPy promotes to one, got "
            f"{' and '.join(str(np.dtype(d)) for d in dtypes)}"
        ) from None
    with np.errstate(over="ignore"):  # a number too large for the dtype is infinite in it
        return [
            np.asarray(float(x), dtype) if a is None else a
            for a, x in zip(arrays, given.values(), strict=True)
        ], dtype


def real(argument: str, x: Any) -> float | Array:
    """A number as a float, anything else as an array of real numbers."""
    if type(x) is float:  # which takes longer to find out below
        return x
    if isinstance(x, numbers.Real | np.generic) and not isinstance(x, np.complexfloating):
        return float(x)
    return _real_array(argument, x)


def mask(argument: str, x: Any) -> Array:
    """A boolean array."""
    array = _array(argument, x)
    if array.dtype != np.bool_:
        raise TypeError(f"{argument} must be boolean, got dtype {array.dtype}")
    return array


def labels(argument: str, x: Any, like: Array) -> Array:
    """Class indices: integers."""
    array = _array(argument, x)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{argument} must be class indices (integers), got dtype {array.dtype}")
    return array


def readable(x: Array) -> Array:
    """The values."""
    return x


def value(problem: "Problem") -> Any:
    """The loss."""
    return _sweep(problem, value=True)


def value_and_grad(problem: "Problem") -> tuple[Any, Any]:
    """The loss, and the gradient of the reduced loss in the shape of the inputs."""
    gradient = np.empty(problem.inputs.shape, problem.dtype)
    if gradient.shape == problem.shape:
        value = _sweep(problem, value=True, gradient=gradient)
    else:  # one number against an array: its gradient is a sum
        value = _sweep(problem, value=True, total_gradient=gradient)
    return value, gradient[()]


def grad_and_hess(problem: "Problem") -> tuple[Any, Any]:
    """The element-wise derivatives."""
    gradient, curvature = (np.empty(problem.shape, problem.dtype) for _ in range(2))
    _sweep(problem, gradient=gradient, curvature=curvature)
    return gradient[()], curvature[()]


def _sweep(
    problem: "Problem",
    *,
    value: bool = False,
    gradient: Array | None = None,
    curvature: Array | None = None,
    total_gradient: Array | None = None,
) -> Any:
    """Run the kernels into these results, and return the value if it is wanted.

    They reduce the last axes, so others that are to be reduced are moved there.
    """
    shape = problem.shape
    order = remaining = list(range(len(shape)))
    if problem.reduction != "none":
        remaining = [d for d in order if d not in problem.axes]
        order = [*remaining, *problem.axes]
    result = np.empty([shape[d] for d in remaining], problem.dtype) if value else None

    operands = [problem.inputs, problem.targets, problem.weights, problem.where]
    operands += problem.parameters
    if order != sorted(order):
        operands = [
            np.broadcast_to(x, shape).transpose(order) if isinstance(x, np.ndarray) else x
            for x in operands
        ]
        gradient = None if gradient is None else gradient.transpose(order)
    inputs, targets, weights, where, *parameters = map(_operand, operands)
    _core.sweep(
        LOSSES[problem.loss].number,
        _CODES[problem.dtype],
        _REDUCTIONS[problem.reduction],
        tuple(shape[d] for d in order),
        0 if problem.reduction == "none" else len(remaining),
        inputs,
        targets,
        tuple(parameters),
        weights,
        where,
        result,
        gradient,
        curvature,
        total_gradient,
    )
    return None if result is None else result[()]


def sums(
    loss: str, inputs: Array, targets: Array, parameters: tuple[float, ...], weights: Array | None
) -> Array:
    """The sum of each row, in float64 before it is rounded to the dtype of the operands.

    For those who cannot have all operands at once, and add such sums up.
    """
    dtype = np.result_type(inputs, targets)
    result = np.empty(len(inputs))
    _core.sweep(
        LOSSES[loss].number,
        _CODES[dtype],
        _REDUCTIONS["sum"],
        inputs.shape,
        1,
        _operand(inputs),
        _operand(targets),
        parameters,
        _operand(weights),
        None,
        result,
        None,
        None,
        None,
        value_dtype=_CODES[result.dtype],
    )
    return result


def row_value(problem: "RowProblem") -> Any:
    """The loss of rows."""
    if problem.loss in HAVE_KERNELS:
        return _sweep_rows(problem)
    return composed.row_value(problem)


def row_value_and_grad(problem: "RowProblem") -> tuple[Any, Any]:
    """The loss of rows, and the gradient of the reduced loss by the first array."""
    if problem.loss in HAVE_KERNELS:
        gradient = np.empty(problem.arrays[0].shape, problem.dtype)
        return _sweep_rows(problem, gradient), gradient
    return composed.row_value_and_grad(problem)


def row_grad_and_hess(problem: "RowProblem") -> tuple[Any, Any]:
    """The derivative by the first array, and that of each element's by itself."""
    return row_value_and_grad(problem)[1], composed.row_curvature(problem)


def _sweep_rows(problem: "RowProblem", gradient: Array | None = None) -> Any:
    """Run the kernel of cross entropy; it takes rows along the last axis."""

    def rows(x: Array) -> Array:
        return np.moveaxis(x, problem.axis, -1)

    (smoothing,) = problem.parameters
    logits, *probabilities = problem.arrays
    logits = rows(logits.astype(problem.dtype, copy=False))
    labels = problem.labels
    if labels is not None and labels.dtype not in _LABELS:
        labels = labels.astype(np.int64)
    value = np.empty(problem.shape if problem.reduction == "none" else (), problem.dtype)
    _core.cross_entropy(
        _CODES[problem.dtype],
        _REDUCTIONS[problem.reduction],
        logits.shape,
        _operand(logits),
        labels,
        _operand(rows(probabilities[0])) if probabilities else None,
        smoothing,
        _operand(problem.weights),
        _operand(problem.where),
        value,
        None if gradient is None else rows(gradient),
    )
    return value[()]


def _operand(x: Any) -> Operand:
    """What the kernels read: a float, or an array with the number of its dtype."""
    if not isinstance(x, np.ndarray):
        return x  # type: ignore[no-any-return]
    if x.dtype == np.bool_:
        return x, _BOOLEAN
    code = _CODES.get(x.dtype)
    if code is None:  # integers, or floats in another byte order
        x = x.astype(x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.float64)
        code = _CODES[x.dtype]
    return x, code


def _array(argument: str, x: Any) -> Array:
    refuse_mask(argument, x)
    return np.asarray(x)


def refuse_mask(argument: str, x: Any) -> None:
    """A TypeError where NumPy, or a framework, would drop a mask without a word."""
    if _holds_mask(x):
        by_false = "fill it with False, as where.filled(False) does"
        cure = by_false if argument.endswith("where") else "pass its data, and where=~mask"
        raise TypeError(f"{argument} must not be a masked array: {cure}")


def _holds_mask(x: Any) -> bool:
    if type(x) in (list, tuple):
        return any(map(_holds_mask, x))
    return isinstance(x, np.ma.MaskedArray)


def _real_array(argument: str, x: Any) -> Array:
    array = _array(argument, x)
    if not (_is_float(array.dtype) or array.dtype.kind in "biu"):
        raise TypeError(
            f"{argument} must be real numbers (float16, bfloat16, float32, float64, integers or "
            f"booleans), got dtype {array.dtype}"
        )
    return array


def _is_float(dtype: np.dtype[Any]) -> bool:
    if dtype in _CODES:
        return True
    if dtype.name == "bfloat16":
        _CODES[dtype] = _BFLOAT16
        return True
    return dtype.kind == "f" and dtype.newbyteorder("=") in _CODES


class _NumPyComposed(RowsInNumPy):
    """The formulas on the same arguments, for comparison."""

    is_array = staticmethod(is_array)
    operands = staticmethod(operands)
    real = staticmethod(real)
    mask = staticmethod(mask)
    labels = staticmethod(labels)
    readable = staticmethod(readable)

    def is_float(self, dtype: Any) -> bool:
        return _is_float(dtype)

    def cast(self, x: Any, dtype: Any) -> Any:
        return x.astype(dtype, copy=False)[()]  # of no dimensions, it is a scalar in NumPy

    def number(self, x: float, dtype: Any, like: Array | None) -> Any:
        return np.asarray(x, dtype)

    def places(self, x: Array, axis: int) -> Array:
        return np.asarray(self.along(np.arange(x.shape[axis]), x, axis))


composed = _NumPyComposed(np)
