"""What an executor and a framework are: the ways to compute a loss on a framework's arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .._problem import Array, Call, Problem
from .arrays import Arrays

FORMULAS = "formulas"
KERNELS = "kernels"


Simple = Callable[[Call[Any], tuple[str, ...]], tuple[Array, ...] | None]


@dataclass(frozen=True)
class Promise:
    """How near to the exact results an executor comes: docs/numerics.md has the reasons.

    Correctly rounded are results in the narrow dtypes; in float64 each loss has bounds of its own
    (`verification.losses`). Other executors compute half types in float32, whose results are within
    1 ULP; the bounds below are those of float32 and float64.
    """

    correctly_rounded: bool = False
    first: float = 8.0  # ULP of value and gradient
    second: float = 16.0  # ULP of the second derivative
    terms: float = 2.0**-21  # of the magnitudes of float32 terms that cancel
    flushes_inputs: bool = False  # whether subnormal inputs may count as 0


class Executor(Protocol):
    """One way to compute losses on one kind of device."""

    name: str  # such as KERNELS or FORMULAS: `composed` leaves only the latter
    device: str
    limits: str  # what it refuses and why, as `info` prints it
    promise: Promise

    @property
    def simple(self) -> Simple | None:
        """What computes simple calls (`_check.is_simple`), or returns None for those it refuses."""

    def idle(self) -> str | None:
        """Why it takes no call at all for now; None if it takes some."""

    def refuses(self, problem: Problem) -> str | None:
        """Why it does not take a problem; None if it does."""

    def run(self, problem: Problem) -> tuple[Array, ...]:
        """The outputs of a problem that it takes, in their order."""


@dataclass
class Framework:
    """A framework's arrays and the executors for them, best first. The last one refuses nothing."""

    title: str
    arrays: Arrays
    executors: tuple[Executor, ...]
    why: str  # of what there is the best executor is the first
    # Whether arrays of one type are always its own: of a namespace, the version may change.
    by_type: bool = True

    @property
    def formulas(self) -> Executor:
        return self.executors[-1]
