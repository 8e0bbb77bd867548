"""The formulas on PyTorch's tensors: those of rows one block after the other, where they may."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from ..._problem import VALUE, Array, Problem
from ..._spec import RowLossSpec
from ..formulas import Formulas, with_outputs
from . import blocks


class TorchFormulas(Formulas):
    def context(self, problem: Problem) -> AbstractContextManager[Any]:
        """Explicit derivatives are not differentiated."""
        return nullcontext() if problem.outputs == VALUE else torch.no_grad()

    def run(self, problem: Problem) -> tuple[Array, ...]:
        if not (isinstance(problem.loss, RowLossSpec) and blocks.take(problem)):
            return super().run(problem)
        if problem.outputs == VALUE:
            return (self._value_in_blocks(problem),)
        results: dict[str, Array] = {}
        if "second_derivative" in problem.outputs:
            (second,) = super().run(with_outputs(problem, "second_derivative"))
            results["second_derivative"] = second
        x, *others = (x.detach() for x in problem.operands)
        x = x.to(problem.dtype).requires_grad_()
        with torch.enable_grad():
            value = self._value_in_blocks(replace(problem, operands=(x, *others)))
        (gradient,) = torch.autograd.grad(value, x, torch.ones_like(value))
        results |= {"value": value.detach(), "gradient": gradient}
        return tuple(results[output] for output in problem.outputs)

    def _value_in_blocks(self, problem: Problem) -> Array:
        rows = self.rows.prepare(problem)
        losses = blocks.losses(problem, rows, self.rows)
        return self.rows.value(problem, self.rows.squeezed(problem, losses, rows), rows)
