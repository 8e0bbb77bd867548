"""The array frameworks, and which of them a call is for."""

import functools
import numbers
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from .. import _core
from .._composed import is_composed
from . import numpy as numpy_backend
from .base import Backend

_NUMBERS = (numbers.Number, np.generic, type(None))
# The modules that other frameworks' arrays come from.
_FRAMEWORKS = {"mlx": "MLX", "torch": "PyTorch", "jax": "JAX", "jaxlib": "JAX"}
_TO_COME = ("PyTorch", "JAX")


# What serves arguments of these types: a call does not look twice.
_known: dict[tuple[type, ...], Callable[[], Backend]] = {}


def backend_for(name: str, **arguments: Any) -> Backend:
    """Return the backend for these arguments; numbers and None go with any."""
    types = tuple(map(type, arguments.values()))
    serves = _known.get(types)
    if serves is None:
        array, framework = _leader(name, arguments)
        if framework not in _BACKENDS:
            from . import array_api

            return array_api.backend(array.__array_namespace__())
        serves = _known[types] = _BACKENDS[framework]
    return serves()


def _leader(name: str, arguments: dict[str, Any]) -> tuple[Any, str]:
    """An array of the framework that the call is for, and its name."""
    frameworks = {
        argument: _framework(x) for argument, x in arguments.items() if not isinstance(x, _NUMBERS)
    }
    others = [argument for argument, framework in frameworks.items() if framework != "NumPy"]
    if not others:
        return None, "NumPy"
    leader = others[0]
    framework = frameworks[leader]
    if framework in _TO_COME:
        raise TypeError(
            f"{name}: {leader} must be an array of NumPy, MLX or another library that follows the "
            f"Python array API standard, got one of {framework}, which is not supported yet"
        )
    for argument, other in frameworks.items():
        if other != framework:
            x = arguments[argument]
            got = f"an array of {other}: convert one of them"
            if other == "NumPy" and not isinstance(x, np.ndarray):
                got = f"a {type(x).__name__}: convert it"
            raise TypeError(
                f"{name}: {argument} must be an array of {framework}, as {leader} is, "
                f"got {got} first"
            )
    return arguments[leader], framework


def _numpy() -> Backend:
    return numpy_backend.composed if is_composed.get() else numpy_backend


def _mlx() -> Backend:
    serving: Backend = _mlx_module().backend()
    return serving


@functools.cache
def _mlx_module() -> Any:
    from . import mlx

    return mlx


_BACKENDS: dict[str, Callable[[], Backend]] = {"NumPy": _numpy, "MLX": _mlx}


def _framework(x: Any) -> str:
    """Whose array it is; NumPy's also what only NumPy can convert."""
    if isinstance(x, np.ndarray):
        return "NumPy"
    known = _FRAMEWORKS.get(type(x).__module__.partition(".")[0])
    if known:
        return known
    return x.__array_namespace__().__name__ if hasattr(x, "__array_namespace__") else "NumPy"


def paths() -> dict[str, dict[str, str]]:
    """What serves the arrays of each framework, without importing any."""
    if is_composed.get():
        numpy = {"path": "composed", "why": "inside lossless.composed()"}
    else:
        numpy = {"path": "native", "why": "the kernels read NumPy's memory"}
    other = {"path": "composed", "why": "the formulas need nothing but the array API"}
    missing = {"path": "none", "why": "not supported yet"}
    mlx = _mlx_path()
    return {"numpy": numpy, "mlx": mlx, "array_api": other, "torch": missing, "jax": missing}


def _mlx_path() -> dict[str, str]:
    try:
        version = metadata.version("mlx")
    except metadata.PackageNotFoundError:
        return {"path": "none", "why": "mlx is not installed"}
    mlx = sys.modules.get(f"{__name__}.mlx")
    if mlx:
        return dict(zip(("path", "why"), mlx.path(), strict=True))
    if is_composed.get():
        return {"path": "composed", "why": "inside lossless.composed()"}
    built_for = _core.built_for_mlx()
    if version == built_for:
        return {"path": "native", "why": f"lossless was built for mlx {version}"}
    return {"path": "composed", "why": f"lossless was built for mlx {built_for}, not {version}"}
