"""What an executor and a framework are: the ways to compute a loss on a framework's arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .._problem import Array, Call, Problem
from .arrays import Arrays

FORMULAS = "formulas"
KERNELS = "kernels"


class Executor(Protocol):
    """One way to compute losses on one kind of device."""

    name: str  # KERNELS or FORMULAS: `composed` leaves only the latter
    device: str  # as `info` prints it, and
    takes: str  # the calls that it takes

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
    # The outputs of simple calls, for which `_check.is_simple` holds; None where it takes more.
    simple: Callable[[Call[Any], tuple[str, ...]], tuple[Array, ...] | None] | None = None

    @property
    def formulas(self) -> Executor:
        return self.executors[-1]
