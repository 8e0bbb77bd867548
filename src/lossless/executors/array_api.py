"""Arrays of any other library that follows the Python array API standard: the formulas on them."""

from __future__ import annotations

import functools
import math
from typing import Any

from .._problem import Array
from .arrays import Arrays
from .executor import Framework
from .formulas import QuietFormulas

NEWEST = "2024.12"  # the version of the standard whose functions the formulas call


def version(namespace: Any) -> str:
    """That of the standard which it follows."""
    return getattr(namespace, "__array_api_version__", NEWEST)


@functools.cache
def framework(namespace: Any, version: str) -> Framework:
    """The framework of this namespace, which may compute with NumPy."""
    arrays = ArrayApiArrays(namespace if version >= NEWEST else _Older(namespace))
    why = "the formulas need nothing but the array API"
    return Framework(namespace.__name__, arrays, (QuietFormulas(arrays),), why, by_type=False)


class ArrayApiArrays(Arrays):
    def default_float(self, like: Array | None) -> Any:
        if version(self.xp) >= "2023.12":
            return super().default_float(like)
        return self.xp.asarray(0.0, device=None if like is None else like.device).dtype


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
