"""What the functions for autograd share: the tensors of a problem, kept and differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..._problem import Problem
from ..formulas import Formulas


def operands_of(problem: Problem) -> list[Any]:
    """All tensors and numbers of a problem: the first ones are those of the loss itself."""
    labels, weights, where = problem.labels, problem.weights, problem.where
    return [*problem.operands, labels, weights, where, *problem.parameters]


def with_operands(problem: Problem, operands: Sequence[Any]) -> Problem:
    """The same problem with others in their places."""
    own = len(problem.operands)
    labels, weights, where, *parameters = operands[own:]
    return replace(
        problem, operands=tuple(operands[:own]), labels=labels, weights=weights, where=where,
        parameters=tuple(parameters),
    )  # fmt: skip


def requires_grad(operands: Sequence[Any]) -> bool:
    """Whether a gradient with respect to one of them may be asked for."""
    return any(not (x is None or type(x) is float) and x.requires_grad for x in operands)


def save(ctx: Any, problem: Problem, more: Tensor | None) -> None:
    """Keep a problem and a tensor for the backward pass: tensors where autograd wants them."""
    operands = operands_of(problem)
    ctx.save_for_backward(more, *[x if isinstance(x, Tensor) else None for x in operands])
    ctx.rest = with_operands(problem, [None if isinstance(x, Tensor) else x for x in operands])


def saved(ctx: Any) -> tuple[Problem, Any]:
    """The problem and the tensor."""
    more, *tensors = ctx.saved_tensors
    pairs = zip(tensors, operands_of(ctx.rest), strict=True)
    return with_operands(ctx.rest, [other if x is None else x for x, other in pairs]), more


def gradients_by_formulas(
    formulas: Formulas, problem: Problem, places: list[int], cotangent: Tensor
) -> tuple[Tensor, ...]:
    """The gradients with respect to the operands in these places."""

    def value(*operands: Any) -> Tensor:
        (result,) = formulas.run(with_operands(problem, operands))
        return result  # type: ignore[no-any-return]

    return gradients(value, operands_of(problem), places, cotangent)


def gradients(
    function: Callable[..., Tensor], operands: Sequence[Any], places: list[int], cotangent: Tensor
) -> tuple[Tensor, ...]:
    """Those of a function, with respect to operands; differentiable if gradients are recorded."""
    differentiable = torch.is_grad_enabled()
    operands = list(operands)
    with torch.enable_grad():
        for place in places:
            operands[place] = operands[place].view_as(operands[place])
        value = function(*operands)
    by = [operands[place] for place in places]
    return torch.autograd.grad(value, by, cotangent, create_graph=differentiable)
