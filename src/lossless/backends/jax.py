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

from .._call import REDUCTIONS, Call, Problem
from .._composed import is_composed
from .._rows import RowProblem
from . import numpy as numpy_backend
from . import xla_ffi
from .array_api import ArrayApi
from .base import Array
from .composed import warn_of_fallback

_FLOATS = frozenset(map(jnp.dtype, ("float16", "bfloat16", "float32", "float64")))


@dataclass(frozen=True, slots=True)
class Plan:
    """A computation but for its arrays.

    Numbers are part of it, so that they count in full where JAX has no float64: as hexadecimal
    strings, which tell zeros by their signs and have a NaN that equals itself.
    """

    loss: str
    outputs: tuple[str, ...]  # some of value, gradient, second_derivative
    reduction: str
    axes: tuple[int, ...]
    dtype: Any  # of the results
    parameters: tuple[str | None, ...]  # None: an array
    weights: str | None  # None: an array, or none at all
    arrays: tuple[str, ...]  # their names, in order
    native: bool


class Formulas(ArrayApi):
    """The array API backend, with what JAX calls or does otherwise."""

    def is_array(self, x: Any) -> bool:
        return isinstance(x, jax.Array | np.ndarray)

    def is_float(self, dtype: Any) -> bool:
        return dtype in _FLOATS

    def is_real(self, dtype: Any) -> bool:
        return dtype in _FLOATS or jnp.issubdtype(dtype, jnp.integer) or self.is_bool(dtype)

    def is_bool(self, dtype: Any) -> bool:
        return bool(dtype == np.bool_)

    def default_float(self, like: Array | None) -> Any:
        return jnp.dtype(jnp.result_type(float))

    def cast(self, x: Array, dtype: Any) -> Array:
        return jax.lax.convert_element_type(x, dtype)

    def number(self, x: float, dtype: Any, like: Array | None) -> Any:
        with np.errstate(over="ignore"):  # a number too large for the dtype is infinite in it
            return np.asarray(x, dtype)

    def wide(self, x: Array) -> Any:
        """The dtype of totals of x: float64 if JAX has it."""
        return self.xp.result_type(self.default_float(None), x.dtype)

    def operands(self, name: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as arrays, and the dtype of the result. Numbers, and JAX's weak arrays, are weak."""
        first, *others = given.values()
        if len(others) == 1 and type(first) is type(others[0]) and isinstance(first, jax.Array):
            dtype = first.dtype
            if dtype in _FLOATS and dtype == others[0].dtype and not first.weak_type:
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
        weights, number = problem.weights, None
        if isinstance(weights, float):  # a constant of the program, as in a Plan
            number, weights = weights.hex(), None
        operands = (problem.arrays, problem.labels, weights, problem.where)
        plan = replace(problem, arrays=(), labels=None, weights=number, where=None)
        native = not is_composed.get()
        outputs: tuple[Array, ...] = self._jitted_rows(plan, gradient, native, operands)
        return outputs

    @functools.cached_property
    def _jitted_rows(self) -> Any:
        return jax.jit(self._traced_rows, static_argnums=(0, 1, 2), inline=True)

    def _traced_rows(
        self, plan: RowProblem, gradient: bool, native: bool, operands: Any
    ) -> tuple[Array, ...]:
        arrays, labels, weights, where = operands
        if plan.weights is not None:
            weights = float.fromhex(plan.weights)
        spread = jax.typeof(arrays[0]).sharding.spec
        arrays = tuple(_with_whole_rows(x, plan.axis) for x in arrays)
        problem = replace(plan, arrays=arrays, labels=labels, weights=weights, where=where)
        if native:
            value, *slopes = self.rows(problem, gradient=gradient)
        else:
            value, *slopes = self.formula_of_rows(problem, gradient=gradient)
        if slopes and spread[plan.axis] is not None:
            slopes = [jax.sharding.reshard(slopes[0], spread)]
        return value, *slopes

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
        options = {f"parameter {i}": x for i, x in enumerate(problem.parameters)}
        options |= {"weights": problem.weights, "where": problem.where}
        arrays = {"inputs": problem.inputs, "targets": problem.targets}
        arrays |= {k: x for k, x in options.items() if x is not None and not isinstance(x, float)}
        plan = Plan(
            problem.loss,
            outputs,
            problem.reduction,
            problem.axes if problem.reduction != "none" else (),
            problem.dtype,
            tuple(x.hex() if isinstance(x, float) else None for x in problem.parameters),
            problem.weights.hex() if isinstance(problem.weights, float) else None,
            tuple(arrays),
            not is_composed.get(),
        )
        results: tuple[Array, ...] = self._jitted(plan, *arrays.values())
        return results

    @functools.cached_property
    def _jitted(self) -> Any:
        return jax.jit(self._traced, static_argnums=0, inline=True)

    def _traced(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        """The outputs of a plan, for arrays as users give them."""
        shape = jnp.broadcast_shapes(arrays[0].shape, arrays[1].shape)
        scalar_inputs = arrays[0].ndim < len(shape)
        aligned = [
            jax.lax.expand_dims(self._float(name, x, plan), range(len(shape) - x.ndim))
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
        given = dict(zip(plan.arrays, arrays, strict=True))
        shape = jnp.broadcast_shapes(*(x.shape for x in arrays))
        parameters = tuple(
            given[f"parameter {i}"] if number is None else float.fromhex(number)
            for i, number in enumerate(plan.parameters)
        )
        weights = given.get("weights") if plan.weights is None else float.fromhex(plan.weights)
        problem = Problem(
            plan.loss, given["inputs"], given["targets"], shape, plan.dtype, plan.reduction,
            plan.axes, parameters, weights, given.get("where"),
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
            kernels = importlib.import_module("lossless.backends.jax_kernels")
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


@functools.lru_cache(maxsize=1024)
def _program(
    loss: str,
    outputs: tuple[str, ...],
    reduction: str,
    parameters: tuple[float, ...],
    dtype: Any,
    dimensions: int,
) -> Any:
    """A loss of two arrays without options, for JAX to call without looking at Python again."""
    axes = tuple(range(dimensions)) if reduction != "none" else ()
    numbers = tuple(number.hex() for number in parameters)
    arrays = ("inputs", "targets")
    plan = Plan(loss, outputs, reduction, axes, dtype, numbers, None, arrays, True)
    return jax.jit(functools.partial(backend._traced, plan), inline=True)


def _at_once(outputs: tuple[str, ...], loss: str, call: Call) -> tuple[Array, ...] | None:
    """What two arrays of one shape and dtype give, without options; None: it is another call."""
    is_plain = call.weights is None and call.where is None and call.axis is None
    if not is_plain or len(call.operands) != 2 or is_composed.get():
        return None
    inputs, targets = call.operands.values()
    if type(targets) is not type(inputs) or inputs.weak_type:
        return None
    dtype, shape = inputs.dtype, inputs.shape
    if dtype not in _FLOATS or targets.dtype != dtype or targets.shape != shape:
        return None
    if type(call.reduction) is not str or call.reduction not in REDUCTIONS:
        return None
    parameters = tuple(call.parameters.values())
    for number in parameters:
        if type(number) is not float or not number > 0:
            return None
    program = _program(loss, outputs, call.reduction, parameters, dtype, len(shape))
    results: tuple[Array, ...] = program(inputs, targets)
    return results


def _value_at_once(loss: str, call: Call) -> Array | None:
    results = _at_once(("value",), loss, call)
    return None if results is None else results[0]


def shortcuts() -> tuple[type, dict[str, Any]]:
    """What computes the simplest calls, by the method that it stands for.

    It is for inputs of this type, that of arrays, not of what JAX traces.
    """
    with jax.ensure_compile_time_eval():  # the first array may come while JAX traces
        kind = type(jnp.zeros(()))
    return kind, {
        "value": _value_at_once,
        "value_and_grad": functools.partial(_at_once, ("value", "gradient")),
        "grad_and_hess": functools.partial(_at_once, ("gradient", "second_derivative")),
    }


def path() -> tuple[str, str]:
    """What serves a call now, "native" or "composed", and why."""
    if type(backend) is Formulas:
        return "composed", _why
    if is_composed.get():
        return "composed", "inside lossless.composed()"
    return "native", _why
