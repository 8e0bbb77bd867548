"""Measuring: cases that take turns, medians with their spread, and the conditions of a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import lossless
from lossless.bench.machine import machine
from lossless.bench.timing import Timing, seconds_of
from lossless.bench.timing import interleaved as in_turns

console = Console()


def interleaved(
    cases: dict[str, Callable[[], object]], seconds: float, title: str
) -> dict[str, Timing]:
    """Time the cases in turns, so that a disturbance of the machine meets them all alike.

    A long case runs once untimed right before it is timed, in every round: a call then finds the
    memory allocator and the system's pages as its own previous call left them, as in a training
    loop, and not as the other library's did (mlx.nn.losses leaves memory so fragmented that the
    next call of anything that takes 64 MB costs 50 to 100 ms more). Short ones are repeated anyway.
    """

    def sampler(call: Callable[[], object]) -> Callable[[int], float]:
        def sample(repetitions: int) -> float:
            if repetitions == 1:
                call()
            return seconds_of(call, repetitions)

        return sample

    samplers = {name: sampler(call) for name, call in cases.items()}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=1.0)
        return in_turns(samplers, seconds, lambda part: progress.update(task, completed=part))


def conditions() -> dict[str, str]:
    """The machine and the versions, without which a figure means nothing."""
    found = {name.replace("_", " "): str(value) for name, value in machine().items()}
    return found | {"NumPy": np.__version__, "ml_dtypes": ml_dtypes.__version__}


def memory() -> int:
    """The bytes of memory that this machine has."""
    return int(machine()["memory_gib"]) << 30


def spelled(timing: Timing) -> str:
    """The median, and half the distance between the quartiles in percent of it."""
    median, spread = str(timing).rsplit(" ", 1)
    return f"{median} [dim]{spread}[/dim]"


def against_target(ratio: float, target: float | None, digits: str = ".1f") -> str:
    """The ratio, in a colour that says whether it is at least the target."""
    if target is None:
        return f"{ratio:{digits}}"
    colour = "green" if ratio >= target else "red"
    return f"[{colour}]{ratio:{digits}}[/{colour}] (≥ {target:.2g})"


def arguments(description: str | None, sizes: list[int]) -> argparse.Namespace:
    """The command line that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, metavar="N")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each size and loss")
    parser.add_argument("--threads", type=int, help="instead of all that may be used")
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="results and conditions")
    options = parser.parse_args()
    if options.threads is not None:
        lossless.set_num_threads(options.threads)
    return options


def print_conditions() -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in conditions().items():
        table.add_row(f"[dim]{name}[/dim]", value)
    console.print(table)
    console.print("[dim]median of the rounds ± half the distance between their quartiles[/dim]\n")


def run_sizes(
    options: argparse.Namespace,
    measure: Callable[[str, int, float], list[dict[str, Any]]],
    losses: Iterable[str],
    table: Callable[[list[dict[str, Any]]], Table],
) -> None:
    """Measure every loss in every size, print a table for each size, and save all if asked to."""
    rows = []
    for elements in options.sizes:
        of_this_size = [row for loss in losses for row in measure(loss, elements, options.seconds)]
        console.print(table(of_this_size))
        rows += of_this_size
    if options.save:
        save(options.save, rows)


def save(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows, whose `Timing`s become objects, with the conditions."""
    results = {"conditions": conditions(), "rows": rows}
    path.write_text(json.dumps(results, indent=2, default=asdict) + "\n")
    console.print(f"saved to {path}")
