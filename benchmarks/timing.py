"""Measuring: cases that take turns, medians with their spread, and the conditions of a run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import lossless

# A call shorter than this is repeated, and the clock read once for all repetitions.
SHORTEST_SAMPLE = 1e-3
FEWEST_ROUNDS = 5
MOST_ROUNDS = 301

console = Console()


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median over the rounds, and between what half of the rounds were."""

    median: float
    lower_quartile: float
    upper_quartile: float
    rounds: int


def interleaved(
    cases: dict[str, Callable[[], object]], seconds: float, title: str
) -> dict[str, Timing]:
    """Time the cases in turns, so that a disturbance of the machine meets them all alike.

    A long case runs once untimed right before it is timed, in every round: a call then finds the
    memory allocator and the system's pages as its own previous call left them, as in a training
    loop, and not as the other library's did (mlx.nn.losses leaves memory so fragmented that the
    next call of anything that takes 64 MB costs 50 to 100 ms more). Short ones are repeated anyway.
    """
    repetitions = {name: _repetitions(call) for name, call in cases.items()}
    samples: dict[str, list[float]] = {name: [] for name in cases}
    start = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=seconds)
        for done in range(MOST_ROUNDS):
            elapsed = time.perf_counter() - start
            if done >= FEWEST_ROUNDS and elapsed > seconds:
                break
            progress.update(task, completed=elapsed)
            for name, call in cases.items():
                if repetitions[name] == 1:
                    call()
                samples[name].append(_seconds(call, repetitions[name]))
    return {name: _timing(sample) for name, sample in samples.items()}


def _repetitions(call: Callable[[], object]) -> int:
    call()
    once = _seconds(call, 1)
    return max(1, round(SHORTEST_SAMPLE / once))


def _seconds(call: Callable[[], object], repetitions: int) -> float:
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    return (time.perf_counter() - start) / repetitions


def _timing(sample: list[float]) -> Timing:
    lower, median, upper = statistics.quantiles(sample, n=4, method="inclusive")
    return Timing(median, lower, upper, len(sample))


def conditions() -> dict[str, str]:
    """The machine and the versions, without which a figure means nothing."""
    core = lossless.info()
    return {
        "processor": _processor(),
        "processors": str(os.cpu_count()),
        "threads": str(core["threads"]),
        "instruction set": str(core["instruction_set"]),
        "memory": f"{memory() / 2**30:.0f} GiB",
        "system": platform.platform(),
        "lossless": lossless.__version__,
        "NumPy": np.__version__,
        "ml_dtypes": ml_dtypes.__version__,
        "Python": platform.python_version(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def memory() -> int:
    """The bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def spelled(timing: Timing) -> str:
    """The median, and half the distance between the quartiles in percent of it."""
    spread = (timing.upper_quartile - timing.lower_quartile) / 2 / timing.median
    units = {"s": 1.0, "ms": 1e3, "µs": 1e6}
    unit = next((unit for unit, factor in units.items() if timing.median * factor >= 1), "µs")
    return f"{timing.median * units[unit]:.3g} {unit} [dim]±{spread:.0%}[/dim]"


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
