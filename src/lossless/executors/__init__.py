"""The array frameworks, and which of them a call is for."""

import numbers
import sys
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._composed import is_composed
from . import numpy as numpy_backend
from . import versions
from .base import Backend
from .jax import ffi as xla_ffi

if TYPE_CHECKING:
    from .._call import Call

_NUMBERS = (numbers.Number, np.generic, type(None))
# The modules that other frameworks' arrays come from.
_FRAMEWORKS = {"mlx": "MLX", "torch": "PyTorch", "jax": "JAX", "jaxlib": "JAX"}

# What serves arguments of these types: a call does not look twice.
_known: dict[tuple[type, ...], Callable[[], Backend]] = {}
# What computes the simplest calls of inputs of a type in place of a method of `Backend`: from the
# name of the loss and the call; None where the call takes more than that.
_Shortcut = Callable[[str, "Call[Any]"], Any]
_shortcuts: dict[str, dict[type, _Shortcut]] = {
    method: {} for method in ("value", "value_and_grad", "grad_and_hess")
}


def at_once(method: str, loss: str, call: "Call[Any]") -> Any:
    """What a method of `Backend` gives: None where all has to be looked at, and may be wrong."""
    if _is_compiling():
        return None
    shortcut = _shortcuts[method].get(type(next(iter(call.operands.values()))))
    return shortcut(call.loss or loss, call) if shortcut else None


def _take(kind: type, shortcuts: dict[str, _Shortcut]) -> None:
    for method, shortcut in shortcuts.items():
        _shortcuts[method][kind] = shortcut


def backend_for(name: str, call: "Call[Any]") -> Backend:
    """Return the backend for the arguments of a call; numbers and None go with any."""
    options = map(type, call.parameters.values())
    types = (*map(type, call.operands.values()), type(call.weights), type(call.where), *options)
    is_compiling = _is_compiling()
    serves = None if is_compiling else _known.get(types)
    if serves is None:
        array, framework = _leader(name, call)
        if framework not in _LOADERS:
            from . import array_api

            namespace = array.__array_namespace__()
            return array_api.backend(namespace, array_api.version(namespace))
        serves = _LOADERS[framework]()
        if not is_compiling:
            _known[types] = serves
    return serves()


def _leader(name: str, call: "Call[Any]") -> tuple[Any, str]:
    """An array of the framework that the call is for, and its name."""
    options = {"weights": call.weights, "where": call.where}
    every = call.operands | call.parameters | options
    arguments = {argument: x for argument, x in every.items() if not isinstance(x, _NUMBERS)}
    for argument, x in arguments.items():
        numpy_backend.refuse_mask(f"{name}: {argument}", x)
        _refuse_dask(f"{name}: {argument}", x)
    frameworks = {argument: _framework(x) for argument, x in arguments.items()}
    others = [argument for argument, framework in frameworks.items() if framework != "NumPy"]
    if not others:
        return None, "NumPy"
    leader = others[0]
    framework = frameworks[leader]
    for argument, other in frameworks.items():
        x = arguments[argument]
        beside = framework in ("JAX", "MLX") and isinstance(x, np.ndarray)  # as they take them
        if other != framework and not beside:
            got = f"an array of {other}: convert one of them"
            if other == "NumPy" and not isinstance(x, np.ndarray):
                got = f"a {type(x).__name__}: convert it"
            raise TypeError(
                f"{name}: {argument} must be an array of {framework}, as {leader} is, "
                f"got {got} first"
            )
    return arguments[leader], framework


def _refuse_dask(argument: str, x: Any) -> None:
    """NumPy would compute all of it, and keep the result in memory."""
    if type(x).__module__.partition(".")[0] == "dask":
        raise TypeError(
            f"{argument} must not be a dask array: compute it first, or map the loss over its "
            "blocks, as dask.array.map_blocks(lossless.huber_loss, inputs, targets) does"
        )


def _numpy() -> Backend:
    return numpy_backend.composed if is_composed.get() else numpy_backend


def _load_mlx() -> Callable[[], Backend]:
    versions.check("mlx")
    from .mlx import formulas as mlx

    return mlx.backend


def _is_compiling() -> bool:
    """Whether PyTorch does: it compiles again when a dictionary that was looked into changes."""
    compiler = getattr(sys.modules.get("torch"), "compiler", None)
    return compiler is not None and compiler.is_compiling() is True  # a stub may say anything


def _load_torch() -> Callable[[], Backend]:
    from .torch import formulas as torch

    if not _is_compiling():
        _take(*torch.shortcuts())
    return torch.backend


def _load_jax() -> Callable[[], Backend]:
    versions.check("jax")
    from .jax import formulas as jax
    from .jax import shortcuts as jax_shortcuts

    _take(*jax_shortcuts.shortcuts())
    return lambda: jax.backend


_LOADERS: dict[str, Callable[[], Callable[[], Backend]]] = {
    "NumPy": lambda: _numpy,
    "MLX": _load_mlx,
    "PyTorch": _load_torch,
    "JAX": _load_jax,
}


def _framework(x: Any) -> str:
    """Whose array it is; NumPy's also what only NumPy can convert."""
    if isinstance(x, np.ndarray):
        return "NumPy"
    for base in type(x).__mro__:  # a subclass may come from anywhere
        known = _FRAMEWORKS.get(base.__module__.partition(".")[0])
        if known:
            return known
    return x.__array_namespace__().__name__ if hasattr(x, "__array_namespace__") else "NumPy"


def paths() -> dict[str, dict[str, str]]:
    """What serves the arrays of each framework, without importing any."""
    if is_composed.get():
        numpy = ("composed", "inside lossless.composed()")
    else:
        numpy = ("native", "the kernels read NumPy's memory")
    found = {
        "numpy": numpy,
        "mlx": _path("mlx", _expected_of_mlx),
        "array_api": ("composed", "the formulas need nothing but the array API"),
        "torch": _path("torch", _expected_of_torch),
        "jax": _path("jax", _expected_of_jax),
    }
    return {name: {"path": path, "why": why} for name, (path, why) in found.items()}


def _path(framework: str, expected: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
    """What its backend says, or what is to be expected as long as no array of it has come."""
    try:
        version = metadata.version(framework)
    except metadata.PackageNotFoundError:
        return "none", f"{framework} is not installed"
    if complaint := versions.too_old(framework):
        return "none", complaint
    backend = sys.modules.get(f"{__name__}.{framework}.formulas")
    if backend:
        return backend.path()  # type: ignore[no-any-return]
    return ("composed", "inside lossless.composed()") if is_composed.get() else expected(version)


def _expected_of_mlx(version: str) -> tuple[str, str]:
    built_for = _core.built_for_mlx()
    if version == built_for:
        return "native", f"lossless was built for mlx {version}"
    if not built_for:
        return "composed", "lossless was built without MLX"
    return "composed", f"lossless was built for mlx {built_for}, not {version}"


def _expected_of_torch(version: str) -> tuple[str, str]:
    return "native", f"what torch {version} lends is seen when the first tensor comes"


def _expected_of_jax(version: str) -> tuple[str, str]:
    why = xla_ffi.mismatch()
    if why:
        return "composed", why
    return "native", f"XLA of jax {version} calls the kernels where a program runs on a CPU"
