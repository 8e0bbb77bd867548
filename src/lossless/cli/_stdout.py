"""The standard output: what cannot be written ends the command in one line, or quietly."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

NOBODY_READS = 141  # as shells say it: 128 and the number of SIGPIPE


@contextmanager
def written(context: Any = None) -> Iterator[None]:
    """What is printed here is written when it ends; `| head` is no error that needs words."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except SystemExit as end:  # of Rich and Typer, with a status of their own
        if isinstance(end.__context__, BrokenPipeError):
            _abandon()
            raise typer.Exit(NOBODY_READS) from None
        raise
    except OSError as error:
        if error.filename is not None:  # that of a file is told by whoever opens it
            raise
        _abandon()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(NOBODY_READS) from None
        problem = f"the standard output cannot be written: {error.strerror or error}"
        name = f"lossless {context.invoked_subcommand}" if context else "lossless"
        Console(stderr=True).print(f"[bold red]{name}:[/] {problem}", soft_wrap=True)
        raise typer.Exit(1) from None


def _abandon() -> None:
    """What is left in the buffer goes nowhere: Python tries again to write it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
