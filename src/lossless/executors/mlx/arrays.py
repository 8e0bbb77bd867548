"""MLX's arrays, and what formulas do with them otherwise than with others.

Everything here can be traced: MLX transforms, compiles and exports it. So nothing looks at a
value, and nothing but the number of dimensions at a shape: a function that is compiled for any
shape (`shapeless=True`) would keep what it saw first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from ..._problem import Array
from ..arrays import Arrays
from ..numpy.arrays import ARRAYS as NUMPY


class MlxArrays(Arrays):
    def is_array(self, x: Any) -> bool:
        return isinstance(x, mx.array | np.ndarray)

    def operands(self, function: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """NumPy's floats beside MLX arrays take their dtype, as MLX has it."""
        beside = [argument for argument, x in given.items() if isinstance(x, np.ndarray)]
        if beside:
            own = {argument: x for argument, x in given.items() if argument not in beside}
            dtype = super().operands(function, own)[1]
            given = dict(given)
            for argument in beside:
                given[argument] = self.real(f"{function}: {argument}", given[argument], dtype)
        return super().operands(function, given)

    def real(self, argument: str, x: Any, dtype: Any = None) -> float | Array:
        if not isinstance(x, np.ndarray):
            return super().real(argument, x)
        array = NUMPY.real(argument, x)
        if isinstance(array, np.ndarray) and array.dtype.name == "bfloat16":
            array = array.astype(np.float32)
            dtype = dtype or mx.bfloat16
        is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"
        return mx.array(array, dtype if is_float else None)

    def mask(self, argument: str, x: Any) -> Array:
        if isinstance(x, np.ndarray):
            x = mx.array(NUMPY.mask(argument, x))
        return super().mask(argument, x)

    def labels(self, argument: str, x: Any, like: Array) -> Array:
        if isinstance(x, np.ndarray):
            x = mx.array(NUMPY.labels(argument, x, like))
        return super().labels(argument, x, like)

    def is_float(self, dtype: Any) -> bool:
        return mx.issubdtype(dtype, mx.floating)

    def is_real(self, dtype: Any) -> bool:
        return not mx.issubdtype(dtype, mx.complexfloating)

    def is_bool(self, dtype: Any) -> bool:
        return bool(dtype == mx.bool_)

    def default_float(self, like: Array | None) -> Any:
        return mx.float32

    def cast(self, x: Array, dtype: Any) -> Array:
        return x.astype(dtype)

    def number(self, x: float, dtype: Any, like: Array | None) -> Array:
        return mx.array(x, dtype)

    def wide(self, x: Array) -> Any:
        """MLX adds up float32 one after the other on a CPU, and has no float64 on a GPU."""
        return mx.float64 if is_on_cpu() else x.dtype

    def total(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """Squeezed one axis after the other.

        MLX 0.32.4 puts the axis of a batch at a wrong place when several come back in a derivative.
        """
        if 0 in x.shape:  # MLX may add up for ever what came from NumPy without elements
            x = mx.contiguous(x)
        total = super().total(x, axes, keepdims=True)
        for axis in () if keepdims else sorted((a % x.ndim for a in axes), reverse=True):
            total = mx.squeeze(total, axis)
        return total

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """Counted, since a compiled function may meet another shape than the one traced."""
        return mx.sum(_everywhere(x), axis=axes, keepdims=keepdims).astype(self.wide(x))

    def of_one_shape(self, inputs: Array, targets: Array) -> Sequence[Array]:
        """MLX may have mapped one of them, or call a shapeless function with another size."""
        return mx.broadcast_arrays(inputs, targets)

    def size(self, x: Array, axis: int, dtype: Any) -> Any:
        return mx.sum(_everywhere(x), axis=axis, keepdims=True).astype(dtype)

    def places(self, x: Array, axis: int) -> Array:
        """Counted, as above, in an array of the shape of x."""
        return mx.cumsum(_everywhere(x).astype(mx.int32), axis=axis) - 1

    def constant(self, x: Array) -> Array:
        return mx.stop_gradient(x)


class Namespace:
    """mlx.core, but for what it computes too coarsely."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mx, name)

    def argmax(self, x: Array, axis: int, keepdims: bool) -> Array:
        """MLX refuses arrays without rows; their places may be any."""
        if 0 in x.shape:
            return mx.zeros_like(mx.max(x, axis=axis, keepdims=keepdims), dtype=mx.uint32)
        return mx.argmax(x, axis=axis, keepdims=keepdims)

    def exp(self, x: Array) -> Array:
        """Of float64 MLX knows 21 bits (github.com/ml-explore/mlx/issues/3047), of cosh all.

        What is smaller than e^-750 is 0, and larger than e^1000 infinite. The derivatives are those
        of MLX's exp at 0, where it has all bits, as a `where` would make NaN of an infinite one.
        """
        if x.dtype != mx.float64:
            return mx.exp(x)
        x = mx.minimum(mx.maximum(x, -750.0), 1000.0)
        at = mx.stop_gradient(x)
        half = 0.5 * mx.abs(at)
        root = mx.cosh(half) + mx.sinh(half)
        power = mx.square(mx.where(at > 0, root, 1.0 / root))
        return power * mx.exp(x - at)


def _everywhere(x: Array) -> Array:
    """True in the shape of x, whatever that will be."""
    return mx.full_like(x, True, dtype=mx.bool_)


def is_on_cpu() -> bool:
    """Whether the default stream is a CPU's."""
    return bool(mx.default_device().type == mx.cpu)


ARRAYS = MlxArrays(Namespace())
