"""Output of commands: results to the standard output, notes and progress to the standard error."""

import json
import math
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# The width of pipes and files: a table is never folded there.
WIDE = 250
JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "default": str}


def results() -> Console:
    return _console(stderr=False)


def notes() -> Console:
    return _console(stderr=True)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # the error that Rich caught, for _stdout.py; Rich itself would end the process


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else _Console(stderr=stderr, highlight=False, width=WIDE)


def progress() -> Progress:
    """A bar with the remaining time, on a terminal only; it disappears when the work is done."""
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


def print_json(document: dict[str, Any], **rows: Iterable[dict[str, Any]]) -> None:
    """Print one document. JSON has no infinities and no NaN: they become text for float().

    The rows, maybe millions, come last, one on each line.
    """
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    style = JSON | {"ensure_ascii": not unicode}
    encoder = json.JSONEncoder(**style)
    text = json.dumps(strict(document), indent=2, **style)
    sys.stdout.write(text.removesuffix("\n}"))
    for name, items in rows.items():
        separator = f',\n  "{name}": [\n    '
        for item in items:
            sys.stdout.write(separator + _line(encoder, item))
            separator = ",\n    "
        sys.stdout.write("\n  ]")
    sys.stdout.write("\n}\n")


def _line(encoder: json.JSONEncoder, item: dict[str, Any]) -> str:
    try:
        return encoder.encode(item)
    except ValueError:  # it has infinities or NaN; searching every item would take longer
        return encoder.encode(strict(item))


def strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
