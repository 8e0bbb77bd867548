"""JAX arrays, and NumPy's beside them: the formulas, compiled as one.

What a call is to compute is a `Plan`, known while tracing, of arrays, which are not. An un-jitted
call is jitted here, since JAX would dispatch its operations one by one; inside of a program that
JAX traces, the same function is a part of that program.
"""

import functools
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from ... import row_formulas
from ..._call import Problem
from ..._composed import is_composed
from ..._losses import LOSSES
from ..._rows import RowProblem
from .. import numpy as numpy_backend
from ..array_api import ArrayApi
from ..base import Array
from ..composed import warn_of_fallback
from . import ffi as xla_ffi
from .numbers import NUMBERS, PARAMETERS, Number, packed, unpacked, with_numbers

FLOATS = frozenset(map(jnp.dtype, ("float16", "bfloat16", "float32", "float64")))


@dataclass(frozen=True, slots=True)
class Plan:
    """A computation but for its arrays, one of which may hold Python's numbers."""

    loss: str
    outputs: tuple[str, ...]  # some of value, gradient, second_derivative
    reduction: str
    axes: tuple[int, ...]
    dtype: Any  # of the results
    numbers: tuple[str, ...]  # which parameters are numbers, and "weights" if they are one
    arrays: tuple[str, ...]  # their names, in order
    native: bool

    def given(self, arrays: Sequence[Array]) -> tuple[dict[str, Array], dict[str, Number]]:
        """The arrays and the numbers by their names."""
        named = dict(zip(self.arrays, arrays, strict=True))
        return named, unpacked(self.numbers, named.pop(NUMBERS, None))


class Formulas(ArrayApi):
    """The array API backend, with what JAX calls or does otherwise."""

    def is_array(self, x: Any) -> bool:
        return isinstance(x, jax.Array | np.ndarray)

    def is_float(self, dtype: Any) -> bool:
        return dtype in FLOATS

    def is_real(self, dtype: Any) -> bool:
        return dtype in FLOATS or jnp.issubdtype(dtype, jnp.integer) or self.is_bool(dtype)

    def is_bool(self, dtype: Any) -> bool:
        return bool(dtype == np.bool_)

    def default_float(self, like: Array | None) -> Any:
        return jnp.dtype(jnp.result_type(float))

    def cast(self, x: Array, dtype: Any) -> Array:
        return jax.lax.convert_element_type(x, dtype)

    def is_number(self, x: Any) -> bool:
        return isinstance(x, float | Number)

    def number(self, x: float | Number, dtype: Any, like: Array | None) -> Any:
        if isinstance(x, Number):
            return x.array(dtype)
        with np.errstate(over="ignore"):  # a number too large for the dtype is infinite in it
            return np.asarray(x, dtype)

    def threshold(self, x: float | Number, dtype: Any, like: Array, up: bool = False) -> Any:
        return x.array(dtype) if isinstance(x, Number) else super().threshold(x, dtype, like, up)

    def wide(self, x: Array) -> Any:
        """The dtype of totals of x: float64 if JAX has it."""
        return self.xp.result_type(self.default_float(None), x.dtype)

    def operands(self, name: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as arrays, and the dtype of the result. Numbers, and JAX's weak arrays, are weak."""
        first, *others = given.values()
        if len(others) == 1 and type(first) is type(others[0]) and isinstance(first, jax.Array):
            dtype = first.dtype
            if dtype in FLOATS and dtype == others[0].dtype and not first.weak_type:
                return (first, *others), dtype  # soon done for most calls
        real = [self.real(f"{name}: {argument}", x) for argument, x in given.items()]
        dtype = jnp.result_type(*map(self._promoted, real))
        return [self.number(x, dtype, None) if isinstance(x, float) else x for x in real], dtype

    def _promoted(self, x: Any) -> Any:
        """What stands for x in a promotion, in which integers are floats."""
        if isinstance(x, float) or self.is_float(x.dtype):
            return x
        return 0.0 if x.weak_type else self.default_float(None)

    def real(self, argument: str, x: Any) -> float | Array:
        """A number as a float, or an array of real numbers."""
        if isinstance(x, np.ndarray):
            x = jnp.asarray(numpy_backend.real(argument, x))
        return super().real(argument, x)

    def readable(self, x: Array) -> np.ndarray[Any, Any] | None:
        if isinstance(x, jax.Array):
            if isinstance(x, jax.core.Tracer) or not x.is_fully_addressable:
                return None
            if any(device.platform != "cpu" for device in x.devices()):
                return None
        return np.asarray(x)

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        count = math.prod(x.shape[axis] for axis in axes)
        if isinstance(count, int):
            return self.number(count, self.wide(x), x)
        return jnp.asarray(count).astype(self.wide(x))  # of symbolic dimensions

    def size(self, x: Array, axis: int, dtype: Any) -> Any:
        size = x.shape[axis]
        return size if isinstance(size, int) else jnp.asarray(size).astype(dtype)

    def places(self, x: Array, axis: int) -> Array:
        return self.along(jnp.arange(x.shape[axis]), x, axis)

    def constant(self, x: Array) -> Array:
        return jax.lax.stop_gradient(x)

    def index(self, x: Array) -> Array:
        return self.cast(x, jnp.dtype(jnp.result_type(int)))

    def row_outputs(self, problem: RowProblem, *, gradient: bool) -> tuple[Array, ...]:
        return self._of_rows(problem, ("value", "gradient") if gradient else ("value",))

    def row_curvature(self, problem: RowProblem) -> Array:
        (curvature,) = self._of_rows(problem, ("second_derivative",))
        return curvature

    def _of_rows(self, problem: RowProblem, outputs: tuple[str, ...]) -> tuple[Array, ...]:
        numbers = {"weights": problem.weights} if isinstance(problem.weights, float) else {}
        weights = None if numbers else problem.weights
        parameters: list[Any] = list(problem.parameters)
        for place in row_formulas.COMPUTED_WITH.get(problem.loss, ()):
            if x := parameters[place]:
                numbers[PARAMETERS[place]], parameters[place] = x, None
        operands = (problem.arrays, problem.labels, weights, problem.where)
        plan = replace(
            problem, arrays=(), labels=None, parameters=tuple(parameters), weights=None, where=None
        )
        program = _program_of_rows(plan, outputs, not is_composed.get(), tuple(numbers))
        results: tuple[Array, ...] = program(*operands, *packed(problem.loss, numbers))
        return results

    def traced_rows(
        self,
        plan: RowProblem,
        outputs: tuple[str, ...],
        native: bool,
        names: tuple[str, ...],
        *operands: Any,
    ) -> tuple[Array, ...]:
        """The outputs of a problem, for arrays as users give them, and numbers of these names."""
        arrays, labels, weights, where, *known = operands
        numbers = unpacked(names, *known)
        weights = numbers.get("weights", weights)
        parameters = tuple(
            numbers.get(name, x) for name, x in zip(PARAMETERS, plan.parameters, strict=False)
        )
        spread = jax.typeof(arrays[0]).sharding.spec
        arrays = tuple(_with_whole_rows(x, plan.axis) for x in arrays)
        problem = replace(
            plan, arrays=arrays, labels=labels, parameters=parameters, weights=weights, where=where
        )
        if outputs == ("second_derivative",):
            results: tuple[Array, ...] = (super().row_curvature(self._with_arrays(problem)),)
        elif native:
            results = self.rows(problem, gradient="gradient" in outputs)
        else:
            results = self.formula_of_rows(problem, gradient="gradient" in outputs)
        return tuple(
            jax.sharding.reshard(x, spread)
            if name != "value" and spread[plan.axis] is not None
            else x
            for name, x in zip(outputs, results, strict=True)
        )

    def formula_of_rows(
        self, problem: RowProblem, cotangent: Array | None = None, *, gradient: bool
    ) -> tuple[Array, ...]:
        return super().formula_of_rows(self._with_arrays(problem), cotangent, gradient=gradient)

    def _with_arrays(self, problem: RowProblem) -> RowProblem:
        """The same, with arrays for the parameters that are numbers."""
        dtype = self._row_dtype(problem)
        parameters = (x.array(dtype) if isinstance(x, Number) else x for x in problem.parameters)
        return replace(problem, parameters=tuple(parameters))

    def rows(self, problem: RowProblem, *, gradient: bool) -> tuple[Array, ...]:
        """The outputs of a problem, inside of a program."""
        return self.formula_of_rows(problem, gradient=gradient)

    def value(self, problem: Problem) -> Array:
        """The loss."""
        (value,) = self._compute(problem, "value")
        return value

    def value_and_grad(self, problem: Problem) -> tuple[Array, Array]:
        """The loss, and the gradient of the reduced loss in the shape of the inputs."""
        value, gradient = self._compute(problem, "value", "gradient")
        return value, gradient

    def grad_and_hess(self, problem: Problem) -> tuple[Array, Array]:
        """The element-wise derivatives."""
        first, second = self._compute(problem, "gradient", "second_derivative")
        return first, second

    def _compute(self, problem: Problem, *outputs: str) -> tuple[Array, ...]:
        options = dict(zip(PARAMETERS, problem.parameters, strict=False))
        options |= {"weights": problem.weights, "where": problem.where}
        numbers = {name: x for name, x in options.items() if isinstance(x, float)}
        arrays = {"inputs": problem.inputs, "targets": problem.targets}
        arrays |= {k: x for k, x in options.items() if x is not None and k not in numbers}
        operands = *arrays.values(), *packed(problem.loss, numbers)
        plan = Plan(
            problem.loss,
            outputs,
            problem.reduction,
            problem.axes if problem.reduction != "none" else (),
            problem.dtype,
            tuple(numbers),
            with_numbers(arrays, numbers),
            not is_composed.get(),
        )
        results: tuple[Array, ...] = self._jitted(plan, *operands)
        return results

    @functools.cached_property
    def _jitted(self) -> Any:
        return jax.jit(self.traced, static_argnums=0, inline=True)

    def traced(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        """The outputs of a plan, for arrays as users give them."""
        shape = jnp.broadcast_shapes(arrays[0].shape, arrays[1].shape)
        scalar_inputs = arrays[0].ndim < len(shape)
        aligned = [
            x
            if name == NUMBERS
            else jax.lax.expand_dims(self._float(name, x, plan), range(len(shape) - x.ndim))
            for name, x in zip(plan.arrays, arrays, strict=True)
        ]
        if not (scalar_inputs and plan.outputs == ("value", "gradient")):
            return self.compute(plan, *aligned)
        # One number against an array: its gradient is a sum.
        (value,) = self.compute(replace(plan, outputs=("value",)), *aligned)
        wide = replace(plan, outputs=("gradient",), dtype=self.wide(aligned[0]))
        (slopes,) = self.compute(wide, *aligned)
        return value, self.cast(jnp.sum(slopes), plan.dtype)

    def _float(self, name: str, x: Array, plan: Plan) -> Array:
        """The array in a dtype that the computation takes."""
        if name in ("inputs", "targets"):
            return self.cast(x, plan.dtype)
        if name == "where" or self.is_float(x.dtype):
            return jnp.asarray(x)
        return self.cast(x, self.default_float(None))

    def compute(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        """The outputs of a plan, for arrays with all dimensions."""
        return self.formula(plan, *arrays)

    def formula(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        """The same in JAX's own operations, which it differentiates and partitions itself."""
        given, numbers = plan.given(arrays)
        shape = jnp.broadcast_shapes(*(x.shape for x in given.values()))
        options = given | numbers
        names = PARAMETERS[: len(LOSSES[plan.loss].parameters)]
        problem = Problem(
            plan.loss, given["inputs"], given["targets"], shape, plan.dtype, plan.reduction,
            plan.axes, tuple(options[name] for name in names), options.get("weights"),
            given.get("where"),
        )  # fmt: skip
        elements = self._elements(problem)
        results = []
        for output in plan.outputs:
            if output == "value":
                result = self._value(problem, elements)
                kept = tuple(n for axis, n in enumerate(shape) if axis not in plan.axes)
                results.append(jnp.broadcast_to(result, kept))
                continue
            result = self._derivative(output, problem, elements)
            if "cotangent" in given:
                result = result * self.cast(given["cotangent"], result.dtype)
            results.append(jnp.broadcast_to(self.cast(result, plan.dtype), shape))
        return tuple(results)


def _with_whole_rows(x: Array, axis: int) -> Array:
    """Not spread along the axis over a mesh whose axes are explicit, where formulas may not be."""
    spread = list(jax.typeof(x).sharding.spec)
    if spread[axis] is None:
        return x
    spread[axis] = None
    return jax.sharding.reshard(x, PartitionSpec(*spread))


class _Namespace:
    """jax.numpy, but for what a setting of JAX would forbid inside of the formulas."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def result_type(self, *dtypes: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return jnp.result_type(*dtypes)


def _backend() -> tuple[Formulas, str]:
    """What serves JAX arrays, and why."""
    why = xla_ffi.mismatch()
    if why is None:
        try:
            kernels = importlib.import_module("lossless.executors.jax.kernels")
            bridge = importlib.import_module("lossless._xla")
            native = kernels.Kernels(_Namespace(), bridge)
            native.probe()
        except Exception as error:
            why = f"the bridge to jax {jax.__version__} does not work: {error}"
        else:
            return native, "XLA calls the kernels where a program runs on a CPU"
    warn_of_fallback("JAX arrays", why)
    return Formulas(_Namespace()), why


backend, _why = _backend()


@functools.lru_cache(maxsize=64)
def _program_of_rows(
    plan: RowProblem, outputs: tuple[str, ...], native: bool, numbers: tuple[str, ...]
) -> Any:
    """A computation of rows, jitted. A few are kept: some numbers are part of the plan."""
    traced = functools.partial(backend.traced_rows, plan, outputs, native, numbers)
    return jax.jit(traced, inline=True)


def path() -> tuple[str, str]:
    """What serves a call now, "native" or "composed", and why."""
    if type(backend) is Formulas:
        return "composed", _why
    if is_composed.get():
        return "composed", "inside lossless.composed()"
    return "native", _why
