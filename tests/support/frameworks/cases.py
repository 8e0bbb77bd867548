"""What the tests of frameworks share: options, paths, comparisons. Nothing imports a framework."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FORMATS, Array, Format
from support.cases import REDUCTIONS, Backend, Case, cases
from support.checks import assert_ulp, composed_ulp

# How a call computes.
PATHS: dict[str, Callable[[], Any]] = {"native": nullcontext, "composed": lossless.composed}
ON_EVERY_PATH = pytest.mark.usefixtures("path")
FUNCTIONS: list[Any] = [lossless.huber_loss, lossless.log_cosh_loss]
SHAPE = (6, 5, 4)
# Every reduction, and the axes of SHAPE to reduce.
REDUCED = [("none", None), *itertools.product(REDUCTIONS[1:], (None, 1, (0, 2)))]


def on(backend: Backend, formats: Iterable[Format] = FORMATS.values()) -> pytest.MarkDecorator:
    """Every loss on this backend, in these dtypes."""
    return pytest.mark.parametrize("case", cases(formats, backends=[backend]))


def on_numpy(case: Case) -> Case:
    """The same on NumPy arrays, where the kernels are proven."""
    return Case(case.loss, Backend.NUMPY, case.fmt)


def arrays(case: Case, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array]:
    """Inputs and targets."""
    return (
        case.fmt.array(rng.normal(0.5, 2.0, shape)),
        case.fmt.array(rng.normal(-0.25, 1.0, shape)),
    )


def combinations(
    case: Case, rng: np.random.Generator, reduced: Iterable[tuple[str, Any]] = REDUCED
) -> list[dict[str, Any]]:
    """Every combination of reduction, axis, weights, mask and delta, for arrays of SHAPE."""
    weights = (None, -1.5, rng.uniform(0.5, 2.0, SHAPE[1:]).astype(np.float32))
    masks = (None, rng.random((SHAPE[0], 1, SHAPE[2])) < 0.7)
    parameters: list[dict[str, Any]] = [{}]
    if case.loss.parameters:
        parameters = [{"delta": 0.1}, {"delta": rng.uniform(0.5, 2.0, SHAPE[2])}]
    return [
        {"reduction": reduction, "axis": axis, "weights": weight, "where": mask, **more}
        for (reduction, axis), weight, mask, more in itertools.product(
            reduced, weights, masks, parameters
        )
    ]


def assert_near(case: Case, output: str, true: Any, actual: Any, what: str = "") -> None:
    """An array of the framework against real numbers, within the contract of the formulas."""
    true = np.asarray(true, object)
    result = case.backend.numpy(actual)
    assert true.shape == result.shape, f"{case} {what}: expected {true.shape}, got {result.shape}"
    bound = composed_ulp(case, output)
    assert_ulp(list(true.flat), result, case.fmt, bound, f"{case} {output} {what}")


def printed(program: str) -> list[str]:
    """The lines that a Python program of its own prints."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()
