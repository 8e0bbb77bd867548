"""What the library asks of arrays and does with them, in the terms of the Python array API.

Each framework says what it calls or does otherwise. `argument`, with which messages begin, names a
function and an argument, as in "huber_loss: weights".
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._problem import Array


class Arrays:
    """Arrays of the namespace `xp`: what arguments may be, then what formulas do with them."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def is_array(self, x: Any) -> bool:
        """Whether x is one of these arrays: the dispatch has seen that it is none of others."""
        return hasattr(x, "__array_namespace__") and not isinstance(x, np.generic)

    def shape(self, x: Array) -> tuple[int, ...]:
        return x.shape  # type: ignore[no-any-return]

    def is_float(self, dtype: Any) -> bool:
        """Whether it is one of the real floating-point dtypes."""
        return bool(self.xp.isdtype(dtype, "real floating"))

    def is_real(self, dtype: Any) -> bool:
        """Whether it is the dtype of real numbers or booleans."""
        return bool(self.xp.isdtype(dtype, ("bool", "integral", "real floating")))

    def is_bool(self, dtype: Any) -> bool:
        return bool(self.xp.isdtype(dtype, "bool"))

    def is_integer(self, dtype: Any) -> bool:
        return self.is_real(dtype) and not (self.is_float(dtype) or self.is_bool(dtype))

    def default_float(self, like: Array | None) -> Any:
        """The dtype of numbers that come without one, on the device of an array."""
        device = None if like is None else like.device
        return self.xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]

    def operands(self, function: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as arrays, and the dtype of the result. Numbers take the dtype of the others."""
        if len(given) == 2 and all(map(self.is_array, given.values())):
            inputs, targets = given.values()
            dtype = inputs.dtype
            if dtype == targets.dtype and self.is_float(dtype):
                return (inputs, targets), dtype
        numbers_or_arrays: list[Any] = [
            self.real(f"{function}: {argument}", x) for argument, x in given.items()
        ]
        arrays = [x for x in numbers_or_arrays if self.is_array(x)]
        like = arrays[0] if arrays else None
        default = self.default_float(like)
        dtypes = {x.dtype if self.is_float(x.dtype) else default for x in arrays}
        try:
            dtype = self.xp.result_type(*dtypes) if dtypes else default
        except TypeError:
            raise TypeError(
                f"{function}: {' and '.join(given)} must have dtypes that promote to one, got "
                f"{' and '.join(str(x.dtype) for x in arrays)}"
            ) from None
        operands = [
            x if self.is_array(x) else self.number(x, dtype, like) for x in numbers_or_arrays
        ]
        return operands, dtype

    def real(self, argument: str, x: Any) -> float | Array:
        """A number as a float, or one of these arrays, of real numbers."""
        if type(x) is float:
            return x
        if isinstance(x, numbers.Real | np.generic) and not isinstance(x, np.complexfloating):
            return float(x)
        if not self.is_array(x):
            raise TypeError(f"{argument} must be a real number or an array, got {x!r}")
        if not self.is_real(x.dtype):
            raise TypeError(
                f"{argument} must be real numbers (floating-point, integers or booleans), got "
                f"dtype {x.dtype}"
            )
        return x

    def mask(self, argument: str, x: Any) -> Array:
        """A boolean array."""
        if isinstance(x, bool | np.bool_):
            return self.xp.asarray(bool(x))
        if not self.is_array(x) or not self.is_bool(x.dtype):
            got = f"dtype {x.dtype}" if self.is_array(x) else repr(x)
            raise TypeError(f"{argument} must be boolean, got {got}")
        return x

    def labels(self, argument: str, x: Any, like: Array) -> Array:
        """Class indices: integers."""
        if isinstance(x, numbers.Integral) and not isinstance(x, bool):
            return self.index(self.number(int(x), self.xp.int64, like))
        if not self.is_array(x) or not self.is_integer(x.dtype):
            got = f"dtype {x.dtype}" if self.is_array(x) else repr(x)
            raise TypeError(f"{argument} must be class indices (integers), got {got}")
        return x

    def concrete_values(self, x: Array) -> np.ndarray[Any, Any] | None:
        """The values, if they can be looked at now, without waiting for another device."""
        return None

    # What formulas do

    def is_number(self, x: Any) -> bool:
        """Whether an option is one, and no array, whose values may be anything."""
        return isinstance(x, float)

    def cast(self, x: Array, dtype: Any) -> Array:
        return self.xp.astype(x, dtype, copy=False)

    def number(self, x: float, dtype: Any, like: Array | None) -> Array:
        """An array of no dimensions, on the device of another one."""
        return self.xp.asarray(x, dtype=dtype, device=None if like is None else like.device)

    def computed_in(self, dtype: Any, options: Sequence[Array]) -> Any:
        """The dtype of the formulas for a result of this dtype: float32, or a wider one."""
        floats = (x.dtype for x in options if self.is_float(x.dtype))
        # One after the other: float16 and bfloat16 may promote to float32 only by way of it.
        xp = self.xp
        return functools.reduce(xp.result_type, floats, xp.result_type(xp.float32, dtype))

    def wide(self, x: Array) -> Any:
        """The dtype of totals of x: float64 if there is one."""
        return getattr(self.xp, "float64", x.dtype)

    def total(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        return self.xp.sum(self.cast(x, self.wide(x)), axis=axes, keepdims=keepdims)

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """The number of elements along these axes, in the dtype of their total."""
        if any(x.shape[axis] is None for axis in axes):  # as lazy arrays may say
            return self.total(self.xp.ones_like(x), axes, keepdims)
        return self.number(math.prod(x.shape[axis] for axis in axes), self.wide(x), x)

    def threshold(self, x: float, dtype: Any, like: Array, up: bool = False) -> Array:
        """Towards 0, so that a number of this dtype is <= the result only if it is <= x.

        Or `up`, so that it is < the result only if it is < x.
        """
        if dtype == self.xp.float32:
            x = threshold_in_float32(x, up)
        return self.number(x, dtype, like)

    def of_one_shape(self, inputs: Array, targets: Array) -> Sequence[Array]:
        """Both in the shape of the losses, where one may be a number, perhaps of size 1."""
        if self.shape(inputs) != self.shape(targets):
            return self.xp.broadcast_arrays(inputs, targets)  # type: ignore[no-any-return]
        return inputs, targets

    # What formulas of rows do

    def row_parameter(self, x: Any, dtype: Any) -> Any:
        """A parameter as the formulas take it: a number, or an array without dimensions."""
        return x

    def places(self, x: Array, axis: int) -> Array:
        """0, 1, 2 and so on along an axis of x, in an array that broadcasts to x."""
        return self.along(self.xp.arange(x.shape[axis], device=x.device), x, axis)

    def along(self, row: Array, x: Array, axis: int) -> Array:
        """An array of one dimension as an axis of x, with all dimensions of x."""
        shape = [1] * x.ndim
        shape[axis] = -1
        return self.xp.reshape(row, tuple(shape))

    def size(self, x: Array, axis: int, dtype: Any) -> Any:
        """The number of elements along an axis of x: an array, if a trace would keep a number."""
        return x.shape[axis]

    def pick(self, x: Array, places: Array, axis: int, of_all: bool) -> Array:
        """One of each row; `of_all` if the formula reads all of the row, too."""
        return self.xp.take_along_axis(x, places, axis=axis)

    def constant(self, x: Array) -> Array:
        """x, to which automatic differentiation does not go."""
        return x

    def index(self, x: Array) -> Array:
        """Integers in a dtype that has room for -1 and any size."""
        return self.cast(x, self.xp.int64)


def threshold_in_float32(x: float, up: bool) -> float:
    """Rounded as `Arrays.threshold` says."""
    rounded = np.float32(x)  # float32 against x would compare in float32
    if up and float(rounded) < x:
        rounded = np.nextafter(rounded, np.float32(math.inf))
    elif not up and x < float(rounded) < math.inf:
        rounded = np.nextafter(rounded, np.float32(0))
    return float(rounded)
