"""PyTorch tensors: dtypes, numbers and errors.

Autograd is in test_autograd, what compiles, traces and transforms in test_transforms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import lossless
from support.frameworks.cases import FUNCTIONS
from support.frameworks.torch import gradient


def test_huber_default_dtype_is_that_of_torch() -> None:
    x = torch.tensor([0, 3], dtype=torch.uint8)
    assert [2.5, 2.5] == lossless.huber_loss(x, x.flip(0)).tolist()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.float64 == lossless.huber_loss(x, 1).dtype
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_tensors_of_no_dimensions_promote_as_in_torch(function: Any) -> None:
    """A float64 number as a tensor does not widen a float32 tensor; it becomes float32 first."""
    x = torch.tensor([0.3, -1.7], requires_grad=True)
    scalar = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    actual = function(x, scalar)
    assert torch.float32 == actual.dtype
    assert torch.equal(actual, function(x, 0.1))
    slope, total = gradient(actual, x, scalar)
    assert (torch.float32, torch.float64) == (slope.dtype, total.dtype)
    _, exact = lossless.value_and_grad(function)(x.double(), scalar.float().double())
    assert np.float32(-exact.sum().item()) == total.item()
    assert torch.float64 == function(scalar, torch.tensor(0.5)).dtype


def test_huber_delta_is_exact_in_the_kernels() -> None:
    """As a number it keeps float64's digits: 0.1 is not float32's 0.1."""
    x = np.array([0.1, 3.0], np.float32)
    expected = lossless.huber_loss(x, np.zeros_like(x), 0.1)
    assert expected.tolist() == lossless.huber_loss(torch.from_numpy(x), 0.0, 0.1).tolist()


# Errors, beside those that test_errors has for every backend


@pytest.mark.parametrize("argument", ["inputs", "targets", "delta", "weights", "where"])
@pytest.mark.parametrize(
    ("foreign", "named"), [(np.array([0.5, 1.0], np.float32), "NumPy"), ([0.5, 1.0], "list")]
)
def test_huber_one_framework_in_a_call(foreign: Any, named: str, argument: str) -> None:
    x = torch.tensor([0.5, 1.0])
    with pytest.raises(TypeError, match=rf"^huber_loss: {argument} .*PyTorch.*{named}.*convert"):
        lossless.huber_loss(**{"inputs": x, "targets": x, argument: foreign})


@pytest.mark.parametrize(
    "bad",
    [
        torch.tensor([1j, 2.0]),
        torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
    ],
    ids=lambda bad: str(bad.dtype),
)
def test_huber_takes_real_tensors_only(bad: Any) -> None:
    x = torch.tensor([0.5, 1.0])
    for name in ("inputs", "targets", "weights", "delta"):
        with pytest.raises(TypeError, match=rf"^huber_loss: {name} must be real .*{bad.dtype}"):
            lossless.huber_loss(**{"inputs": x, "targets": x, name: bad})
    with pytest.raises(TypeError, match=r"^huber_loss: where must be boolean, got dtype"):
        lossless.huber_loss(x, x, where=x)
