"""The kernels on PyTorch's CPU tensors, in eager calls.

They write the gradient during the forward pass. They look at memory, so they take a call only if
nothing but this call looks on: no compiler, tracer, transform, mode or subclass. All these get the
formulas.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import _C, Tensor
from torch.autograd import Function, forward_ad

from ... import _core
from ..._problem import VALUE, Array, Call, Problem
from ..._spec import RowLossSpec
from ..executor import KERNELS, Promise
from ..formulas import Formulas
from .autograd import gradients_by_formulas, operands_of, requires_grad, save, saved, with_operands
from .eligibility import (
    DTYPE_CODES,
    NUMBERS,
    REDUCTION_CODES,
    TENSORS,
    as_kernel_dtype,
    kernels_may_read,
)
from .rows import RowKernels


class Kernels:
    """The losses that have a kernel, for the calls that let them."""

    name: str = KERNELS
    device: str = "CPU"
    promise: Promise = Promise(correctly_rounded=True)
    limits: str = (
        "losses that have no kernel; tensors that are more, or less, than memory of a CPU; calls "
        "that a compiler, tracer, transform or mode looks at, which would not see the kernel"
    )

    def __init__(self, formulas: Formulas) -> None:
        self._formulas = formulas
        self._rows = RowKernels(formulas)

    def simple(self, call: Call[Any], outputs: tuple[str, ...]) -> tuple[Array, ...] | None:
        """The loss of two plain tensors."""
        if outputs != VALUE or type(call.operands[0]) is not Tensor or not call.loss.has_kernel:
            return None
        if forward_ad._current_level >= 0:
            return None
        reduction = REDUCTION_CODES[call.reduction]
        inputs, targets = call.operands
        value = TENSORS.value(call.loss.kernel_index, inputs, targets, call.parameters, reduction)
        return None if value is None else (value,)

    def idle(self) -> str | None:
        return None

    def refuses(self, problem: Problem) -> str | None:
        if not problem.loss.has_kernel:
            return f"{problem.loss.name} has no kernel"
        if kernels_may_read(*operands_of(problem)):
            return None
        return "not an eager call on CPU tensors"

    def run(self, problem: Problem) -> tuple[Array, ...]:
        if isinstance(problem.loss, RowLossSpec):
            return self._rows.run(problem)
        outputs, dtype = problem.outputs, problem.dtype
        if outputs == VALUE:
            if torch.is_grad_enabled() and requires_grad(operands := operands_of(problem)):
                value = _Value.apply(problem, self._formulas, *operands)  # type: ignore[no-untyped-call]
                return (value,)
            return (_sweep(problem, dtype, value=True),)
        results: dict[str, Tensor] = {}
        for output in outputs:
            if output == "gradient" and "value" in outputs:
                results[output] = torch.empty_like(problem.inputs, dtype=dtype)
            elif output != "value":
                results[output] = torch.empty(problem.shape, dtype=dtype)
        value = _sweep(
            problem, dtype, "value" in outputs, results.get("gradient"),
            results.get("second_derivative"),
        )  # fmt: skip
        return tuple([value if output == "value" else results[output] for output in outputs])


def _gradient(
    problem: Problem, place: int, cotangent: Tensor, into: Tensor | None = None
) -> Tensor:
    """The gradient for inputs (place 0) or targets (1), with the factor taken in before it rounds.

    In the dtype of these, which need not be that of the loss.
    """
    x = problem.targets if place else problem.inputs
    gradient = torch.empty_like(x) if into is None else into
    _sweep(problem, x.dtype, gradient=gradient, cotangent=cotangent)
    return gradient.neg_() if place else gradient


def _sweep(
    problem: Problem,
    dtype: torch.dtype,
    value: bool = False,
    gradient: Tensor | None = None,
    second_derivative: Tensor | None = None,
    cotangent: Tensor | None = None,
) -> Any:
    """Run the kernels into these results, and return the value if it is wanted.

    A gradient is with respect to inputs or targets, whichever has its shape. The kernels reduce the
    last axes, so others that are to be reduced are moved there.
    """
    inputs, targets, weights = problem.inputs, problem.targets, problem.weights
    where, parameters = problem.where, problem.parameters
    shape, axes = problem.shape, problem.axes
    result = total = None
    if gradient is not None and gradient.shape != shape:  # for one number against an array
        total, gradient = gradient, None
    outer = 0
    if problem.reduction == "none":
        if value and inputs.shape == shape and inputs.dtype is dtype:
            result = torch.empty_like(inputs)
        elif value:
            result = torch.empty(shape, dtype=dtype)
    elif len(axes) == len(shape):
        result = torch.empty_like(NUMBERS[dtype]) if value else None  # the quickest way
    else:
        order = [d for d in range(len(shape)) if d not in axes]
        outer = len(order)
        result = torch.empty([shape[d] for d in order], dtype=dtype) if value else None
        order += axes
        if order != sorted(order):
            inputs, targets, _, weights, where, *moved = (
                x.expand(shape).permute(order) if isinstance(x, Tensor) else x
                for x in operands_of(problem)
            )
            parameters = tuple(moved)
            shape = tuple(shape[d] for d in order)
            gradient = None if gradient is None else gradient.permute(order)
    _core.sweep(
        problem.loss.kernel_index,
        DTYPE_CODES[dtype],
        REDUCTION_CODES[problem.reduction],
        shape,
        outer,
        inputs,
        targets,
        tuple([x if type(x) is float else as_kernel_dtype(x) for x in parameters]),
        weights if weights is None else as_kernel_dtype(weights),
        where,
        result,
        gradient,
        second_derivative,
        total,
        cotangent,
        torch.get_num_threads(),
    )
    return result


class _Value(Function):
    """A loss, for autograd. If it is one number, its gradient is computed along with it.

    A loss of several numbers is multiplied by something later on, and only who knows the factor
    can round the gradient once: that is left to the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, problem: Problem, formulas: Formulas, *operands: Any) -> Tensor:
        _, _, by_inputs, by_targets, *_ = ctx.needs_input_grad
        gradient = None
        if by_inputs or (by_targets and problem.loss.uses_difference_only):
            x = problem.inputs if by_inputs else problem.targets
            reduced = 0 if problem.reduction == "none" else len(problem.axes)
            is_number = reduced == len(problem.shape)
            if is_number and x.shape == problem.shape and x.dtype is problem.dtype:
                gradient = torch.empty_like(x)
        value: Tensor = _sweep(problem, problem.dtype, True, gradient)
        save(ctx, problem, gradient)
        ctx.formulas = formulas
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        problem, gradient = saved(ctx)
        needed = [place for place, needs in enumerate(ctx.needs_input_grad[2:]) if needs]
        known = 2 if problem.loss.uses_difference_only else 1  # to the kernels
        plain = kernels_may_read(*operands_of(problem), cotangent)
        by_kernels = [place for place in needed if place < known and plain]
        by_formulas = [place for place in needed if place not in by_kernels]
        results: list[Tensor | None] = [None] * (len(ctx.needs_input_grad) - 2)
        for place in by_kernels:
            if torch.is_grad_enabled():  # what it returns may be differentiated
                arguments = (problem, ctx.formulas, place, cotangent, *operands_of(problem))
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
            slopes = gradients_by_formulas(ctx.formulas, problem, by_formulas, cotangent)
            for place, slope in zip(by_formulas, slopes, strict=True):
                results[place] = slope
        return None, None, *results


class _Gradient(Function):
    """The gradient for inputs (place 0) or targets (1), which can be differentiated again."""

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, formulas: Formulas, place: int, cotangent: Tensor, *_: Any
    ) -> Tensor:
        ctx.place, ctx.formulas = place, formulas
        save(ctx, problem, cotangent)
        return _gradient(problem, place, cotangent)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> Any:
        problem, cotangent = saved(ctx)
        needed = [place for place, needs in enumerate(ctx.needs_input_grad) if needs]
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            arguments = [problem, ctx.formulas, ctx.place, cotangent, *operands_of(problem)]
            for place in needed:  # new names, since the cotangent may depend on an operand
                arguments[place] = arguments[place].view_as(arguments[place])
            _, formulas, place, cotangent, *operands = arguments
            problem = with_operands(problem, operands)
            (slope,) = gradients_by_formulas(formulas, problem, [place], cotangent)
        results: list[Tensor | None] = [None] * len(arguments)
        if not slope.requires_grad:  # that of a hinge, for its inputs, is constant
            return tuple(results)
        by = [arguments[place] for place in needed]
        slopes = torch.autograd.grad(
            slope, by, factor, create_graph=differentiable, allow_unused=True
        )
        for place, result in zip(needed, slopes, strict=True):
            results[place] = result
        return tuple(results)
