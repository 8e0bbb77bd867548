"""PyTorch tensors: eager calls on a CPU by the kernels, everything else by the formulas.

The formulas are PyTorch's own operations, which it compiles, traces, transforms and
differentiates itself.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import _C, Tensor

from ... import _core
from ..._call import Problem
from ..._composed import is_composed
from ..._rows import RowProblem
from ..array_api import ArrayApi
from ..base import Array
from ..composed import warn_of_fallback
from . import blocks as torch_blocks
from .eligibility import CODES, is_readable

INTEGERS = {
    torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16,
    torch.uint32, torch.int32, torch.uint64, torch.int64,
}  # fmt: skip
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


def _in_blocks(problem: RowProblem) -> bool:
    """Whether `torch_blocks` has the losses."""
    if problem.loss not in ("cross_entropy", "soft_cross_entropy", "kl_div"):
        return False
    return torch_blocks.may_run(*problem.arrays, problem.labels, problem.where)


class Formulas(ArrayApi):
    """The array API backend, with what PyTorch calls or does otherwise."""

    def is_array(self, x: Any) -> bool:
        return isinstance(x, Tensor)

    def is_float(self, dtype: Any) -> bool:
        return dtype in CODES

    def is_real(self, dtype: Any) -> bool:
        return dtype in CODES or dtype in INTEGERS

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

    def operands(self, name: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as tensors, and the dtype of the result, which is PyTorch's choice."""
        first, *others = given.values()
        if len(others) == 1 and type(first) is type(others[0]) is Tensor:
            dtype = first.dtype
            if dtype is others[0].dtype and dtype in CODES:
                return (first, *others), dtype  # soon done for most calls
        real: list[Any] = [self.real(f"{name}: {argument}", x) for argument, x in given.items()]
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

    def readable(self, x: Array) -> np.ndarray[Any, Any] | None:
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

    def value_and_grad(self, problem: Problem) -> tuple[Array, Array]:
        with torch.no_grad():
            return super().value_and_grad(problem)

    def losses_of_rows(
        self, problem: RowProblem, labels: Array | None, where: Array | None, dtype: Any
    ) -> Array:
        formula = super().losses_of_rows
        if not _in_blocks(problem):
            return formula(problem, labels, where, dtype)
        if not problem.shape:  # one row alone has the bits of a batch of one
            arrays = tuple(x.unsqueeze(0) for x in problem.arrays)
            label = None if labels is None else labels.unsqueeze(0)
            batch = replace(problem, arrays=arrays, axis=-1, shape=(1,))
            return self.losses_of_rows(batch, label, where, dtype).squeeze(0)

        def of(*arrays: Tensor) -> Tensor:
            losses: Tensor = formula(replace(problem, arrays=arrays), labels, where, dtype)
            return losses

        axis = problem.axis
        rows = None if where is None else where.expand(problem.shape).unsqueeze(axis)
        if labels is None:
            return torch_blocks.OfDistributions.apply(  # type: ignore[no-untyped-call]
                *problem.arrays, rows, of, problem.loss, axis, problem.parameters, dtype
            )
        (x,), (smoothing,) = problem.arrays, problem.parameters
        return torch_blocks.CrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, labels, rows, axis, smoothing, dtype, of
        )

    def row_curvature(self, problem: RowProblem) -> Array:
        with torch.no_grad():
            return super().row_curvature(problem)

    def row_value_and_grad(self, problem: RowProblem) -> tuple[Array, Array]:
        if not _in_blocks(problem):
            with torch.no_grad():
                return super().row_value_and_grad(problem)
        x, *others = (x.detach() for x in problem.arrays)
        x = x.to(problem.dtype).requires_grad_()
        with torch.enable_grad():
            value = self.row_value(replace(problem, arrays=(x, *others)))
        (gradient,) = torch.autograd.grad(value, x, torch.ones_like(value))
        return value.detach(), gradient

    def grad_and_hess(self, problem: Problem) -> tuple[Array, Array]:
        with torch.no_grad():
            return super().grad_and_hess(problem)


FORMULAS = Formulas(_Namespace())


def _kernels() -> tuple[Formulas | None, str]:
    """What serves eager calls on CPU tensors, and why."""
    if _core.reads_tensors(Tensor):
        from .rows import RowKernels

        return RowKernels(_Namespace()), "eager calls on CPU tensors; others are composed"
    why = f"torch {torch.__version__} does not lend the functions by which the kernels read tensors"
    warn_of_fallback("PyTorch tensors", f"{why}. Version 2.13.0 does.")
    return None, why


_KERNELS, _WHY = _kernels()


def backend() -> Formulas:
    """What serves tensors."""
    return _KERNELS or FORMULAS


def shortcuts() -> tuple[type, dict[str, Any]]:
    """What computes the simplest calls of inputs of a type, by the method that it stands for."""
    if _KERNELS is None:
        return Tensor, {}
    from .kernels import value_at_once

    return Tensor, {"value": value_at_once}


def path() -> tuple[str, str]:
    """Whether an eager call on CPU tensors is "native" or "composed" now, and why."""
    if _KERNELS and is_composed.get():
        return "composed", "inside lossless.composed()"
    return "native" if _KERNELS else "composed", _WHY
