"""What the tests of MLX share."""

from __future__ import annotations

import io
import resource
import sys
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from lossless.verification.formats import FLOAT32
from support.cases import Backend
from support.frameworks.cases import on

IN_EVERY_DTYPE = on(Backend.MLX)
IN_FLOAT32 = on(Backend.MLX, [FLOAT32])


def peak_beyond(function: Any, *arrays: Any) -> float:
    """The most memory that evaluating function(*arrays) takes beside what there is, in bytes."""
    mx.eval(function(*arrays))
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mx.eval(function(*arrays))
    return float(mx.get_peak_memory() - before)


def nodes(*results: Any) -> int:
    """How many of our nodes are in the graph of results that are not computed yet."""
    graph: Any = io.StringIO()
    mx.export_to_dot(graph, *results)
    return int(graph.getvalue().count("to_export_use_lossless.composed()"))


def assert_leaks_nothing(evaluate: Callable[[], None], warm: int, times: int) -> None:
    """So many evaluations after the first ones take at most 8 MiB more: far less than results."""

    def resident() -> int:
        """The peak of the process in bytes; the system has it in KiB, macOS in bytes."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024)

    for _ in range(warm):
        evaluate()
    active, before = mx.get_active_memory(), resident()
    for _ in range(times):
        evaluate()
    assert mx.get_active_memory() <= active
    assert resident() - before <= 8 << 20
