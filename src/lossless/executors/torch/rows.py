"""Losses of rows on PyTorch tensors: cross entropy by its kernel, in the calls that let it.

As for element-wise losses, the kernel writes the gradient during the forward pass.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import _C, Tensor
from torch.autograd import Function

from ... import _core
from ..._rows import RowProblem
from ..base import Array
from ..rows import HAVE_KERNELS
from .eligibility import CODES, REDUCTION_CODES, is_plain
from .kernels import Kernels, readable

_LABELS = (torch.int32, torch.int64)

Formula = Callable[[RowProblem], Tensor]


class RowKernels(Kernels):
    """The kernels, of rows too."""

    def row_value(self, problem: RowProblem) -> Array:
        if not _has_kernel(problem):
            return super().row_value(problem)
        problem = _of_one_dtype(problem)
        operands = _operands(problem)
        if torch.is_grad_enabled() and any(
            isinstance(x, Tensor) and x.requires_grad for x in operands
        ):
            formula = super().row_value
            return _Value.apply(problem, formula, *operands)  # type: ignore[no-untyped-call]
        return _value(problem)

    def row_value_and_grad(self, problem: RowProblem) -> tuple[Array, Array]:
        if not _has_kernel(problem):
            return super().row_value_and_grad(problem)
        with torch.no_grad():
            problem = _of_one_dtype(problem)
            gradient = torch.empty_like(problem.arrays[0])
            return _value(problem, gradient), gradient


def _has_kernel(problem: RowProblem) -> bool:
    return problem.loss in HAVE_KERNELS and is_plain(*_operands(problem))


def _of_one_dtype(problem: RowProblem) -> RowProblem:
    """The same problem with logits of the result's dtype and classes that the kernel reads."""
    logits, labels = problem.arrays[0], problem.labels
    if logits.dtype is not problem.dtype:
        arrays = (logits.to(problem.dtype), *problem.arrays[1:])
        problem = replace(problem, arrays=arrays)
    if labels is not None and labels.dtype not in _LABELS:
        problem = replace(problem, labels=labels.to(torch.int64))
    return problem


def _operands(problem: RowProblem) -> list[Any]:
    logits, *probabilities = problem.arrays
    soft = probabilities[0] if probabilities else None
    return [logits, soft, problem.labels, problem.weights, problem.where]


def _with(problem: RowProblem, operands: list[Any]) -> RowProblem:
    """The same problem of other operands."""
    logits, soft, labels, weights, where = operands
    arrays = (logits,) if soft is None else (logits, soft)
    return replace(problem, arrays=arrays, labels=labels, weights=weights, where=where)


def _value(problem: RowProblem, gradient: Tensor | None = None) -> Tensor:
    """The loss, and its gradient by the logits into a tensor of their shape."""
    shape = problem.shape if problem.reduction == "none" else ()
    value = torch.empty(shape, dtype=problem.dtype, device="cpu")
    _sweep(problem, value, gradient)
    return value


def _sweep(
    problem: RowProblem,
    value: Tensor | None,
    gradient: Tensor | None,
    cotangent: Tensor | None = None,
) -> None:
    """Run the kernel into these results; it takes rows along the last axis."""
    (smoothing,) = problem.parameters
    logits, soft, labels, weights, where = _operands(problem)
    if problem.axis != -1:
        logits, soft, gradient = (
            x if x is None else x.movedim(problem.axis, -1) for x in (logits, soft, gradient)
        )
    _core.cross_entropy(
        CODES[problem.dtype],
        REDUCTION_CODES[problem.reduction],
        tuple(logits.shape),
        logits,
        labels,
        readable(soft),
        smoothing,
        readable(weights),
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
    def forward(ctx: Any, problem: RowProblem, formula: Formula, *operands: Any) -> Tensor:
        gradient = None
        if ctx.needs_input_grad[2] and (problem.reduction != "none" or not problem.shape):
            gradient = torch.empty_like(problem.arrays[0])
        value = _value(problem, gradient)
        tensors = [x if isinstance(x, Tensor) else None for x in operands]
        ctx.save_for_backward(gradient, *tensors)
        rest = [None if isinstance(x, Tensor) else x for x in operands]
        ctx.rest = _with(problem, rest), rest, formula
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        gradient, *tensors = ctx.saved_tensors
        problem, rest, formula = ctx.rest
        operands = [
            x if tensor is None else tensor for x, tensor in zip(rest, tensors, strict=True)
        ]
        problem = _with(problem, operands)
        needed = [place for place, needs in enumerate(ctx.needs_input_grad[2:]) if needs]
        results: list[Tensor | None] = [None] * len(operands)
        if 0 in needed and not torch.is_grad_enabled() and is_plain(*operands, cotangent):
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
            slopes = _by_formula(problem, formula, needed, cotangent)
            for place, slope in zip(needed, slopes, strict=True):
                results[place] = slope
        return None, None, *results


def _by_formula(
    problem: RowProblem, formula: Formula, places: list[int], cotangent: Tensor
) -> tuple[Tensor, ...]:
    """The gradient by the operands in these places, differentiable if gradients are recorded."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        operands = _operands(problem)
        for place in places:
            operands[place] = operands[place].view_as(operands[place])
        value = formula(_with(problem, operands))
    by = [operands[place] for place in places]
    return torch.autograd.grad(value, by, cotangent, create_graph=differentiable)
