"""Who computes the calls of this process."""

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
from .executors.executor import FORMULAS, KERNELS, Executor

INSIDE = "inside lossless.composed()"


def info() -> dict[str, Any]:
    """Return what computes the calls of this process.

    Returns:
        A dictionary with `version` (of lossless) and `numpy` (its version), `losses` (the names
        of the functions), `kernels` (what the native module computes), `backends`,
        `instruction_set` (the one in use) and `instruction_sets` (those that this processor runs,
        the best last), and `threads` (the most that a call uses).

        `backends` has for the arrays of each framework the `executor` that computes most calls
        (`"kernels"`, `"formulas"` or `"none"`), the reason (`why`), and, once an array of the
        framework has come, all `executors`, best first: the `name` of each, its `device`, and
        what it `refuses`.

    Example:
        >>> import lossless
        >>> "huber_loss" in lossless.info()["losses"]
        True
        >>> lossless.info()["backends"]["numpy"]["executor"]
        'kernels'

    *New in 0.1.0.*
    """
    return {
        "version": __version__,
        "numpy": np.__version__,
        "losses": names(),
        "kernels": [name for name, *_ in (*_core.losses(), *_core.row_losses())],
        "backends": _backends(),
        "instruction_set": _core.instruction_set(),
        "instruction_sets": _core.instruction_sets(),
        "threads": _core.threads(),
    }


def _backends() -> dict[str, dict[str, Any]]:
    """Who computes on the arrays of each framework, without importing any."""
    return {
        "numpy": _backend("numpy", lambda _: (KERNELS, "")),
        "mlx": _backend("mlx", _expected_of_mlx),
        "array_api": _entry(FORMULAS, "the formulas need nothing but the array API"),
        "torch": _backend("torch", _expected_of_torch),
        "jax": _backend("jax", _expected_of_jax),
    }


def _entry(executor: str, why: str, executors: tuple[Executor, ...] = ()) -> dict[str, Any]:
    rows = [{"name": x.name, "device": x.device, "refuses": x.limits} for x in executors]
    return {"executor": executor, "why": why, "executors": rows}


def _backend(name: str, expected: Callable[[str], tuple[str, str]]) -> dict[str, Any]:
    """What its executors say, or what is to be expected as long as no array of it has come."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return _entry("none", f"{name} is not installed")
    if complaint := versions.too_old(name):
        return _entry("none", complaint)
    framework = getattr(sys.modules.get(f"lossless.executors.{name}"), "FRAMEWORK", None)
    if framework is None:
        return _entry(*((FORMULAS, INSIDE) if is_composed.get() else expected(version)))
    best = framework.executors[0]
    found = best.name, framework.why
    if best.name != FORMULAS and is_composed.get():
        found = FORMULAS, INSIDE
    elif idle := best.idle():
        found = FORMULAS, idle
    return _entry(*found, framework.executors)


def _expected_of_mlx(version: str) -> tuple[str, str]:
    built_for = _core.built_for_mlx()
    if version == built_for:
        return KERNELS, f"lossless was built for mlx {version}"
    if not built_for:
        return FORMULAS, "lossless was built without MLX"
    return FORMULAS, f"lossless was built for mlx {built_for}, not {version}"


def _expected_of_torch(version: str) -> tuple[str, str]:
    return KERNELS, f"what torch {version} provides is seen when the first tensor comes"


def _expected_of_jax(version: str) -> tuple[str, str]:
    why = xla_ffi.mismatch()
    if why:
        return FORMULAS, why
    return KERNELS, f"XLA of jax {version} calls the kernels where a program runs on a CPU"
