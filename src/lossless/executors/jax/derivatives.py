"""Derivatives along a direction; of a loss, as a primitive of JAX for the sake of its transpose.

What JAX makes of a product transposed is a product: the gradient, which is rounded, times what
multiplies the loss, rounded again. In float16 a gradient that became 0 stays 0, whatever scale the
loss is given against that. The transpose of this primitive computes the gradient once more, with
the cotangent as a factor that counts before the one rounding.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

from ..._problem import Array

_directional = Primitive("lossless_directional_derivative")


def has_tangent(tangents: Any) -> list[bool]:
    """Which of them may differ from zero."""
    return [type(x) is not SymbolicZero for x in tangents]


def jvp_over(function: Callable[..., Any], arrays: Any, tangents: Any, places: list[int]) -> Any:
    """The change of a function by those of the arrays in these places."""

    def of_some(*some: Array) -> Any:
        every = list(arrays)
        for place, x in zip(places, some, strict=True):
            every[place] = x
        return function(*every)

    some, directions = ([x[place] for place in places] for x in (arrays, tangents))
    return jax.jvp(of_some, some, directions)[1]


def widened(x: Array) -> Array:
    """Half types as float32, to be multiplied and added up."""
    dtype = jnp.float32 if x.dtype.itemsize < 4 else x.dtype
    return jax.lax.convert_element_type(x, dtype)


def directional_derivative(operation: Any, plan: Any, *operands: Array) -> Array:
    """The change of a value in a direction: the sum of the gradient's elements times its own.

    The operands are the direction, widened and of the gradient's shape; the slope, which is the
    rounded gradient, unless that is to be computed where it is needed: not for the transpose; and
    the arrays of the plan.
    """
    # In a parameter, JAX finds the custom_partitioning, which cannot be lowered without devices.
    program = jax.make_jaxpr(functools.partial(derivative_in_operations, operation, plan))(
        *operands
    )
    change: Array = _directional.bind(*operands, operation=operation, plan=plan, program=program)
    return change


def derivative_in_operations(operation: Any, plan: Any, direction: Array, *others: Array) -> Array:
    """The same in JAX's own operations, transposed as such: the gradient is rounded before."""
    slopes, arrays = _parted(plan, others)
    (slope,) = slopes or operation(replace(plan, outputs=("gradient",)), *arrays)
    change = widened(slope) * direction
    kept = operation.dimensions(plan, "value", change.ndim)
    total = jnp.sum(change, [d for d in range(change.ndim) if d not in kept])
    return jax.lax.convert_element_type(total, plan.dtype)


def _parted(plan: Any, others: Any) -> tuple[Any, Any]:
    """The slope, if it is known, and the arrays of the plan."""
    slopes = len(others) - len(plan.arrays)
    return others[:slopes], others[slopes:]


def _jvp(
    operands: Any, tangents: Any, *, operation: Any, plan: Any, program: Any
) -> tuple[Array, Any]:
    _, *others = operands
    changes = []
    if type(tangents[0]) is not ad.Zero:
        changes.append(directional_derivative(operation, plan, tangents[0], *others))
    active = [i for i, x in enumerate(tangents) if i > 0 and type(x) is not ad.Zero]
    if active:
        changes.append(
            jvp_over(
                functools.partial(derivative_in_operations, operation, plan),
                operands,
                tangents,
                active,
            )
        )
    value = _directional.bind(*operands, operation=operation, plan=plan, program=program)
    return value, functools.reduce(ad.add_jaxvals, changes)


def _transpose(
    cotangent: Any, direction: Any, *others: Array, operation: Any, plan: Any, **_: Any
) -> list[Any]:
    nothing = [None] * len(others)
    kind = direction.aval
    if type(cotangent) is ad.Zero:
        return [ad.Zero(kind), *nothing]
    slopes, arrays = _parted(plan, others)
    every, kept = (operation.dimensions(plan, name, kind.ndim) for name in ("cotangent", "value"))
    reduced = [place for place, d in enumerate(every) if d not in kept]
    given = dict(zip(plan.arrays, arrays, strict=True))
    given["cotangent"] = jax.lax.expand_dims(cotangent, reduced)
    names = tuple(name for name in operation.operands if name in given)
    times = replace(plan, outputs=("gradient",), arrays=names)
    slopes = [jnp.broadcast_to(slope, kind.shape) for slope in slopes]  # batches may share one
    gradient = _compiled(operation, times, *(given[name] for name in names), *slopes)
    gradient = jax.lax.convert_element_type(gradient, kind.dtype)
    if jax.typeof(gradient) != kind:  # the others lie in a mesh where the direction does not
        one = jnp.ones_like(gradient)
        (gradient,) = jax.linear_transpose(lambda x: x * one, kind)(gradient)
    return [gradient, *nothing]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _times_cotangent(operation: Any, plan: Any, *arrays: Array) -> Array:
    """The gradient times the cotangent, which is the slope that may follow where it is times 1.

    XLA sees that when the cotangent is a constant, as in `jit(value_and_grad(loss))`. Formulas are
    as quick as to look.
    """
    arrays, slopes = arrays[: len(plan.arrays)], arrays[len(plan.arrays) :]
    gradient = functools.partial(_gradient, operation, plan)
    if not slopes:
        return gradient(*arrays)

    def on_cpu(slope: Array, *arrays: Array) -> Any:
        is_one = jnp.all(arrays[plan.arrays.index("cotangent")] == 1)
        return jax.lax.cond(is_one, lambda *_: slope, gradient, *arrays)

    return jax.lax.platform_dependent(
        *slopes, *arrays, cpu=on_cpu, default=lambda _, *arrays: gradient(*arrays)
    )


# Calls that are not jitted compile it once.
_compiled = jax.jit(_times_cotangent, static_argnums=(0, 1), inline=True)


def _gradient(operation: Any, plan: Any, *arrays: Array) -> Array:
    (gradient,) = operation(plan, *arrays)
    return gradient


@functools.partial(_times_cotangent.defjvp, symbolic_zeros=True)
def _times_cotangent_jvp(operation: Any, plan: Any, primals: Any, tangents: Any) -> Any:
    """What the slope adds is part of what the other arrays do."""
    arrays = primals[: len(plan.arrays)]
    active = [i for i, is_active in enumerate(has_tangent(tangents[: len(arrays)])) if is_active]
    change = jvp_over(functools.partial(_gradient, operation, plan), arrays, tangents, active)
    return _times_cotangent(operation, plan, *primals), change


def _batched(
    operands: Any, places: Any, *, operation: Any, plan: Any, **_: Any
) -> tuple[Array, int]:
    size = next(x.shape[d] for x, d in zip(operands, places, strict=True) if d is not None)
    slopes = len(operands) - len(plan.arrays)  # the direction, and perhaps the slope
    direction, *others = (
        jax.lax.expand_dims(x, [0]) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(operands[:slopes], places[:slopes], strict=True)
    )
    others += operation.batched(plan, operands[slopes:], places[slopes:])
    direction = jnp.broadcast_to(direction, (size, *direction.shape[1:]))
    plan = replace(plan, axes=tuple(axis + 1 for axis in plan.axes))
    return directional_derivative(operation, plan, direction, *others), 0


def _lowered(*operands: Array, program: Any, **_: Any) -> Array:
    (change,) = jaxpr_as_fun(program)(*operands)
    return change


_compiled_ops = jax.jit(derivative_in_operations, static_argnums=(0, 1))
_directional.def_impl(
    lambda *operands, operation, plan, program: _compiled_ops(operation, plan, *operands)
)
_directional.def_abstract_eval(lambda *_, program, **__: program.out_avals[0])
ad.primitive_jvps[_directional] = _jvp
ad.primitive_transposes[_directional] = _transpose
batching.primitive_batchers[_directional] = _batched
mlir.register_lowering(_directional, mlir.lower_fun(_lowered, multiple_results=False))
