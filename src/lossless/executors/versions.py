"""The oldest version of each framework that works; an older one is an error."""

from __future__ import annotations

import re
import warnings
from importlib import metadata

# `make test-oldest` runs the tests of the formulas with this mlx. Before it, sums of float64 and
# a number are those of float32 (0.32.0 and older), `max` may lose a NaN (0.32.2 and older), and
# `jvp` of a cast is 0 (0.31 and older). jax 0.8 and 0.9 fail the tests of explicit axes only.
OLDEST = {"mlx": "0.32.3", "jax": "0.8.0"}
_UPGRADES = {"mlx": "mlx[cpu]"}  # what pip is asked for, where it is not the framework's name


def check(framework: str) -> None:
    """Raise an ImportError if the installed version is older than the oldest that works."""
    if complaint := too_old(framework):
        raise ImportError(f"lossless {complaint}")


def too_old(framework: str) -> str | None:
    """What is wrong with the installed version, and the command that helps; None if nothing."""
    oldest = OLDEST.get(framework)
    try:
        version = metadata.version(framework)
    except metadata.PackageNotFoundError:  # built without its metadata: it may be new
        return None
    if oldest is None or _numbers(version) >= _numbers(oldest):
        return None
    upgrade = f"pip install --upgrade '{_UPGRADES.get(framework, framework)}>={oldest}'"
    return f"needs {framework} {oldest} or newer, got {version}: {upgrade}"


def _numbers(version: str) -> tuple[int, ...]:
    """Of 1.2.3.dev4+local the first three."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))


def warn_of_fallback(arrays: str, why: str) -> None:
    """Say once, when a framework is loaded, that its kernels cannot be used."""
    warnings.warn(
        f"lossless: formulas compute on {arrays}, less accurately and on CPUs more slowly than "
        f"the kernels: {why}",
        RuntimeWarning,
        stacklevel=3,
    )
