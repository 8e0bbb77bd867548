"""The losses by their formulas: array operations, on any device and under any transform.

Half types are computed in float32, sums in float64 where the arrays have it, and each result is
rounded to the dtype of the call at the end.
"""

from __future__ import annotations

import functools
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._problem import VALUE_AND_GRADIENT, Array, Problem
from .._spec import Parameter, RowLossSpec
from .arrays import Arrays
from .executor import FORMULAS, Promise, Simple
from .reductions import Reductions, Shares
from .rows import RowFormulas


@dataclass(slots=True)
class PreparedInputs:
    """The arrays of a problem in the dtype of the computation; masked-out places are harmless."""

    operands: tuple[Array, ...]  # the residual, or inputs and targets where not only that counts
    parameters: list[Array]
    shares: Shares


class Formulas:
    """All losses, all outputs."""

    name: str = FORMULAS
    device: str = "any"
    limits: str = "nothing"
    promise: Promise = Promise()
    simple: Simple | None = None

    def __init__(self, arrays: Arrays) -> None:
        self.arrays: Arrays = arrays
        self.reductions: Reductions = Reductions(arrays)
        self.rows: RowFormulas = RowFormulas(arrays)

    def idle(self) -> str | None:
        return None

    def refuses(self, problem: Problem) -> str | None:
        return None

    def run(self, problem: Problem) -> tuple[Array, ...]:
        with self.context(problem):
            if isinstance(problem.loss, RowLossSpec):
                return self.rows.run(problem)
            if problem.outputs == VALUE_AND_GRADIENT and is_number_against_array(problem):
                return self._with_summed_gradient(problem)
            return self.run_elements(problem)

    def context(self, problem: Problem) -> AbstractContextManager[Any]:
        """In which the formulas run."""
        return nullcontext()

    def run_elements(self, problem: Problem, cotangent: Array | None = None) -> tuple[Array, ...]:
        """The outputs; derivatives times the cotangent, which has all dimensions."""
        prepared = self._prepare(problem)
        results = []
        for output in problem.outputs:
            if output == "value":
                losses = self._formula(output, problem, prepared)
                results.append(self.reductions.value(problem, losses, prepared.shares))
                continue
            result = self._derivative(output, problem, prepared)
            if cotangent is not None:
                result = result * self.arrays.cast(cotangent, result.dtype)
            results.append(self.arrays.cast(result, problem.dtype))
        return tuple(results)

    def _with_summed_gradient(self, problem: Problem) -> tuple[Array, Array]:
        """The gradient with respect to one number against an array is a sum."""
        prepared = self._prepare(problem)
        wide = self.arrays.wide(prepared.operands[0])
        slopes = self._derivative("gradient", problem, prepared, wide)
        slope = self.arrays.total(slopes, tuple(range(len(problem.shape))))
        losses = self._formula("value", problem, prepared)
        value = self.reductions.value(problem, losses, prepared.shares)
        return value, self.arrays.cast(slope, problem.dtype)

    def _prepare(self, problem: Problem) -> PreparedInputs:
        arrays, where, weights = self.arrays, problem.where, problem.weights
        xp = arrays.xp
        options = [
            x for x in (*problem.parameters, weights) if x is not None and not arrays.is_number(x)
        ]
        dtype = arrays.computed_in(problem.dtype, options)
        first, *others = self._operands(problem, dtype)
        parameters = []
        for parameter, x in zip(problem.loss.parameters, problem.parameters, strict=True):
            if arrays.is_number(x):
                if parameter.threshold:
                    up = parameter.threshold == "<"
                    parameters.append(arrays.threshold(x, dtype, first, up))
                else:
                    parameters.append(arrays.number(x, dtype, first))
                continue
            x = arrays.cast(x, dtype)
            if parameter.bounds:
                good = in_range(xp, parameter, x)
                # Added, not selected: automatic differentiation, too, then finds NaN there.
                first = first + xp.where(good, xp.zeros_like(x), math.nan)
                x = xp.where(good, x, parameter.inside)
            elif where is not None:
                x = xp.where(where, x, 1.0)
            parameters.append(x)
        if arrays.is_number(weights):
            weights = arrays.number(weights, dtype, first)
        elif weights is not None:
            weights = arrays.cast(weights, dtype)
        operands = (first, *others)
        if where is not None:
            # Before the formula: afterwards it would be too late for its derivatives, which are
            # multiplied by 0 there, in vain if they are NaN or infinite.
            operands = tuple(xp.where(where, x, 0.0) for x in operands)
            weights = None if weights is None else xp.where(where, weights, 0.0)
        return PreparedInputs(operands, parameters, Shares(operands[0], weights, where))

    def _operands(self, problem: Problem, dtype: Any) -> tuple[Array, ...]:
        """What the formula of a loss takes, in the shape of the losses."""
        inputs, targets = (self.arrays.cast(x, dtype) for x in problem.operands)
        if problem.loss.uses_difference_only:
            return (inputs - targets,)
        return tuple(self.arrays.of_one_shape(inputs, targets))

    def _formula(
        self, output: str, problem: Problem, prepared: PreparedInputs, dtype: Any = None
    ) -> Array:
        """The output of each element, weighted, in a wider dtype if one is given."""
        formula = getattr(problem.loss, output)
        result = formula(self.arrays.xp, *prepared.operands, *prepared.parameters)
        if dtype is not None:
            result = self.arrays.cast(result, dtype)
        weights = prepared.shares.weights
        return result if weights is None else result * weights

    def _derivative(
        self, output: str, problem: Problem, prepared: PreparedInputs, dtype: Any = None
    ) -> Array:
        """A derivative of the reduced loss with respect to each residual."""
        result = self._formula(output, problem, prepared, dtype)
        return self.reductions.derivative(problem, result, prepared.shares)


class QuietFormulas(Formulas):
    """For namespaces that compute with NumPy: without its warnings, as the result says it all."""

    def context(self, problem: Problem) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")


def is_number_against_array(problem: Problem) -> bool:
    """Whether the inputs are one number, whose gradient is a sum."""
    return len(problem.inputs.shape) < len(problem.shape)


def in_range(xp: Any, parameter: Parameter, x: Array) -> Array:
    """Where an array is within the bounds of a parameter."""
    tests = (test(x, bound) for _, test, bound in parameter.bounds)
    return functools.reduce(xp.logical_and, tests)


def with_outputs(problem: Problem, *outputs: str) -> Problem:
    """The same problem with other outputs."""
    return replace(problem, outputs=outputs)
