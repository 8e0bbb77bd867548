"""JAX's arrays: programs that call the kernels where they run on CPUs, and hold formulas else."""

from __future__ import annotations

import importlib

import jax

from .. import xla_ffi
from ..executor import Framework
from ..versions import warn_of_fallback
from .arrays import ARRAYS
from .programs import Programs


def _programs() -> tuple[tuple[Programs, ...], str]:
    """The kernels' programs, if they work here, and why."""
    why = xla_ffi.mismatch()
    if why is None:
        try:
            kernels = importlib.import_module("lossless.executors.jax.kernels")
            programs = kernels.KernelPrograms(importlib.import_module("lossless._xla"))
            programs.probe()
        except Exception as error:
            why = f"the bridge to jax {jax.__version__} does not work: {error}"
        else:
            return (programs,), "XLA calls the kernels where a program runs on a CPU"
    warn_of_fallback("JAX arrays", why)
    return (), why


_KERNELS, _WHY = _programs()
FRAMEWORK = Framework("JAX", ARRAYS, (*_KERNELS, Programs()), _WHY)
