"""Timing of cases that take turns: medians with their spread."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

# A call shorter than this is repeated, and the clock is read once for all repetitions.
SHORTEST_SAMPLE = 1e-3
FEWEST_ROUNDS = 5
MOST_ROUNDS = 301

Call = Callable[[], object]
Key = TypeVar("Key", bound=Hashable)
Sampler = Callable[[int], float]  # seconds of one call, measured over this number of repetitions


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median and the quartiles over the rounds."""

    median: float
    lower_quartile: float
    upper_quartile: float
    rounds: int

    def text(self, digits: int) -> str:
        """The median, and half the distance between the quartiles in percent of the median."""
        spread = (self.upper_quartile - self.lower_quartile) / 2 / self.median
        units = {"s": 1.0, "ms": 1e3, "µs": 1e6}
        unit = next((unit for unit, factor in units.items() if self.median * factor >= 1), "µs")
        return f"{significant(self.median * units[unit], digits)} {unit} ±{spread:.0%}"

    def __str__(self) -> str:
        return self.text(3)


def significant(x: float, digits: int) -> str:
    """The number with this many significant digits, or all that are before its point."""
    if not math.isfinite(x) or not 1e-3 <= abs(x) < 1e12:
        return f"{x:.{digits}g}"
    return f"{float(f'{x:.{digits}g}') if abs(x) < 10**digits else round(x):,.15g}"


def interleaved(
    cases: Mapping[Key, Sampler], seconds: float, advance: Callable[[float], None]
) -> dict[Key, Timing]:
    """Time the cases in turns, so that a disturbance of the machine affects all alike.

    There are at least `FEWEST_ROUNDS` rounds, however long they take. `advance` receives the part
    that is done. The cases have run before: their memory is warm and their threads have started.
    """
    repetitions = {
        name: max(1, round(SHORTEST_SAMPLE / sample(1))) for name, sample in cases.items()
    }
    samples: dict[Key, list[float]] = {name: [] for name in cases}
    start = time.perf_counter()
    for done in range(MOST_ROUNDS):
        elapsed = time.perf_counter() - start
        if done >= FEWEST_ROUNDS and elapsed > seconds:
            break
        advance(min(elapsed / seconds if seconds else 1.0, done / FEWEST_ROUNDS, 1.0))
        for name, sample in cases.items():
            samples[name].append(sample(repetitions[name]))
    return {name: _timing(seconds) for name, seconds in samples.items()}


def seconds_of(call: Call, repetitions: int) -> float:
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    return max(time.perf_counter() - start, 1e-9) / repetitions


def _timing(seconds: list[float]) -> Timing:
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, lower, upper, len(seconds))
