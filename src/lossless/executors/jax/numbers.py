"""Python's numbers as an operand of JAX's programs: another number does not make another program.

They count in full, also where JAX has no float64. The operand holds their doubles first, which is
all that kernels read, then what formulas in float32 take for them. It is of doubles, or of their
words of 32 bits where JAX has no float64.
"""

import functools
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._problem import Array
from ..._spec import LossSpec
from ..arrays import threshold_in_float32

NUMBERS = "numbers"  # the name of the operand, which is the last one
PARAMETERS = ("parameter 0", "parameter 1", "parameter 2")  # as operands


@dataclass(frozen=True, slots=True)
class Number:
    """One of these numbers, which a program sees when it runs."""

    operand: Array
    place: int

    def array(self, dtype: Any) -> Array:
        """It in float32 or float64, without dimensions."""
        if self.operand.dtype == np.float64:
            rounded = self.operand.shape[0] // 2 + self.place
            x = self.operand[self.place if dtype == np.float64 else rounded]
            return jax.lax.convert_element_type(x, dtype)
        if dtype == np.float64:  # JAX has float64 here, but had none around
            words = self.operand[2 * self.place : 2 * self.place + 2]
            return jax.lax.bitcast_convert_type(words, np.float64)
        rounded = self.operand.shape[0] // 3 * 2 + self.place
        return jax.lax.bitcast_convert_type(self.operand[rounded], np.float32)


def packed(loss: LossSpec, numbers: dict[str, float]) -> tuple[Array, ...]:
    """The operand of these numbers of a loss, if there are any."""
    if not numbers:
        return ()
    doubles = array("d", numbers.values()).tobytes()  # which tell zeros apart; a NaN is itself
    has_float64 = bool(jax.dtypes.canonicalize_dtype(np.float64) == np.float64)
    return (_operand(loss, tuple(numbers), doubles, has_float64),)


def with_numbers(arrays: Iterable[str], numbers: Collection[str]) -> tuple[str, ...]:
    """The names of all operands: of the arrays, and of that of the numbers, if there are any."""
    return (*arrays, NUMBERS) if numbers else tuple(arrays)


def unpacked(names: tuple[str, ...], operand: Array | None = None) -> dict[str, Number]:
    """The numbers by their names; there is an operand if there are names."""
    return {name: Number(operand, place) for place, name in enumerate(names)}


def without_batch(operand: Array) -> Array:
    """The operand of a batch, whose elements share it: an axis of the batch is no user's."""
    return operand if operand.ndim == 1 else jnp.reshape(operand, (-1, operand.shape[-1]))[0]


@functools.lru_cache(maxsize=256)
def _operand(loss: LossSpec, names: tuple[str, ...], doubles: bytes, has_float64: bool) -> Array:
    exact = np.frombuffer(doubles)
    thresholds = (parameter.threshold for parameter in loss.parameters)
    comparisons = dict(zip(PARAMETERS, thresholds, strict=False))
    with np.errstate(over="ignore"):  # a number too large for float32 is infinite in it
        rounded = np.array(
            [
                threshold_in_float32(x, up=comparison == "<") if comparison else x
                for x, comparison in zip(exact, map(comparisons.get, names), strict=True)
            ],
            np.float32,
        )
    if has_float64:
        return np.concatenate((exact, rounded))
    return np.concatenate((exact.view(np.uint32), rounded.view(np.uint32)))
