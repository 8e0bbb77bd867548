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

from .formats import FLOAT16, FLOAT32, FLOAT64, FORMATS, Array, Format
from .frameworks import FRAMEWORKS, Framework
from .hard import hard_pairs
from .judge import Bound, Tallies, judge, tallies
from .losses import LOSSES
from .points import batches_of_inputs, bit_patterns, random_pairs, some_inputs
from .reference import OUTPUTS, Loss

PATHS = ("native", "composed")
TASK = 1 << 20  # inputs in one task
# Of the float32 inputs, without --exhaustive. Prime: every exponent, and low bits that never
# repeat.
STRIDE = 16_411
OTHER_STRIDE = 17  # of these, with --exhaustive, for other parameters than the defaults
PAIRS = 1 << 14
POINTS = 1_000  # in float64


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
        framework, size = self.framework, inputs.size
        loss: Any = getattr(lossless, self.loss.public)
        with framework.setting():
            x, t = (framework.array(_filled(a, framework.filled(size))) for a in (inputs, targets))
            calls: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
                "loss": (loss, OUTPUTS[:1]),
                "value_and_grad": (lossless.value_and_grad(loss), OUTPUTS[:2]),
                "grad_and_hess": (lossless.grad_and_hess(loss), OUTPUTS[1:]),
            }
            for call, (function, outputs) in calls.items():
                results = self._call(function, x, t, parameters)
                for output, result in zip(outputs, results, strict=True):
                    yield output, call, framework.numpy(result)[:size]

    def _call(
        self, function: Callable[..., Any], x: Any, t: Any, parameters: dict[str, Any]
    ) -> tuple[Any, ...]:
        composed = lossless.composed() if self.path == "composed" else nullcontext()
        with composed:
            options = {**parameters, **self.loss.fixed}
            results = self.framework.finish(function(x, t, **options, reduction="none"))
        return tuple(results) if isinstance(results, tuple | list) else (results,)


def _filled(numbers: Array, size: int) -> Array:
    """The last number again, up to this size."""
    return numbers if numbers.size == size else np.pad(numbers, (0, size - numbers.size), "edge")


def bounds(loss: Loss, fmt: Format, backend: str, path: str) -> dict[str, Bound] | None:
    """What is promised of each output; None: correctly rounded."""
    if path == "native":
        if fmt is not FLOAT64:
            return None
        return {output: Bound(ulp, terms=2.0**-50) for output, ulp in loss.ulp_float64.items()}
    first, second, terms = (16.0, 16.0, 2.0**-20) if backend == "jax" else (8.0, 16.0, 2.0**-21)
    if fmt not in (FLOAT32, FLOAT64):
        first = second = 1.0
    # XLA takes subnormal numbers for 0, of float16 only where it computes in float16.
    flushed = 2.0**fmt.min_exponent if backend == "jax" and fmt is not FLOAT16 else 0.0
    beyond = dict.fromkeys(loss.absolute_beyond_2, 2.0**-22)
    return {
        output: Bound(
            ulp, beyond.get(output, 0.0), flushes=True, flushed=flushed,
            terms=2.0**-47 if fmt is FLOAT64 else terms,
            of_exponential=loss.exponential and fmt is not FLOAT64,
        )
        for output, ulp in zip(OUTPUTS, (first, first, second), strict=True)
    }  # fmt: skip


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
    kind: str  # "inputs", "special values", "pairs", "hard pairs"
    parameters: tuple[tuple[str, float], ...]
    target: float  # of all inputs, but for pairs
    start: int  # bits of the first input, or the seed
    stop: int
    stride: int
    size: int
    served: tuple[tuple[str, tuple[str, ...]], ...]  # backends, and the paths to judge on them

    def run(self) -> dict[tuple[str, str], Tallies]:
        """By backend and path."""
        loss, fmt, parameters = LOSSES[self.loss], FORMATS[self.fmt], dict(self.parameters)
        # Pairs are for exact differences, which formulas do not promise.
        no_formulas = "pairs" in self.kind
        cases = [
            Served(loss, fmt, _framework(backend)[0], path)
            for backend, paths in self.served
            for path in paths
            if (path == "composed" and not no_formulas)
            or (path == "native" and _framework(backend)[1])
        ]
        found = {(case.framework.name, case.path): tallies() for case in cases}
        for inputs, targets in self._numbers(loss, fmt, parameters) if cases else ():
            truths = None
            for case in cases:
                key = case.framework.name, case.path
                truths = judge(
                    case, inputs, targets, parameters, found[key],
                    mirrored=loss.even and targets is None, bounds=bounds(loss, fmt, *key),
                    truths=truths,
                )  # fmt: skip
        return found

    def _numbers(
        self, loss: Loss, fmt: Format, parameters: dict[str, float]
    ) -> Iterator[tuple[Array, Array | None]]:
        rng = np.random.default_rng(self.start)
        if self.kind == "pairs":
            yield from random_pairs(loss, fmt, self.size // 4, rng)
        elif self.kind == "hard pairs":
            yield from hard_pairs(loss, fmt, self.size, rng, parameters)
        elif self.kind == "special values":
            yield from self._signed(loss, _special_values(fmt, parameters))
        elif fmt is FLOAT64:
            yield from self._signed(loss, _spread(loss, self.size // 2, rng))
        else:
            for numbers in batches_of_inputs(fmt, self.start, self.stop, self.stride):
                yield from self._signed(loss, numbers)

    def _signed(self, loss: Loss, numbers: Array) -> Iterator[tuple[Array, Array | None]]:
        """With the target; if the loss is not even, their negatives, too."""
        targets = None if self.target == 0 else np.full_like(numbers, self.target)
        yield numbers, targets
        if not loss.even and not (loss.probabilities and self.kind == "inputs"):
            yield -numbers, targets


def _spread(loss: Loss, count: int, rng: np.random.Generator) -> Array:
    """Numbers of all sizes, and as many where losses bend."""
    if loss.probabilities:
        return some_inputs(loss, count, rng)
    spread = 10.0 ** rng.uniform(-18, 18, count // 2)
    return np.concatenate([spread, np.exp2(rng.uniform(-12, 9.5, count // 2))])


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
    bends += [89.0, 372.0, 710.0, 745.0, math.sqrt(smallest_normal), math.exp(-100)]
    for point in bends:
        near = float(fmt.array(point))
        if math.isfinite(near):
            points += [fmt.neighbour(near, step) for step in (-2, -1, 0, 1, 2)]
    numbers = fmt.array(points)
    return numbers[~np.signbit(numbers)]


Setting = tuple[str, dict[str, float], int]  # a loss, its parameters, the stride of float32 inputs


def tasks(
    settings: Iterable[Setting],
    formats: Iterable[Format],
    backends: tuple[str, ...],
    paths: tuple[str, ...] = PATHS,
    *,
    exhaustive: bool,
) -> Iterator[Task]:
    formats, served = list(formats), tuple((backend, paths) for backend in backends)
    for name, given, float32_stride in settings:
        loss, parameters = LOSSES[name], tuple(given.items())
        for fmt in formats:
            stride = float32_stride if fmt is FLOAT32 else 1
            patterns = bit_patterns(fmt, 1.0 if loss.probabilities else np.inf)
            for target in loss.targets:
                if fmt is FLOAT64:
                    total = POINTS * (50 if exhaustive else 1)
                    ranges = [(seed, 0, 500) for seed in range(total // 500)]
                else:
                    ranges = [
                        (start, min(start + TASK * stride, patterns), 0)
                        for start in range(0, patterns, TASK * stride)
                    ]
                for start, stop, size in ranges:
                    count = size or 2 * ((stop - start) // stride)
                    yield Task(
                        name, fmt.name, "inputs", parameters, target, start, stop, stride, count,
                        served,
                    )  # fmt: skip
                yield Task(
                    name, fmt.name, "special values", parameters, target, 0, 0, 1, 200, served
                )
            kinds = {"pairs": (4 * PAIRS, 256), "hard pairs": (PAIRS // 8, 64)}
            if fmt is FLOAT64:
                kinds = {"pairs": (POINTS // 2, 64)}
            for kind, (size, seeds) in kinds.items():
                for seed in range(seeds if exhaustive else 1):
                    yield Task(name, fmt.name, kind, parameters, 0.0, seed, seed, 1, size, served)
