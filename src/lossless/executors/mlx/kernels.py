"""The kernels on MLX arrays: nodes of MLX's lazy graph, on its CPU streams."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from ..._problem import REDUCTIONS, VALUE, VALUE_AND_GRADIENT, Array, Problem
from ..._spec import LOSSES, LossSpec, RowLossSpec
from ..executor import KERNELS, Promise, Simple
from ..formulas import Formulas, is_number_against_array, with_outputs
from .arrays import is_on_cpu
from .nodes import OUTPUT_CODES, OUTPUTS_OF, REDUCTION_CODES, as_kernel_dtype, unpacked
from .rows import RowNodes


class Kernels:
    """The losses that have a kernel; `bridge` is the native module lossless._mlx."""

    name: str = KERNELS
    device: str = "CPU"
    promise: Promise = Promise(correctly_rounded=True)
    simple: Simple | None = None
    limits: str = (
        "losses that have no kernel; calls while the default stream is not a CPU's, whose "
        "memory the kernels cannot read"
    )

    def __init__(self, bridge: Any, formulas: Formulas) -> None:
        self._bridge = bridge
        self._formulas = formulas
        self._rows = RowNodes(bridge, formulas)
        self._losses = {x.kernel_index: x for x in LOSSES.values() if type(x) is LossSpec}
        bridge.set_formulas(self._in_operations)

    def idle(self) -> str | None:
        return None if is_on_cpu() else "the default stream is not a CPU's"

    def refuses(self, problem: Problem) -> str | None:
        if not problem.loss.has_kernel:
            return f"{problem.loss.name} has no kernel"
        return self.idle()

    def probe(self) -> None:
        """Compute something: modules that do not fit each other may well be imported."""
        loss = next(x for x in LOSSES.values() if type(x) is LossSpec and x.has_kernel)
        half = mx.array(0.5, mx.float32)
        ones = (1.0,) * len(loss.parameters)
        problem = Problem(
            loss, (half, half), ones, None, None, (), half.dtype, "none", (), VALUE
        )  # fmt: skip
        with mx.stream(mx.cpu):
            mx.eval(self._node(problem))

    def run(self, problem: Problem) -> tuple[Array, ...]:
        if isinstance(problem.loss, RowLossSpec):
            return self._rows.run(problem)
        if problem.outputs == VALUE_AND_GRADIENT and is_number_against_array(problem):
            (slopes,) = self._node(with_outputs(problem, "gradient"), mx.float64)
            (value,) = self._node(with_outputs(problem, "value"))
            return value, mx.sum(slopes).astype(problem.dtype)
        return tuple(self._node(problem))

    def _node(self, problem: Problem, dtype: Any = None) -> list[Array]:
        """A node of the graph. Nodes reduce the last axes, so others are moved there."""
        axes = () if problem.reduction == "none" else problem.axes
        dimensions = len(problem.shape)
        order = [*(d for d in range(dimensions) if d not in axes), *axes] if axes else []
        moves = order != sorted(order)

        def moved(x: Array) -> Array:
            if moves and x.ndim:
                for _ in range(dimensions - x.ndim):  # MLX's vmap of several at once is wrong
                    x = mx.expand_dims(x, 0)
                x = x.transpose(order)
            return x

        def option(x: Any) -> Any:
            x = as_kernel_dtype(x)
            return x if x is None or isinstance(x, float) else moved(x)

        results: list[Array] = self._bridge.compute(
            problem.loss.kernel_index,
            problem.loss.uses_difference_only,
            OUTPUT_CODES[problem.outputs],
            REDUCTION_CODES[problem.reduction],
            len(axes),
            moved(problem.inputs.astype(problem.dtype)),
            moved(problem.targets.astype(problem.dtype)),
            [option(x) for x in problem.parameters],
            option(problem.weights),
            option(problem.where),
            dtype or problem.dtype,
        )
        if moves and problem.outputs != VALUE:
            results[-1] = results[-1].transpose(np.argsort(order).tolist())
        return results

    def _in_operations(
        self,
        kernel_index: int,
        outputs: int,
        reduction: int,
        reduced: int,
        weights: bool,
        where: bool,
        cotangent: bool,
        dtype: Any,
        arrays: list[Array],
    ) -> list[Array]:
        """The same as a node of these arrays, in operations that MLX can differentiate."""
        (inputs, targets, *parameters), weight, mask, factor = unpacked(
            arrays, weights, where, cotangent, reduced
        )
        problem = Problem(
            self._losses[kernel_index], (inputs, targets), tuple(parameters), weight, mask, (),
            dtype, REDUCTIONS[reduction], tuple(range(-reduced, 0)), OUTPUTS_OF[outputs],
        )  # fmt: skip
        return list(self._formulas.run_elements(problem, factor))
