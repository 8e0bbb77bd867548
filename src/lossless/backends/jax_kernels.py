"""The kernels in JAX's programs: on CPUs a custom call, on other platforms the formulas.

From the outside in, a computation is

- a `custom_jvp`, whose rule is made of such computations: that gives derivatives of every order;
- a `custom_vmap`: a batch is one more dimension in front;
- `platform_dependent`, which chooses when a program is lowered;
- a `custom_partitioning`: arrays that are spread over devices stay there, and totals are added up;
- the custom call (src/bridges/xla.cpp).
"""

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from .._call import REDUCTIONS
from .._losses import LOSSES
from .base import Array
from .jax import Formulas, Plan

TARGET = "lossless"
_DTYPES = ("float16", "bfloat16", "float32", "float64")
# Places in the masks of the attribute `plan`: Plan in src/bridges/xla.cpp.
_OUTPUTS = ("value", "gradient", "second_derivative")
_ARRAYS = (
    "inputs", "targets", "parameter 0", "parameter 1", "weights", "where", "cotangent",
)  # fmt: skip
# Of what a derivative by the residuals is made.
_NEXT = {"value": "gradient", "gradient": "second_derivative"}


class Kernels(Formulas):
    """The formulas' backend, with custom calls where a program runs on CPUs."""

    def __init__(self, namespace: Any, capsule: Any) -> None:
        super().__init__(namespace)
        jax.ffi.register_ffi_target(TARGET, capsule, platform="cpu")
        self._differentiable: Any = jax.custom_jvp(self._batchable, nondiff_argnums=(0,))
        self._differentiable.defjvp(self._jvp, symbolic_zeros=True)
        self._partitioned: Any = custom_partitioning(self._partitionable, static_argnums=(0,))
        self._partitioned.def_partition(partition=self._partition, sharding_rule=_sharding_rule)

    def probe(self) -> None:
        """Compute something: a version of JAX may call or do something otherwise.

        Ahead of time, since the first array may come while JAX traces.
        """
        name, loss = next(iter(LOSSES.items()))
        half = np.full(3, 0.5, np.float32)
        plan = Plan(
            name, ("value",), "mean", (0,), half.dtype, ((1.0).hex(),) * len(loss.parameters), None,
            ("inputs", "targets"), True,
        )  # fmt: skip
        with jax.default_device(jax.devices("cpu")[0]):
            program = jax.jit(functools.partial(self.compute, plan)).lower(half, -half).compile()
            (value,) = program(half, -half)
        if not np.isfinite(np.asarray(value)):
            raise RuntimeError(f"a loss came out as {value}")

    def compute(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        if not plan.native:
            return self.formula(plan, *arrays)
        results: tuple[Array, ...] = self._differentiable(plan, *arrays)
        return results

    def _batchable(self, plan: Plan, *arrays: Array) -> Any:
        function: Any = custom_vmap(functools.partial(self._on_platform, plan))

        @function.def_vmap  # type: ignore[untyped-decorator]
        def rule(size: int, batched: list[bool], *arrays: Array) -> Any:
            rows = [
                x if has_batch else jax.lax.expand_dims(x, [0])
                for x, has_batch in zip(arrays, batched, strict=True)
            ]
            axes = tuple(axis + 1 for axis in plan.axes)
            results = self.compute(replace(plan, axes=axes), *rows)
            return results, (True,) * len(results)

        return function(*arrays)

    def _on_platform(self, plan: Plan, *arrays: Array) -> Any:
        return jax.lax.platform_dependent(
            *arrays,
            cpu=functools.partial(self._partitioned, plan),
            default=functools.partial(self.formula, plan),
        )

    def _partitionable(self, plan: Plan, *arrays: Array) -> tuple[Array, ...]:
        # By the formula, also where a type tells more than shape and dtype.
        return _custom_call(
            plan, jax.eval_shape(functools.partial(self.formula, plan), *arrays), arrays
        )

    def _jvp(self, plan: Plan, primals: Any, tangents: Any) -> Any:
        """Derivatives by inputs and targets from the kernels, what remains from the formulas."""
        moves = [type(x) is not SymbolicZero for x in tangents]
        slopes = 2 if LOSSES[plan.loss].of_residual else 1  # of which operands kernels know them
        residuals = [place for place in range(slopes) if moves[place]]
        options = [
            place
            for place in range(slopes, len(moves))
            if moves[place] and plan.arrays[place] != "where"
        ]
        outputs = plan.outputs
        if residuals and outputs == ("value",):
            outputs = "value", "gradient"  # of one pass
        computed = dict(
            zip(outputs, self.compute(replace(plan, outputs=outputs), *primals), strict=True)
        )

        def by_formula(plan: Plan, places: list[int]) -> list[Array]:
            def formula(*some: Array) -> tuple[Array, ...]:
                arrays = list(primals)
                for place, x in zip(places, some, strict=True):
                    arrays[place] = x
                return self.formula(plan, *arrays)

            some, directions = ([x[place] for place in places] for x in (primals, tangents))
            return list(jax.jvp(formula, some, directions)[1])

        changes = by_formula(plan, options) if options else [None] * len(plan.outputs)
        for i, output in enumerate(plan.outputs if residuals else ()):
            if output in _NEXT:
                slope = _NEXT[output]
                if slope not in computed:
                    (computed[slope],) = self.compute(replace(plan, outputs=(slope,)), *primals)
                change = self._along(plan, computed[slope], tangents[:slopes])
                if output == "value":
                    change = jnp.sum(change, axis=plan.axes)
                change = self.cast(change, plan.dtype)
            else:
                (change,) = by_formula(replace(plan, outputs=(output,)), residuals)
            changes[i] = change if changes[i] is None else changes[i] + change
        results = tuple(computed[output] for output in plan.outputs)
        return results, tuple(
            jnp.zeros_like(x) if change is None else change
            for x, change in zip(results, changes, strict=True)
        )

    def _along(self, plan: Plan, slope: Array, tangents: Any) -> Array:
        """The change by a change of inputs and targets; half types are multiplied in float32."""
        wide = jnp.float32 if plan.dtype.itemsize < 4 else plan.dtype
        slope = self.cast(slope, wide)
        by_inputs, *others = (
            None if type(x) is SymbolicZero else slope * self.cast(x, wide) for x in tangents
        )
        by_targets = others[0] if others else None
        if by_targets is None:
            return by_inputs
        return -by_targets if by_inputs is None else by_inputs - by_targets

    def _partition(self, plan: Plan, mesh: Any, arguments: Any, results: Any) -> Any:
        """The computation on each device, where every array has the same part of a dimension."""
        shape = np.broadcast_shapes(*(x.shape for x in arguments))
        spread: list[Any] = []  # the axes of the mesh over which each dimension is
        for d, size in enumerate(shape):
            used = {name for names in spread for name in names}
            found = (_names(x, d) for x in arguments if x.shape[d] == size)
            spread.append(next((n for n in found if n and not used & set(n)), ()))

        def sharding(sizes: Any, axes: Any) -> Any:
            parts = (
                spread[d] if n != 1 and spread[d] else None
                for d, n in zip(axes, sizes, strict=True)
            )
            return NamedSharding(mesh, PartitionSpec(*parts))

        every = range(len(shape))
        kept = [d for d in every if d not in plan.axes]
        over = tuple(name for d in plan.axes for name in spread[d])
        inward = tuple(sharding(x.shape, every) for x in arguments)
        outward = tuple(
            sharding(x.shape, kept if output == "value" else every)
            for output, x in zip(plan.outputs, results, strict=True)
        )
        shards = math.prod(mesh.shape[name] for name in over)

        def lower(*arrays: Array) -> tuple[Array, ...]:
            if over:
                with jax.enable_x64(True):  # so that totals are float64
                    return self._part_of_totals(plan, over, shards, arrays)
            return _custom_call(plan, _local_types(plan, plan.dtype, arrays), arrays)

        return mesh, lower, outward, inward

    def _part_of_totals(self, plan: Plan, over: Any, shards: int, arrays: Any) -> tuple[Array, ...]:
        """The computation of elements that are reduced together with those on other devices."""
        given = dict(zip(plan.arrays, arrays, strict=True))
        shape = np.broadcast_shapes(*(x.shape for x in arrays))

        def total(parts: Any) -> Any:
            wide = jnp.broadcast_to(parts, shape).astype(jnp.float64)
            return jax.lax.psum(jnp.sum(wide, plan.axes, keepdims=True), over)

        scale: Any = None
        if plan.reduction in ("mean", "weighted_mean"):
            elements = float(math.prod(shape[d] for d in plan.axes) * shards)
            count = total(given["where"]) if "where" in given else np.float64(elements)
            divisor = count
            if plan.reduction == "weighted_mean" and ("weights" in given or plan.weights):
                weights = given.get("weights")
                if weights is None:
                    divisor = count * float.fromhex(plan.weights or "0")
                elif "where" in given:
                    divisor = total(jnp.where(given["where"], weights, 0))
                else:
                    divisor = total(weights)
            divisor = jnp.where(divisor == 0, jnp.nan, divisor)
            scale = jnp.where(count == 0, 0, 1 / divisor)
            scale = jnp.broadcast_to(
                scale, [1 if d in plan.axes else n for d, n in enumerate(shape)]
            )
        part = replace(plan, reduction="sum")
        if scale is not None and plan.outputs != ("value",):
            factor = (
                scale * given["cotangent"].astype(jnp.float64) if "cotangent" in given else scale
            )
            given["cotangent"] = factor
            part = replace(part, arrays=tuple(n for n in _ARRAYS if n in given))
        arrays = [given[name] for name in part.arrays]
        results = list(_custom_call(part, _local_types(part, np.dtype(np.float64), arrays), arrays))
        if "value" in plan.outputs:
            value = jax.lax.psum(results[0], over)
            if scale is not None:
                value = value / jnp.squeeze(jnp.broadcast_to(divisor, scale.shape), plan.axes)
            results[0] = value.astype(plan.dtype)
        return tuple(results)


def _names(x: Any, d: int) -> tuple[str, ...]:
    """The axes of the mesh over which a dimension of an array is spread."""
    spec = x.sharding.spec
    names = spec[d] if d < len(spec) else None
    return names if isinstance(names, tuple) else () if names is None else (names,)


def _local_types(plan: Plan, value: Any, arrays: Any) -> list[Any]:
    """The types of the results; a reduced value may be wider than the others."""
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    kept = tuple(n for d, n in enumerate(shape) if d not in plan.axes)
    return [
        jax.ShapeDtypeStruct(*((kept, value) if output == "value" else (shape, plan.dtype)))
        for output in plan.outputs
    ]


def _custom_call(plan: Plan, types: Any, arrays: Any) -> tuple[Array, ...]:
    numbers = np.zeros(len(_ARRAYS))
    known = dict(zip(_ARRAYS[2:4], plan.parameters, strict=False)) | {"weights": plan.weights}
    places = {_ARRAYS.index(name): x for name, x in known.items() if x is not None}
    for place, number in places.items():
        numbers[place] = float.fromhex(number)
    description = [
        LOSSES[plan.loss].number,
        _DTYPES.index(plan.dtype.name),
        REDUCTIONS.index(plan.reduction),
        _mask(_OUTPUTS.index(output) for output in plan.outputs),
        _mask(plan.axes),
        _mask(_ARRAYS.index(name) for name in plan.arrays),
        _mask(places),
    ]
    call: Callable[..., Any] = jax.ffi.ffi_call(TARGET, tuple(types))
    return tuple(call(*arrays, plan=np.array(description, np.int64), numbers=numbers))


def _mask(bits: Iterable[int]) -> int:
    return sum(1 << bit for bit in bits)


def _sharding_rule(plan: Plan, mesh: Any, arguments: Any, results: Any) -> str:
    """Dimensions of one size are spread alike, in every array and result."""
    shape = np.broadcast_shapes(*(x.shape for x in arguments))

    def factors(name: str, sizes: Any, axes: Any) -> str:
        return " ".join(
            f"d{d}" if n == shape[d] else f"{name}{d}" for d, n in zip(axes, sizes, strict=True)
        )

    every = range(len(shape))
    kept = [d for d in every if d not in plan.axes]
    inward = [factors(f"one{i}of", x.shape, every) for i, x in enumerate(arguments)]
    outward = [
        factors("", [shape[d] for d in axes], axes)
        for axes in (kept if output == "value" else every for output in plan.outputs)
    ]
    return f"{', '.join(inward)} -> {', '.join(outward)}"
