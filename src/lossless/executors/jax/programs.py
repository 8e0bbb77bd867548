"""Calls on JAX arrays: programs, compiled as one.

What a call is to compute is a `Plan`, known while tracing, of arrays, which are not. An un-jitted
call is jitted here, since JAX would dispatch its operations one by one; inside of a program that
JAX traces, the same function is a part of that program.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from ..._problem import VALUE_AND_GRADIENT, Array, Problem
from ..._spec import RowLossSpec
from ..executor import FORMULAS, Promise, Simple
from ..formulas import Formulas, with_outputs
from .arrays import ARRAYS
from .numbers import NUMBERS, PARAMETERS, packed, unpacked, with_numbers
from .plan import Plan
from .shortcuts import SimpleCalls


class Programs:
    """Programs of JAX's own operations, which it differentiates and partitions itself."""

    name: str = FORMULAS
    device: str = "any"
    limits: str = "nothing"
    # XLA's elementary functions are coarser, and its code takes subnormal numbers for 0.
    promise: Promise = Promise(first=16.0, terms=2.0**-20, flushes_inputs=True)

    def __init__(self) -> None:
        self.formulas = Formulas(ARRAYS)
        self.simple: Simple = SimpleCalls(self.traced)
        self._jitted = jax.jit(self.traced, static_argnums=0, inline=True)
        # A few are kept: some numbers are part of the plan.
        self._program_of_rows = functools.lru_cache(maxsize=64)(self._jitted_rows)

    def idle(self) -> str | None:
        return None

    def refuses(self, problem: Problem) -> str | None:
        return None

    def run(self, problem: Problem) -> tuple[Array, ...]:
        if isinstance(problem.loss, RowLossSpec):
            return self._run_rows(problem)
        options = dict(zip(PARAMETERS, problem.parameters, strict=False))
        options |= {"weights": problem.weights, "where": problem.where}
        numbers = {name: x for name, x in options.items() if isinstance(x, float)}
        arrays = {"inputs": problem.inputs, "targets": problem.targets}
        arrays |= {k: x for k, x in options.items() if x is not None and k not in numbers}
        operands = *arrays.values(), *packed(problem.loss, numbers)
        plan = Plan(
            problem.loss,
            problem.outputs,
            problem.reduction,
            problem.axes if problem.reduction != "none" else (),
            problem.dtype,
            tuple(numbers),
            with_numbers(arrays, numbers),
        )
        results: tuple[Array, ...] = self._jitted(plan, *operands)
        return results

    def traced(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        """The outputs of a plan, for arrays as users give them."""
        shape = jnp.broadcast_shapes(arrays[0].shape, arrays[1].shape)
        scalar_inputs = arrays[0].ndim < len(shape)
        aligned = [
            x
            if name == NUMBERS
            else jax.lax.expand_dims(_float(name, x, plan), range(len(shape) - x.ndim))
            for name, x in zip(plan.arrays, arrays, strict=True)
        ]
        if not (scalar_inputs and plan.outputs == VALUE_AND_GRADIENT):
            return self.compute(plan, *aligned)
        # One number against an array: its gradient is a sum.
        (value,) = self.compute(replace(plan, outputs=("value",)), *aligned)
        wide = replace(plan, outputs=("gradient",), dtype=ARRAYS.wide(aligned[0]))
        (slopes,) = self.compute(wide, *aligned)
        return value, ARRAYS.cast(jnp.sum(slopes), plan.dtype)

    def compute(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        """The outputs of a plan, for arrays with all dimensions."""
        return self.by_formula(plan, *arrays)

    def by_formula(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        """The same in JAX's own operations."""
        given, numbers = plan.given(arrays)
        shape = jnp.broadcast_shapes(*(x.shape for x in given.values()))
        options = given | numbers
        names = PARAMETERS[: len(plan.loss.parameters)]
        problem = Problem(
            plan.loss,
            (given["inputs"], given["targets"]),
            tuple(options[name] for name in names),
            options.get("weights"),
            given.get("where"),
            shape,
            plan.dtype,
            plan.reduction,
            plan.axes,
            plan.outputs,
        )
        outer = tuple(n for axis, n in enumerate(shape) if axis not in plan.axes)
        results = self.formulas.run_elements(problem, given.get("cotangent"))
        return tuple(
            jnp.broadcast_to(x, outer if output == "value" else shape)
            for output, x in zip(plan.outputs, results, strict=True)
        )

    def _run_rows(self, problem: Problem) -> tuple[Array, ...]:
        results: dict[str, Array] = {}
        if "gradient" in problem.outputs:
            results["value"], results["gradient"] = self._of_rows(
                with_outputs(problem, *VALUE_AND_GRADIENT)
            )
        for output in problem.outputs:
            if output not in results:
                (results[output],) = self._of_rows(with_outputs(problem, output))
        return tuple(results[output] for output in problem.outputs)

    def _of_rows(self, problem: Problem) -> tuple[Array, ...]:
        numbers = {"weights": problem.weights} if isinstance(problem.weights, float) else {}
        weights = None if numbers else problem.weights
        parameters: list[Any] = list(problem.parameters)
        for place, parameter in enumerate(problem.loss.parameters):
            if not parameter.selects and (x := parameters[place]):
                numbers[PARAMETERS[place]], parameters[place] = x, None
        operands = (problem.operands, problem.labels, weights, problem.where)
        plan = replace(
            problem, operands=(), labels=None, parameters=tuple(parameters), weights=None,
            where=None,
        )  # fmt: skip
        program = self._program_of_rows(plan, tuple(numbers))
        results: tuple[Array, ...] = program(*operands, *packed(problem.loss, numbers))
        return results

    def _jitted_rows(self, plan: Problem, numbers: tuple[str, ...]) -> Any:
        return jax.jit(functools.partial(self._traced_rows, plan, numbers), inline=True)

    def _traced_rows(
        self, plan: Problem, names: tuple[str, ...], *arguments: Any
    ) -> tuple[Array, ...]:
        """The outputs of a problem, for arrays as users give them, and numbers of these names."""
        operands, labels, weights, where, *known = arguments
        numbers = unpacked(names, *known)
        weights = numbers.get("weights", weights)
        parameters = tuple(
            numbers.get(name, x) for name, x in zip(PARAMETERS, plan.parameters, strict=False)
        )
        axis = plan.axis
        spread = jax.typeof(operands[0]).sharding.spec
        operands = tuple(_with_whole_rows(x, axis) for x in operands)
        problem = replace(
            plan, operands=operands, labels=labels, parameters=parameters, weights=weights,
            where=where,
        )  # fmt: skip
        return tuple(
            jax.sharding.reshard(x, spread) if output != "value" and spread[axis] is not None else x
            for output, x in zip(plan.outputs, self.compute_rows(problem), strict=True)
        )

    def compute_rows(self, problem: Problem) -> tuple[Array, ...]:
        """The outputs of a problem, inside of a program."""
        return self.formulas.rows.run(problem)


def _float(name: str, x: Array, plan: Plan) -> Array:
    """The array in a dtype that the computation takes."""
    if name in ("inputs", "targets"):
        return ARRAYS.cast(x, plan.dtype)
    if name == "where" or ARRAYS.is_float(x.dtype):
        return jnp.asarray(x)
    return ARRAYS.cast(x, ARRAYS.default_float(None))


def _with_whole_rows(x: Array, axis: int) -> Array:
    """Not spread along the axis over a mesh whose axes are explicit, where formulas may not be."""
    spread = list(jax.typeof(x).sharding.spec)
    if spread[axis] is None:
        return x
    spread[axis] = None
    return jax.sharding.reshard(x, PartitionSpec(*spread))
