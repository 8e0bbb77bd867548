"""The kernels on JAX arrays: the backend, and what `jax_layers` asks of element-wise losses."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._call import REDUCTIONS
from ..._losses import LOSSES
from ..._rows import RowProblem
from ..base import Array
from ..rows import HAVE_KERNELS
from .custom_call import DTYPES, Layers, mask
from .derivatives import moves, of_value, product, widened
from .formulas import Formulas, Plan
from .numbers import NUMBERS, PARAMETERS, packed, with_numbers
from .rows import Rows

# Places in the masks of the attribute `plan`: Plan in src/bridges/xla/module.cpp.
_OUTPUTS = ("value", "gradient", "second_derivative")


class Kernels(Formulas):
    """The formulas' backend, with custom calls where a program runs on CPUs."""

    def __init__(self, namespace: Any, bridge: Any) -> None:
        super().__init__(namespace)
        self._element_wise = ElementWise(bridge.handler, self)
        self._rows = Rows(bridge.rows_handler, self)

    def probe(self) -> None:
        """Compute something: a version of JAX may call or do something otherwise.

        In a thread of its own: the first array may come while JAX traces, or inside of a mesh.
        """
        name, loss = next(iter(LOSSES.items()))
        half = np.full(3, 0.5, np.float32)
        numbers = dict.fromkeys(PARAMETERS[: len(loss.parameters)], 1.0)
        arrays = with_numbers(("inputs", "targets"), numbers)
        plan = Plan(name, ("value",), "mean", (0,), half.dtype, tuple(numbers), arrays, True)
        label = np.zeros((), np.int32)
        row = RowProblem("cross_entropy", (), None, -1, (), half.dtype, "sum", (0.0,), None, None)

        def program(x: Array, label: Array) -> tuple[Array, ...]:
            problem = replace(row, arrays=(x,), labels=label)
            (element,) = self.compute(plan, x, -x, *packed(name, numbers))
            return element, *self.rows(problem, gradient=False)

        def results() -> tuple[Array, ...]:
            with jax.default_device(jax.devices("cpu")[0]):
                return tuple(map(np.asarray, jax.jit(program)(half, label)))

        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(results).result()
        if not np.isfinite(found).all():
            raise RuntimeError(f"losses came out as {found}")

    def compute(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        return self._element_wise(plan, *arrays) if plan.native else self.formula(plan, *arrays)

    def rows(self, problem: RowProblem, *, gradient: bool) -> tuple[Array, ...]:
        if problem.loss in HAVE_KERNELS:
            return self._rows.outputs(problem, gradient=gradient)
        return self.formula_of_rows(problem, gradient=gradient)


class ElementWise(Layers):
    """The element-wise losses (src/bridges/xla/module.cpp)."""

    target = "lossless"
    operands = (
        "inputs", "targets", "parameter 0", "parameter 1", "weights", "where", "cotangent",
        NUMBERS,
    )  # fmt: skip

    def __init__(self, capsule: Any, backend: Formulas) -> None:
        super().__init__(capsule)
        self._backend = backend

    def formula(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        return self._backend.formula(plan, *arrays)

    def dimensions(self, plan: Plan, name: str, every: int) -> list[int]:
        return [d for d in range(every) if name != "value" or d not in plan.axes]

    def description(self, plan: Plan, every: int) -> list[int]:
        return [
            LOSSES[plan.loss].number,
            DTYPES.index(plan.dtype.name),
            REDUCTIONS.index(plan.reduction),
            mask(_OUTPUTS.index(output) for output in plan.outputs),
            mask(plan.axes),
            mask(self.operands.index(name) for name in plan.arrays if name != NUMBERS),
            mask(map(self.operands.index, plan.numbers)),
        ]

    def jvp(self, plan: Plan, primals: Any, tangents: Any) -> Any:
        """Derivatives by inputs and targets from the kernels, what remains from the formulas."""
        moved = moves(tangents)
        slopes = 2 if LOSSES[plan.loss].of_residual else 1  # of which operands kernels know them
        residuals = [place for place in range(slopes) if moved[place]]
        options = [
            place
            for place in range(slopes, len(moved))
            if moved[place] and plan.arrays[place] not in ("where", NUMBERS)
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
        for repeats, function in ((False, of_value), (True, product)):
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
