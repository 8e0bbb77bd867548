"""What the README says about other libraries, recomputed on this machine beside lossless.

Each library computes on arrays of its own, by its own functions (benchmarks/libraries.py); what is
right comes from mpmath, or is known by hand. A library that is not installed is left out, and named
with how to get it.

To keep in mind about the timings: lossless runs on all threads, as PyTorch and JAX do, and MLX's
own operations on one, which is what its user gets. Every call returns a fresh gradient. Keras runs
on JAX. PyTorch has no log-cosh, so the usual form with softplus stands for it.
"""

from __future__ import annotations

import argparse
import platform
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import mpmath
import numpy as np
from libraries import LIBRARIES, Library
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from timing import conditions, interleaved, spelled

from lossless import _core
from lossless.bench.timing import Timing

ELEMENTS = 16_000_000
# Of an element-wise float32 result; every library rounds, and that is not what is told here.
RIGHT = 8 * 2.0**-23
COLOURS = {True: "green", False: "red", None: "yellow"}
Numbers = NDArray[np.float64]
Timings = list[tuple[str, dict[str, Timing]]]


@dataclass(frozen=True)
class Cell:
    """What a library gave, and whether it is right; an error is neither, unless it is due."""

    text: str
    right: bool | None


@dataclass(frozen=True)
class Claim:
    """One row: what is computed, what is exact, and how a library fares."""

    title: str
    exact: str
    check: Callable[[Library], Cell]

    def __call__(self, library: Library) -> Cell:
        try:
            return self.check(library)
        except Exception as error:  # what a library does with bad arguments is the question
            return Cell(type(error).__name__, True if self.exact == "error" else None)


def residuals(lowest: float, highest: float) -> Numbers:
    """Float32 numbers, as many in each power of ten."""
    count = 200 * round(np.log10(highest / lowest)) + 1
    return np.geomspace(lowest, highest, count).astype(np.float32).astype(np.float64)


def relative(error: float) -> Cell:
    """The worst relative error in a word: percents where they say something."""
    text = f"{error:.0%}" if 0.01 <= error < 10 else short(f"{error:.0e}") if error else "0"
    return Cell(f"{text} times" if error >= 10 else text, error <= RIGHT)


def short(number: str) -> str:
    """1e-05 as people write it."""
    return re.sub(r"e([-+])0*", lambda match: "e" + match[1].strip("+"), number)


def log_cosh_of(library: Library, r: Numbers, dtype: str = "float32") -> Numbers:
    inputs, targets = library.array(r, dtype), library.array(np.zeros_like(r), dtype)
    return library.numbers(library.log_cosh(inputs, targets))


def log_cosh_gradient(library: Library, r: Numbers, dtype: str = "float32") -> Numbers:
    inputs, targets = library.array(r, dtype), library.array(np.zeros_like(r), dtype)
    return library.numbers(library.gradient(library.log_cosh, inputs, targets))


@lru_cache
def exactly(function: str, lowest: float, highest: float) -> Numbers:
    """log cosh or tanh of the residuals, by definition."""
    with mpmath.workdps(60):
        of = {"log_cosh": lambda r: mpmath.log(mpmath.cosh(r)), "tanh": mpmath.tanh}[function]
        return np.array([float(of(mpmath.mpf(r))) for r in residuals(lowest, highest).tolist()])


def value_error(lowest: float, highest: float) -> Callable[[Library], Cell]:
    def check(library: Library) -> Cell:
        exact = exactly("log_cosh", lowest, highest)
        got = log_cosh_of(library, residuals(lowest, highest))
        return relative(float(np.max(np.abs(got - exact) / exact)))

    return check


def gradient_error(library: Library) -> Cell:
    exact = exactly("tanh", 1e-8, 1e-2)
    got = log_cosh_gradient(library, residuals(1e-8, 1e-2))
    return relative(float(np.max(np.abs(got - exact) / exact)))


def negative_values(library: Library) -> Cell:
    r = residuals(1e-8, 1e-2)
    share = float(np.mean(log_cosh_of(library, r) < 0))
    return Cell(f"{share:.0%}" if share else "none", share == 0)


def half_value(library: Library) -> Cell:
    value = float(log_cosh_of(library, np.array([0.01]), "float16")[0])
    # The spacing of float16 there is 2^-24.
    return Cell(short(f"{value:.1e}") if value else "0", abs(value - 5e-5) <= 2.0**-24)


def half_gradient(library: Library) -> Cell:
    value = float(log_cosh_gradient(library, np.array([1e-3]), "bfloat16")[0])
    return Cell(short(f"{value:.1e}") if value else "0", abs(value - 1e-3) <= 2.0**-8 * 1e-3)


@lru_cache(maxsize=1)
def many(elements: int) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Inputs, targets, and the mean of Huber's loss in float64."""
    generator = np.random.default_rng(elements)
    inputs = 2 * generator.standard_normal(elements, np.float32)
    targets = generator.standard_normal(elements, np.float32)
    distance = np.abs(inputs.astype(np.float64) - targets)
    gradient = np.minimum(distance, 1.0)
    return inputs, targets, float(np.mean(gradient * (distance - gradient / 2)))


def mean_error(elements: int) -> Callable[[Library], Cell]:
    def check(library: Library) -> Cell:
        *data, exact = many(elements)
        arrays = [library.array(x, "float32") for x in data]
        mean = library.numbers(library.mean(library.huber, *arrays))
        return relative(abs(float(mean) - exact) / exact)

    return check


def half_mean(library: Library) -> Cell:
    inputs = library.array(np.full(100_000, 3.0), "float16")
    targets = library.array(np.zeros(100_000), "float16")
    mean = float(library.numbers(library.mean(library.huber, inputs, targets)))
    return Cell(f"{mean:g}", mean == 2.5)


def shapes(library: Library) -> Cell:
    inputs = library.array(np.ones((4, 1)), "float32")
    got = library.numbers(library.huber(inputs, library.array(np.zeros(4), "float32"))).shape
    # Four losses are a guess that may be meant, sixteen are none.
    return Cell(f"shape {got}", None if np.prod(got) == 4 else False)


def huber_of_three(delta: float, dtype: str, exact: float | None) -> Callable[[Library], Cell]:
    """Huber's loss of inputs 0 and targets 3."""

    def check(library: Library) -> Cell:
        inputs, targets = (library.array(np.array([x]), dtype) for x in (0, 3))
        value = float(library.numbers(library.huber(inputs, targets, delta))[0])
        return Cell(f"{value:g}", value == exact)

    return check


def masked(library: Library) -> Cell:
    inputs = library.array([1.0, 2.0], "float32")
    targets = library.array([np.nan, 1.5], "float32")
    mask = np.array([False, True])
    gradient = library.numbers(library.masked_gradient(library.huber, inputs, targets, mask))
    return Cell(", ".join(f"{g:g}" for g in gradient), gradient.tolist() == [0.0, 0.5])


CLAIMS = (
    Claim("log-cosh, float32, 1e-3 ≤ r ≤ 1e-2: value off by up to", "0", value_error(1e-3, 1e-2)),
    Claim("log-cosh, float32, 1e-8 ≤ r ≤ 1e-3: value off by up to", "0", value_error(1e-8, 1e-3)),
    Claim("… negative values among them", "none", negative_values),
    Claim("… 1e-8 ≤ r ≤ 1e-2: gradient off by up to", "0", gradient_error),
    Claim("log-cosh, float16, r = 0.01: value", "5.0e-5", half_value),
    Claim("log-cosh, bfloat16, r = 0.001: gradient", "1.0e-3", half_gradient),
    Claim("Huber, float32: mean of 2^20 off by", "0", mean_error(2**20)),
    Claim("Huber, float32: mean of 2^24 off by", "0", mean_error(2**24)),
    Claim("Huber, float16: mean of 100,000 times 2.5", "2.5", half_mean),
    Claim("Huber, inputs (4, 1) and targets (4,)", "error", shapes),
    Claim("Huber, delta = inf, residual 3", "4.5", huber_of_three(np.inf, "float32", 4.5)),
    Claim("Huber, delta = -1, residual 3", "error", huber_of_three(-1.0, "float32", None)),
    Claim("Huber, uint8, inputs 0 and targets 3", "2.5", huber_of_three(1.0, "uint8", 2.5)),
    Claim("Huber, NaN in a masked target: gradient", "0, 0.5", masked),
)


def measure(libraries: Sequence[Library], elements: int, seconds: float) -> Timings:
    """For Huber and log-cosh, the timings by the name of what ran."""
    inputs, targets, _ = many(elements)
    out = np.ones_like(inputs)
    results = []
    for loss in ("huber", "log_cosh"):
        cases: dict[str, Callable[[], object]] = {
            "memory: read two, write one": lambda: _core.memory_pass(inputs, targets, out)
        }
        for library in libraries:
            arrays = library.array(inputs, "float32"), library.array(targets, "float32")
            for how, run in library.timed(getattr(library, loss), *arrays).items():
                cases[f"{library.name} {how}".strip()] = run
        results.append((loss, interleaved(cases, seconds, loss)))
    return results


def table_of_claims(libraries: Sequence[Library], rows: dict[Claim, list[Cell]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", ratio=1)
    columns = _columns(libraries, rows)
    for heading in ("exact", *columns):
        table.add_column(heading.replace(", ", ",\n"), justify="right")
    for number, claim in enumerate(rows):
        cells = [column[number] for column in columns.values()]
        coloured = [f"[{COLOURS[cell.right]}]{cell.text}[/]" for cell in cells]
        table.add_row(claim.title, claim.exact, *coloured)
    return table


def _columns(
    libraries: Sequence[Library], rows: dict[Claim, list[Cell]]
) -> dict[str, tuple[Cell, ...]]:
    """The cells of each library. lossless has one column if its arrays make no difference."""
    columns = {
        library.name: tuple(cells[number] for cells in rows.values())
        for number, library in enumerate(libraries)
    }
    ours = [cells for name, cells in columns.items() if name.startswith("lossless")]
    if len(ours) > 1 and len(set(ours)) == 1:
        others = {k: cells for k, cells in columns.items() if not k.startswith("lossless")}
        return {"lossless": ours[0], **others}
    return columns


def table_of_timings(results: Timings, elements: int) -> Table:
    title = f"value and gradient of the mean, {elements:,} float32 elements"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for loss, _ in results:
        table.add_column(loss.replace("_", "-"), justify="right")
        table.add_column("÷ lossless", justify="right")
    for name in results[0][1]:
        cells = []
        # MLX is compared with lossless on its own arrays, the others with lossless on NumPy's.
        peer = f"lossless, MLX {name.split()[-1]}" if "MLX" in name else "lossless, NumPy"
        for _, timings in results:
            ours = timings[peer if peer in timings else "lossless, NumPy"].median
            cells += [spelled(timings[name]), f"{timings[name].median / ours:.1f}"]
        table.add_row(name, *cells)
    return table


def markdown(table: Table) -> str:
    """The table as text; what is wrong stands in bold, because there are no colours."""

    def plain(cell: Any) -> str:
        closing = "**" if "[red]" in str(cell) else ""
        text = str(cell).replace("\n", " ").replace("[red]", "**").replace("[/]", closing)
        return re.sub(r"\[/?(green|yellow|dim)\]", "", text)

    columns = [[plain(column.header), *map(plain, column.cells)] for column in table.columns]
    lines = ["| " + " | ".join(row) + " |" for row in zip(*columns, strict=True)]
    lines.insert(1, "|" + "---|" * len(columns))
    return "\n".join(lines)


def versions(libraries: Sequence[Library]) -> str:
    packages = sorted({package for library in libraries for package in library.packages})
    return ", ".join(f"{package} {version(package)}" for package in packages)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [library.name for library in LIBRARIES]
    parser.add_argument("--quick", action="store_true", help="without the timings")
    parser.add_argument("--markdown", action="store_true", help="print what the README holds")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="LIBRARY")
    parser.add_argument("--rows", default="", metavar="REGEX", help="whose title matches")
    parser.add_argument("--elements", type=int, default=ELEMENTS, help="of the timings")
    parser.add_argument("--seconds", type=float, default=10.0, help="for the timings of one loss")
    options = parser.parse_args()
    # Fifteen rows of six libraries want more width than a file or a pipe is given.
    console = Console(width=None if Console().is_terminal else 140)
    warnings.simplefilter("ignore")  # the libraries' own, of overflow and broadcasting

    chosen = [kind for kind in LIBRARIES if kind.name in options.only]
    for kind in chosen:
        if missing := kind.missing():
            console.print(
                f"{kind.name} is left out: {', '.join(missing)} not installed (make peers)"
            )
    libraries = [kind() for kind in chosen if not kind.missing()]

    claims = [claim for claim in CLAIMS if re.search(options.rows, claim.title)]
    rows: dict[Claim, list[Cell]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(claims) * len(libraries))
        for claim in claims:
            rows[claim] = []
            for library in libraries:
                progress.update(task, description=f"{claim.title}: {library.name}")
                rows[claim].append(claim(library))
                progress.advance(task)
    tables = [table_of_claims(libraries, rows)]
    if not options.quick:
        results = measure(libraries, options.elements, options.seconds)
        tables.append(table_of_timings(results, options.elements))

    machine = conditions()
    described = (
        f"{versions(libraries)}; Python {platform.python_version()}; {machine['processor']}, "
        f"{machine['threads']} threads"
    )
    for table in tables:
        if options.markdown:
            print(markdown(table), end="\n\n")
        else:
            console.print(table)
    console.print(described, soft_wrap=True)


if __name__ == "__main__":
    main()
