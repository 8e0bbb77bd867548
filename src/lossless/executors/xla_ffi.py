"""Which version of XLA's interface for foreign functions is here: told without importing JAX."""

import re
from importlib.util import find_spec
from pathlib import Path

HEADER = "include/xla/ffi/api/c_api.h"
# What src/bridges/xla/ffi.h declares. A handler asks for it, and later minor versions only add.
MAJOR, MINOR = 0, 1


def mismatch() -> str | None:
    """Why the handler must not be registered: a wrong one keeps JAX from starting. None if it may.

    Found in the header that jaxlib brings along.
    """
    try:
        spec = find_spec("jaxlib")
    except ValueError:  # of a module that did not come from a file, as stubs do for documentation
        spec = None
    for folder in (spec and spec.submodule_search_locations) or []:
        header = Path(folder, HEADER)
        if header.exists():
            found = re.findall(r"#define XLA_FFI_API_(?:MAJOR|MINOR) (\d+)", header.read_text())
            major, minor = map(int, found)
            if major == MAJOR and minor >= MINOR:
                return None
            return (
                f"lossless was built for version {MAJOR}.{MINOR} of XLA's FFI, not {major}.{minor}"
            )
    return "jaxlib does not tell the version of XLA's FFI"
