"""What commands print: results to the standard output, notes and progress to the standard error."""

import json
import math
import sys
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# Of what is no terminal: a table is never folded there.
WIDE = 250


def results() -> Console:
    return _console(stderr=False)


def notes() -> Console:
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=WIDE)


def print_table(console: Console, table: Table) -> None:
    """All of it, though a narrow terminal will wrap its lines."""
    needed = Measurement.get(console, console.options.update(width=WIDE), table).maximum
    if needed > console.width:
        terminal = console.is_terminal
        console = Console(file=console.file, width=needed, force_terminal=terminal, highlight=False)
    console.print(table)


def progress() -> Progress:
    """A bar with the time that is left, on a terminal only; it disappears when the work is done."""
    console = notes()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def print_json(document: dict[str, Any]) -> None:
    """One document; infinities and NaN, which JSON has not, as the text that float() reads."""
    json.dump(
        strict(document), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False, default=str
    )
    sys.stdout.write("\n")


def strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
