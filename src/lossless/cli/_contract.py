"""The numerical contract (docs/numerics.md), and the tasks that try it on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import lossless

from ._frameworks import FRAMEWORKS, Framework
from .oracle.formats import FLOAT32, FLOAT64, FORMATS, Array, Format
from .oracle.judge import (
    Bound,
    Tallies,
    batches_of_residuals,
    bit_patterns,
    judge,
    random_pairs,
    tallies,
)
from .oracle.reference import LOSSES, OUTPUTS, Loss

PATHS = ("native", "composed")
TASK = 1 << 20  # residuals in one task
# Of the float32 residuals, without --exhaustive. Prime: every exponent, and low bits that never
# repeat.
STRIDE = 4_099
PAIRS = 1 << 14
POINTS = 2_000  # in float64


@dataclass(frozen=True)
class Served:
    """A loss on the arrays of a framework, by one of the two paths."""

    loss: Loss
    fmt: Format
    framework: Framework
    path: str

    def __str__(self) -> str:
        return f"{self.loss.name}-{self.framework.name}-{self.path}-{self.fmt.name}"

    def element_wise(
        self, inputs: Any, targets: Any, /, **parameters: Any
    ) -> Iterable[tuple[str, str, Array]]:
        framework, name = self.framework, self.loss.name
        loss: Callable[..., Any] = getattr(lossless, f"{name}_loss", None) or getattr(
            lossless, name
        )
        with framework.setting():
            x, t = framework.array(inputs), framework.array(targets)
            calls: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
                "loss": (loss, OUTPUTS[:1]),
                "value_and_grad": (lossless.value_and_grad(loss), OUTPUTS[:2]),
                "grad_and_hess": (lossless.grad_and_hess(loss), OUTPUTS[1:]),
            }
            for call, (function, outputs) in calls.items():
                results = self._call(function, x, t, parameters)
                for output, result in zip(outputs, results, strict=True):
                    yield output, call, framework.numpy(result)

    def _call(
        self, function: Callable[..., Any], x: Any, t: Any, parameters: dict[str, Any]
    ) -> tuple[Any, ...]:
        composed = lossless.composed() if self.path == "composed" else nullcontext()
        with composed:
            results = self.framework.finish(function(x, t, **parameters, reduction="none"))
        return tuple(results) if isinstance(results, tuple | list) else (results,)


def bounds(loss: Loss, fmt: Format, backend: str, path: str) -> dict[str, Bound] | None:
    """What is promised of each output; None: correctly rounded."""
    if path == "native":
        if fmt is not FLOAT64:
            return None
        return {output: Bound(ulp) for output, ulp in loss.ulp_float64.items()}
    if fmt not in (FLOAT32, FLOAT64):
        ulp = dict.fromkeys(OUTPUTS, 1.0)
    else:
        first = 16.0 if backend == "jax" else 8.0
        ulp = dict(zip(OUTPUTS, (first, first, 16.0), strict=True))
    beyond = {"second_derivative": 2.0**-22}
    return {output: Bound(ulp[output], beyond.get(output, 0.0), flushes=True) for output in OUTPUTS}


def promised(loss: str, dtype: str, backend: str, path: str) -> str:
    found = bounds(LOSSES[loss], FORMATS[dtype], backend, path)
    if found is None:
        return "correctly rounded"
    ulp = [bound.ulp for bound in found.values()]
    listed = ulp if len(set(ulp)) > 1 else ulp[:1]
    return f"≤ {', '.join(f'{bound:g}' for bound in listed)} ULP"


@dataclass(frozen=True)
class Task:
    """Some numbers, judged on each backend by each path that serves it."""

    loss: str
    fmt: str
    kind: str  # "residuals", "special values", "pairs"
    parameters: tuple[tuple[str, float], ...]
    start: int  # bits of the first residual, or the seed
    stop: int
    stride: int
    size: int
    backends: tuple[str, ...]

    def run(self) -> dict[tuple[str, str], Tallies]:
        """By backend and path."""
        loss, fmt, parameters = LOSSES[self.loss], FORMATS[self.fmt], dict(self.parameters)
        cases = [
            Served(loss, fmt, framework, path)
            for framework, native in map(_framework, self.backends)
            for path in PATHS
            if native or path == "composed"
        ]
        found = {(case.framework.name, case.path): tallies() for case in cases}
        for inputs, targets in self._numbers(fmt):
            truths = None
            for case in cases:
                # Pairs are for exact differences, which formulas do not promise.
                if case.path == "native" or targets is None:
                    key = case.framework.name, case.path
                    truths = judge(
                        case, inputs, targets, parameters, found[key],
                        mirrored=targets is None, bounds=bounds(loss, fmt, *key), truths=truths,
                    )  # fmt: skip
        return found

    def _numbers(self, fmt: Format) -> Iterator[tuple[Array, Array | None]]:
        rng = np.random.default_rng(self.start)
        if self.kind == "special values":
            yield _special_values(fmt, dict(self.parameters)), None
        elif self.kind == "pairs":
            yield from random_pairs(fmt, self.size // 4, rng)
        elif fmt is FLOAT64:
            spread = 10.0 ** rng.uniform(-18, 18, self.size // 4)
            bend = np.exp2(rng.uniform(-12, 9.5, self.size // 4))
            yield np.concatenate([spread, bend]), None
        else:
            for numbers in batches_of_residuals(fmt, self.start, self.stop, self.stride):
                yield numbers, None


@cache
def _framework(name: str) -> tuple[Framework, bool]:
    """The framework, and whether kernels serve its arrays."""
    framework = FRAMEWORKS[name]()
    return framework, framework.path()[0] == "native"


def _special_values(fmt: Format, parameters: dict[str, float]) -> Array:
    """Zero, the smallest and largest numbers, NaN, and where losses change their form."""
    smallest_normal = math.ldexp(1.0, fmt.min_exponent)
    points = [0.0, fmt.smallest, smallest_normal, fmt.largest, math.inf, math.nan]
    bends = [*parameters.values(), math.log(2), math.acosh(2), 0.5, 0.75, 1.0, 2.0, 9.0, 19.0, 40.0]
    bends += [89.0, 372.0, 710.0, 745.0, math.sqrt(smallest_normal)]
    for point in bends:
        near = float(fmt.array(point))
        if math.isfinite(near):
            points += [fmt.neighbour(near, step) for step in (-2, -1, 0, 1, 2)]
    numbers = fmt.array(points)
    return numbers[~np.signbit(numbers)]


def tasks(
    losses: Iterable[tuple[str, dict[str, float]]],
    formats: Iterable[Format],
    backends: tuple[str, ...],
    *,
    exhaustive: bool,
) -> Iterator[Task]:
    formats = list(formats)
    for loss, parameters in losses:
        setting = tuple(parameters.items())
        for fmt in formats:
            patterns = bit_patterns(fmt)
            stride, step = 1, TASK
            if fmt is FLOAT32 and not exhaustive:
                stride = STRIDE
            if fmt is FLOAT64:
                total = POINTS * (50 if exhaustive else 1)
                starts = [(seed, 0, 500) for seed in range(total // 500)]
            else:
                starts = [
                    (start, min(start + step * stride, patterns), 0)
                    for start in range(0, patterns, step * stride)
                ]
            for start, stop, size in starts:
                count = size or 2 * ((stop - start) // stride)
                yield Task(
                    loss, fmt.name, "residuals", setting, start, stop, stride, count, backends
                )
            yield Task(loss, fmt.name, "special values", setting, 0, 0, 1, 200, backends)
            pairs = 1000 if fmt is FLOAT64 else 4 * PAIRS
            for seed in range(64 if exhaustive else 1):
                yield Task(loss, fmt.name, "pairs", setting, seed, seed, 1, pairs, backends)
