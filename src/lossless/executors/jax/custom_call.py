"""How a kernel stands in JAX's programs: on CPUs as a custom call, on other platforms as a formula.

From the outside in, a computation is

- a `custom_jvp`, whose rule is made of such computations: that gives derivatives of every order;
- a `custom_vmap`: a batch is one more dimension in front;
- `platform_dependent`, which chooses when a program is lowered;
- a `custom_partitioning`: arrays that are spread over devices stay there, and totals are added up;
- the custom call.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from ..._problem import Array
from .derivatives import jvp_over
from .numbers import NUMBERS, without_batch

_NO_MESH = jax.sharding.AbstractMesh((), ())
# The name of the custom call's attribute, which `jax.export` shows as it refuses a call: what to do
# instead.
PLAN = "to_export_use_lossless.composed()"
DTYPES = ("float16", "bfloat16", "float32", "float64")


class JaxOperation(ABC):
    """Computations of one kind, each known by its plan.

    Each of its arrays has some of the dimensions of the first one, with size 1 where it repeats.
    Python's numbers, which may be the last one, have none of these.
    """

    target: str  # the name of the custom call
    operands: tuple[str, ...]  # of all that it may take, in order

    def __init__(self, capsule: Any) -> None:
        jax.ffi.register_ffi_target(self.target, capsule, platform="cpu")
        self._differentiable: Any = jax.custom_jvp(self._batchable, nondiff_argnums=(0,))
        self._differentiable.defjvp(self.jvp, symbolic_zeros=True)
        self._partitioned: Any = custom_partitioning(self._partitionable, static_argnums=(0,))
        self._partitioned.def_partition(
            partition=self._partition, sharding_rule=self._sharding_rule
        )

    def __call__(self, plan: Any, *arrays: Array) -> tuple[Array, ...]:
        """The outputs of a plan."""
        results: tuple[Array, ...] = self._differentiable(plan, *arrays)
        return results

    @abstractmethod
    def formula(self, plan: Any, *arrays: Array) -> tuple[Array, ...]:
        """The same in JAX's own operations, which it differentiates and partitions itself."""

    @abstractmethod
    def jvp(self, plan: Any, primals: Any, tangents: Any) -> Any:
        """The rule of the `custom_jvp`."""

    @abstractmethod
    def description(self, plan: Any, dimensions: int) -> list[int]:
        """What the custom call is told: its plan, as integers."""

    @abstractmethod
    def dimensions(self, plan: Any, name: str, every: int) -> list[int]:
        """Which of so many dimensions an array or a result has."""

    def unshardable_dims(self, plan: Any, every: int) -> list[int]:
        """Dimensions that must not be spread over devices."""
        return []

    def by_formula(self, plan: Any, primals: Any, tangents: Any, places: list[int]) -> list[Any]:
        """The changes of the outputs by those of the arrays in these places; None without any."""
        if not places:
            return [None] * len(plan.outputs)
        formula = functools.partial(self.formula, plan)
        return list(jvp_over(formula, primals, tangents, places))

    def changed(self, results: list[Array], changes: list[Any]) -> Any:
        """What the rule of the `custom_jvp` returns."""
        return tuple(results), tuple(
            jnp.zeros_like(x) if change is None else change
            for x, change in zip(results, changes, strict=True)
        )

    def _batchable(self, plan: Any, *arrays: Array) -> Any:
        function: Any = custom_vmap(functools.partial(self._on_platform, plan))

        @function.def_vmap  # type: ignore[untyped-decorator]
        def rule(size: int, batched: list[bool], *arrays: Array) -> Any:
            rows = self.batched(plan, arrays, [0 if b else None for b in batched])
            axes = tuple(axis + 1 for axis in plan.axes)
            results = self(replace(plan, axes=axes), *rows)
            return results, (True,) * len(results)

        return function(*arrays)

    def batched(self, plan: Any, arrays: Any, places: Sequence[int | None]) -> list[Array]:
        """Arrays, some of which have the dimension of a batch at these places, with it in front."""
        return [
            without_batch(x)
            if name == NUMBERS
            else jax.lax.expand_dims(x, [0])
            if place is None
            else jnp.moveaxis(x, place, 0)
            for name, x, place in zip(plan.arrays, arrays, places, strict=True)
        ]

    def _on_platform(self, plan: Any, *arrays: Array) -> Any:
        return jax.lax.platform_dependent(
            *arrays,
            cpu=functools.partial(self._partitioned, plan),
            default=functools.partial(self.formula, plan),
        )

    def _partitionable(self, plan: Any, *arrays: Array) -> tuple[Array, ...]:
        # By the formula, also where a type tells more than shape and dtype.
        types = jax.eval_shape(functools.partial(self.formula, plan), *arrays)
        return self._custom_call(plan, types, arrays)

    def _custom_call(self, plan: Any, types: Any, arrays: Any) -> tuple[Array, ...]:
        description = np.array(self.description(plan, arrays[0].ndim), np.int64)
        call: Callable[..., Any] = jax.ffi.ffi_call(self.target, tuple(types))
        return tuple(call(*arrays, **{PLAN: description}))

    def _partition(self, plan: Any, mesh: Any, arguments: Any, results: Any) -> Any:
        """The computation on each device, where every array has the same part of a dimension."""
        shape, inward, outward = self.layout(plan, arguments)
        unshardable_dims = self.unshardable_dims(plan, len(shape))
        spread: list[Any] = []  # the axes of the mesh over which each dimension is
        for d, size in enumerate(shape):
            used = {name for names in spread for name in names}
            found = (
                _names(x, places.index(d))
                for x, places in zip(arguments, inward, strict=True)
                if d in places and x.shape[places.index(d)] == size and d not in unshardable_dims
            )
            spread.append(next((n for n in found if n and not used & set(n)), ()))

        def sharding(x: Any, places: list[int]) -> Any:
            parts = (
                spread[d] if n != 1 and spread[d] else None
                for d, n in zip(places, x.shape, strict=False)
            )
            return NamedSharding(mesh, PartitionSpec(*parts))

        kept = self.dimensions(plan, "value", len(shape))
        over = tuple(name for d, names in enumerate(spread) if d not in kept for name in names)
        shards = math.prod(mesh.shape[name] for name in over)

        def lower(*arrays: Array) -> tuple[Array, ...]:
            # Of one device: a mesh around whose axes are explicit would say how arrays are spread.
            with jax.sharding.use_abstract_mesh(_NO_MESH):
                if not over:
                    return self._custom_call(plan, self._types(plan, plan.dtype, arrays), arrays)
                with jax.enable_x64(True):  # so that totals are float64
                    return self._part_of_totals(plan, over, shards, arrays)

        return (
            mesh,
            lower,
            tuple(map(sharding, results, outward)),
            tuple(map(sharding, arguments, inward)),
        )

    def layout(self, plan: Any, arrays: Any) -> tuple[list[int], list[list[int]], list[list[int]]]:
        """The sizes of all dimensions, and which of them each array and each result has."""
        every = len(arrays[0].shape)
        inward, outward = (
            [[] if name == NUMBERS else self.dimensions(plan, name, every) for name in names]
            for names in (plan.arrays, plan.outputs)
        )
        shape = [1] * every
        for x, places in zip(arrays, inward, strict=True):
            for d, n in zip(places, x.shape, strict=False):  # numbers have none of them
                shape[d] = n if n != 1 else shape[d]
        return shape, inward, outward

    def _types(self, plan: Any, value: Any, arrays: Any) -> list[Any]:
        """The types of the results; a reduced value may be wider than the others."""
        shape, _, outward = self.layout(plan, arrays)
        return [
            jax.ShapeDtypeStruct(
                [shape[d] for d in places], value if output == "value" else plan.dtype
            )
            for output, places in zip(plan.outputs, outward, strict=True)
        ]

    def _part_of_totals(self, plan: Any, over: Any, shards: int, arrays: Any) -> tuple[Array, ...]:
        """The computation of elements that are reduced together with those on other devices."""
        given = dict(zip(plan.arrays, arrays, strict=True))
        _, numbers = plan.given(arrays)
        every, _, _ = self.layout(plan, arrays)
        shape = [every[d] for d in self.dimensions(plan, "where", len(every))]

        def total(parts: Any) -> Any:
            wide = jnp.broadcast_to(parts, shape).astype(jnp.float64)
            return jax.lax.psum(jnp.sum(wide, plan.axes, keepdims=True), over)

        scale: Any = None
        if plan.reduction in ("mean", "weighted_mean"):
            elements = float(math.prod(shape[d] for d in plan.axes) * shards)
            count = total(given["where"]) if "where" in given else np.float64(elements)
            divisor = count
            if plan.reduction == "weighted_mean":
                if "weights" in numbers:
                    divisor = count * numbers["weights"].array(np.float64)
                elif "weights" in given:
                    weights = given["weights"]
                    divisor = total(
                        jnp.where(given["where"], weights, 0) if "where" in given else weights
                    )
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
            part = replace(part, arrays=tuple(n for n in self.operands if n in given))
        arrays = [given[name] for name in part.arrays]
        wide = self._types(part, np.dtype(np.float64), arrays)
        results = list(self._custom_call(part, wide, arrays))
        if "value" in plan.outputs:
            value = jax.lax.psum(results[0], over)
            if scale is not None:
                value = value / jnp.squeeze(jnp.broadcast_to(divisor, scale.shape), plan.axes)
            results[0] = value.astype(plan.dtype)
        return tuple(results)

    def _sharding_rule(self, plan: Any, mesh: Any, arguments: Any, results: Any) -> str:
        """Dimensions of one size are spread alike, in every array and result."""
        shape, inward, outward = self.layout(plan, arguments)

        def factors(name: str, sizes: Any, places: list[int]) -> str:
            return " ".join(
                f"d{d}" if n == shape[d] else f"{name}{d}"
                for d, n in zip(places, sizes, strict=True)
            )

        arrays = [
            NUMBERS if name == NUMBERS else factors(f"one{i}of", x.shape, places)
            for i, (name, x, places) in enumerate(zip(plan.arrays, arguments, inward, strict=True))
        ]
        outputs = [factors("", [shape[d] for d in places], places) for places in outward]
        return f"{', '.join(arrays)} -> {', '.join(outputs)}"


def mask(bits: Iterable[int]) -> int:
    """An integer with these bits."""
    return sum(1 << bit for bit in bits)


def _names(x: Any, d: int) -> tuple[str, ...]:
    """The axes of the mesh over which a dimension of an array is spread."""
    spec = x.sharding.spec
    names = spec[d] if d < len(spec) else None
    return names if isinstance(names, tuple) else () if names is None else (names,)
