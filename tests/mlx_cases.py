"""What the tests of MLX share: the cases, the paths, and a comparison with real numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from cases import Backend, Case, cases, from_mlx
from checks import COMPOSED_ULP, assert_ulp

import lossless
from lossless.cli.oracle.formats import FLOAT32, Array

# How a call computes.
PATHS: dict[str, Callable[[], Any]] = {"native": nullcontext, "composed": lossless.composed}
ON_EVERY_PATH = pytest.mark.usefixtures("mlx_path")
IN_EVERY_DTYPE = pytest.mark.parametrize("case", cases(backends=[Backend.MLX]))
IN_FLOAT32 = pytest.mark.parametrize("case", cases([FLOAT32], backends=[Backend.MLX]))
REDUCTIONS = ("sum", "mean", "weighted_mean")
FUNCTIONS = [lossless.huber_loss, lossless.log_cosh_loss]


def arrays(case: Case, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array]:
    return (
        case.fmt.array(rng.normal(0.5, 2.0, shape)),
        case.fmt.array(rng.normal(-0.25, 1.0, shape)),
    )


def assert_near(case: Case, output: str, got: Any, true: Any, what: str = "") -> None:
    """An MLX array against real numbers, within the contract of the formulas."""
    true = np.asarray(true, object)
    result = from_mlx(got)
    assert result.shape == true.shape, f"{case} {what}: got {result.shape}, wanted {true.shape}"
    bound = COMPOSED_ULP[case.fmt][output]
    assert_ulp(result, list(true.flat), case.fmt, bound, f"{case} {output} {what}")
