"""Makes tests/tables/*.csv: hard points with their correctly rounded results from mpmath.

    PYTHONPATH=tests python -m tables.make [--inputs-per-binade N]

A row is a pair, the parameters, and the three results, all as hexadecimal floats. Random choices
are seeded: the same command makes the same tables.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
from collections.abc import Iterator

import numpy as np

from lossless.verification import reference
from lossless.verification.formats import FLOAT32, NARROW, Array, Format
from lossless.verification.hard import (
    batches,
    beside_square_midpoints,
    pairs,
    rounding_ties,
    square_midpoints,
)
from lossless.verification.points import Pairs
from lossless.verification.reference import OUTPUTS, Loss
from support.cases import REPRESENTATIVES
from tables import TABLES, hardest

KEEP = 20  # of each searched family
SEARCH = 512  # of each binade: long double cannot tell these apart, mpmath ranks them
LOG_2 = math.log(2)
# Where the formulas of the contract change, where results saturate in some format, and constants
# that range reductions and small branches like.
BRANCHES = (
    math.acosh(2), math.acosh(2) / 2, 40.0, 20.0, LOG_2, LOG_2 / 2, 1.5 * LOG_2, 2 * LOG_2,
    *(2.0**-k for k in range(30)), 2.0**-62, 2.0**-74, 2.0**-75,
    4.16, 4.85, 9.01, 9.36, 19.06, 8.5, 44.4, 48.5, 52.3, 88.7, 89.4, 104.0, 373.0, 709.8, 745.1,
    16384.0, 2.0**22, 2.0**23, 2.0**24, 2.0**25,
)  # fmt: skip
DELTAS = (1.0, 0.1, 1.345, 2.0**-20, 3e-5, 1e4, 1e-30, 1e-45, 1e-60, 1e30, 1e300, math.inf)


def with_zero(x: Array) -> Pairs:
    return x.astype(np.float64), np.zeros(len(x))


def ranges(loss: Loss, output: str, fmt: Format, delta: float) -> tuple[int, int]:
    """log2 of the residuals between which an output has digits to get wrong."""
    if loss.name == "huber":
        return (-30, math.frexp(delta)[1] - 1) if delta < math.inf else (-30, 30)
    top = {"value": fmt.precision + 1, "gradient": 3, "second_derivative": 6}[output]
    return max(-13, -fmt.precision // 2 - 1), top


def binade(fmt: Format, exponent: int, count: int, rng: np.random.Generator) -> Array:
    """Numbers from [2**exponent, 2**(exponent + 1)): all of them, or so many."""
    if not fmt.min_exponent <= exponent <= fmt.max_exponent:
        return fmt.array([])
    size = 1 << (fmt.precision - 1)
    mantissa = np.arange(size) if size <= count else np.unique(rng.integers(0, size, count))
    return fmt.array(np.ldexp(1.0 + mantissa / size, exponent))


def searched_residuals(loss: Loss, output: str, fmt: Format, parameters: dict[str, float]) -> Array:
    """The hardest residuals of all, binade after binade."""
    low, high = ranges(loss, output, fmt, parameters.get("delta", math.inf))
    rng = np.random.default_rng(1)
    found = []
    for exponent in range(low, high):
        candidates = binade(fmt, exponent, 1 << 23, rng)
        for start, stop in batches(len(candidates), 1 << 20):
            part = candidates[start:stop]
            found.append(hardest.residuals(loss, output, part, fmt, KEEP, **parameters))
    x, _ = hardest.hardest(loss, output, with_zero(np.concatenate(found)), fmt, KEEP, **parameters)
    return fmt.array(x)


def searched_pairs(
    loss: Loss, output: str, fmt: Format, parameters: dict[str, float], count: int
) -> Pairs:
    """The hardest pairs of many: steered next to a midpoint by their targets."""
    delta = parameters.get("delta", math.inf)
    low, high = ranges(loss, output, fmt, delta)
    rng = np.random.default_rng(2)
    inputs: list[Array] = []
    targets: list[Array] = []
    beyond = range(high, high + 12) if loss.name == "huber" else ()
    for exponent in (*range(low, high), *beyond):
        x = binade(fmt, exponent, count, rng)
        for step in (0, 1, -3) if fmt is FLOAT32 else range(-8, 9):
            steps = np.full(len(x), step)
            pair = pairs(loss, output, x, steps, fmt, SEARCH, **parameters)
            inputs.append(pair[0])
            targets.append(pair[1])
    points = np.concatenate(inputs), np.concatenate(targets)
    return hardest.hardest(loss, output, points, fmt, KEEP, **parameters)


def families(loss: Loss, fmt: Format, count: int) -> Iterator[tuple[str, Pairs, float]]:
    """(kind, pairs, delta) for one table; the delta of losses without one is NaN."""
    huber = loss.name == "huber"
    for delta in DELTAS if huber else (math.nan,):
        parameters = {"delta": delta} if huber else {}
        points = hardest.around(fmt, [delta, 2 * delta, delta / 2] if huber else BRANCHES)
        points = points[np.isfinite(points) & (points != 0)]
        yield "branch", with_zero(points), delta
        if huber:
            yield "boundary", hardest.boundary(fmt, delta), delta
        if delta in (1.0, 0.1, 1.345, 1e4) or not huber:
            for output in OUTPUTS[:1] if huber else OUTPUTS:
                if fmt is FLOAT32 and not huber:
                    residuals = searched_residuals(loss, output, fmt, parameters)
                    yield f"residual {output}", with_zero(residuals), delta
                    steered = hardest.steered(loss, output, residuals, fmt, **parameters)
                    steered = hardest.hardest(loss, output, steered, fmt, KEEP, **parameters)
                    yield f"steered {output}", steered, delta
                found = searched_pairs(loss, output, fmt, parameters, count)
                yield f"pair {output}", found, delta
    delta = math.inf if huber else math.nan
    exponents = range(-90, 20) if fmt is FLOAT32 else range(-20, 8)
    if fmt.name == "bfloat16":
        exponents = range(-70, 20)
    x = square_midpoints(fmt, exponents, every=131 if fmt is FLOAT32 else 1)
    rng = np.random.default_rng(3)
    chosen = np.sort(rng.permutation(x)[: 4 * KEEP])
    yield "square midpoint", with_zero(chosen), delta
    if not huber:
        small = x[x < 2.0**-2]
        chosen = np.sort(rng.permutation(small)[: 4 * KEEP])
        yield "beside square midpoint", beside_square_midpoints(fmt, chosen), delta
        yield "overflow", hardest.overflow(fmt, LOG_2), delta
    else:
        for tiny in (0.0, fmt.smallest, -fmt.smallest):
            yield "square midpoint", (chosen, np.full(len(chosen), tiny)), delta
        yield "overflow", hardest.overflow(fmt, 0.5), 1.0
        yield "overflow", hardest.overflow(fmt, 0.0), math.inf
        line = np.ldexp(1.0 + np.arange(7) / 64, fmt.precision - 1)
        yield "line midpoint", with_zero(fmt.array(line)), 1.0
        yield "line midpoint", (line, np.full(7, fmt.smallest)), 1.0
        yield "line midpoint", (line, np.full(7, -fmt.smallest)), 1.0
    some = np.concatenate([binade(fmt, exponent, 1, rng) for exponent in range(-70, 60, 3)])
    yield "tie of inputs - targets", rounding_ties(fmt, some), delta


def short_hex(number: float) -> str:
    return re.sub(r"\.?0*p", "p", number.hex())


def rows(loss: Loss, fmt: Format, count: int) -> Iterator[list[str]]:
    seen: set[tuple[float, float, float]] = set()
    for kind, (x, t), delta in families(loss, fmt, count):
        parameters = {} if math.isnan(delta) else {"delta": delta}
        for number, target in zip(x.astype(np.float64), t.astype(np.float64), strict=True):
            point = (float(number), float(target))
            key = (*point, -1.0 if math.isnan(delta) else delta)
            if key in seen or not all(float(fmt.array(part)) == part for part in point):
                continue
            seen.add(key)
            expected = [reference.rounded(loss, o, *point, fmt, **parameters) for o in OUTPUTS]
            yield [kind, *map(short_hex, (delta, *point, *expected))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs-per-binade", type=int, default=1 << 18)
    parser.add_argument("tables", nargs="*", help="such as log_cosh_float32; all of them if none")
    options = parser.parse_args()
    for loss in REPRESENTATIVES.values():
        for fmt in NARROW:
            name = f"{loss.name}_{fmt.name}"
            if options.tables and name not in options.tables:
                continue
            table = list(rows(loss, fmt, options.inputs_per_binade))
            with (TABLES / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["kind", "delta", "inputs", "targets", *OUTPUTS])
                writer.writerows(table)
            print(f"{name}: {len(table)} rows")


if __name__ == "__main__":
    main()
