"""Losses of rows on MLX arrays: cross entropy by its kernel, as nodes of MLX's graph too."""

from typing import Any

import mlx.core as mx

from ..._call import REDUCTIONS
from ..._rows import RowProblem
from ..base import Array
from ..rows import HAVE_KERNELS
from .kernels import (
    GRADIENT,
    REDUCTION_CODES,
    VALUE,
    VALUE_AND_GRADIENT,
    Kernels,
    readable,
    unpacked,
)

_LABELS = (mx.int32, mx.int64)


class RowKernels(Kernels):
    """The kernels, of rows too."""

    def __init__(self, bridge: Any) -> None:
        super().__init__(bridge)
        bridge.set_row_formulas(self._row_formulas)

    def row_value(self, problem: RowProblem) -> Array:
        if problem.loss not in HAVE_KERNELS:
            return super().row_value(problem)
        return self._rows(problem, VALUE)[0]

    def row_value_and_grad(self, problem: RowProblem) -> tuple[Array, Array]:
        if problem.loss not in HAVE_KERNELS:
            return super().row_value_and_grad(problem)
        value, gradient = self._rows(problem, VALUE_AND_GRADIENT)
        return value, gradient

    def _rows(self, problem: RowProblem, wanted: int) -> list[Array]:
        """A node of the graph, which takes rows along the last axis."""
        (smoothing,) = problem.parameters
        logits, *probabilities = problem.arrays
        targets: Any = problem.labels
        if probabilities:
            targets = readable(_moved(probabilities[0], problem.axis, -1))
        elif targets.dtype not in _LABELS:
            targets = self.index(targets)
        results: list[Array] = self._bridge.compute_rows(
            bool(probabilities),
            smoothing,
            wanted,
            REDUCTION_CODES[problem.reduction],
            1 if problem.reduction == "none" else len(problem.shape) + 1,
            _moved(logits.astype(problem.dtype), problem.axis, -1),
            targets,
            readable(problem.weights),
            problem.where,
            problem.dtype,
        )
        if wanted == VALUE_AND_GRADIENT:
            results[1] = _moved(results[1], -1, problem.axis)
        return results

    def _row_formulas(
        self,
        soft: bool,
        smoothing: float,
        wanted: int,
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
        operands = (logits, others[-1]) if soft else (logits,)
        labels = None if soft else targets
        while labels is not None and labels.ndim < logits.ndim - 1:
            labels = mx.expand_dims(labels, 0)
        problem = RowProblem(
            "soft_cross_entropy" if soft else "cross_entropy", operands, labels, -1,
            logits.shape[:-1], dtype if wanted == VALUE else mx.float64,
            REDUCTIONS[reduction], (smoothing,), weight, mask, kept=logits.ndim - reduced,
        )  # fmt: skip
        value, *gradient = self.row_outputs(problem, gradient=wanted != VALUE)
        results = [*([] if wanted == GRADIENT else [value]), *gradient]
        if factor is not None:
            results = [result * factor for result in results]
        return [self.cast(result, dtype) for result in results]


def _moved(x: Array, axis: int, place: int) -> Array:
    return x if axis == place else mx.moveaxis(x, axis, place)
