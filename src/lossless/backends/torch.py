"""PyTorch tensors: eager calls on a CPU by the kernels, everything else by the formulas.

The kernels write the gradient during the forward pass. They look at memory, so they take a call
only if nothing but this call looks on: no compiler, tracer, transform, mode or subclass. All these
get the formulas, which are PyTorch's own operations.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import _C, Tensor
from torch.autograd import Function, forward_ad

from .. import _core
from .._call import REDUCTIONS, Problem
from .._composed import is_composed
from .._rows import RowProblem
from .array_api import ArrayApi
from .base import Array

CODES = {torch.float16: 0, torch.bfloat16: 1, torch.float32: 2, torch.float64: 3}
INTEGERS = {
    torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16,
    torch.uint32, torch.int32, torch.uint64, torch.int64,
}  # fmt: skip
_NUMBERS = {dtype: torch.zeros((), dtype=dtype, device="cpu") for dtype in CODES}
_LOSSES = {name: number for number, (name, *_) in enumerate(_core.losses())}
_REDUCTIONS = {name: number for number, name in enumerate(REDUCTIONS)}
# Subclasses may mean something else by their memory, or not have any.
_TENSORS = frozenset((Tensor, torch.nn.Parameter))
_set_tracing_state: Any = _C._set_tracing_state  # type: ignore[attr-defined]
# What may look on: torch.jit.trace, torch.func, and the modes that see every operation.
_is_traced = _C._get_tracing_state
_is_transformed = _C._are_functorch_transforms_active
_dispatch_modes = _C._len_torch_dispatch_stack
_function_modes = _C._len_torch_function_stack
# By what PyTorch dispatches on.
_keys = _C._dispatch_keys
_PLAIN_KEYS = _keys(torch.empty(0, device="cpu"))
with torch.inference_mode():
    _INFERENCE_KEYS = _keys(torch.empty(0, device="cpu"))


class _Namespace:
    """torch, with the names of the array API that it does not have."""

    result_type = staticmethod(torch.promote_types)
    broadcast_arrays = staticmethod(torch.broadcast_tensors)
    max = staticmethod(torch.amax)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def expand_dims(self, x: Tensor, axis: int) -> Tensor:
        return x.unsqueeze(axis)

    def take_along_axis(self, x: Tensor, indices: Tensor, axis: int) -> Tensor:
        return torch.take_along_dim(x, indices, axis)


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
        if not (shape and isinstance(shape[0], Tensor)):
            return shape  # type: ignore[no-any-return]
        state = _C._get_tracing_state()
        _set_tracing_state(None)
        try:
            return tuple(x.shape)
        finally:
            _set_tracing_state(state)

    def residual_arrays(self, name: str, inputs: Any, targets: Any) -> tuple[Array, Array, Any]:
        """Both as tensors, and the dtype of the result, which is PyTorch's choice."""
        if type(inputs) is type(targets) is Tensor:
            dtype = inputs.dtype
            if dtype is targets.dtype and dtype in CODES:
                return inputs, targets, dtype  # soon done for most calls
        inputs, targets = (
            self.real(f"{name}: {argument}", x)
            for argument, x in (("inputs", inputs), ("targets", targets))
        )
        like = inputs if self.is_array(inputs) else targets if self.is_array(targets) else None
        default = self.default_float(like)
        arrays = [
            x if not self.is_array(x) or self.is_float(x.dtype) else x.to(default)
            for x in (inputs, targets)
        ]
        tensors = [x for x in arrays if self.is_array(x)]
        # As PyTorch promotes: the arrays of no dimensions count only among themselves.
        leading = [x.dtype for x in tensors if x.ndim] or [x.dtype for x in tensors] or [default]
        dtype = torch.promote_types(leading[0], leading[-1])
        return *(self._as_part(x, dtype, like) for x in arrays), dtype

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

    def threshold(self, x: float, dtype: Any, like: Array) -> Array:
        if not torch.compiler.is_compiling() or dtype is not torch.float32 or like.is_mps:
            return super().threshold(x, dtype, like)
        # A compiled function may be called with another number: it must not look at this one.
        exact = torch.full((), x, dtype=torch.float64, device=like.device)
        rounded = exact.to(dtype)
        below = torch.nextafter(rounded, torch.zeros_like(rounded))
        return torch.where((rounded > exact) & (rounded < math.inf), below, rounded)

    def total(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        wide = _wide(x)
        # To PyTorch no dimensions are all of them.
        return torch.sum(x, dim=axes, keepdim=keepdims, dtype=wide) if axes else x.to(wide)

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        count: Any = 1
        for axis in axes:
            count = count * x.shape[axis]
        if isinstance(count, Tensor):  # in torch.jit.trace, which may run on another shape later
            return count.to(x.device, _wide(x))
        return self.number(count, _wide(x), x)

    def readable(self, x: Array) -> np.ndarray[Any, Any] | None:
        return None if is_observed() or not has_plain_memory(x) else x.numpy()

    def constant(self, x: Array) -> Array:
        return x.detach()

    def widest(self, x: Array) -> Any:
        return _wide(x)

    def value_and_grad(self, problem: Problem) -> tuple[Array, Array]:
        with torch.no_grad():
            return super().value_and_grad(problem)

    def row_value_and_grad(self, problem: RowProblem) -> tuple[Array, Array]:
        with torch.no_grad():
            return super().row_value_and_grad(problem)

    def grad_and_hess(self, problem: Problem) -> tuple[Array, Array]:
        with torch.no_grad():
            return super().grad_and_hess(problem)


def _wide(x: Tensor) -> torch.dtype:
    """The dtype for sums; Apple's GPUs have no float64."""
    return x.dtype if x.is_mps else torch.float64


class Kernels(Formulas):
    """The kernels, for the calls that let them."""

    def value(self, problem: Problem) -> Array:
        if not _is_plain(problem):
            return super().value(problem)
        if torch.is_grad_enabled() and _requires_grad(problem):
            return _Value.apply(problem, *_operands(problem))  # type: ignore[no-untyped-call]
        return _value(problem)

    def value_and_grad(self, problem: Problem) -> tuple[Array, Array]:
        if not _is_plain(problem):
            return super().value_and_grad(problem)
        gradient = torch.empty_like(problem.inputs, dtype=problem.dtype)
        return _value(problem, gradient), gradient

    def grad_and_hess(self, problem: Problem) -> tuple[Array, Array]:
        if not _is_plain(problem):
            return super().grad_and_hess(problem)
        first, second = (torch.empty(problem.shape, dtype=problem.dtype) for _ in range(2))
        _sweep(problem, problem.dtype, gradient=first, curvature=second)
        return first, second


def _is_plain(problem: Problem, *others: Tensor) -> bool:
    """Whether nobody but this call looks on, and its tensors are what their memory says."""
    if is_observed() or is_composed.get() or forward_ad._current_level >= 0:
        return False
    for x in (problem.inputs, problem.targets, *others):
        if not has_plain_memory(x):
            return False
    for x in (problem.weights, problem.where, *problem.parameters):
        if not (x is None or type(x) is float or has_plain_memory(x)):
            return False
    return True


def is_observed() -> bool:
    """Whether a compiler, a tracer, a transform or a mode looks on."""
    return (
        torch.compiler.is_compiling()
        or _is_traced() is not None
        or _is_transformed()
        or bool(_dispatch_modes())
        or bool(_function_modes())
    )


def _requires_grad(problem: Problem) -> bool:
    if problem.inputs.requires_grad or problem.targets.requires_grad:
        return True
    for x in (problem.weights, *problem.parameters):
        if not (x is None or type(x) is float) and x.requires_grad:
            return True
    return False


def has_plain_memory(x: Tensor) -> bool:
    """No subclass; strided, on a CPU; no lazy negative, no wrapper around something else."""
    return type(x) in _TENSORS and ((keys := _keys(x)) == _PLAIN_KEYS or keys == _INFERENCE_KEYS)


def _value(problem: Problem, gradient: Tensor | None = None) -> Tensor:
    """The loss, and its gradient by the inputs or targets in whose shape a tensor for it comes."""
    x, shape, dtype = problem.inputs, problem.shape, problem.dtype
    if problem.reduction != "none":
        if len(problem.axes) == len(shape):
            value = torch.empty_like(_NUMBERS[dtype])  # the quickest way
        else:
            kept = [size for d, size in enumerate(shape) if d not in problem.axes]
            value = torch.empty(kept, dtype=dtype)
    elif x.shape == shape and x.dtype is dtype:
        value = torch.empty_like(x)
    else:
        value = torch.empty(shape, dtype=dtype)
    _sweep(problem, dtype, value, gradient)
    return value


def _gradient(
    problem: Problem, place: int, cotangent: Tensor, into: Tensor | None = None
) -> Tensor:
    """The gradient by inputs (place 0) or targets (1), with the factor taken in before it rounds.

    In the dtype of these, which need not be that of the loss.
    """
    x = problem.targets if place else problem.inputs
    gradient = torch.empty_like(x) if into is None else into
    _sweep(problem, x.dtype, gradient=gradient, cotangent=cotangent)
    return gradient.neg_() if place else gradient


def _sweep(
    problem: Problem,
    dtype: torch.dtype,
    value: Tensor | None = None,
    gradient: Tensor | None = None,
    curvature: Tensor | None = None,
    cotangent: Tensor | None = None,
) -> None:
    """Run the kernels into these results. They reduce the last axes: others are moved there."""
    shape, axes, operands = problem.shape, problem.axes, _operands(problem)
    total = None
    if gradient is not None and gradient.shape != shape:  # by one number against an array
        total, gradient = gradient, None
    kept = 0
    if problem.reduction != "none" and len(axes) != len(shape):
        order = [d for d in range(len(shape)) if d not in axes]
        kept = len(order)
        order += axes
        if order != sorted(order):
            operands = [
                x.expand(shape).permute(order) if isinstance(x, Tensor) else x for x in operands
            ]
            shape = tuple(shape[d] for d in order)
            gradient = None if gradient is None else gradient.permute(order)
    inputs, targets, weights, where, *parameters = operands
    _core.sweep(
        _LOSSES[problem.loss],
        CODES[dtype],
        _REDUCTIONS[problem.reduction],
        shape,
        kept,
        inputs,
        targets,
        tuple([x if type(x) is float else _readable(x) for x in parameters]),
        weights if weights is None else _readable(weights),
        where,
        value,
        gradient,
        curvature,
        total,
        cotangent,
        torch.get_num_threads(),
    )


def _readable(x: Any) -> Any:
    """Weights or a parameter in a dtype that the kernels read."""
    return x.double() if isinstance(x, Tensor) and x.dtype in INTEGERS else x


def _operands(problem: Problem) -> list[Any]:
    return [problem.inputs, problem.targets, problem.weights, problem.where, *problem.parameters]


def _with(problem: Problem, operands: Sequence[Any]) -> Problem:
    """The same problem of other operands."""
    inputs, targets, weights, where, *parameters = operands
    return replace(
        problem, inputs=inputs, targets=targets, weights=weights, where=where,
        parameters=tuple(parameters),
    )  # fmt: skip


class _Value(Function):
    """A loss, for autograd. If it is one number, its gradient is computed along with it.

    A loss of several numbers is multiplied by something later on, and only who knows the factor
    can round the gradient once: that is left to the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, problem: Problem, *operands: Any) -> Tensor:
        _, by_inputs, by_targets, *_ = ctx.needs_input_grad
        gradient = None
        if by_inputs or by_targets:
            x = problem.inputs if by_inputs else problem.targets
            reduced = 0 if problem.reduction == "none" else len(problem.axes)
            is_number = reduced == len(problem.shape)
            if is_number and x.shape == problem.shape and x.dtype is problem.dtype:
                gradient = torch.empty_like(x)
        value = _value(problem, gradient)
        _save(ctx, problem, gradient)
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        problem, gradient = _saved(ctx)
        needed = [place for place, needs in enumerate(ctx.needs_input_grad[1:]) if needs]
        by_kernels = [place for place in needed if place < 2 and _is_plain(problem, cotangent)]
        by_formulas = [place for place in needed if place not in by_kernels]
        results: list[Tensor | None] = [None] * (len(ctx.needs_input_grad) - 1)
        for place in by_kernels:
            if torch.is_grad_enabled():  # what it returns may be differentiated
                arguments = (problem, place, cotangent, *_operands(problem))
                results[place] = _Gradient.apply(*arguments)  # type: ignore[no-untyped-call]
            elif gradient is None:
                results[place] = _gradient(problem, place, cotangent)
            else:
                if _C._autograd._get_current_graph_task_keep_graph():
                    gradient = gradient.clone()  # the next backward pass finds it unchanged
                if cotangent.item() == 1.0:
                    results[place] = gradient.neg_() if place else gradient
                else:  # not multiplied: that would round again
                    results[place] = _gradient(problem, place, cotangent, gradient)
                gradient = None
        if by_formulas:
            slopes = _by_formulas(problem, by_formulas, cotangent)
            for place, slope in zip(by_formulas, slopes, strict=True):
                results[place] = slope
        return None, *results


class _Gradient(Function):
    """The gradient by inputs (place 0) or targets (1), which can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, problem: Problem, place: int, cotangent: Tensor, *_: Any) -> Tensor:
        ctx.place = place
        _save(ctx, problem, cotangent)
        return _gradient(problem, place, cotangent)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> Any:
        problem, cotangent = _saved(ctx)
        needed = [place for place, needs in enumerate(ctx.needs_input_grad) if needs]
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            arguments = [problem, ctx.place, cotangent, *_operands(problem)]
            for place in needed:  # new names, since the cotangent may depend on an operand
                arguments[place] = arguments[place].view_as(arguments[place])
            _, place, cotangent, *operands = arguments
            (slope,) = _by_formulas(_with(problem, operands), [place], cotangent)
        by = [arguments[place] for place in needed]
        slopes = torch.autograd.grad(
            slope, by, factor, create_graph=differentiable, allow_unused=True
        )
        results: list[Tensor | None] = [None] * len(arguments)
        for place, result in zip(needed, slopes, strict=True):
            results[place] = result
        return tuple(results)


def _by_formulas(problem: Problem, places: list[int], cotangent: Tensor) -> tuple[Tensor, ...]:
    """The gradient by the operands in these places, differentiable if gradients are recorded."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        operands = _operands(problem)
        for place in places:
            operands[place] = operands[place].view_as(operands[place])
        value = _FORMULAS.value(_with(problem, operands))
    by = [operands[place] for place in places]
    return torch.autograd.grad(value, by, cotangent, create_graph=differentiable)


def _save(ctx: Any, problem: Problem, more: Tensor | None) -> None:
    """Keep a problem and a tensor for the backward pass: tensors where autograd wants them."""
    operands = _operands(problem)
    tensors = [x if isinstance(x, Tensor) else None for x in operands]
    ctx.save_for_backward(more, *tensors)
    ctx.rest = _with(problem, [None if isinstance(x, Tensor) else x for x in operands])


def _saved(ctx: Any) -> tuple[Problem, Any]:
    more, *tensors = ctx.saved_tensors
    pairs = zip(tensors, _operands(ctx.rest), strict=True)
    return _with(ctx.rest, [other if x is None else x for x, other in pairs]), more


def _kernels() -> tuple[Kernels | None, str]:
    """What serves eager calls on CPU tensors, and why."""
    if _core.reads_tensors(Tensor):
        from .torch_rows import RowKernels

        return RowKernels(_Namespace()), "eager calls on CPU tensors; others are composed"
    why = f"torch {torch.__version__} does not lend the functions by which the kernels read tensors"
    warnings.warn(
        f"lossless: PyTorch tensors are served by composed formulas, slower than the native "
        f"kernels: {why}. Version 2.13.0 does.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None, why


_FORMULAS = Formulas(_Namespace())
_KERNELS, _WHY = _kernels()


def backend() -> Formulas:
    """What serves tensors."""
    return _KERNELS or _FORMULAS


def path() -> tuple[str, str]:
    """Whether an eager call on CPU tensors is "native" or "composed" now, and why."""
    if _KERNELS and is_composed.get():
        return "composed", "inside lossless.composed()"
    return "native" if _KERNELS else "composed", _WHY
