"""JAX's arrays, and NumPy's beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._problem import Array
from ..arrays import Arrays
from ..numpy.arrays import ARRAYS as NUMPY
from .numbers import Number

FLOATS = frozenset(map(jnp.dtype, ("float16", "bfloat16", "float32", "float64")))


class JaxArrays(Arrays):
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

    def operands(self, function: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as arrays, and the dtype of the result. Numbers, and JAX's weak arrays, are weak."""
        first, *others = given.values()
        if len(others) == 1 and type(first) is type(others[0]) and isinstance(first, jax.Array):
            dtype = first.dtype
            if dtype in FLOATS and dtype == others[0].dtype and not first.weak_type:
                return (first, *others), dtype  # soon done for most calls
        real = [self.real(f"{function}: {argument}", x) for argument, x in given.items()]
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
            x = jnp.asarray(NUMPY.real(argument, x))
        return super().real(argument, x)

    def concrete_values(self, x: Array) -> np.ndarray[Any, Any] | None:
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

    def row_parameter(self, x: Any, dtype: Any) -> Any:
        return x.array(dtype) if isinstance(x, Number) else x


class Namespace:
    """jax.numpy, but for what a setting of JAX would forbid inside of the formulas."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def result_type(self, *dtypes: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return jnp.result_type(*dtypes)


ARRAYS = JaxArrays(Namespace())
