"""Arrays of any other library that follows the Python array API standard: the formulas on them."""

import functools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Array
from .rows import RowsInNumPy, RowWise

NEWEST = "2024.12"  # the version of the standard whose functions the formulas call


def version(namespace: Any) -> str:
    """That of the standard which it follows."""
    return getattr(namespace, "__array_api_version__", NEWEST)


@functools.cache
def backend(namespace: Any, version: str) -> "ArrayApi":
    """The backend for arrays of this namespace."""
    return _MaybeInNumPy(namespace if version >= NEWEST else _Older(namespace))


class _Older:
    """A namespace of 2022.12 or 2023.12, with what the formulas need of newer ones."""

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._namespace, name)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """Numbers take the dtype of the other side."""
        if isinstance(x, int | float):
            x = self.asarray(x, dtype=y.dtype, device=y.device)
        elif isinstance(y, int | float):
            y = self.asarray(y, dtype=x.dtype, device=x.device)
        return self._namespace.where(condition, x, y)

    def take_along_axis(self, x: Any, indices: Any, axis: int) -> Any:
        """One of each row: the indices have size 1 along the axis."""
        shape = [1] * x.ndim
        shape[axis] = -1
        places = self.reshape(self.arange(x.shape[axis], device=x.device), tuple(shape))
        # No sum, in which -0 would be 0.
        lowest = self.where(places == indices, x, -math.inf)
        return self.max(lowest, axis=axis, keepdims=True)


class ArrayApi(RowWise):
    """What arrays of the namespace `xp` may be, and the computation with them."""

    def is_array(self, x: Any) -> bool:
        """Whether x is one of these arrays: `backend_for` has seen that it is none of others."""
        return hasattr(x, "__array_namespace__") and not isinstance(x, np.generic)

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
        if version(self.xp) < "2023.12":
            return self.xp.asarray(0.0, device=device).dtype
        return self.xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]

    def operands(self, name: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as arrays, and the dtype of the result. Numbers take the dtype of the others."""
        if len(given) == 2 and all(map(self.is_array, given.values())):
            inputs, targets = given.values()
            dtype = inputs.dtype
            if dtype == targets.dtype and self.is_float(dtype):
                return (inputs, targets), dtype
        numbers_or_arrays: list[Any] = [
            self.real(f"{name}: {argument}", x) for argument, x in given.items()
        ]
        arrays = [x for x in numbers_or_arrays if self.is_array(x)]
        like = arrays[0] if arrays else None
        default = self.default_float(like)
        dtypes = {x.dtype if self.is_float(x.dtype) else default for x in arrays}
        try:
            dtype = self.xp.result_type(*dtypes) if dtypes else default
        except TypeError:
            raise TypeError(
                f"{name}: {' and '.join(given)} must have dtypes that promote to one, got "
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


class _MaybeInNumPy(RowsInNumPy, ArrayApi):
    """What is known of a namespace that comes along."""
