"""The kernels on NumPy's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ... import _core
from ..._problem import REDUCTIONS, Problem
from ..._spec import LossSpec, RowLossSpec
from ..executor import KERNELS, Executor, Promise, Simple
from ..formulas import is_number_against_array, with_outputs
from .arrays import DTYPE_CODES, Array

Operand: TypeAlias = tuple[Array, int] | float | None

_REDUCTION_CODES = {name: code for code, name in enumerate(REDUCTIONS)}
_LABELS = (np.dtype(np.int32), np.dtype(np.int64))
_BOOLEAN = 4


class Kernels:
    """The losses that have a kernel; of those of rows, the formulas give the second derivative."""

    name: str = KERNELS
    device: str = "CPU"
    limits: str = "losses that have no kernel"
    promise: Promise = Promise(correctly_rounded=True)
    simple: Simple | None = None

    def __init__(self, formulas: Executor) -> None:
        self._formulas = formulas

    def idle(self) -> str | None:
        return None

    def refuses(self, problem: Problem) -> str | None:
        return None if problem.loss.has_kernel else f"{problem.loss.name} has no kernel"

    def run(self, problem: Problem) -> tuple[Any, ...]:
        if isinstance(problem.loss, RowLossSpec):
            return self._run_rows(problem)
        outputs, shape, dtype = problem.outputs, problem.shape, problem.dtype
        results: dict[str, Array] = {}
        total = None
        outer = _outer(problem)
        for output in outputs:
            if output == "value":
                results[output] = np.empty([shape[d] for d in outer], dtype)
            elif output == "gradient" and "value" in outputs and is_number_against_array(problem):
                results[output] = total = np.empty(problem.inputs.shape, dtype)
            else:
                results[output] = np.empty(shape, dtype)
        _sweep(problem, outer, results, total)
        return tuple([results[output][()] for output in outputs])

    def _run_rows(self, problem: Problem) -> tuple[Any, ...]:
        outputs, shape = problem.outputs, problem.shape
        results: dict[str, Any] = {}
        if "value" in outputs:
            results["value"] = np.empty(shape if problem.reduction == "none" else (), problem.dtype)
        if "gradient" in outputs:
            results["gradient"] = np.empty(problem.inputs.shape, problem.dtype)
        if results:
            _sweep_rows(problem, results)
        if "second_derivative" in outputs:
            wanted = with_outputs(problem, "second_derivative")
            (results["second_derivative"],) = self._formulas.run(wanted)
        return tuple([results[output][()] for output in outputs])


def _outer(problem: Problem) -> Sequence[int]:
    """The dimensions that are not reduced."""
    every = range(len(problem.shape))
    if problem.reduction == "none":
        return every
    if len(problem.axes) == len(every):
        return ()
    return [d for d in every if d not in problem.axes]


def _sweep(
    problem: Problem,
    outer: Sequence[int],
    results: dict[str, Array],
    total_gradient: Array | None,
) -> None:
    """Run the kernels into these results. They reduce the last axes, so others are moved there."""
    shape = problem.shape
    operands = [*problem.operands, problem.weights, problem.where, *problem.parameters]
    gradient = results.get("gradient") if total_gradient is None else None
    reduced = problem.reduction != "none"
    if reduced and outer and list(outer) != list(range(len(outer))):
        order = [*outer, *problem.axes]
        shape = tuple([shape[d] for d in order])
        operands = [
            np.broadcast_to(x, problem.shape).transpose(order) if isinstance(x, np.ndarray) else x
            for x in operands
        ]
        gradient = None if gradient is None else gradient.transpose(order)
    inputs, targets, weights, where, *parameters = map(_operand, operands)
    _core.sweep(
        problem.loss.kernel_index,
        DTYPE_CODES[problem.dtype],
        _REDUCTION_CODES[problem.reduction],
        shape,
        len(outer) if reduced else 0,
        inputs,
        targets,
        tuple(parameters),
        weights,
        where,
        results.get("value"),
        gradient,
        results.get("second_derivative"),
        total_gradient,
    )


def _sweep_rows(problem: Problem, results: dict[str, Array]) -> None:
    """Run the kernel into these results; it takes rows along the last axis."""

    def rows(x: Array) -> Array:
        return np.moveaxis(x, problem.axis, -1)

    inputs, *others = problem.operands
    inputs = rows(inputs.astype(problem.dtype, copy=False))
    labels = problem.labels
    if labels is not None and labels.dtype not in _LABELS:
        labels = labels.astype(np.int64)
    gradient = results.get("gradient")
    _core.sweep_rows(
        problem.loss.kernel_index,
        DTYPE_CODES[problem.dtype],
        _REDUCTION_CODES[problem.reduction],
        inputs.shape,
        _operand(inputs),
        labels,
        _operand(rows(others[0])) if others else None,
        problem.parameters,
        _operand(problem.weights),
        _operand(problem.where),
        results.get("value"),
        None if gradient is None else rows(gradient),
    )


def sums(
    loss: LossSpec,
    inputs: Array,
    targets: Array,
    parameters: tuple[float, ...],
    weights: Array | None,
) -> Array:
    """The sum of each row, in float64 before it is rounded to the dtype of the operands.

    For those who cannot have all operands at once, and add such sums up.
    """
    result = np.empty(len(inputs))
    _core.sweep(
        loss.kernel_index,
        DTYPE_CODES[np.result_type(inputs, targets)],
        _REDUCTION_CODES["sum"],
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
        value_dtype=DTYPE_CODES[result.dtype],
    )
    return result


def _operand(x: Any) -> Operand:
    """What the kernels read: a float, or an array with the number of its dtype."""
    if not isinstance(x, np.ndarray):
        return x  # type: ignore[no-any-return]
    if x.dtype == np.bool_:
        return x, _BOOLEAN
    code = DTYPE_CODES.get(x.dtype)
    if code is None:  # integers, or floats in another byte order
        x = x.astype(x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.float64)
        code = DTYPE_CODES[x.dtype]
    return x, code
