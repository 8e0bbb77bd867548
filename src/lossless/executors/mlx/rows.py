"""Losses of rows that have a kernel, on MLX arrays: nodes of MLX's graph."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from ..._problem import REDUCTIONS, VALUE_AND_GRADIENT, Array, Problem
from ..._spec import LOSSES, RowLossSpec
from ..formulas import Formulas, with_outputs
from .nodes import OUTPUT_CODES, OUTPUTS_OF, REDUCTION_CODES, as_kernel_dtype, unpacked

_LABELS = (mx.int32, mx.int64)


class RowNodes:
    """Value and gradient by nodes, the second derivative by the formula."""

    def __init__(self, bridge: Any, formulas: Formulas) -> None:
        self._bridge = bridge
        self._formulas = formulas
        self._losses = {
            (x.kernel_index, x.labels): x
            for x in LOSSES.values()
            if isinstance(x, RowLossSpec) and x.has_kernel
        }
        bridge.set_row_formulas(self._in_operations)

    def run(self, problem: Problem) -> tuple[Array, ...]:
        if "second_derivative" not in problem.outputs:
            return tuple(self._node(problem))
        (second,) = self._formulas.run(with_outputs(problem, "second_derivative"))
        _, gradient = self._node(with_outputs(problem, *VALUE_AND_GRADIENT))
        return gradient, second

    def _node(self, problem: Problem) -> list[Array]:
        """A node of the graph, which takes rows along the last axis."""
        inputs, *others = problem.operands
        axis = problem.axis
        targets: Any = problem.labels
        if others:
            targets = as_kernel_dtype(_moved(others[0], axis, -1))
        elif targets.dtype not in _LABELS:
            targets = self._formulas.arrays.index(targets)
        results: list[Array] = self._bridge.compute_rows(
            problem.loss.kernel_index,
            problem.loss.labels,
            problem.parameters,
            OUTPUT_CODES[problem.outputs],
            REDUCTION_CODES[problem.reduction],
            1 if problem.reduction == "none" else len(problem.shape) + 1,
            _moved(inputs.astype(problem.dtype), axis, -1),
            targets,
            as_kernel_dtype(problem.weights),
            problem.where,
            problem.dtype,
        )
        if "gradient" in problem.outputs:
            results[-1] = _moved(results[-1], -1, axis)
        return results

    def _in_operations(
        self,
        kernel_index: int,
        has_labels: bool,
        parameters: list[float],
        outputs: int,
        reduction: int,
        reduced: int,
        weights: bool,
        where: bool,
        cotangent: bool,
        dtype: Any,
        arrays: list[Array],
    ) -> list[Array]:
        """The same as a node of these arrays, in operations that MLX can differentiate."""
        (inputs, targets), weight, mask, factor = unpacked(
            arrays, weights, where, cotangent, reduced
        )
        labels = targets if has_labels else None
        of_rows = [mx.expand_dims(x, -1) for x in (labels, weight, mask) if x is not None]
        of_elements = [inputs] if has_labels else [inputs, targets]
        # MLX may have mapped some of them.
        operands = mx.broadcast_arrays(*of_elements, *of_rows)[: len(of_elements)]
        inputs = operands[0]
        while labels is not None and labels.ndim < inputs.ndim - 1:
            labels = mx.expand_dims(labels, 0)
        wanted = OUTPUTS_OF[outputs]
        shape = inputs.shape[:-1]
        problem = Problem(
            self._losses[kernel_index, has_labels],
            tuple(operands),
            tuple(parameters),
            weight,
            mask,
            shape,
            # The cotangent multiplies what is not yet rounded.
            dtype if wanted == ("value",) else mx.float64,
            REDUCTIONS[reduction],
            tuple(range(inputs.ndim - reduced, len(shape))),
            wanted,
            labels,
            -1,
        )
        results = self._formulas.rows.run(problem)
        if factor is not None:
            results = tuple(result * factor for result in results)
        return [result.astype(dtype) for result in results]


def _moved(x: Array, axis: int, place: int) -> Array:
    return x if axis == place else mx.moveaxis(x, axis, place)
