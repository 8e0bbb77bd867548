"""PyTorch's tensors, and what formulas do with them otherwise than with other arrays.

The formulas are PyTorch's own operations, which it compiles, traces, transforms and
differentiates itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import _C, Tensor

from ..._problem import Array
from ..arrays import Arrays
from .eligibility import DTYPE_CODES, INTEGERS, is_readable

_set_tracing_state: Any = _C._set_tracing_state  # type: ignore[attr-defined]


class _Namespace:
    """torch, with the names of the array API that it does not have."""

    result_type = staticmethod(torch.promote_types)
    broadcast_arrays = staticmethod(torch.broadcast_tensors)
    max = staticmethod(torch.amax)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def expand_dims(self, x: Tensor, axis: int) -> Tensor:
        return x.unsqueeze(axis)

    def log1p(self, x: Tensor) -> Tensor:
        if not torch.onnx.is_in_onnx_export():
            return torch.log1p(x)
        # ONNX has no log1p, and PyTorch writes log(1 + x), which loses the digits of a small x.
        above = 1.0 + x
        lost = above == 1.0
        return torch.where(lost, x, torch.log(above) * (x / torch.where(lost, 1.0, above - 1.0)))


def _is_spread(x: Tensor) -> bool:
    """Whether it is a DTensor."""
    return type(x) is not Tensor and hasattr(x, "device_mesh")


def _places(x: Any, axis: int) -> Tensor:
    """0, 1, 2 and so on along an axis, which is counted from the end."""
    places = torch.arange(x.shape[axis], device=x.device).reshape(-1, *[1] * (-1 - axis))
    if not _is_spread(x):
        return places
    from torch.distributed.tensor import DTensor, Replicate

    # A plain tensor beside a DTensor is an error; this one is the same in every process.
    mesh = x.device_mesh
    return DTensor.from_local(places, mesh, [Replicate()] * mesh.ndim, run_check=False)


def _beside(x: Tensor, up: bool) -> Tensor:
    """The float32 number above one that is >= 0, or below one that is > 0; both in float64.

    ONNX has no nextafter. A 2²⁴th of x is from 1/2 to 1 of the distance to the number above, and
    all of that to the number below a power of two. A quarter more is from 5/8 to 5/4 of a distance,
    which rounds to 1 in float32. Subnormal numbers, and some above them, lie 2⁻¹⁴⁹ apart.
    """
    step = torch.clamp(x * (1.25 * 2.0**-24), min=2.0**-149)
    return (x + step if up else x - step).float().double()


class TorchArrays(Arrays):
    def is_array(self, x: Any) -> bool:
        return isinstance(x, Tensor)

    def is_float(self, dtype: Any) -> bool:
        return dtype in DTYPE_CODES

    def is_real(self, dtype: Any) -> bool:
        return dtype in DTYPE_CODES or dtype in INTEGERS

    def is_bool(self, dtype: Any) -> bool:
        return dtype is torch.bool

    def default_float(self, like: Array | None) -> Any:
        return torch.get_default_dtype()

    def shape(self, x: Array) -> tuple[int, ...]:
        """Numbers, also in `torch.jit.trace`, where sizes are tensors."""
        shape = x.shape
        if not shape or type(shape[0]) is int or not isinstance(shape[0], Tensor):
            return shape  # type: ignore[no-any-return]
        state = _C._get_tracing_state()
        _set_tracing_state(None)
        try:
            return tuple(x.shape)
        finally:
            _set_tracing_state(state)

    def operands(self, function: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as tensors, and the dtype of the result, which is PyTorch's choice."""
        first, *others = given.values()
        if len(others) == 1 and type(first) is type(others[0]) is Tensor:
            dtype = first.dtype
            if dtype is others[0].dtype and dtype in DTYPE_CODES:
                return (first, *others), dtype  # soon done for most calls
        real: list[Any] = [self.real(f"{function}: {argument}", x) for argument, x in given.items()]
        like = next(filter(self.is_array, real), None)
        default = self.default_float(like)
        arrays = [
            x if not self.is_array(x) or self.is_float(x.dtype) else x.to(default) for x in real
        ]
        tensors = [x for x in arrays if self.is_array(x)]
        # As PyTorch promotes: the arrays of no dimensions count only among themselves.
        leading = [x.dtype for x in tensors if x.ndim] or [x.dtype for x in tensors] or [default]
        dtype = functools.reduce(torch.promote_types, leading)
        return [self._as_part(x, dtype, like) for x in arrays], dtype

    def _as_part(self, x: Any, dtype: Any, like: Array | None) -> Array:
        """A number, or a tensor that does not count for the dtype of the result, in that dtype."""
        if not self.is_array(x):
            return self.number(x, dtype, like)
        return x if torch.promote_types(x.dtype, dtype) is dtype else x.to(dtype)

    def real(self, argument: str, x: Any) -> float | Array:
        return x if type(x) is float else super().real(argument, x)

    def cast(self, x: Array, dtype: Any) -> Array:
        return x.to(dtype)

    def number(self, x: float, dtype: Any, like: Array | None) -> Array:
        device = None if like is None else like.device
        widest = torch.float32 if like is not None and like.is_mps else torch.float64
        # By way of it, since numbers too large for the dtype are infinite there, and no error.
        return torch.full((), x, dtype=widest, device=device).to(dtype)

    def threshold(self, x: float, dtype: Any, like: Array, up: bool = False) -> Array:
        if not torch.compiler.is_compiling() or dtype is not torch.float32 or like.is_mps:
            return super().threshold(x, dtype, like, up)
        # A compiled function may be called with another number: it must not look at this one.
        exact = torch.full((), x, dtype=torch.float64, device=like.device)
        rounded = exact.to(dtype).double()
        wrong = rounded < exact if up else (rounded > exact) & (rounded < math.inf)
        return torch.where(wrong, _beside(rounded, up), rounded).to(dtype)

    def wide(self, x: Array) -> Any:
        """The dtype of totals of x; Apple's GPUs have no float64."""
        return x.dtype if x.is_mps else torch.float64

    def total(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        wide = self.wide(x)
        # To PyTorch no dimensions are all of them.
        return torch.sum(x, dim=axes, keepdim=keepdims, dtype=wide) if axes else x.to(wide)

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        count: Any = 1
        for axis in axes:
            count = count * x.shape[axis]
        if isinstance(count, Tensor):  # in torch.jit.trace, which may run on another shape later
            return count.to(x.device, self.wide(x))
        return self.number(count, self.wide(x), x)

    def concrete_values(self, x: Array) -> np.ndarray[Any, Any] | None:
        return x.numpy() if is_readable(x) else None

    def places(self, x: Array, axis: int) -> Array:
        return _places(x, axis)

    def pick(self, x: Array, places: Array, axis: int, of_all: bool) -> Array:
        # A compiler makes one loop of the sum and what else reads the row; behind a gather it would
        # keep x and two gradients in the dtype of the computation.
        in_one_loop = of_all and torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        if in_one_loop or _is_spread(x):  # of an axis that is, DTensor's gather has no derivative
            return torch.where(_places(x, axis) == places, x, 0.0).sum(axis, keepdim=True)
        # take_along_dim keeps the size of x from when it was traced. Some readers of ONNX want the
        # axis >= 0.
        return torch.gather(x, x.ndim + axis, places)

    def constant(self, x: Array) -> Array:
        return x.detach()


ARRAYS = TorchArrays(_Namespace())
