"""The tasks that try the numerical contract on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import lossless

from .._spec import LOSSES as SPECS
from ..executors.executor import FORMULAS, KERNELS
from .formats import FLOAT32, FLOAT64, FORMATS, Array, Format
from .frameworks import FRAMEWORKS, Framework
from .hard import hard_pairs
from .judge import Reference, Tallies, judge, tallies
from .losses import LOSSES
from .points import batches_of_inputs, bit_patterns, random_pairs, some_inputs
from .promises import bounds, executors
from .reference import OUTPUTS, Loss

EXECUTORS = (KERNELS, FORMULAS)
TASK = 1 << 20  # inputs in one task
# Of the float32 inputs, without --exhaustive. Prime: every exponent, and low bits that never
# repeat.
STRIDE = 16_411
OTHER_STRIDE = 17  # of these, with --exhaustive, for other parameters than the defaults
PAIRS = 1 << 14
POINTS = 1_000  # in float64


@dataclass(frozen=True)
class Computed:
    """A loss on the arrays of a framework, computed by one executor."""

    loss: Loss
    fmt: Format
    framework: Framework
    executor: str

    def __str__(self) -> str:
        return f"{self.loss.name}-{self.framework.name}-{self.executor}-{self.fmt.name}"

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
        formulas = lossless.composed() if self.executor == FORMULAS else nullcontext()
        with formulas:
            options = {**parameters, **self.loss.fixed}
            results = self.framework.finish(function(x, t, **options, reduction="none"))
        return tuple(results) if isinstance(results, tuple | list) else (results,)


def _filled(numbers: Array, size: int) -> Array:
    """The last number again, up to this size."""
    return numbers if numbers.size == size else np.pad(numbers, (0, size - numbers.size), "edge")


@dataclass(frozen=True)
class Task:
    """Some numbers, judged on the arrays of each framework, computed by each executor."""

    loss: str
    fmt: str
    kind: str  # "inputs", "special values", "pairs", "hard pairs"
    parameters: tuple[tuple[str, float], ...]
    target: float  # of all inputs, but for pairs
    start: int  # bits of the first input, or the seed
    stop: int
    stride: int
    size: int
    # Frameworks, and the executors to judge on their arrays.
    executors: tuple[tuple[str, tuple[str, ...]], ...]

    def run(self) -> dict[tuple[str, str], Tallies]:
        """By framework and executor."""
        loss, fmt, parameters = LOSSES[self.loss], FORMATS[self.fmt], dict(self.parameters)
        # Pairs are for exact differences, which formulas do not promise.
        excluded = FORMULAS if "pairs" in self.kind else None
        cases = [
            Computed(loss, fmt, _framework(name), executor)
            for name, judged in self.executors
            for executor in _available(name)
            if executor in judged and executor != excluded
            if executor != KERNELS or SPECS[self.loss].has_kernel
        ]
        found = {(case.framework.name, case.executor): tallies() for case in cases}
        for inputs, targets in self._numbers(loss, fmt, parameters) if cases else ():
            references: dict[str, Reference] | None = None
            for case in cases:
                promise = executors(case.framework.name)[case.executor].promise
                references = judge(
                    case, inputs, targets, parameters, found[case.framework.name, case.executor],
                    mirrored=loss.even and targets is None, bounds=bounds(promise, loss, fmt),
                    references=references,
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
def _framework(name: str) -> Framework:
    return FRAMEWORKS[name]()


@cache
def _available(name: str) -> list[str]:
    """The executors that compute on arrays of this framework, here."""
    with _framework(name).setting():
        return [key for key, executor in executors(name).items() if executor.idle() is None]


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
    frameworks: tuple[str, ...],
    chosen: tuple[str, ...] = EXECUTORS,
    *,
    exhaustive: bool,
) -> Iterator[Task]:
    formats, judged = list(formats), tuple((name, chosen) for name in frameworks)
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
                        judged,
                    )  # fmt: skip
                yield Task(
                    name, fmt.name, "special values", parameters, target, 0, 0, 1, 200, judged
                )
            kinds = {"pairs": (4 * PAIRS, 256), "hard pairs": (PAIRS // 8, 64)}
            if fmt is FLOAT64:
                kinds = {"pairs": (POINTS // 2, 64)}
            for kind, (size, seeds) in kinds.items():
                for seed in range(seeds if exhaustive else 1):
                    yield Task(name, fmt.name, kind, parameters, 0.0, seed, seed, 1, size, judged)
