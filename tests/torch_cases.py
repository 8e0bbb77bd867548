"""What the tests of PyTorch share."""

from __future__ import annotations

from typing import Any

import torch
from cases import Backend, to_torch
from framework_cases import on

from lossless.cli.oracle.formats import FLOAT32, FLOAT64, Array

IN_EVERY_DTYPE = on(Backend.TORCH)
IN_FLOAT32 = on(Backend.TORCH, [FLOAT32])
IN_FLOAT64 = on(Backend.TORCH, [FLOAT64])


def leaf(array: Array) -> Any:
    """A tensor whose gradient is asked for."""
    return to_torch(array).requires_grad_()


def gradient(value: Any, *by: Any, cotangent: Any = None) -> Any:
    """One tensor, or one for each of `by`."""
    ones = torch.ones_like(value) if cotangent is None else cotangent
    found = torch.autograd.grad(value, by, ones, materialize_grads=True)
    return found[0] if len(by) == 1 else found
