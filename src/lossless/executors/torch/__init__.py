"""PyTorch's tensors: eager calls on CPUs by the kernels, everything else by the formulas."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import _core
from ..executor import Executor, Framework
from ..versions import warn_of_fallback
from .arrays import ARRAYS
from .formulas import TorchFormulas

FORMULAS = TorchFormulas(ARRAYS)


def _kernels() -> tuple[tuple[Executor, ...], str]:
    """The kernels, if they can read tensors, and why."""
    if _core.reads_tensors(Tensor):
        from .kernels import Kernels

        return (Kernels(FORMULAS),), "eager calls on CPU tensors; formulas compute the others"
    lacks = "does not provide the functions by which the kernels read tensors"
    why = f"torch {torch.__version__} {lacks}"
    warn_of_fallback("PyTorch tensors", f"{why}. Version 2.13.0 does.")
    return (), why


_KERNELS, _WHY = _kernels()


FRAMEWORK = Framework("PyTorch", ARRAYS, (*_KERNELS, FORMULAS), _WHY)
