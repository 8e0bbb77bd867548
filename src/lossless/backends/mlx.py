"""MLX arrays: on CPU streams the kernels as nodes of MLX's lazy graph, elsewhere the formulas.

Everything here can be traced: MLX transforms, compiles and exports it. So nothing looks at a
value, and nothing but the number of dimensions at a shape: a function that is compiled for any
shape (`shapeless=True`) would keep what it saw first.
"""

import importlib
import warnings
from importlib import metadata
from typing import Any

import mlx.core as mx
import numpy as np

from .. import _core
from .._call import REDUCTIONS, Problem
from .._composed import is_composed
from .array_api import ArrayApi
from .base import Array

_LOSSES = {name: number for number, (name, *_) in enumerate(_core.losses())}
_REDUCTIONS = {name: number for number, name in enumerate(REDUCTIONS)}
# What a node computes: Outputs in src/bridges/mlx.cpp.
_VALUE, _VALUE_AND_GRADIENT, _GRADIENT, _GRADIENT_AND_CURVATURE, _CURVATURE = range(5)


class Formulas(ArrayApi):
    """The array API backend, with what MLX calls or does otherwise."""

    def is_array(self, x: Any) -> bool:
        return isinstance(x, mx.array)

    def is_float(self, dtype: Any) -> bool:
        return mx.issubdtype(dtype, mx.floating)

    def is_real(self, dtype: Any) -> bool:
        return not mx.issubdtype(dtype, mx.complexfloating)

    def is_bool(self, dtype: Any) -> bool:
        return bool(dtype == mx.bool_)

    def default_float(self, like: Array | None) -> Any:
        return mx.float32

    def cast(self, x: Array, dtype: Any) -> Array:
        return x.astype(dtype)

    def number(self, x: float, dtype: Any, like: Array | None) -> Array:
        return mx.array(x, dtype)

    def total(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """MLX adds up float32 one after the other on a CPU, and has no float64 on a GPU."""
        return mx.sum(x.astype(self._wide(x)), axis=axes, keepdims=keepdims)

    def count(self, x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
        """Counted, since a compiled function may meet another shape than the one traced."""
        ones = mx.full_like(x, True, dtype=mx.bool_)
        return mx.sum(ones, axis=axes, keepdims=keepdims).astype(self._wide(x))

    def places(self, x: Array, axis: int) -> Array:
        return mx.arange(x.shape[axis])

    def constant(self, x: Array) -> Array:
        return mx.stop_gradient(x)

    def widest(self, x: Array) -> Any:
        return self._wide(x)

    def _wide(self, x: Array) -> Any:
        return mx.float64 if _on_cpu() else x.dtype


class _Namespace:
    """mlx.core, but for what it computes too coarsely."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mx, name)

    def argmax(self, x: Array, axis: int, keepdims: bool) -> Array:
        """MLX refuses arrays without rows; their places may be any."""
        if 0 in x.shape:
            return mx.zeros_like(mx.max(x, axis=axis, keepdims=keepdims), dtype=mx.uint32)
        return mx.argmax(x, axis=axis, keepdims=keepdims)

    def exp(self, x: Array) -> Array:
        """Of float64 MLX knows 21 bits (github.com/ml-explore/mlx/issues/3047), of cosh all.

        Squared, since the derivative of 1/y needs y²; what is smaller than e^-750 is 0.
        """
        if x.dtype != mx.float64:
            return mx.exp(x)
        positive = x > 0
        half = 0.5 * mx.where(positive, x, mx.minimum(-x, 750.0))
        root = mx.cosh(half) + mx.sinh(half)
        return mx.square(mx.where(positive, root, 1.0 / root))


class Kernels(Formulas):
    """The kernels on CPU streams; `bridge` is the native module lossless._mlx."""

    def __init__(self, bridge: Any) -> None:
        super().__init__(_Namespace())
        self._bridge = bridge
        bridge.set_formulas(self._formulas)

    def probe(self) -> None:
        """Compute something: modules that do not fit each other may well be imported."""
        name, parameters, _ = _core.losses()[0]
        half = mx.array(0.5, mx.float32)
        numbers = (1.0,) * len(parameters)
        with mx.stream(mx.cpu):
            problem = Problem(name, half, half, (), half.dtype, "none", (), numbers, None, None)
            mx.eval(self._compute(problem, _VALUE))

    def value(self, problem: Problem) -> Array:
        return self._compute(problem, _VALUE)[0]

    def value_and_grad(self, problem: Problem) -> tuple[Array, Array]:
        if problem.shape and not problem.inputs.shape:  # one number against an array
            slopes = self._compute(problem, _GRADIENT, mx.float64)[0]
            return self.value(problem), mx.sum(slopes).astype(problem.dtype)
        value, gradient = self._compute(problem, _VALUE_AND_GRADIENT)
        return value, gradient

    def grad_and_hess(self, problem: Problem) -> tuple[Array, Array]:
        first, second = self._compute(problem, _GRADIENT_AND_CURVATURE)
        return first, second

    def _compute(self, problem: Problem, wanted: int, dtype: Any = None) -> list[Array]:
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
            if x is None or isinstance(x, float):
                return x
            if not self.is_float(x.dtype) and x.dtype != mx.bool_:
                x = x.astype(mx.float64)
            return moved(x)

        results: list[Array] = self._bridge.compute(
            _LOSSES[problem.loss],
            wanted,
            _REDUCTIONS[problem.reduction],
            len(axes),
            moved(problem.inputs.astype(problem.dtype)),
            moved(problem.targets.astype(problem.dtype)),
            [option(x) for x in problem.parameters],
            option(problem.weights),
            option(problem.where),
            dtype or problem.dtype,
        )
        if moves and wanted != _VALUE:
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
        inputs, targets, *rest = arrays
        factor = rest.pop() if cotangent else None
        mask = rest.pop() if where else None
        weight = rest.pop() if weights else None
        axes = tuple(range(-reduced, 0))
        name, how = list(_LOSSES)[loss], REDUCTIONS[reduction]
        problem = Problem(name, inputs, targets, (), dtype, how, axes, tuple(rest), weight, mask)
        elements = self._elements(problem)
        outputs = {
            _VALUE: ("value",),
            _VALUE_AND_GRADIENT: ("value", "gradient"),
            _GRADIENT: ("gradient",),
            _GRADIENT_AND_CURVATURE: ("gradient", "second_derivative"),
            _CURVATURE: ("second_derivative",),
        }[wanted]
        results = []
        for output in outputs:
            if output == "value":
                results.append(self._value(problem, elements))
                continue
            result = self._derivative(output, problem, elements)
            if factor is not None:
                for _ in range(reduced):
                    factor = mx.expand_dims(factor, -1)
                result = result * factor
            results.append(self.cast(result, dtype))
        return results


def _on_cpu() -> bool:
    return bool(mx.default_device().type == mx.cpu)


def _kernels() -> tuple[Kernels | None, str]:
    """What serves on CPU streams, and why."""
    version, built_for = metadata.version("mlx"), _core.built_for_mlx()
    why = f"lossless was built for mlx {built_for}, not {version}"
    if version == built_for:
        try:
            kernels = Kernels(importlib.import_module("lossless._mlx"))
            kernels.probe()
        except Exception as error:
            why = f"the bridge to mlx {version} does not work: {error}"
        else:
            return kernels, f"lossless was built for mlx {version}"
    warnings.warn(
        f"lossless: MLX arrays are served by composed formulas, slower than the native kernels: "
        f"{why}. Install lossless again to build it for the mlx that is here.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None, why


_FORMULAS = Formulas(_Namespace())
_KERNELS, _WHY = _kernels()


def backend() -> Formulas:
    """What serves a call now."""
    if _KERNELS is None or is_composed.get() or not _on_cpu():
        return _FORMULAS
    return _KERNELS


def path() -> tuple[str, str]:
    """Whether that is "native" or "composed", and why."""
    if backend() is _KERNELS or _KERNELS is None:
        return "composed" if _KERNELS is None else "native", _WHY
    if is_composed.get():
        return "composed", "inside lossless.composed()"
    return "composed", "the default stream is not a CPU's"
