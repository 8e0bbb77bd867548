"""An executor for the sums of float32 arrays of NumPy, which keeps a record of what it is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..._problem import VALUE, Array, Problem
from ..executor import Executor, Promise, Simple


class Float32Sums:
    """The formulas in float64, rounded once."""

    name: str = "float32 sums"
    device: str = "CPU"
    limits: str = "everything but sums of float32 losses"
    promise: Promise = Promise(first=1.0)
    simple: Simple | None = None

    def __init__(self, formulas: Executor) -> None:
        self._formulas = formulas
        self.record: list[str] = []  # the answer to each problem, and each run

    def idle(self) -> str | None:
        return None

    def refuses(self, problem: Problem) -> str | None:
        reason = None
        if problem.outputs != VALUE or problem.reduction != "sum":
            reason = "not a sum"
        elif problem.dtype != np.float32:
            reason = f"not float32 but {problem.dtype}"
        self.record.append(reason or "taken")
        return reason

    def run(self, problem: Problem) -> tuple[Array, ...]:
        self.record.append("run")
        wide = tuple(np.asarray(x, np.float64) for x in problem.operands)
        (total,) = self._formulas.run(
            replace(problem, operands=wide, dtype=np.dtype(np.float64)),
        )
        return (np.float32(total),)
