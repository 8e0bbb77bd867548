"""Losses of rows by PyTorch's own operations, one block of rows after the other.

The formula on all rows at once would keep several arrays of their size in the wider dtype of the
computation, for the backward pass too. A block's stay in the cache, and the backward pass computes
them again: beside the inputs there are the gradient and a few numbers for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import _C, Tensor
from torch.autograd import Function, forward_ad

from ..._problem import Problem
from ..._spec import RowLossSpec
from ..rows import PreparedRows, RowFormulas, RowNamespace
from .arrays import ARRAYS
from .autograd import gradients as gradients_of
from .eligibility import TENSORS

# Elements of a block: in float64 as many bytes as a core's cache holds, or, on other devices, so
# many that the start of each operation does not count.
ON_CPU, ELSEWHERE = 1 << 17, 1 << 22

_functorch: Any = _C._functorch

Formula = Callable[..., Tensor]


def may_run(*operands: Tensor | None) -> bool:
    """Whether these are plain tensors, and nothing looks on that could not see such operations.

    Compilers would unroll the blocks; transforms, modes and tracers take the formula.
    """
    if torch.compiler.is_compiling() or TENSORS.are_observed() or forward_ad._current_level >= 0:
        return False
    return all(x is None or _is_plain(x) for x in operands)


def _is_plain(x: Tensor) -> bool:
    if type(x) not in (Tensor, torch.nn.Parameter) or x.layout is not torch.strided:
        return False
    return not _functorch.is_legacy_batchedtensor(x)  # as is_grads_batched makes cotangents


def take(problem: Problem) -> bool:
    """Whether a loss is computed in blocks, and its arrays may be."""
    return problem.loss.in_blocks and may_run(*problem.operands, problem.labels, problem.where)


def losses(problem: Problem, rows: PreparedRows, formulas: RowFormulas) -> Tensor:
    """The loss of each row, of size 1 along the axis, for autograd."""
    if not problem.shape:  # one row alone has the bits of a batch of one
        operands = tuple(x.unsqueeze(0) for x in problem.operands)
        labels = None if rows.labels is None else rows.labels.unsqueeze(0)
        batch = replace(problem, operands=operands, axis=-1, shape=(1,))
        return losses(batch, replace(rows, labels=labels), formulas).squeeze(0)

    def of(*operands: Tensor) -> Tensor:
        result: Tensor = formulas.formula("value", replace(problem, operands=operands), rows)
        return result

    axis, parameters = problem.axis, problem.parameters
    mask = None if rows.where is None else rows.where.expand(problem.shape).unsqueeze(axis)
    if rows.labels is None:
        arguments = (*problem.operands, mask, of, problem.loss, axis, parameters, rows.dtype)
        return OfDistributions.apply(*arguments)  # type: ignore[no-any-return, no-untyped-call]
    arguments = (problem.inputs, rows.labels, mask, axis, *parameters, rows.dtype, of)
    return CrossEntropy.apply(*arguments)  # type: ignore[no-any-return, no-untyped-call]


def _cuts(x: Tensor, axis: int) -> Iterator[tuple[int, int, int]]:
    """Blocks of rows: a dimension that is not theirs, where one begins, and its size."""
    sizes = dict(enumerate(x.shape))
    del sizes[axis % x.ndim]
    dimension = max(sizes, key=lambda d: sizes[d])
    block = ON_CPU if x.device.type == "cpu" else ELSEWHERE
    step = max(1, block * x.shape[dimension] // max(1, x.numel()))
    for start in range(0, x.shape[dimension] if x.numel() else 0, step):
        yield dimension, start, min(step, x.shape[dimension] - start)


class CrossEntropy(Function):
    """The losses of class labels, in a dtype and of size 1 along the axis, as labels and mask are.

    The formula of the inputs is for gradients that shall be differentiated.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        labels: Tensor,
        where: Tensor | None,
        axis: int,
        smoothing: float,
        dtype: torch.dtype,
        formula: Formula,
    ) -> Tensor:
        largest = torch.empty(labels.shape, dtype=dtype, device=x.device)
        others, distances = torch.empty_like(largest), torch.zeros_like(largest)
        buffer = None
        for cut in _cuts(x, axis):
            block, m, rest, sum_ = (a.narrow(*cut) for a in (x, largest, others, distances))
            m.copy_(block.amax(axis, keepdim=True))
            buffer = _difference(block, m, buffer)
            if smoothing:
                torch.sum(buffer, axis, keepdim=True, out=sum_)
            # The sum begins with the 1 of the largest, beside which what the others add may be
            # lost. They are the fractions, but for those that are so near to it that they are 1.
            total = buffer.exp_().sum(axis, keepdim=True)
            torch.sum(buffer.frac_(), axis, keepdim=True, out=rest)
            rest += (total - rest).round_() - 1.0
        log_sum = others.log1p()
        losses = (largest - x.gather(x.ndim + axis, labels)) + log_sum
        if smoothing:
            mean = distances / -x.shape[axis]
            losses = (1.0 - smoothing) * losses + smoothing * (mean + log_sum)
        ctx.save_for_backward(x, labels, where, largest, others)
        ctx.rest = axis, smoothing, formula
        return losses

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        x, labels, where, largest, others = ctx.saved_tensors
        axis, smoothing, formula = ctx.rest
        if torch.is_grad_enabled() or not may_run(x, cotangent):
            return *gradients_of(formula, [x], [0], cotangent), *[None] * 6
        gradient = torch.empty_like(x)
        scales, share = cotangent / (1.0 + others), cotangent * smoothing
        buffer = None
        for cut in _cuts(x, axis):
            block, result, m, rest, scale, label, part = (
                a.narrow(*cut) for a in (x, gradient, largest, others, scales, labels, share)
            )
            buffer = _difference(block, m, buffer).exp_()
            # The share of the label less 1 is minus that of all others.
            own = buffer.gather(x.ndim + axis, label)
            own = (own - 1.0) - rest
            if smoothing:  # no scatter_add_, which has no deterministic kernel on GPUs
                buffer.mul_(scale).scatter_(x.ndim + axis, label, own * scale + part)
                torch.sub(buffer, part / x.shape[axis], out=result)
            else:
                buffer.scatter_(x.ndim + axis, label, own)
                torch.mul(buffer, scale, out=result)
            if where is not None:
                result.masked_fill_(~where.narrow(*cut), 0.0)
        return gradient, *[None] * 6


class OfDistributions(Function):
    """The losses of two arrays, such as logits and probabilities, likewise.

    By the formula of each block; the one that is given takes all, for gradients by targets and
    those that shall be differentiated.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, targets: Tensor, where: Tensor | None, formula: Formula, *rest: Any
    ) -> Tensor:
        _, axis, _, dtype = rest
        losses = x.new_empty(x.narrow(axis, 0, 1).shape, dtype=dtype)
        for cut in _cuts(x, axis):
            losses.narrow(*cut).copy_(_by_formula("value", cut, x, targets, where, *rest))
        ctx.save_for_backward(x, targets, where)
        ctx.rest = formula, rest
        return losses

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        x, targets, where = ctx.saved_tensors
        formula, rest = ctx.rest
        needed = [place for place in range(2) if ctx.needs_input_grad[place]]
        gradients: list[Tensor | None] = [None] * 8
        if needed == [0] and not torch.is_grad_enabled() and may_run(cotangent):
            gradients[0] = gradient = torch.empty_like(x)
            for cut in _cuts(x, rest[1]):
                slope = _by_formula("gradient", cut, x, targets, where, *rest)
                slope = slope * cotangent.narrow(*cut)
                if where is not None:
                    slope = torch.where(where.narrow(*cut), slope, 0.0)
                gradient.narrow(*cut).copy_(slope)
            return tuple(gradients)
        for place, slope in zip(
            needed, gradients_of(formula, [x, targets], needed, cotangent), strict=True
        ):
            gradients[place] = slope
        return tuple(gradients)


def _by_formula(
    output: str,
    cut: tuple[int, int, int],
    x: Tensor,
    targets: Tensor,
    where: Tensor | None,
    loss: RowLossSpec,
    axis: int,
    parameters: tuple[float, ...],
    dtype: torch.dtype,
) -> Tensor:
    """An output of one block, without what `where` leaves out."""
    arrays = [array.narrow(*cut).to(dtype) for array in (x, targets)]
    if where is not None:
        rows = where.narrow(*cut)
        arrays = [torch.where(rows, array, 0.0) for array in arrays]
    formula = getattr(loss, output)
    return formula(RowNamespace(ARRAYS, axis), *arrays, *parameters)  # type: ignore[no-any-return]


def _difference(x: Tensor, largest: Tensor, buffer: Tensor | None) -> Tensor:
    """x less the largest, in the dtype of that, in the memory of the last one where it suffices."""
    if buffer is None or buffer.shape != x.shape:
        buffer = torch.empty(x.shape, dtype=largest.dtype, device=x.device)
    return torch.sub(x, largest, out=buffer)
