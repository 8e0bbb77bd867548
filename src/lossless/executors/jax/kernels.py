"""The kernels on JAX arrays: custom calls in programs, and what `custom_call` asks of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._problem import REDUCTIONS, VALUE, Array, Problem
from ..._spec import LOSSES, LossSpec, RowLossSpec
from ..executor import KERNELS, Promise
from .custom_call import DTYPES, JaxOperation, mask
from .derivatives import derivative_in_operations, directional_derivative, has_tangent, widened
from .numbers import NUMBERS, PARAMETERS, packed, with_numbers
from .plan import Plan
from .programs import Programs
from .rows import RowOperation

# Places in the masks of the attribute `plan`: src/bridges/xla/module.cpp.
_OUTPUTS = ("value", "gradient", "second_derivative")


class KernelPrograms(Programs):
    """Programs with custom calls where they run on CPUs."""

    name: str = KERNELS
    device: str = "CPU"
    promise: Promise = Promise(correctly_rounded=True)
    limits: str = (
        "losses that have no kernel; where a program runs on another device, it holds the formula"
    )

    def __init__(self, bridge: Any) -> None:
        super().__init__()
        self._elements = ElementOperation(bridge.handler, self)
        self._rows = RowOperation(bridge.rows_handler, self.formulas)

    def refuses(self, problem: Problem) -> str | None:
        return None if problem.loss.has_kernel else f"{problem.loss.name} has no kernel"

    def probe(self) -> None:
        """Compute something: a version of JAX may call or do something otherwise.

        In a thread of its own: the first array may come while JAX traces, or inside of a mesh.
        """
        loss = next(x for x in LOSSES.values() if type(x) is LossSpec and x.has_kernel)
        of_rows = next(x for x in LOSSES.values() if isinstance(x, RowLossSpec) and x.has_kernel)
        half = np.full(3, 0.5, np.float32)
        numbers = dict.fromkeys(PARAMETERS[: len(loss.parameters)], 1.0)
        arrays = with_numbers(("inputs", "targets"), numbers)
        plan = Plan(loss, VALUE, "mean", (0,), half.dtype, tuple(numbers), arrays)
        label = np.zeros((), np.int32)

        def program(x: Array, label: Array) -> tuple[Array, ...]:
            zeros = (0.0,) * len(of_rows.parameters)
            row = Problem(
                of_rows, (x,), zeros, None, None, (), half.dtype, "sum", (), VALUE, label, -1
            )
            (element,) = self.compute(plan, x, -x, *packed(loss, numbers))
            return element, *self.compute_rows(row)

        def results() -> tuple[Array, ...]:
            with jax.default_device(jax.devices("cpu")[0]):
                return tuple(map(np.asarray, jax.jit(program)(half, label)))

        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(results).result()
        if not np.isfinite(found).all():
            raise RuntimeError(f"losses came out as {found}")

    def compute(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        return self._elements(plan, *arrays)

    def compute_rows(self, problem: Problem) -> tuple[Array, ...]:
        if "second_derivative" in problem.outputs:
            return super().compute_rows(problem)
        return self._rows.outputs(problem)


class ElementOperation(JaxOperation):
    """The element-wise losses (src/bridges/xla/module.cpp)."""

    target = "lossless"
    operands = (
        "inputs", "targets", "parameter 0", "parameter 1", "weights", "where", "cotangent",
        NUMBERS,
    )  # fmt: skip

    def __init__(self, capsule: Any, programs: Programs) -> None:
        super().__init__(capsule)
        self._programs = programs

    def formula(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        return self._programs.by_formula(plan, *arrays)

    def dimensions(self, plan: Plan, name: str, every: int) -> list[int]:
        return [d for d in range(every) if name != "value" or d not in plan.axes]

    def description(self, plan: Plan, every: int) -> list[Any]:
        return [
            plan.loss.kernel_index,
            DTYPES.index(plan.dtype.name),
            REDUCTIONS.index(plan.reduction),
            mask(_OUTPUTS.index(output) for output in plan.outputs),
            mask(plan.axes),
            mask(self.operands.index(name) for name in plan.arrays if name != NUMBERS),
            mask(map(self.operands.index, plan.numbers)),
        ]

    def jvp(self, plan: Plan, primals: Any, tangents: Any) -> Any:
        """Derivatives by inputs and targets from the kernels, what remains from the formulas."""
        active = has_tangent(tangents)
        slopes = 2 if plan.loss.uses_difference_only else 1  # of which operands kernels know them
        residuals = [place for place in range(slopes) if active[place]]
        options = [
            place
            for place in range(slopes, len(active))
            if active[place] and plan.arrays[place] not in ("where", NUMBERS)
        ]
        outputs = plan.outputs
        if residuals and outputs == ("value",) and plan.reduction != "none":
            outputs = "value", "gradient"  # of one pass
        computed = dict(zip(outputs, self(replace(plan, outputs=outputs), *primals), strict=True))
        changes = self.by_formula(plan, primals, tangents, options)
        for i, output in enumerate(plan.outputs if residuals else ()):
            if output == "second_derivative":
                only = replace(plan, outputs=(output,))
                (change,) = self.by_formula(only, primals, tangents, residuals)
            elif output == "gradient":
                second = computed.get("second_derivative")
                if second is None:
                    only = replace(plan, outputs=("second_derivative",))
                    (second,) = self(only, *primals)
                along = widened(second) * self._direction(plan, primals, tangents, residuals)
                change = jax.lax.convert_element_type(along, plan.dtype)
            else:
                change = self._of_value(plan, primals, tangents, residuals, computed)
            changes[i] = change if changes[i] is None else changes[i] + change
        return self.changed([computed[output] for output in plan.outputs], changes)

    def _of_value(
        self, plan: Plan, primals: Any, tangents: Any, residuals: list[int], computed: Any
    ) -> Array:
        """The change of the value by that of inputs and targets."""
        shape, _, _ = self.layout(plan, primals)
        slopes = [computed["gradient"]] if "gradient" in computed else []
        total: Any = None
        # The gradient by an operand that repeats is a sum: of numbers that are not yet rounded.
        for repeats, function in (
            (False, directional_derivative),
            (True, derivative_in_operations),
        ):
            some = [i for i in residuals if (tangents[i].shape != tuple(shape)) == repeats]
            if some:
                direction = self._direction(plan, primals, tangents, some)
                change = function(self, plan, direction, *slopes, *primals)
                total = change if total is None else total + change
        return total

    def _direction(self, plan: Plan, primals: Any, tangents: Any, residuals: list[int]) -> Array:
        """The change of the residuals, by that of inputs and targets."""
        change, *others = (
            -widened(tangents[place]) if place else widened(tangents[place]) for place in residuals
        )
        for other in others:
            change = change + other
        return jnp.broadcast_to(change, self.layout(plan, primals)[0])
