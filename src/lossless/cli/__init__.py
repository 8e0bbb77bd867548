"""The command `lossless`: here is only what runs without the extra `cli`; app.py has the rest."""

import sys
from importlib.util import find_spec

REQUIRED = ("matplotlib", "polars", "rich", "typer")


def main() -> None:
    missing = [module for module in REQUIRED if find_spec(module) is None]
    if missing:
        sys.exit(f"lossless: the command needs more packages: pip install {' '.join(missing)}")
    from .app import app

    app()
