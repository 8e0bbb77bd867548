"""Losses of rows on JAX arrays: what `custom_call` asks of them (src/bridges/xla/rows.cpp)."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from ..._problem import REDUCTIONS, Array, Problem
from ..formulas import Formulas
from .arrays import ARRAYS
from .custom_call import DTYPES, JaxOperation, mask
from .derivatives import directional_derivative, has_tangent, widened
from .numbers import NUMBERS, PARAMETERS, Number
from .plan import Plan

_OUTPUTS = ("value", "gradient")
_OF_ELEMENTS = ("inputs", "targets", "gradient")  # they have the dimension of a row's elements


@dataclass(frozen=True, slots=True)
class RowPlan(Plan):
    """A computation of rows; its axes are those of the loss."""

    axis: int  # along which rows lie, counted from the end


class RowOperation(JaxOperation):
    """The losses of rows that have a kernel, of labels or of a target for each element."""

    target = "lossless_rows"
    operands = (
        "inputs", "labels", "targets", "weights", "where", "cotangent",
        *PARAMETERS[:2],  # most_row_parameters in src/kernels/engine/job.h
        NUMBERS,
    )  # fmt: skip

    def __init__(self, capsule: Any, formulas: Formulas) -> None:
        super().__init__(capsule)
        self._formulas = formulas

    def outputs(self, problem: Problem) -> tuple[Array, ...]:
        """The value, and the gradient if it is wanted, for arrays as users give them."""
        inputs, *targets = problem.operands
        options = {"weights": problem.weights}
        options |= zip(PARAMETERS, problem.parameters, strict=False)
        numbers = {name: x for name, x in options.items() if isinstance(x, Number)}
        has_arrays = problem.weights is not None and "weights" not in numbers
        given = {
            "inputs": ARRAYS.cast(inputs, problem.dtype),
            "labels": None if problem.labels is None else self._labels(problem.labels),
            "targets": self._float(targets[0]) if targets else None,
            "weights": self._weights(problem) if has_arrays else None,
            "where": self._formulas.rows.aligned(problem, problem.where),
            NUMBERS: next((x.operand for x in numbers.values()), None),
        }
        arrays = {name: x for name, x in given.items() if x is not None}
        plan = RowPlan(
            problem.loss,
            problem.outputs,
            problem.reduction,
            problem.axes if problem.reduction != "none" else (),
            problem.dtype,
            tuple(numbers),
            tuple(arrays),
            problem.axis,
        )
        return self(plan, *arrays.values())

    def _weights(self, problem: Problem) -> Array:
        """With all dimensions of the loss."""
        weights = self._float(problem.weights)
        return jax.lax.expand_dims(weights, range(len(problem.shape) - weights.ndim))

    def _labels(self, x: Array) -> Array:
        """In a dtype that the kernel reads."""
        return x if x.dtype in (jnp.int32, jnp.int64) else ARRAYS.index(x)

    def _float(self, x: Array) -> Array:
        if ARRAYS.is_float(x.dtype):
            return x
        return ARRAYS.cast(x, ARRAYS.default_float(None))

    def formula(self, plan: RowPlan, *arrays: Array) -> tuple[Array, ...]:
        sizes, places, _ = self.layout(plan, arrays)
        given, numbers = plan.given(arrays)
        given = {
            name: jnp.broadcast_to(x, [sizes[d] for d in dimensions])
            for (name, x), dimensions in zip(given.items(), places, strict=False)
        }
        names = PARAMETERS[: len(plan.loss.parameters)]
        shape = tuple(sizes[d] for d in self.dimensions(plan, "where", len(sizes)))
        outer = len(shape) - len(plan.axes)
        problem = Problem(
            plan.loss,
            tuple(given[name] for name in ("inputs", "targets") if name in given),
            tuple(numbers.get(name, 0.0) for name in names),  # 0 is no operand
            numbers.get("weights", given.get("weights")),
            given.get("where"),
            shape,
            plan.dtype,
            plan.reduction,
            tuple(range(outer, len(shape))),
            plan.outputs,
            given.get("labels"),
            plan.axis,
        )
        return self._formulas.rows.run(problem, given.get("cotangent"))

    def dimensions(self, plan: RowPlan, name: str, every: int) -> list[int]:
        if name in _OF_ELEMENTS:
            return list(range(every))
        rows = [d for d in range(every) if d != every + plan.axis]
        return [d for i, d in enumerate(rows) if name != "value" or i not in plan.axes]

    def unshardable_dims(self, plan: RowPlan, every: int) -> list[int]:
        return [every + plan.axis]

    def description(self, plan: RowPlan, every: int) -> list[int]:
        return [
            plan.loss.kernel_index,
            DTYPES.index(plan.dtype.name),
            REDUCTIONS.index(plan.reduction),
            mask(_OUTPUTS.index(output) for output in plan.outputs),
            every + plan.axis,
            0 if plan.reduction == "none" else every - 1 - len(plan.axes),
            mask(self.operands.index(name) for name in plan.arrays if name != NUMBERS),
            mask(map(self.operands.index, plan.numbers)),
        ]

    def jvp(self, plan: RowPlan, primals: Any, tangents: Any) -> Any:
        """The gradient with respect to the inputs from the kernel, all else from the formula."""
        active = has_tangent(tangents)
        options = [
            place
            for place, name in enumerate(plan.arrays)
            if active[place] and name in ("targets", "weights", "cotangent")
        ]
        outputs = plan.outputs
        if active[0] and outputs == ("value",) and plan.reduction != "none":
            outputs = _OUTPUTS  # of one pass
        computed = dict(zip(outputs, self(replace(plan, outputs=outputs), *primals), strict=True))
        changes = self.by_formula(plan, primals, tangents, options)
        for i, output in enumerate(plan.outputs if active[0] else ()):
            if output == "value":
                slopes = [computed["gradient"]] if "gradient" in computed else []
                change = directional_derivative(self, plan, widened(tangents[0]), *slopes, *primals)
            else:
                only = replace(plan, outputs=(output,))
                (change,) = self.by_formula(only, primals, tangents, [0])
            changes[i] = change if changes[i] is None else changes[i] + change
        return self.changed([computed[output] for output in plan.outputs], changes)
