"""MLX's arrays: the kernels on CPU streams, where lossless was built for this version of MLX."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata

from ... import _core
from ..executor import Executor, Framework
from ..formulas import Formulas
from ..versions import warn_of_fallback
from .arrays import ARRAYS

_FORMULAS = Formulas(ARRAYS)


def _kernels() -> tuple[tuple[Executor, ...], str]:
    """The kernels, if they work here, and why."""
    version, built_for = metadata.version("mlx"), _core.built_for_mlx()
    if version != built_for:
        why = f"lossless was built for mlx {built_for}, not {version}"
        package = "mlx" if sys.platform == "darwin" else "mlx[cpu]"
        cure = f"For the kernels, pip install '{package}=={built_for}'."
        if not built_for:
            why, cure = "lossless was built without MLX", "Install it again, beside mlx."
    else:
        from .kernels import Kernels

        try:
            kernels = Kernels(importlib.import_module("lossless._mlx"), _FORMULAS)
            kernels.probe()
        except Exception as error:
            why = f"the bridge to mlx {version} does not work: {error}"
            cure = "Install lossless again to build it anew."
        else:
            return (kernels,), f"lossless was built for mlx {version}"
    warn_of_fallback("MLX arrays", f"{why}. {cure}")
    return (), why


_KERNELS, _WHY = _kernels()
FRAMEWORK = Framework("MLX", ARRAYS, (*_KERNELS, _FORMULAS), _WHY)
