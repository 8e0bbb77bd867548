"""The standard output: if it cannot be written, the command ends with one line or silently."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

CLOSED_PIPE = 141  # like shells: 128 plus the number of SIGPIPE


@contextmanager
def written(context: Any = None) -> Iterator[None]:
    """Flush the output at the end. A closed pipe, as with `| head`, needs no message."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except SystemExit as end:  # Rich and Typer exit with a status of their own
        if isinstance(end.__context__, BrokenPipeError):
            _abandon()
            raise typer.Exit(CLOSED_PIPE) from None
        raise
    except OSError as error:
        if error.filename is not None:  # the code that opened the file reports it
            raise
        _abandon()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(CLOSED_PIPE) from None
        problem = f"the standard output cannot be written: {error.strerror or error}"
        name = f"lossless {context.invoked_subcommand}" if context else "lossless"
        Console(stderr=True).print(f"[bold red]{name}:[/] {problem}", soft_wrap=True)
        raise typer.Exit(1) from None


def _abandon() -> None:
    """Discard the buffer: Python would try to write it again when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
