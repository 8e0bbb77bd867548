"""Cross entropy on PyTorch tensors by the kernel of rows, in the calls that let it.

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
from .eligibility import DTYPE_CODES, REDUCTION_CODES, as_kernel_dtype, kernels_may_read

_LABELS = (torch.int32, torch.int64)


class RowKernels:
    """Value and gradient by the kernel, the second derivative by the formula."""

    def __init__(self, formulas: Formulas) -> None:
        self._formulas = formulas

    def refuses(self, problem: Problem) -> str | None:
        return None if kernels_may_read(*_operands(problem)) else "not an eager call on CPU tensors"

    def run(self, problem: Problem) -> tuple[Array, ...]:
        of_one_dtype = _of_one_dtype(problem)
        operands = _operands(of_one_dtype)
        if problem.outputs == VALUE:
            if torch.is_grad_enabled() and any(
                isinstance(x, Tensor) and x.requires_grad for x in operands
            ):
                arguments = (of_one_dtype, self._formulas, *operands)
                return (_Value.apply(*arguments),)  # type: ignore[no-untyped-call]
            return (_value(of_one_dtype),)
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
    """The same problem with logits of the result's dtype and classes that the kernel reads."""
    logits, labels = problem.inputs, problem.labels
    if logits.dtype is not problem.dtype:
        operands = (logits.to(problem.dtype), *problem.operands[1:])
        problem = replace(problem, operands=operands)
    if labels is not None and labels.dtype not in _LABELS:
        problem = replace(problem, labels=labels.to(torch.int64))
    return problem


def _operands(problem: Problem) -> list[Any]:
    logits, *probabilities = problem.operands
    soft = probabilities[0] if probabilities else None
    return [logits, soft, problem.labels, problem.weights, problem.where]


def _with(problem: Problem, operands: list[Any]) -> Problem:
    """The same problem of other operands."""
    logits, soft, labels, weights, where = operands
    arrays = (logits,) if soft is None else (logits, soft)
    return replace(problem, operands=arrays, labels=labels, weights=weights, where=where)


def _value(problem: Problem, gradient: Tensor | None = None) -> Tensor:
    """The loss, and its gradient by the logits into a tensor of their shape."""
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
    inputs, targets, labels, weights, where = _operands(problem)
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
        labels,
        as_kernel_dtype(targets),
        problem.parameters,
        as_kernel_dtype(weights),
        where,
        value,
        gradient,
        cotangent,
        torch.get_num_threads(),
    )


class _Value(Function):
    """Cross entropy, for autograd. If it is one number, its gradient is computed along with it.

    That is the gradient by the logits; those by others, and what may be differentiated again, are
    left to the formula.
    """

    @staticmethod
    def forward(ctx: Any, problem: Problem, formulas: Formulas, *operands: Any) -> Tensor:
        gradient = None
        if ctx.needs_input_grad[2] and (problem.reduction != "none" or not problem.shape):
            gradient = torch.empty_like(problem.inputs)
        value = _value(problem, gradient)
        tensors = [x if isinstance(x, Tensor) else None for x in operands]
        ctx.save_for_backward(gradient, *tensors)
        rest = [None if isinstance(x, Tensor) else x for x in operands]
        ctx.rest = _with(problem, rest), rest, formulas
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        gradient, *tensors = ctx.saved_tensors
        problem, rest, formulas = ctx.rest
        operands = [
            x if tensor is None else tensor for x, tensor in zip(rest, tensors, strict=True)
        ]
        problem = _with(problem, operands)
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
            slopes = _by_formula(problem, formulas, needed, cotangent)
            for place, slope in zip(needed, slopes, strict=True):
                results[place] = slope
        return None, None, *results


def _by_formula(
    problem: Problem, formulas: Formulas, places: list[int], cotangent: Tensor
) -> tuple[Tensor, ...]:
    """The gradient by the operands in these places, differentiable if gradients are recorded."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        operands = _operands(problem)
        for place in places:
            operands[place] = operands[place].view_as(operands[place])
        (value,) = formulas.run(_with(problem, operands))
    by = [operands[place] for place in places]
    return torch.autograd.grad(value, by, cotangent, create_graph=differentiable)
