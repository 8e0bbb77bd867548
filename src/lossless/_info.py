"""What serves the calls of this process."""

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from . import _core
from ._composed import is_composed
from ._public import names
from ._version import __version__
from .executors import versions, xla_ffi


def info() -> dict[str, Any]:
    """Return what serves the calls of this process.

    Returns:
        A dictionary with `version` (of lossless) and `numpy` (its version), `losses` (the names
        of the functions), `kernels` (what the native module computes), `backends` (for the arrays
        of each framework the `path` that serves them, which is `"native"`, `"composed"` or
        `"none"`, and `why`), `instruction_set` (the one in use) and `instruction_sets` (those that
        this processor runs, the best last), and `threads` (the most that a call uses).

    Example:
        >>> import lossless
        >>> "huber_loss" in lossless.info()["losses"]
        True
        >>> lossless.info()["backends"]["numpy"]
        {'path': 'native', 'why': "the kernels read NumPy's memory"}

    *New in 0.1.0.*
    """
    return {
        "version": __version__,
        "numpy": np.__version__,
        "losses": names(),
        "kernels": [*(name for name, *_ in _core.losses()), "cross_entropy"],
        "backends": _paths(),
        "instruction_set": _core.instruction_set(),
        "instruction_sets": _core.instruction_sets(),
        "threads": _core.threads(),
    }


def _paths() -> dict[str, dict[str, str]]:
    """What serves the arrays of each framework, without importing any."""
    found = {
        "numpy": _path("numpy", lambda _: ("native", "")),
        "mlx": _path("mlx", _expected_of_mlx),
        "array_api": ("composed", "the formulas need nothing but the array API"),
        "torch": _path("torch", _expected_of_torch),
        "jax": _path("jax", _expected_of_jax),
    }
    return {name: {"path": path, "why": why} for name, (path, why) in found.items()}


def _path(name: str, expected: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
    """What its executors say, or what is to be expected as long as no array of it has come."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none", f"{name} is not installed"
    if complaint := versions.too_old(name):
        return "none", complaint
    package = sys.modules.get(f"lossless.executors.{name}")
    framework = getattr(package, "FRAMEWORK", None)
    if framework is None:
        return (
            ("composed", "inside lossless.composed()") if is_composed.get() else expected(version)
        )
    if len(framework.executors) == 1:
        return "composed", framework.why
    if is_composed.get():
        return "composed", "inside lossless.composed()"
    idle = framework.executors[0].idle()
    return ("native", framework.why) if idle is None else ("composed", idle)


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
