"""The simplest calls on JAX arrays, which look at Python's side of a call only once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..._problem import Array, Call
from ..._spec import LossSpec
from .arrays import FLOATS
from .numbers import PARAMETERS, packed, with_numbers
from .plan import Plan

with jax.ensure_compile_time_eval():  # the first array may come while JAX traces
    _ARRAY = type(jnp.zeros(()))


class SimpleCalls:
    """Two arrays of one shape and dtype, without options, nothing of which JAX traces."""

    def __init__(self, traced: Callable[..., tuple[Array, ...]]) -> None:
        self._traced = traced  # the outputs of a plan, inside of a program
        self._program = functools.lru_cache(maxsize=1024)(self._jitted)

    def __call__(self, call: Call[Any], outputs: tuple[str, ...]) -> tuple[Array, ...] | None:
        """The outputs; None: it is another call."""
        inputs, targets = call.operands
        if type(inputs) is not _ARRAY or inputs.weak_type or not call.loss.has_kernel:
            return None
        dtype, shape = inputs.dtype, inputs.shape
        if dtype not in FLOATS or targets.dtype != dtype or targets.shape != shape:
            return None
        program = self._program(call.loss, outputs, call.reduction, dtype, len(shape))
        numbers = dict(zip(PARAMETERS, call.parameters, strict=False))
        results: tuple[Array, ...] = program(inputs, targets, *packed(call.loss, numbers))
        return results

    def _jitted(
        self, loss: LossSpec, outputs: tuple[str, ...], reduction: str, dtype: Any, dimensions: int
    ) -> Any:
        """A loss of two arrays, for JAX to call without looking at Python again."""
        axes = tuple(range(dimensions)) if reduction != "none" else ()
        numbers = PARAMETERS[: len(loss.parameters)]
        arrays = with_numbers(("inputs", "targets"), numbers)
        plan = Plan(loss, outputs, reduction, axes, dtype, numbers, arrays)
        return jax.jit(functools.partial(self._traced, plan), inline=True)
