"""What the tests of PyTorch share: the cases, tensors, and a comparison with real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cases import Backend, Case, cases, from_torch, to_torch
from checks import COMPOSED_ULP, assert_ulp

import lossless
from lossless.cli.oracle.formats import FLOAT32, FLOAT64, Array

REDUCTIONS = ("none", "sum", "mean", "weighted_mean")
FUNCTIONS: list[Any] = [lossless.huber_loss, lossless.log_cosh_loss]
IN_EVERY_DTYPE = pytest.mark.parametrize("case", cases(backends=[Backend.TORCH]))
IN_FLOAT32 = pytest.mark.parametrize("case", cases([FLOAT32], backends=[Backend.TORCH]))
IN_FLOAT64 = pytest.mark.parametrize("case", cases([FLOAT64], backends=[Backend.TORCH]))
ON_EVERY_PATH = pytest.mark.parametrize("path", ["native", "composed"])


def on_numpy(case: Case) -> Case:
    """The same on NumPy arrays, where the kernels are proven."""
    return Case(case.loss, Backend.NUMPY, case.fmt)


def arrays(case: Case, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array]:
    return (
        case.fmt.array(rng.normal(0.5, 2.0, shape)),
        case.fmt.array(rng.normal(-0.25, 1.0, shape)),
    )


def leaf(array: Array) -> Any:
    """A tensor whose gradient is asked for."""
    return to_torch(array).requires_grad_()


def gradient(value: Any, *by: Any, cotangent: Any = None) -> Any:
    """One tensor, or one for each of `by`."""
    ones = torch.ones_like(value) if cotangent is None else cotangent
    found = torch.autograd.grad(value, by, ones, materialize_grads=True)
    return found[0] if len(by) == 1 else found


def assert_near(case: Case, output: str, got: Any, true: Any, what: str = "") -> None:
    """A tensor against real numbers, within the contract of the formulas."""
    true = np.asarray(true, object)
    result = from_torch(got)
    assert result.shape == true.shape, f"{case} {what}: got {result.shape}, wanted {true.shape}"
    bound = COMPOSED_ULP[case.fmt][output]
    assert_ulp(result, list(true.flat), case.fmt, bound, f"{case} {output} {what}")
