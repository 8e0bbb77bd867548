"""What the backends without kernels have in common: the computation by formulas, anywhere.

Half types are computed in float32, sums in float64 where the arrays have it, and each result is
rounded to the dtype of the call at the end.
"""

import functools
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import formulas
from .._losses import LOSSES, NOT_NEGATIVE, POSITIVE, THRESHOLDS
from .base import Array

if TYPE_CHECKING:
    from .._call import Problem
    from .._rows import RowProblem


def threshold_in_float32(x: float, up: bool) -> float:
    """Rounded as `Composed.threshold` says."""
    rounded = np.float32(x)  # float32 against x would compare in float32
    if up and float(rounded) < x:
        rounded = np.nextafter(rounded, np.float32(math.inf))
    elif not up and x < float(rounded) < math.inf:
        rounded = np.nextafter(rounded, np.float32(0))
    return float(rounded)


@dataclass(slots=True)
class Elements:
    """The arrays of a problem in the dtype of the computation; masked-out places are harmless."""

    operands: tuple[Array, ...]  # the residual, or inputs and targets where not only that counts
    parameters: list[Array]
    weights: Array | None
    where: Array | None


class Composed:
    """The three results of a `Backend`, in the array operations of the namespace `xp`.

    The methods up to `value` are what namespaces do differently.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def shape(self, x: Array) -> tuple[int, ...]:
        return x.shape  # type: ignore[no-any-return]

    def is_float(self, dtype: Any) -> bool:
        """Whether it is one of the real floating-point dtypes."""
        return bool(self.xp.isdtype(dtype, "real floating"))

    def is_number(self, x: Any) -> bool:
        """Whether an option is one, and no array, whose values may be anything."""
        return isinstance(x, float)

    def cast(self, x: Array, dtype: Any) -> Array:
        return self.xp.astype(x, dtype, copy=False)

    def number(self, x: float, dtype: Any, like: Array | None) -> Array:
        """An array of no dimensions, on the device of another one."""
        return self.xp.asarray(x, dtype=dtype, device=None if like is None else like.device)

    def wide(self, x: Array) -> Any:
        """The dtype of totals of x: float64 if there is one."""
        return getattr(self.xp, "float64", x.dtype)

    def total(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        return self.xp.sum(self.cast(x, self.wide(x)), axis=axes, keepdims=keepdims)

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """The number of elements along these axes, in the dtype of their total."""
        if any(x.shape[axis] is None for axis in axes):  # as lazy arrays may say
            return self.total(self.xp.ones_like(x), axes, keepdims)
        return self.number(math.prod(x.shape[axis] for axis in axes), self.wide(x), x)

    def threshold(self, x: float, dtype: Any, like: Array, up: bool = False) -> Array:
        """Towards 0, so that a number of this dtype is <= the result only if it is <= x.

        Or `up`, so that it is < the result only if it is < x.
        """
        if dtype == self.xp.float32:
            x = threshold_in_float32(x, up)
        return self.number(x, dtype, like)

    def value(self, problem: "Problem") -> Array:
        """The loss."""
        elements = self._elements(problem)
        return self._value(problem, elements)

    def value_and_grad(self, problem: "Problem") -> tuple[Array, Array]:
        """The loss, and the gradient of the reduced loss in the shape of the inputs."""
        elements = self._elements(problem)
        if problem.shape and not problem.inputs.shape:  # one number against an array
            wide = self.wide(elements.operands[0])
            slopes = self._derivative("gradient", problem, elements, wide)
            slope = self.total(slopes, tuple(range(len(problem.shape))))
        else:
            slope = self._derivative("gradient", problem, elements)
        return self._value(problem, elements), self.cast(slope, problem.dtype)

    def grad_and_hess(self, problem: "Problem") -> tuple[Array, Array]:
        """The element-wise derivatives."""
        elements = self._elements(problem)
        first, second = (
            self._derivative(output, problem, elements)
            for output in ("gradient", "second_derivative")
        )
        return self.cast(first, problem.dtype), self.cast(second, problem.dtype)

    def _elements(self, problem: "Problem") -> Elements:
        xp, where = self.xp, problem.where
        options = [
            x
            for x in (*problem.parameters, problem.weights)
            if x is not None and not self.is_number(x)
        ]
        floats = (x.dtype for x in options if self.is_float(x.dtype))
        # One after the other: float16 and bfloat16 may promote to float32 only by way of it.
        dtype = functools.reduce(xp.result_type, floats, xp.result_type(xp.float32, problem.dtype))
        first, *others = self._operands(problem, dtype)
        parameters = []
        for name, x in zip(LOSSES[problem.loss].parameters, problem.parameters, strict=True):
            if self.is_number(x):
                if name in THRESHOLDS:
                    parameters.append(self.threshold(x, dtype, first, THRESHOLDS[name] == "<"))
                else:
                    parameters.append(self.number(x, dtype, first))
                continue
            parameter = self.cast(x, dtype)
            if name in POSITIVE or name in NOT_NEGATIVE:
                good = x > 0 if name in POSITIVE else x >= 0
                # Added, not selected: automatic differentiation, too, then finds NaN there.
                first = first + xp.where(good, xp.zeros_like(parameter), math.nan)
                parameter = xp.where(good, parameter, 1.0)
            elif where is not None:
                parameter = xp.where(where, parameter, 1.0)
            parameters.append(parameter)
        weights = problem.weights
        if self.is_number(weights):
            weights = self.number(weights, dtype, first)
        elif weights is not None:
            weights = self.cast(weights, dtype)
        operands = (first, *others)
        if where is not None:
            # Before the formula: afterwards it would be too late for its derivatives, which are
            # multiplied by 0 there, in vain if they are NaN or infinite.
            operands = tuple(xp.where(where, x, 0.0) for x in operands)
            weights = None if weights is None else xp.where(where, weights, 0.0)
        return Elements(operands, parameters, weights, where)

    def _operands(self, problem: "Problem", dtype: Any) -> tuple[Array, ...]:
        """What the formula of a loss takes, in the shape of the losses."""
        inputs, targets = self.cast(problem.inputs, dtype), self.cast(problem.targets, dtype)
        if LOSSES[problem.loss].of_residual:
            return (inputs - targets,)
        if self.shape(inputs) != self.shape(targets):  # a number, perhaps of size 1, and an array
            inputs, targets = self.xp.broadcast_arrays(inputs, targets)
        return inputs, targets

    def _formula(
        self, output: str, problem: "Problem", elements: Elements, dtype: Any = None
    ) -> Array:
        """The output of each element, weighted, in a wider dtype if one is given."""
        formula = getattr(formulas, f"{problem.loss}_{output}")
        result = formula(self.xp, *elements.operands, *elements.parameters)
        if dtype is not None:
            result = self.cast(result, dtype)
        return result if elements.weights is None else result * elements.weights

    def _derivative(
        self, output: str, problem: "Problem", elements: Elements, dtype: Any = None
    ) -> Array:
        """A derivative of the reduced loss by each residual."""
        return self.scaled(problem, elements, self._formula(output, problem, elements, dtype))

    def scaled(self, problem: "Problem | RowProblem", elements: Elements, result: Array) -> Array:
        """Derivatives of each loss, as those of the reduced one."""
        if problem.reduction in ("mean", "weighted_mean"):
            divisor = self._divisor(problem, elements, keepdims=True)
            empty = divisor == 0
            # Not multiplied by NaN, for the same reason as in reduced.
            scale = 1.0 / self.xp.where(empty, 1.0, divisor)
            result = self.xp.where(empty, math.nan, result * self.cast(scale, result.dtype))
        return self._selected(elements, result)

    def _selected(self, elements: Elements, x: Array) -> Array:
        return x if elements.where is None else self.xp.where(elements.where, x, 0.0)

    def _value(self, problem: "Problem", elements: Elements) -> Array:
        return self.reduced(problem, elements, self._formula("value", problem, elements))

    def reduced(self, problem: "Problem | RowProblem", elements: Elements, losses: Array) -> Array:
        """The result of these losses, in the dtype of the call."""
        losses = self._selected(elements, losses)
        if problem.reduction != "none":
            losses = self.total(losses, problem.axes)
        if problem.reduction in ("mean", "weighted_mean"):
            divisor = self._divisor(problem, elements)
            empty = divisor == 0
            # Not divided by NaN: automatic differentiation would carry that past the mask.
            mean = losses / self.xp.where(empty, 1.0, divisor)
            losses = self.xp.where(empty, math.nan, mean)
        return self.cast(losses, problem.dtype)

    def _divisor(
        self, problem: "Problem | RowProblem", elements: Elements, keepdims: bool = False
    ) -> Array:
        """What a mean divides by."""
        like, parts = elements.operands[0], elements.weights
        if problem.reduction == "mean" or parts is None:
            parts = elements.where
        if parts is None:
            return self.count(like, problem.axes, keepdims)
        parts, _ = self.xp.broadcast_arrays(self.cast(parts, like.dtype), like)
        return self.total(parts, problem.axes, keepdims)


def warn_of_fallback(arrays: str, why: str) -> None:
    """Say once, when a backend is loaded, that it has no kernels."""
    warnings.warn(
        f"lossless: {arrays} are served by composed formulas, less exact and slower on CPUs than "
        f"the native kernels: {why}",
        RuntimeWarning,
        stacklevel=3,
    )


class InNumPy(Composed):
    """For namespaces that compute with NumPy: without its warnings, as the result says it all."""

    value = np.errstate(all="ignore")(Composed.value)
    value_and_grad = np.errstate(all="ignore")(Composed.value_and_grad)
    grad_and_hess = np.errstate(all="ignore")(Composed.grad_and_hess)
