"""Losses of rows on any backend: by formulas, in the widest dtype that serves.

Half types are computed in float32, float32 in float64 where the arrays have it, and each result
is rounded to the dtype of the call at the end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import row_formulas
from .base import Array
from .composed import Composed, Elements, InNumPy

if TYPE_CHECKING:
    from .._rows import RowProblem


# These have a kernel, for backends that reach the memory of their arrays.
HAVE_KERNELS = frozenset({"cross_entropy", "soft_cross_entropy"})


class Along:
    """The namespace of a backend, and what formulas do along one axis, which keeps the size 1."""

    def __init__(self, backend: RowWise, axis: int) -> None:
        self._backend = backend
        self._axis = axis

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend.xp, name)

    def size(self, x: Array) -> Any:
        """Of a row: a number, or an array of size 1 along the axis."""
        return self._backend.size(x, self._axis, x.dtype)

    def total(self, x: Array) -> Array:
        return self._backend.xp.sum(x, axis=self._axis, keepdims=True)

    def mean(self, x: Array) -> Array:
        return self.total(x) / self.size(x)

    def largest(self, x: Array) -> Array:
        return self._backend.xp.max(x, axis=self._axis, keepdims=True)

    def first_largest(self, x: Array) -> Array:
        """Its place."""
        return self.constant(self._backend.xp.argmax(x, axis=self._axis, keepdims=True))

    def pick(self, x: Array, places: Array, of_all: bool = False) -> Array:
        """One of each row: `of_all` if the formula reads all of the row beside."""
        return self._backend.pick(x, places, self._axis, of_all)

    def is_at(self, x: Array, places: Array) -> Array:
        """True at these places of x."""
        return self._backend.places(x, self._axis) == places

    def constant(self, x: Array) -> Array:
        """x, to which no derivative goes."""
        return self._backend.constant(x)


class RowWise(Composed):
    """What a `Backend` gives for losses of rows.

    The methods up to `row_value` are what namespaces do differently.
    """

    def readable(self, x: Array) -> np.ndarray[Any, Any] | None:
        """The values, if nothing forbids to look at them now."""
        return None

    def places(self, x: Array, axis: int) -> Array:
        """0, 1, 2 and so on along an axis of x, in an array that broadcasts to x."""
        return self.along(self.xp.arange(x.shape[axis], device=x.device), x, axis)

    def along(self, row: Array, x: Array, axis: int) -> Array:
        """An array of one dimension as an axis of x, with all dimensions of x."""
        shape = [1] * x.ndim
        shape[axis] = -1
        return self.xp.reshape(row, tuple(shape))

    def size(self, x: Array, axis: int, dtype: Any) -> Any:
        """The number of elements along an axis of x: an array, if a trace would keep a number."""
        return x.shape[axis]

    def pick(self, x: Array, places: Array, axis: int, of_all: bool) -> Array:
        return self.xp.take_along_axis(x, places, axis=axis)

    def constant(self, x: Array) -> Array:
        """x, to which automatic differentiation does not go."""
        return x

    def index(self, x: Array) -> Array:
        """Integers in a dtype that has room for -1 and any size."""
        return self.cast(x, self.xp.int64)

    def row_value(self, problem: RowProblem) -> Array:
        """The loss."""
        (value,) = self.row_outputs(problem, gradient=False)
        return value

    def row_value_and_grad(self, problem: RowProblem) -> tuple[Array, Array]:
        """The loss, and the gradient of the reduced loss by the first array."""
        value, gradient = self.row_outputs(problem, gradient=True)
        return value, gradient

    def row_outputs(self, problem: RowProblem, *, gradient: bool) -> tuple[Array, ...]:
        """The value, and the gradient if it is wanted."""
        return self.formula_of_rows(problem, gradient=gradient)

    def formula_of_rows(
        self, problem: RowProblem, cotangent: Array | None = None, *, gradient: bool
    ) -> tuple[Array, ...]:
        """The same in the namespace's operations; the gradient times a cotangent, if given."""
        dtype = self._row_dtype(problem)
        where = self.aligned(problem, problem.where)
        labels, weights, factors = self._factors(problem, where, dtype)
        arguments: tuple[Any, ...] = ()
        if gradient:
            arguments = self._row_arguments(problem, labels, where, dtype)
            losses = getattr(row_formulas, f"{problem.loss}_value")(*arguments)
        else:
            losses = self.losses_of_rows(problem, labels, where, dtype)
        losses = self.cast(self.xp.squeeze(losses, axis=problem.axis), dtype)
        elements = Elements((losses,), [], weights, where)
        value = self.reduced(problem, elements, losses if factors is None else losses * factors)
        if not gradient:
            return (value,)
        slope = getattr(row_formulas, f"{problem.loss}_gradient")(*arguments)
        factors = self.xp.ones_like(losses) if factors is None else factors
        factors, _ = self.xp.broadcast_arrays(factors, losses)  # weights may have fewer dimensions
        factors = self.scaled(problem, elements, factors)
        if cotangent is not None:
            factors = factors * self.cast(cotangent, dtype)
        factors = self.xp.expand_dims(factors, axis=problem.axis)
        return value, self.cast(self.cast(slope, dtype) * factors, problem.dtype)

    def row_grad_and_hess(self, problem: RowProblem) -> tuple[Array, Array]:
        """The derivative by the first array, and that of each element's by itself."""
        _, gradient = self.row_value_and_grad(problem)
        return gradient, self.row_curvature(problem)

    def row_curvature(self, problem: RowProblem) -> Array:
        """The second derivative by each element of the first array, without a reduction."""
        dtype = self._row_dtype(problem)
        where = self.aligned(problem, problem.where)
        labels, _, factors = self._factors(problem, where, dtype)
        arguments = self._row_arguments(problem, labels, where, dtype)
        curvature = getattr(row_formulas, f"{problem.loss}_second_derivative")(*arguments)
        curvature = self.cast(curvature, dtype)
        if factors is not None:
            factors = self.aligned(problem, factors)
            curvature = curvature * self.xp.expand_dims(factors, axis=problem.axis)
        if where is not None:
            rows = self.xp.expand_dims(where, axis=problem.axis)
            curvature = self.xp.where(rows, curvature, 0.0)
        return self.cast(curvature, problem.dtype)

    def _factors(
        self, problem: RowProblem, where: Array | None, dtype: Any
    ) -> tuple[Array | None, Array | None, Array | None]:
        """Labels that are in range, the weights, and these times NaN for labels that were not."""
        labels, factors, weights = None, None, problem.weights
        if problem.labels is not None:
            labels, factors = self._labels(problem, where)
            factors = self.cast(factors, dtype)
        if weights is not None:
            is_number = self.is_number(weights)
            like = problem.arrays[0]
            weights = self.number(weights, dtype, like) if is_number else self.cast(weights, dtype)
            if where is not None:
                weights = self.xp.where(where, weights, 0.0)
            factors = weights if factors is None else factors * weights
        return labels, weights, factors

    def losses_of_rows(
        self, problem: RowProblem, labels: Array | None, where: Array | None, dtype: Any
    ) -> Array:
        """The loss of each row, of size 1 along the axis, as the labels have it."""
        arguments = self._row_arguments(problem, labels, where, dtype)
        return getattr(row_formulas, f"{problem.loss}_value")(*arguments)

    def _row_arguments(
        self, problem: RowProblem, labels: Array | None, where: Array | None, dtype: Any
    ) -> tuple[Any, ...]:
        """What the formulas take."""
        axis, exact = problem.axis, problem.loss in row_formulas.EXACT
        arrays = [self.cast(x, problem.dtype if exact else dtype) for x in problem.arrays]
        if where is not None:
            # Before the formula, as in Composed._elements.
            rows = self.xp.expand_dims(where, axis=axis)
            arrays = [self.xp.where(rows, x, 0.0) for x in arrays]
        if labels is not None:
            arrays.append(labels)
        return Along(self, axis), *arrays, *problem.parameters

    def _row_dtype(self, problem: RowProblem) -> Any:
        """The dtype of the computation."""
        xp, x, weights = self.xp, problem.arrays[0], problem.weights
        dtype = xp.result_type(xp.float32, problem.dtype)
        if dtype == problem.dtype:  # no half type
            dtype = xp.result_type(dtype, self.wide(x))
        if not (weights is None or self.is_number(weights)) and self.is_float(weights.dtype):
            dtype = xp.result_type(dtype, weights.dtype)
        return dtype

    def aligned(self, problem: RowProblem, x: Array | None) -> Array | None:
        """The mask, or another array, with all dimensions of the loss."""
        if x is not None:
            for _ in range(len(problem.shape) - len(self.shape(x))):
                x = self.xp.expand_dims(x, axis=0)
        return x

    def _labels(self, problem: RowProblem, where: Array | None) -> tuple[Array, Array]:
        """Class indices that are in range, of size 1 along the axis, and factors of the loss.

        These are NaN where the index was not in range.
        """
        labels, axis = self.index(problem.labels), problem.axis
        if where is not None:
            labels = self.xp.where(where, labels, 0)
        labels = self.xp.expand_dims(labels, axis=axis)
        classes = self.size(problem.arrays[0], axis, labels.dtype)
        valid = self.xp.logical_and(labels >= 0, labels < classes)
        factors = self.xp.where(valid, self.number(1.0, problem.dtype, labels), math.nan)
        return self.constant(self.xp.where(valid, labels, 0)), self.xp.squeeze(factors, axis=axis)


class RowsInNumPy(InNumPy, RowWise):
    """For namespaces that compute with NumPy, again without its warnings."""

    row_value = np.errstate(all="ignore")(RowWise.row_value)
    row_value_and_grad = np.errstate(all="ignore")(RowWise.row_value_and_grad)
    row_curvature = np.errstate(all="ignore")(RowWise.row_curvature)
