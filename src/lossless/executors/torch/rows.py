"""The losses of rows that have a kernel, on PyTorch tensors, in the calls that let it.

As for element-wise losses, the kernel writes the gradient during the forward pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import _C, Tensor
from torch.autograd import Function

from ... import _core
from ..._problem import VALUE, Array, Problem
from ..formulas import Formulas, with_outputs
from .autograd import gradients_by_formulas, operands_of, requires_grad, save, saved
from .eligibility import DTYPE_CODES, REDUCTION_CODES, as_kernel_dtype, kernels_may_read

_LABELS = (torch.int32, torch.int64)


class RowKernels:
    """Value and gradient by the kernel, the second derivative by the formula."""

    def __init__(self, formulas: Formulas) -> None:
        self._formulas = formulas

    def run(self, problem: Problem) -> tuple[Array, ...]:
        if problem.outputs == VALUE:
            problem = _of_one_dtype(problem)
            if torch.is_grad_enabled() and requires_grad(operands := operands_of(problem)):
                arguments = (problem, self._formulas, *operands)
                return (_Value.apply(*arguments),)  # type: ignore[no-untyped-call]
            return (_value(problem),)
        results: dict[str, Tensor] = {}
        with torch.no_grad():
            of_one_dtype = _of_one_dtype(problem)
            results["gradient"] = torch.empty_like(of_one_dtype.inputs)
            results["value"] = _value(of_one_dtype, results["gradient"])
            if "second_derivative" in problem.outputs:
                wanted = with_outputs(problem, "second_derivative")
                (results["second_derivative"],) = self._formulas.run(wanted)
        return tuple([results[output] for output in problem.outputs])


def _of_one_dtype(problem: Problem) -> Problem:
    """The same problem with inputs of the result's dtype and labels that the kernel reads."""
    inputs, labels = problem.inputs, problem.labels
    if inputs.dtype is not problem.dtype:
        operands = (inputs.to(problem.dtype), *problem.operands[1:])
        problem = replace(problem, operands=operands)
    if labels is not None and labels.dtype not in _LABELS:
        problem = replace(problem, labels=labels.to(torch.int64))
    return problem


def _value(problem: Problem, gradient: Tensor | None = None) -> Tensor:
    """The loss, and its gradient into a tensor of the shape of the inputs."""
    shape = problem.shape if problem.reduction == "none" else ()
    value = torch.empty(shape, dtype=problem.dtype, device="cpu")
    _sweep(problem, value, gradient)
    return value


def _sweep(
    problem: Problem,
    value: Tensor | None,
    gradient: Tensor | None,
    cotangent: Tensor | None = None,
) -> None:
    """Run the kernel into these results; it takes rows along the last axis."""
    inputs, *others = problem.operands
    targets = others[0] if others else None
    if problem.axis != -1:
        inputs, targets, gradient = (
            x if x is None else x.movedim(problem.axis, -1) for x in (inputs, targets, gradient)
        )
    _core.sweep_rows(
        problem.loss.kernel_index,
        DTYPE_CODES[problem.dtype],
        REDUCTION_CODES[problem.reduction],
        tuple(inputs.shape),
        inputs,
        problem.labels,
        as_kernel_dtype(targets),
        problem.parameters,
        as_kernel_dtype(problem.weights),
        problem.where,
        value,
        gradient,
        cotangent,
        torch.get_num_threads(),
    )


class _Value(Function):
    """A loss, for autograd. If it is one number, its gradient is computed along with it.

    That is the gradient with respect to the inputs; others, and what may be differentiated again,
    are left to the formula.
    """

    @staticmethod
    def forward(ctx: Any, problem: Problem, formulas: Formulas, *operands: Any) -> Tensor:
        gradient = None
        if ctx.needs_input_grad[2] and (problem.reduction != "none" or not problem.shape):
            gradient = torch.empty_like(problem.inputs)
        value = _value(problem, gradient)
        save(ctx, problem, gradient)
        ctx.formulas = formulas
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        problem, gradient = saved(ctx)
        operands = operands_of(problem)
        needed = [place for place, needs in enumerate(ctx.needs_input_grad[2:]) if needs]
        results: list[Tensor | None] = [None] * len(operands)
        if 0 in needed and not torch.is_grad_enabled() and kernels_may_read(*operands, cotangent):
            needed.remove(0)
            if gradient is None:
                gradient = torch.empty_like(operands[0])
                _sweep(problem, None, gradient, cotangent)
            else:
                if _C._autograd._get_current_graph_task_keep_graph():
                    gradient = gradient.clone()  # the next backward pass finds it unchanged
                if cotangent.item() != 1.0:  # not multiplied: that would round again
                    _sweep(problem, None, gradient, cotangent)
            results[0] = gradient
        if needed:
            slopes = gradients_by_formulas(ctx.formulas, problem, needed, cotangent)
            for place, slope in zip(needed, slopes, strict=True):
                results[place] = slope
        return None, None, *results
