"""Pairs where rounding is hardest: results that lie next to, or on, the middle of two numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .extended import Pair, Residual
from .formats import Array, Extended, Format, round_extended
from .points import Pairs, some_inputs
from .reference import Loss


def hard_pairs(
    loss: Loss, fmt: Format, count: int, rng: np.random.Generator, parameters: dict[str, float]
) -> Iterator[Pairs]:
    """Targets steered so that results lie next to midpoints, and exact ties of what is even."""
    if not loss.uses_difference_only:
        x = fmt.array(some_inputs(loss, count, rng))
        for output in loss.hard_outputs:
            yield pairs(loss, output, x, rng.integers(-3, 4, count), fmt, count, **parameters)
        return
    with np.errstate(over="ignore"):
        x = fmt.array(np.exp2(rng.uniform(-fmt.precision * 0.6, 4, count)))
    steps = rng.integers(-3, 4, count)
    for output in loss.hard_outputs:
        yield pairs(loss, output, x, steps, fmt, count, **parameters)
    ties = rng.permutation(x)[: count // 8]
    families = [rounding_ties(fmt, ties)]
    if loss.even:
        middles = square_midpoints(fmt, range(max(fmt.min_exponent, -80), 4))
        middles = rng.permutation(middles[middles < 0.5])[: count // 8]
        families.append(beside_square_midpoints(fmt, middles))
    for points in families:
        yield fmt.array(points[0]), fmt.array(points[1])


def in_long_double(
    loss: Loss, output: str, x: Extended, t: Extended | None, parameters: dict[str, float]
) -> Extended:
    if loss.uses_difference_only:
        operands: Residual | Pair = Residual(x if t is None else x - t, None, False)
    else:
        operands = Pair(x, np.zeros_like(x) if t is None else t)
    return loss.extended[output](operands, **parameters)[0]


def _slope(
    loss: Loss, output: str, x: Extended, t: Extended, parameters: dict[str, float]
) -> Extended:
    """The derivative by targets, with its sign turned: of the second derivative as a difference."""

    def result(output: str, x: Extended, t: Extended) -> Extended:
        return in_long_double(loss, output, x, t, parameters)

    if not loss.uses_difference_only:  # which are linear in targets
        return 1024 * (result(output, x, t) - result(output, x, t + 2.0**-10))
    following = {"value": "gradient", "gradient": "second_derivative"}
    if output in following:
        return result(following[output], x, t)
    step = np.longdouble(2) ** -18 * np.maximum(np.abs(x), 2.0**-6)
    return (result(output, x + step, t) - result(output, x - step, t)) / (2 * step)


def scaled(result: Extended, fmt: Format) -> tuple[Extended, NDArray[np.int64]]:
    """The result in units of its ULP, and log2 of that unit."""
    lowest = fmt.min_exponent - fmt.precision + 1
    unit = np.maximum(np.frexp(result)[1] - fmt.precision, lowest).astype(np.int64)
    return np.ldexp(result, -unit), unit


def pairs(
    loss: Loss,
    output: str,
    inputs: Array,
    steps: NDArray[np.int64],
    fmt: Format,
    keep: int,
    **parameters: float,
) -> Pairs:
    """Targets that bring each result next to a midpoint (the nearest, or so many steps away).

    A target far below the spacing of the inputs steers the exact residual with 24 more bits than
    any one number of the format has; where that target barely rounds, the result is closest.
    """
    x = inputs.astype(np.longdouble)
    with np.errstate(all="ignore"):
        result, unit = scaled(in_long_double(loss, output, x, None, parameters), fmt)
        offset = np.ldexp(result - (np.floor(result) + 0.5 + steps), unit)
        target = offset / _slope(loss, output, x, np.zeros_like(x), parameters)
        # The slope halfway makes this right to second order.
        slope = _slope(loss, output, x, target / 2, parameters)
        target = offset / slope
        rounded = round_extended(target, fmt)
        miss = np.abs(np.ldexp((target - rounded.astype(np.longdouble)) * slope, -unit))
    good = np.isfinite(miss) & (rounded != 0) & np.isfinite(rounded)
    miss[~good] = np.inf
    closest = np.argsort(miss)[: min(keep, int(good.sum()))]
    return inputs[closest], rounded[closest]


def square_midpoints(fmt: Format, exponents: Sequence[int], every: int = 1) -> Array:
    """Numbers x whose x*x/2 is the middle of two numbers: odd squares of precision + 1 bits.

    The small ones give log-cosh a hair less than a tie. Where x*x/2 is subnormal there are other
    odd numbers, when the unit of the middle is the half of an even power of two.
    """
    low, high = 2.0 ** (fmt.precision / 2), 2.0 ** ((fmt.precision + 1) / 2)
    odd = np.arange(math.ceil(low) | 1, math.ceil(high), 2)[::every]
    x = np.ldexp(odd[:, None].astype(np.float64), np.asarray(exponents)[None, :]).ravel()
    middle = fmt.min_exponent - fmt.precision + 1  # log2 of twice the middle's unit
    if middle % 2 == 0:
        below = 2.0 ** (fmt.min_exponent + 1)
        subnormal = np.ldexp(np.arange(1.0, 2.0**fmt.precision, 2), middle // 2)
        x = np.concatenate([x, subnormal[np.square(subnormal) < below]])
    result: Array = x[(fmt.array(x) == x) & (x > 0)]
    return result


def beside_square_midpoints(fmt: Format, x: Array) -> Pairs:
    """Targets that lift log cosh(x - t) back to x*x/2, rounded either way, and far smaller ones.

    log cosh r = x*x/2 has the solution r = x + x**3/12 + x**5/480 + ...
    """
    lift = fmt.array(-(x**3) / 12 - x**5 / 480).astype(np.float64)
    columns = [lift, np.array([fmt.neighbour(t, 1) for t in lift])]
    columns += [np.array([fmt.neighbour(t, -1) for t in lift])]
    columns += [np.full_like(x, sign * fmt.smallest * size) for sign in (1, -1) for size in (1, 3)]
    return np.tile(x, len(columns)), np.concatenate(columns)


def rounding_ties(fmt: Format, x: Array) -> Pairs:
    """x - t is the middle between x and a neighbour, or one step of t beside it."""
    rows: list[tuple[float, float]] = []
    for number in x.astype(np.float64):
        for side in (1, -1):
            half = (float(number) - fmt.neighbour(number, side)) / 2
            if abs(half) >= fmt.smallest:
                rows += [(number, fmt.neighbour(half, step)) for step in (-1, 0, 1)]
    return table(rows)


def table(rows: Sequence[tuple[float, float]]) -> Pairs:
    columns = np.array(rows, np.float64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def batches(total: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) pieces of range(total)."""
    for start in range(0, total, size):
        yield start, min(start + size, total)
