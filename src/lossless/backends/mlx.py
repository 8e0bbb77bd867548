"""MLX arrays: the formulas in lazy MLX operations, on the stream of the caller.

Everything here can be traced: MLX transforms, compiles and exports it. So nothing looks at a
value, and nothing but the number of dimensions at a shape: a function that is compiled for any
shape (`shapeless=True`) would keep what it saw first.
"""

from typing import Any

import mlx.core as mx

from .array_api import ArrayApi
from .base import Array


class Mlx(ArrayApi):
    """The array API backend, with what MLX calls or does otherwise."""

    def is_array(self, x: Any) -> bool:
        return isinstance(x, mx.array)

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

    def total(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """MLX adds up float32 one after the other on a CPU, and has no float64 on a GPU."""
        return mx.sum(x.astype(self._wide(x)), axis=axes, keepdims=keepdims)

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """Counted, since a compiled function may meet another shape than the one traced."""
        ones = mx.full_like(x, True, dtype=mx.bool_)
        return mx.sum(ones, axis=axes, keepdims=keepdims).astype(self._wide(x))

    def _wide(self, x: Array) -> Any:
        return mx.float64 if mx.default_device().type == mx.cpu else x.dtype


class _Namespace:
    """mlx.core, but for what it computes too coarsely."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mx, name)

    def exp(self, x: Array) -> Array:
        """Of float64 MLX knows 22 bits (github.com/ml-explore/mlx/issues/3047), of cosh all.

        For x <= 0; what is smaller than e^-300 adds nothing to anything.
        """
        if x.dtype != mx.float64:
            return mx.exp(x)
        x = mx.minimum(-x, 300.0)
        return 1.0 / (mx.cosh(x) + mx.sinh(x))


backend = Mlx(_Namespace())
