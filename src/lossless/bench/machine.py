"""A description of the machine, to print with every figure."""

import os
import platform
from pathlib import Path
from typing import Any

import lossless


def machine() -> dict[str, Any]:
    core = lossless.info()
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": core["threads"],
        "instruction_set": core["instruction_set"],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "lossless": lossless.__version__,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
