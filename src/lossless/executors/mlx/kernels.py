"""The kernels on MLX arrays: nodes of MLX's lazy graph, on its CPU streams."""

from typing import Any

import mlx.core as mx
import numpy as np

from ..._call import REDUCTIONS, Problem
from ..._losses import LOSSES
from ..base import Array
from .formulas import Formulas, Namespace

REDUCTION_CODES = {name: number for number, name in enumerate(REDUCTIONS)}
# What a node computes: Outputs in src/bridges/mlx/node.h.
VALUE, VALUE_AND_GRADIENT, GRADIENT, GRADIENT_AND_CURVATURE, CURVATURE = range(5)


class Kernels(Formulas):
    """The kernels on CPU streams; `bridge` is the native module lossless._mlx."""

    def __init__(self, bridge: Any) -> None:
        super().__init__(Namespace())
        self._bridge = bridge
        bridge.set_formulas(self._formulas)

    def probe(self) -> None:
        """Compute something: modules that do not fit each other may well be imported."""
        name, loss = next(iter(LOSSES.items()))
        half = mx.array(0.5, mx.float32)
        numbers = (1.0,) * len(loss.parameters)
        with mx.stream(mx.cpu):
            problem = Problem(name, half, half, (), half.dtype, "none", (), numbers, None, None)
            mx.eval(self._compute(problem, VALUE))

    def value(self, problem: Problem) -> Array:
        return self._compute(problem, VALUE)[0]

    def value_and_grad(self, problem: Problem) -> tuple[Array, Array]:
        if problem.shape and not problem.inputs.shape:  # one number against an array
            slopes = self._compute(problem, GRADIENT, mx.float64)[0]
            return self.value(problem), mx.sum(slopes).astype(problem.dtype)
        value, gradient = self._compute(problem, VALUE_AND_GRADIENT)
        return value, gradient

    def grad_and_hess(self, problem: Problem) -> tuple[Array, Array]:
        first, second = self._compute(problem, GRADIENT_AND_CURVATURE)
        return first, second

    def _compute(self, problem: Problem, wanted: int, dtype: Any = None) -> list[Array]:
        """A node of the graph. Nodes reduce the last axes, so others are moved there."""
        loss = LOSSES[problem.loss]
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
            x = readable(x)
            return x if x is None or isinstance(x, float) else moved(x)

        results: list[Array] = self._bridge.compute(
            loss.number,
            loss.of_residual,
            wanted,
            REDUCTION_CODES[problem.reduction],
            len(axes),
            moved(problem.inputs.astype(problem.dtype)),
            moved(problem.targets.astype(problem.dtype)),
            [option(x) for x in problem.parameters],
            option(problem.weights),
            option(problem.where),
            dtype or problem.dtype,
        )
        if moves and wanted != VALUE:
            results[-1] = results[-1].transpose(np.argsort(order).tolist())
        return results

    def _formulas(
        self,
        loss: int,
        wanted: int,
        reduction: int,
        reduced: int,
        weights: bool,
        where: bool,
        cotangent: bool,
        dtype: Any,
        arrays: list[Array],
    ) -> list[Array]:
        """The same as a node of these arrays, in operations that MLX can differentiate."""
        (inputs, targets, *rest), weight, mask, factor = unpacked(
            arrays, weights, where, cotangent, reduced
        )
        axes = tuple(range(-reduced, 0))
        name, how = list(LOSSES)[loss], REDUCTIONS[reduction]
        problem = Problem(name, inputs, targets, (), dtype, how, axes, tuple(rest), weight, mask)
        elements = self._elements(problem)
        outputs = {
            VALUE: ("value",),
            VALUE_AND_GRADIENT: ("value", "gradient"),
            GRADIENT: ("gradient",),
            GRADIENT_AND_CURVATURE: ("gradient", "second_derivative"),
            CURVATURE: ("second_derivative",),
        }[wanted]
        results = []
        for output in outputs:
            if output == "value":
                results.append(self._value(problem, elements))
                continue
            result = self._derivative(output, problem, elements)
            if factor is not None:
                result = result * factor
            results.append(self.cast(result, dtype))
        return results


def readable(x: Any) -> Any:
    """Weights and the like as the kernels read them: integers they do not."""
    if x is None or isinstance(x, float) or x.dtype == mx.bool_:
        return x
    return x if mx.issubdtype(x.dtype, mx.floating) else x.astype(mx.float64)


def unpacked(
    arrays: list[Array], weights: bool, where: bool, cotangent: bool, reduced: int
) -> tuple[list[Array], Array | None, Array | None, Array | None]:
    """The arrays of a node: those of its loss, weights, mask, and cotangent, which is expanded."""
    rest = list(arrays)
    factor = rest.pop() if cotangent else None
    mask = rest.pop() if where else None
    weight = rest.pop() if weights else None
    if factor is not None:
        for _ in range(reduced):
            factor = mx.expand_dims(factor, -1)
    return rest, weight, mask, factor
