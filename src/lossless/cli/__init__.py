"""The command `lossless`: here is only what runs without the extra `cli`; app.py has the rest."""

import io
import sys
from importlib.util import find_spec

REQUIRED = ("matplotlib", "ml_dtypes", "mpmath", "pyarrow", "rich", "typer")


def main() -> None:
    missing = [module for module in REQUIRED if find_spec(module) is None]
    if missing:
        sys.exit(f"lossless: the command needs more packages: pip install {' '.join(missing)}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # letters that a terminal has not
    try:
        from .app import app

        app()
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(130)
