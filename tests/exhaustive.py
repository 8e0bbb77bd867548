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
from dataclasses import dataclass, field
from typing import Any

import hard
import numpy as np
from cases import Backend, Case
from extended import Residual
from formats import FORMATS, NARROW, Array, Extended, Format
from reference import LOSSES, OUTPUTS, rounded_array
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import lossless

BATCH = 1 << 16  # numbers judged at once; their long doubles stay in the cache
TASK = 1 << 20  # numbers in one task of a process
OTHER_STRIDE = 17  # of the float32 residuals, for parameters other than the default


@dataclass
class Tally:
    """What came out for one output."""

    results: int = 0
    wrong: int = 0
    worst: float = 0.0  # ULP
    examples: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.results += other.results
        self.wrong += other.wrong
        self.worst = max(self.worst, other.worst)
        self.examples = (self.examples + other.examples)[:5]


Tallies = dict[str, Tally]


def tallies() -> Tallies:
    return {output: Tally() for output in OUTPUTS}


def _worst(got: Array, truth: Extended, fmt: Format) -> float:
    """The largest error in ULP of the truth; infinite results do not count."""
    lowest = fmt.min_exponent - fmt.precision + 1
    with np.errstate(invalid="ignore", over="ignore"):
        unit = np.maximum(np.frexp(truth)[1] - fmt.precision, lowest)
        error = np.ldexp(np.abs(got.astype(np.longdouble) - truth), -unit)
    return float(np.max(error, initial=0, where=np.isfinite(error)))


def judge(
    case: Case,
    inputs: Array,
    targets: Array | None,
    parameters: dict[str, float],
    into: Tallies,
    mirrored: bool = False,
) -> None:
    """Compares every output of flat arrays with the truth.

    `mirrored`, for inputs without targets, judges -inputs as well: the losses are even, so the
    truths are the same values and the negated gradients.
    """
    residual = Residual.of(inputs, targets, case.fmt)
    truths = {o: case.loss.extended[o](residual, **parameters)[0] for o in OUTPUTS}
    wanted = {
        o: rounded_array(case.loss, o, inputs, targets, case.fmt, residual, **parameters)
        for o in OUTPUTS
    }
    for output in OUTPUTS:  # the error of right results, for all calls and both signs
        into[output].worst = max(
            into[output].worst, _worst(wanted[output], truths[output], case.fmt)
        )
    other = np.zeros_like(inputs) if targets is None else targets
    for sign in (1, -1) if mirrored else (1,):
        x, t = (inputs, other) if sign == 1 else (-inputs, other)
        for output, call, got in case.element_wise(x, t, **parameters):
            odd = sign == -1 and output == "gradient"
            right = -wanted[output] if odd else wanted[output]
            wrong = case.fmt.bits(got) != case.fmt.bits(right)
            truth = -truths[output] if odd else truths[output]
            tally = into[output]
            tally.results += got.size
            tally.wrong += int(wrong.sum())
            if wrong.any():
                tally.worst = max(tally.worst, _worst(got[wrong], truth[wrong], case.fmt))
            for i in np.flatnonzero(wrong)[: 5 - len(tally.examples)]:
                place = f"{float(x[i]).hex()}, {float(t[i]).hex()}"
                tally.examples.append(
                    f"{case} {output} from {call} {parameters} at ({place}): "
                    f"got {float(got[i]).hex()}, wanted {float(right[i]).hex()}"
                )


def sweep(
    case: Case, start: int, stop: int, stride: int, parameters: dict[str, float], into: Tallies
) -> None:
    """Judges the non-negative residuals with bits in range(start, stop, stride), and their mirrors.

    The range ends with infinity; of the NaNs one is enough.
    """
    for first in range(start, stop, BATCH * stride):
        bits = np.arange(first, min(first + BATCH * stride, stop), stride)
        judge(case, case.fmt.from_bits(bits), None, parameters, into, mirrored=True)


def bit_patterns(fmt: Format) -> int:
    """How many non-negative numbers there are, infinity included."""
    return int(fmt.bits(fmt.array(np.inf))) + 1


def random_pairs(case: Case, count: int, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Pairs of any bits, of like size, that nearly cancel, and with targets tiny against inputs."""
    fmt = case.fmt
    patterns = bit_patterns(fmt)
    for start, stop in hard.batches(count, BATCH):
        n = stop - start
        x, t = (fmt.from_bits(rng.integers(0, patterns, n)) for _ in range(2))
        signs = fmt.array(rng.choice([-1.0, 1.0], n))
        yield x * signs, t
        x, t = (fmt.array(rng.standard_normal(n) * np.exp2(rng.integers(-9, 9, n))) for _ in "xt")
        yield x, t
        yield x, fmt.array(x.astype(np.float64) * (1 + rng.uniform(-1, 1, n) * 2.0**-6))
        tiny = rng.standard_normal(n) * np.exp2(rng.uniform(-fmt.precision * 4.0, 0, n))
        yield x, fmt.array(x.astype(np.float64) * tiny)


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
            pairs = random_pairs(case, self.size // 4, rng)
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
