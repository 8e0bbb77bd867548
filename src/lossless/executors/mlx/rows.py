"""Cross entropy on MLX arrays: nodes of MLX's graph, by the kernel of rows."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from ..._problem import REDUCTIONS, VALUE_AND_GRADIENT, Array, Problem
from ..._spec import LOSSES
from ..formulas import Formulas, with_outputs
from .nodes import OUTPUT_CODES, OUTPUTS_OF, REDUCTION_CODES, as_kernel_dtype, unpacked

_LABELS = (mx.int32, mx.int64)


class RowNodes:
    """Value and gradient by nodes, the second derivative by the formula."""

    def __init__(self, bridge: Any, formulas: Formulas) -> None:
        self._bridge = bridge
        self._formulas = formulas
        bridge.set_row_formulas(self._in_operations)

    def run(self, problem: Problem) -> tuple[Array, ...]:
        if "second_derivative" not in problem.outputs:
            return tuple(self._node(problem))
        (second,) = self._formulas.run(with_outputs(problem, "second_derivative"))
        _, gradient = self._node(with_outputs(problem, *VALUE_AND_GRADIENT))
        return gradient, second

    def _node(self, problem: Problem) -> list[Array]:
        """A node of the graph, which takes rows along the last axis."""
        (smoothing,) = problem.parameters
        logits, *probabilities = problem.operands
        axis = problem.axis
        targets: Any = problem.labels
        if probabilities:
            targets = as_kernel_dtype(_moved(probabilities[0], axis, -1))
        elif targets.dtype not in _LABELS:
            targets = self._formulas.arrays.index(targets)
        results: list[Array] = self._bridge.compute_rows(
            bool(probabilities),
            smoothing,
            OUTPUT_CODES[problem.outputs],
            REDUCTION_CODES[problem.reduction],
            1 if problem.reduction == "none" else len(problem.shape) + 1,
            _moved(logits.astype(problem.dtype), axis, -1),
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
        soft: bool,
        smoothing: float,
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
        (logits, targets), weight, mask, factor = unpacked(
            arrays, weights, where, cotangent, reduced
        )
        of_rows = [x for x in (None if soft else targets, weight, mask) if x is not None]
        others = [mx.expand_dims(x, -1) for x in of_rows] + [targets] * soft
        logits, *others = mx.broadcast_arrays(logits, *others)  # which MLX may have mapped
        labels = None if soft else targets
        while labels is not None and labels.ndim < logits.ndim - 1:
            labels = mx.expand_dims(labels, 0)
        wanted = OUTPUTS_OF[outputs]
        shape = logits.shape[:-1]
        problem = Problem(
            LOSSES["soft_cross_entropy" if soft else "cross_entropy"],
            (logits, others[-1]) if soft else (logits,),
            (smoothing,),
            weight,
            mask,
            shape,
            # The cotangent multiplies what is not yet rounded.
            dtype if wanted == ("value",) else mx.float64,
            REDUCTIONS[reduction],
            tuple(range(logits.ndim - reduced, len(shape))),
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
