"""NumPy's arrays, and what NumPy converts to them."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Arrays

Array: TypeAlias = np.ndarray[Any, Any]

# The numbers of the dtypes that kernels read; bfloat16 is added when first seen.
DTYPE_CODES = {np.dtype("float16"): 0, np.dtype("float32"): 2, np.dtype("float64"): 3}
_BFLOAT16 = 1


class NumPyArrays(Arrays):
    shape = staticmethod(operator.attrgetter("shape"))  # type: ignore[assignment]

    def is_array(self, x: Any) -> bool:
        """Whether x is one, or a scalar, as which NumPy returns arrays of no dimensions."""
        return isinstance(x, np.ndarray | np.generic)

    def is_float(self, dtype: Any) -> bool:
        return is_float(dtype)

    def operands(self, function: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as arrays, and the dtype of the result. Numbers take the dtype of the others."""
        if len(given) == 2:  # soon done for most calls
            inputs, targets = given.values()
            plain = type(inputs) is type(targets) is np.ndarray
            if plain and inputs.dtype == targets.dtype in DTYPE_CODES:
                return (inputs, targets), inputs.dtype
        arrays = [
            None if type(x) in (bool, int, float) else _real_array(f"{function}: {argument}", x)
            for argument, x in given.items()
        ]
        dtypes = [a.dtype if is_float(a.dtype) else np.float64 for a in arrays if a is not None]
        try:
            dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
        except TypeError:
            raise TypeError(
                f"{function}: {' and '.join(given)} must have dtypes that NumPy promotes to one, "
                f"got {' and '.join(str(np.dtype(d)) for d in dtypes)}"
            ) from None
        with np.errstate(over="ignore"):  # a number too large for the dtype is infinite in it
            return [
                np.asarray(float(x), dtype) if a is None else a
                for a, x in zip(arrays, given.values(), strict=True)
            ], dtype

    def real(self, argument: str, x: Any) -> float | Array:
        """A number as a float, anything else as an array of real numbers."""
        if type(x) is float:  # which takes longer to find out below
            return x
        if isinstance(x, numbers.Real | np.generic) and not isinstance(x, np.complexfloating):
            return float(x)
        return _real_array(argument, x)

    def mask(self, argument: str, x: Any) -> Array:
        array = _array(argument, x)
        if array.dtype != np.bool_:
            raise TypeError(f"{argument} must be boolean, got dtype {array.dtype}")
        return array

    def labels(self, argument: str, x: Any, like: Array) -> Array:
        array = _array(argument, x)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{argument} must be class indices (integers), got dtype {array.dtype}")
        return array

    def concrete_values(self, x: Array) -> Array:
        return x

    def cast(self, x: Any, dtype: Any) -> Any:
        return x.astype(dtype, copy=False)[()]  # of no dimensions, it is a scalar in NumPy

    def number(self, x: float, dtype: Any, like: Array | None) -> Any:
        return np.asarray(x, dtype)

    def places(self, x: Array, axis: int) -> Array:
        return np.asarray(self.along(np.arange(x.shape[axis]), x, axis))


def refuse_mask(argument: str, x: Any) -> None:
    """A TypeError where NumPy, or a framework, would drop a mask without a word."""
    if _holds_mask(x):
        by_false = "fill it with False, as where.filled(False) does"
        cure = by_false if argument.endswith("where") else "pass its data, and where=~mask"
        raise TypeError(f"{argument} must not be a masked array: {cure}")


def _holds_mask(x: Any) -> bool:
    if type(x) in (list, tuple):
        return any(map(_holds_mask, x))
    return isinstance(x, np.ma.MaskedArray)


def _array(argument: str, x: Any) -> Array:
    refuse_mask(argument, x)
    return np.asarray(x)


def _real_array(argument: str, x: Any) -> Array:
    array = _array(argument, x)
    if not (is_float(array.dtype) or array.dtype.kind in "biu"):
        raise TypeError(
            f"{argument} must be real numbers (float16, bfloat16, float32, float64, integers or "
            f"booleans), got dtype {array.dtype}"
        )
    return array


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether kernels read such numbers, perhaps in another byte order."""
    if dtype in DTYPE_CODES:
        return True
    if dtype.name == "bfloat16":
        DTYPE_CODES[dtype] = _BFLOAT16
        return True
    return dtype.kind == "f" and dtype.newbyteorder("=") in DTYPE_CODES


ARRAYS = NumPyArrays(np)
