"""The simplest calls on JAX arrays, which look at Python's side of a call only once."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ..._call import REDUCTIONS, Call
from ..._composed import is_composed
from ..._losses import LOSSES
from ..base import Array
from .formulas import FLOATS, Plan, backend
from .numbers import PARAMETERS, packed, with_numbers


@functools.lru_cache(maxsize=1024)
def _program(
    loss: str, outputs: tuple[str, ...], reduction: str, dtype: Any, dimensions: int
) -> Any:
    """A loss of two arrays without options, for JAX to call without looking at Python again."""
    axes = tuple(range(dimensions)) if reduction != "none" else ()
    numbers = PARAMETERS[: len(LOSSES[loss].parameters)]
    arrays = with_numbers(("inputs", "targets"), numbers)
    plan = Plan(loss, outputs, reduction, axes, dtype, numbers, arrays, True)
    return jax.jit(functools.partial(backend.traced, plan), inline=True)


def _at_once(outputs: tuple[str, ...], loss: str, call: Call) -> tuple[Array, ...] | None:
    """What two arrays of one shape and dtype give, without options; None: it is another call."""
    is_plain = call.weights is None and call.where is None and call.axis is None
    if not is_plain or len(call.operands) != 2 or is_composed.get():
        return None
    inputs, targets = call.operands.values()
    if type(targets) is not type(inputs) or inputs.weak_type:
        return None
    dtype, shape = inputs.dtype, inputs.shape
    if dtype not in FLOATS or targets.dtype != dtype or targets.shape != shape:
        return None
    if type(call.reduction) is not str or call.reduction not in REDUCTIONS:
        return None
    parameters = tuple(call.parameters.values())
    for number in parameters:
        if type(number) is not float or not number > 0:
            return None
    program = _program(loss, outputs, call.reduction, dtype, len(shape))
    numbers = dict(zip(PARAMETERS, parameters, strict=False))
    results: tuple[Array, ...] = program(inputs, targets, *packed(loss, numbers))
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
