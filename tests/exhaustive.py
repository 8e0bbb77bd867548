"""The proof: every residual of float32, float16 and bfloat16, and masses of hard pairs.

    python tests/exhaustive.py [--stride N] [--losses huber log_cosh] [--processes 2]

Each result of the package is compared with the correctly rounded one: long double screens, mpmath
decides wherever its error bound leaves the rounding open. Prints how many results are not
correctly rounded and the worst error; exits with 1 if any is not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hard
import numpy as np
from cases import Backend, Case
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import lossless
from lossless.cli.oracle.formats import FORMATS, NARROW, Array
from lossless.cli.oracle.judge import (
    Tallies,
    batches_of_residuals,
    bit_patterns,
    judge,
    random_pairs,
    tallies,
)
from lossless.cli.oracle.reference import LOSSES, OUTPUTS

TASK = 1 << 20  # numbers in one task of a process
OTHER_STRIDE = 17  # of the float32 residuals, for parameters other than the default


def sweep(
    case: Case, start: int, stop: int, stride: int, parameters: dict[str, float], into: Tallies
) -> None:
    """Judges the non-negative residuals with bits in range(start, stop, stride), and their mirrors.

    The range ends with infinity; of the NaNs one is enough.
    """
    for numbers in batches_of_residuals(case.fmt, start, stop, stride):
        judge(case, numbers, None, parameters, into, mirrored=True)


def hard_pairs(
    case: Case, count: int, rng: np.random.Generator, parameters: dict[str, float]
) -> Iterator[tuple[Array, Array]]:
    """Pairs steered next to midpoints, and exact ties of half the square and of the residual."""
    fmt, loss = case.fmt, case.loss
    with np.errstate(over="ignore"):
        x = fmt.array(np.exp2(rng.uniform(-fmt.precision * 0.6, 4, count)))
    steps = rng.integers(-3, 4, count)
    for output in OUTPUTS if loss.name != "huber" else OUTPUTS[:1]:
        yield hard.pairs(loss, output, x, steps, fmt, count, **parameters)
    low = max(fmt.min_exponent, -80)
    middles = hard.square_midpoints(fmt, range(low, 4))
    middles = rng.permutation(middles[middles < 0.5])[: count // 8]
    ties = rng.permutation(x)[: count // 8]
    for points in hard.beside_square_midpoints(fmt, middles), hard.rounding_ties(fmt, ties):
        yield fmt.array(points[0]), fmt.array(points[1])


@dataclass(frozen=True)
class Task:
    loss: str
    fmt: str
    kind: str  # a row of the table: "residuals", "random pairs" or "hard pairs"
    parameters: tuple[tuple[str, float], ...]
    start: int  # bits of the first residual, or the seed of the pairs
    stop: int
    stride: int
    size: int

    def run(self) -> Tallies:
        lossless.set_num_threads(1)
        case = Case(LOSSES[self.loss], Backend.NUMPY, FORMATS[self.fmt])
        parameters = dict(self.parameters)
        found = tallies()
        if self.kind == "residuals":
            sweep(case, self.start, self.stop, self.stride, parameters, found)
            return found
        rng = np.random.default_rng(self.start)
        if self.kind == "random pairs":
            pairs = random_pairs(case.fmt, self.size // 4, rng)
        else:
            pairs = hard_pairs(case, self.size // 4, rng, parameters)
        for x, t in pairs:
            judge(case, x, t, parameters, found)
        return found


def tasks(losses: list[str], stride: int, pairs: int, hard_count: int) -> Iterator[Task]:
    for loss in losses:
        for fmt in NARROW:
            patterns = bit_patterns(fmt)
            for number, setting in enumerate(LOSSES[loss].settings[:2]):
                parameters = tuple(setting.items())
                step = stride if fmt.name == "float32" else 1
                if number > 0 and step < OTHER_STRIDE and fmt.name == "float32":
                    step = OTHER_STRIDE
                for start in range(0, patterns, TASK * step):
                    stop = min(start + TASK * step, patterns)
                    size = 2 * ((stop - start) // step)
                    yield Task(loss, fmt.name, "residuals", parameters, start, stop, step, size)
                for kind, total in (("random pairs", pairs), ("hard pairs", hard_count)):
                    most = TASK if kind == "random pairs" else TASK // 64
                    for seed, (start, stop) in enumerate(hard.batches(total, most)):
                        yield Task(loss, fmt.name, kind, parameters, seed, seed, 1, stop - start)


def _run(task: Task) -> tuple[Task, Tallies]:
    return task, task.run()


def report(rows: dict[tuple[Any, ...], Tallies], console: Console) -> int:
    """Prints the table and the first wrong results; returns how many are wrong."""
    table = Table(
        title=f"lossless {lossless.info()['version']}: results that are not correctly rounded"
    )
    for column in ("loss", "dtype", "judged", "output"):
        table.add_column(column, no_wrap=True)
    for column in ("results", "wrong", "worst ULP"):
        table.add_column(column, justify="right", no_wrap=True)
    for (loss, fmt, kind, parameters), found in rows.items():
        name = loss + "".join(f" {key}={value:g}" for key, value in parameters)
        for output, tally in found.items():
            numbers = (f"{tally.results:,}", f"{tally.wrong:,}", f"{tally.worst:.9g}")
            table.add_row(name, fmt, kind, output, *numbers)
    console.print(table)
    examples = [e for found in rows.values() for t in found.values() for e in t.examples]
    for example in examples:
        console.print(example, style="red", soft_wrap=True)
    return sum(tally.wrong for found in rows.values() for tally in found.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stride", type=int, default=1, help="of the float32 bit patterns")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=list(LOSSES))
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--pairs", type=int, default=1 << 24, help="random pairs per row")
    parser.add_argument("--hard-pairs", type=int, default=1 << 17, help="hard pairs per row")
    options = parser.parse_args()
    every = list(tasks(options.losses, options.stride, options.pairs, options.hard_pairs))
    rows: dict[tuple[Any, ...], Tallies] = {}
    for task in every:
        rows.setdefault((task.loss, task.fmt, task.kind, task.parameters), tallies())
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn(), TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")
    with Progress(*columns, console=console) as bar, context.Pool(options.processes) as pool:
        progress = bar.add_task("judging", total=sum(task.size for task in every))
        for task, found in pool.imap_unordered(_run, every):
            row = rows[(task.loss, task.fmt, task.kind, task.parameters)]
            for output in OUTPUTS:
                row[output].add(found[output])
            bar.advance(progress, task.size)
    return 1 if report(rows, console) else 0


if __name__ == "__main__":
    sys.exit(main())
