"""The command `lossless`. This file runs without the extra `cli`; app.py has the rest."""

import codecs
import io
import os
import sys
from importlib.util import find_spec

# ASCII for the other letters that commands print. One column wide, for tables.
PLAIN = str.maketrans({"÷": "/", "±": "~", "µ": "u", "…": ".", "≤": "<=", "≈": "~", "·": "*"})
REQUIRED = ("matplotlib", "ml_dtypes", "mpmath", "pyarrow", "rich", "typer")


def main() -> None:
    missing = [module for module in REQUIRED if find_spec(module) is None]
    if missing:
        sys.exit(f"lossless: the command needs more packages: pip install {' '.join(missing)}")
    if sys.stdout is None:  # closed, as by >&-; the next file to be opened would take its place
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("lossless", _plain)
        sys.stdout.reconfigure(errors="lossless")
    try:
        from .app import app

        app()
    except KeyboardInterrupt:  # before a command begins
        sys.exit(130)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """A replacement for a letter that the encoding of the terminal lacks."""
    if isinstance(error, UnicodeEncodeError):
        plain = error.object[error.start : error.end].translate(PLAIN)
        if plain.isascii():
            return plain, error.end
    return codecs.backslashreplace_errors(error)
