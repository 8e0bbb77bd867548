"""Losses of rows by their formulas, in the widest dtype that helps.

Half types are computed in float32, float32 in float64 where the arrays have it, and each result
is rounded to the dtype of the call at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .._problem import Array, Problem
from .arrays import Arrays
from .reductions import Reductions, Shares


class RowNamespace:
    """A namespace, and what formulas do along one axis, which keeps the size 1."""

    def __init__(self, arrays: Arrays, axis: int) -> None:
        self._arrays = arrays
        self._axis = axis

    def __getattr__(self, name: str) -> Any:
        return getattr(self._arrays.xp, name)

    def size(self, x: Array) -> Any:
        """Of a row: a number, or an array of size 1 along the axis."""
        return self._arrays.size(x, self._axis, x.dtype)

    def total(self, x: Array) -> Array:
        return self._arrays.xp.sum(x, axis=self._axis, keepdims=True)

    def mean(self, x: Array) -> Array:
        return self.total(x) / self.size(x)

    def largest(self, x: Array) -> Array:
        return self._arrays.xp.max(x, axis=self._axis, keepdims=True)

    def first_largest(self, x: Array) -> Array:
        """Its place."""
        return self.constant(self._arrays.xp.argmax(x, axis=self._axis, keepdims=True))

    def pick(self, x: Array, places: Array, of_all: bool = False) -> Array:
        """One of each row: `of_all` if the formula reads all of the row, too."""
        return self._arrays.pick(x, places, self._axis, of_all)

    def is_at(self, x: Array, places: Array) -> Array:
        """True at these places of x."""
        return self._arrays.places(x, self._axis) == places

    def constant(self, x: Array) -> Array:
        """x, to which no derivative goes."""
        return self._arrays.constant(x)


@dataclass(slots=True)
class PreparedRows:
    """What counts of each row, and the dtype of the computation."""

    dtype: Any
    labels: Array | None  # in range, of size 1 along the axis
    weights: Array | None
    where: Array | None
    factors: Array | None  # the weights, and NaN for a label that was not in range


class RowFormulas:
    """All losses of rows, in the operations of a framework."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays: Arrays = arrays
        self.reductions: Reductions = Reductions(arrays)

    def run(self, problem: Problem, cotangent: Array | None = None) -> tuple[Array, ...]:
        """The outputs; the gradient times the cotangent, of the shape of the losses."""
        rows = self.prepare(problem)
        results: dict[str, Array] = {}
        if "value" in problem.outputs or "gradient" in problem.outputs:
            losses = self.squeezed(problem, self.formula("value", problem, rows), rows)
            results["value"] = self.value(problem, losses, rows)
            if "gradient" in problem.outputs:
                results["gradient"] = self._gradient(problem, losses, rows, cotangent)
        if "second_derivative" in problem.outputs:
            results["second_derivative"] = self._second_derivative(problem, rows)
        return tuple(results[output] for output in problem.outputs)

    def prepare(self, problem: Problem) -> PreparedRows:
        """The labels, the mask and the weights, as the formulas take them."""
        arrays = self.arrays
        dtype = self.dtype(problem)
        where = self.aligned(problem, problem.where)
        labels, factors, weights = None, None, problem.weights
        if problem.labels is not None:
            labels, factors = self._labels(problem, where)
            factors = arrays.cast(factors, dtype)
        if weights is not None:
            if arrays.is_number(weights):
                weights = arrays.number(weights, dtype, problem.inputs)
            else:
                weights = arrays.cast(weights, dtype)
            if where is not None:
                weights = arrays.xp.where(where, weights, 0.0)
            factors = weights if factors is None else factors * weights
        return PreparedRows(dtype, labels, weights, where, factors)

    def formula(self, output: str, problem: Problem, rows: PreparedRows) -> Array:
        """An output of each row, without what `where` leaves out, unweighted."""
        arrays, axis = self.arrays, problem.axis
        dtype = rows.dtype if problem.loss.rounds else problem.dtype
        operands = [arrays.cast(x, dtype) for x in problem.operands]
        if rows.where is not None:
            # Before the formula, as those of element-wise losses.
            mask = arrays.xp.expand_dims(rows.where, axis=axis)
            operands = [arrays.xp.where(mask, x, 0.0) for x in operands]
        if rows.labels is not None:
            operands.append(rows.labels)
        namespace = RowNamespace(arrays, axis)
        parameters = (arrays.row_parameter(x, rows.dtype) for x in problem.parameters)
        return getattr(problem.loss, output)(namespace, *operands, *parameters)

    def squeezed(self, problem: Problem, losses: Array, rows: PreparedRows) -> Array:
        """The losses without the axis of the rows."""
        return self.arrays.cast(self.arrays.xp.squeeze(losses, axis=problem.axis), rows.dtype)

    def value(self, problem: Problem, losses: Array, rows: PreparedRows) -> Array:
        """The result of these losses of rows."""
        shares = Shares(losses, rows.weights, rows.where)
        weighted = losses if rows.factors is None else losses * rows.factors
        return self.reductions.value(problem, weighted, shares)

    def dtype(self, problem: Problem) -> Any:
        """The dtype of the computation."""
        arrays, weights = self.arrays, problem.weights
        result_type = arrays.xp.result_type
        dtype = result_type(arrays.xp.float32, problem.dtype)
        if dtype == problem.dtype:  # no half type
            dtype = result_type(dtype, arrays.wide(problem.inputs))
        is_array = not (weights is None or arrays.is_number(weights))
        if is_array and arrays.is_float(weights.dtype):
            dtype = result_type(dtype, weights.dtype)
        return dtype

    def aligned(self, problem: Problem, x: Array | None) -> Array | None:
        """The mask, or another array, with all dimensions of the loss."""
        if x is not None:
            for _ in range(len(problem.shape) - len(self.arrays.shape(x))):
                x = self.arrays.xp.expand_dims(x, axis=0)
        return x

    def _gradient(
        self, problem: Problem, losses: Array, rows: PreparedRows, cotangent: Array | None
    ) -> Array:
        arrays, xp = self.arrays, self.arrays.xp
        slope = self.formula("gradient", problem, rows)
        factors = xp.ones_like(losses) if rows.factors is None else rows.factors
        factors, _ = xp.broadcast_arrays(factors, losses)  # weights may have fewer dimensions
        shares = Shares(losses, rows.weights, rows.where)
        factors = self.reductions.derivative(problem, factors, shares)
        if cotangent is not None:
            factors = factors * arrays.cast(cotangent, rows.dtype)
        factors = xp.expand_dims(factors, axis=problem.axis)
        return arrays.cast(arrays.cast(slope, rows.dtype) * factors, problem.dtype)

    def _second_derivative(self, problem: Problem, rows: PreparedRows) -> Array:
        """With respect to each element of the first operand, without a reduction."""
        arrays, xp = self.arrays, self.arrays.xp
        result = arrays.cast(self.formula("second_derivative", problem, rows), rows.dtype)
        if rows.factors is not None:
            factors = self.aligned(problem, rows.factors)
            result = result * xp.expand_dims(factors, axis=problem.axis)
        if rows.where is not None:
            mask = xp.expand_dims(rows.where, axis=problem.axis)
            result = xp.where(mask, result, 0.0)
        return arrays.cast(result, problem.dtype)

    def _labels(self, problem: Problem, where: Array | None) -> tuple[Array, Array]:
        """Class indices that are in range, of size 1 along the axis, and factors of the loss.

        These are NaN where the index was not in range.
        """
        arrays, xp, axis = self.arrays, self.arrays.xp, problem.axis
        labels = arrays.index(problem.labels)
        if where is not None:
            labels = xp.where(where, labels, 0)
        labels = xp.expand_dims(labels, axis=axis)
        classes = arrays.size(problem.inputs, axis, labels.dtype)
        valid = xp.logical_and(labels >= 0, labels < classes)
        factors = xp.where(valid, arrays.number(1.0, problem.dtype, labels), math.nan)
        return arrays.constant(xp.where(valid, labels, 0)), xp.squeeze(factors, axis=axis)
