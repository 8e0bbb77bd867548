"""The measurements of `lossless bench`: losses of every framework, kernels and memory, in turns.

Each framework has its own process, so that threads of the others do not interfere. While one is
timed, the others wait.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lossless
from lossless import _core

from .._errors import UserError
from .._problem import REDUCTIONS
from .._processes import deaf_to_ctrl_c, end_with_parent
from .._spec import LOSSES
from ..scoring.losses import ChosenLoss
from ..verification.frameworks import FRAMEWORKS
from .peers import cases
from .timing import Call, Timing, interleaved, seconds_of

DTYPES = ("float16", "bfloat16", "float32", "float64")  # in the kernels' order
Key = tuple[str, str, str]  # whose arrays, whose loss, eager or compiled
MEMORY: Key = ("memory", "pass", "")
KERNEL: Key = ("kernel", "lossless", "")


@dataclass(frozen=True)
class Measured:
    """The timing of one case, or why it failed."""

    loss: ChosenLoss
    key: Key
    timing: Timing | None
    failure: str | None = None


@dataclass(frozen=True)
class Work:
    """The work of all processes, which take turns."""

    loss: ChosenLoss
    elements: int
    dtype: str
    threads: int


def measure(
    work: Work, backends: list[str], seconds: float, tell: Callable[[str, float], None]
) -> list[Measured]:
    """`tell` receives a description of the work and the part that is done."""
    samplers: dict[Key, Callable[[int], float]] = {}
    failed: dict[Key, str] = {}
    with ExitStack() as stack:
        for name in ("kernel", *backends):
            tell(f"{work.loss.name}: preparing {name}", 0.0)
            worker = stack.enter_context(Worker(name))
            for key, failure in worker.ask("prepare", work).items():
                if failure is None:
                    samplers[key] = partial(worker.ask, "time", key)
                else:
                    failed[key] = failure
        timings = interleaved(
            samplers, seconds, lambda part: tell(f"{work.loss.name}: measuring", part)
        )
    found = [Measured(work.loss, key, timing) for key, timing in timings.items()]
    return found + [Measured(work.loss, key, None, reason) for key, reason in failed.items()]


class Worker:
    """A process for one framework, or for the kernels alone."""

    def __init__(self, name: str) -> None:
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, name), daemon=True)
        with deaf_to_ctrl_c():
            self._process.start()
        other.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._connection.close()

    def ask(self, *request: Any) -> Any:
        try:
            self._connection.send(request)
            answer, failure = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            failure = f"its process ended with exit code {self._process.exitcode}"
        if failure:
            raise UserError(f"{self._name} cannot be measured: {failure}")
        return answer


def _serve(connection: Connection, name: str) -> None:
    """In the process: answer each request with (answer, None) or (None, what went wrong)."""
    end_with_parent()
    served = _Served(name)
    while True:
        request, *arguments = connection.recv()
        answer: tuple[Any, str | None]
        try:
            answer = getattr(served, request)(*arguments), None
        except Exception as error:  # the process that waits reports it
            answer = None, _first_line(error)
        connection.send(answer)


class _Served:
    """The cases of a framework, in its process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._settings = ExitStack()  # for as long as the process lives
        self._calls: dict[Key, Call] = {}

    def prepare(self, work: Work) -> dict[Key, str | None]:
        """The cases, and the failures."""
        lossless.set_num_threads(work.threads)
        inputs, targets = _arrays(work.elements, work.dtype)
        if self._name == "kernel":
            self._calls[MEMORY] = _memory_pass(inputs, targets)
            self._calls[KERNEL] = _kernel(work.loss, inputs, targets, work.dtype)
        else:
            framework = FRAMEWORKS[self._name]()
            self._settings.enter_context(framework.setting())
            for who, mode, call in cases(framework, work.loss, inputs, targets):
                self._calls[self._name, who, mode] = call
        return {key: _failure(call) for key, call in self._calls.items()}

    def time(self, key: Key, repetitions: int) -> float:
        return seconds_of(self._calls[key], repetitions)


def _failure(call: Call) -> str | None:
    """Run the case, so that it is compiled and its memory is warm."""
    try:
        call()
        call()
    except Exception as error:  # any error of a compiler or a dtype
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _arrays(elements: int, dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Residuals on both sides of the usual delta."""
    if dtype == "bfloat16":
        import ml_dtypes

        kind: Any = ml_dtypes.bfloat16
    else:
        kind = dtype
    generator = np.random.default_rng(elements)
    inputs = 2 * generator.standard_normal(elements, np.float32)
    return inputs.astype(kind), generator.standard_normal(elements, np.float32).astype(kind)


def _memory_pass(inputs: NDArray[Any], targets: NDArray[Any]) -> Call:
    """Read the bytes of both arrays and write as many as one has; in float32, for any dtype."""
    words = max(1, inputs.nbytes // 4)
    x, t, out = (np.ones(words, np.float32) for _ in range(3))
    return lambda: _core.memory_pass(x, t, out)


def _kernel(
    loss: ChosenLoss, inputs: NDArray[Any], targets: NDArray[Any], dtype: str
) -> partial[None]:
    """The kernel without the Python layer, into warm memory: comparable with the memory pass."""
    code = DTYPES.index(dtype)
    kept = inputs.dtype if dtype != "bfloat16" else np.dtype(np.uint16)
    arguments: dict[str, Any] = {
        "loss": LOSSES[loss.name].kernel_index,
        "dtype": code,
        "reduction": REDUCTIONS.index("mean"),
        "shape": inputs.shape,
        "outer_dims": 0,
        "inputs": (inputs.view(kept), code),
        "targets": (targets.view(kept), code),
        "parameters": tuple(loss.parameters.values()),
        "weights": None,
        "where": None,
        "value": np.ones((), kept),
        "gradient": np.ones(inputs.shape, kept),
        "second_derivative": None,
        "total_gradient": None,
    }
    return partial(_core.sweep, **arguments)
