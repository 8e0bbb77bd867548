"""The number of threads that a call may use."""

import math
import os
import sys
import warnings
from pathlib import Path

from . import _core


def set_num_threads(n: int) -> None:
    """Set the number of threads that a loss may use, including the calling thread.

    The number does not change a bit of the results. The default is the environment variable
    `LOSSLESS_NUM_THREADS` or, if it is not set, the number of CPUs that the process may use
    (according to its affinity and the quota of its cgroup).

    Args:
        n: at least 1.

    Raises:
        TypeError: `n` is not an integer.
        ValueError: `n` is less than 1.

    Example:
        >>> import lossless
        >>> lossless.set_num_threads(2)
        >>> lossless.info()["threads"]
        2

    *New in 0.1.0.*
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads: n must be an integer, got {n!r}")
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    _core.set_threads(min(n, 4096))


def _available_cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # on Linux, not on macOS
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cpus, _cgroup_quota()))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    """The CPU quota of a container, rounded up to whole CPUs; a large number without a quota."""
    try:
        if (root / "cpu.max").exists():  # cgroup v2
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text()
            period = (root / "cpu/cpu.cfs_period_us").read_text()
        if int(quota) > 0:
            return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no cgroups, or "max"
        pass
    return 4096


def _initial_threads() -> int:
    setting = os.environ.get("LOSSLESS_NUM_THREADS", "").strip()
    if not setting:
        return _available_cpus()
    if setting.isdecimal() and int(setting) >= 1:
        return int(setting)
    message = f"the environment variable LOSSLESS_NUM_THREADS must be at least 1, got {setting!r}"
    # The command is part of this package, so it cannot catch an exception of its import.
    if Path(sys.argv[0]).stem == "lossless" or sys.orig_argv[1:3] == ["-m", "lossless"]:
        sys.exit(f"lossless: {message}")
    warnings.warn(f"{message}: all CPUs are used", RuntimeWarning, stacklevel=2)
    return _available_cpus()


set_num_threads(_initial_threads())
