"""Points where rounding is hardest: results that lie next to, or on, the middle of two numbers.

`make_tables.py` keeps the hardest of them, `exhaustive.py` tries masses of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from mpmath import mp
from numpy.typing import NDArray

from lossless.cli.oracle import reference
from lossless.cli.oracle.extended import Residual
from lossless.cli.oracle.formats import Array, Extended, Format, Mpf, round_extended, round_real
from lossless.cli.oracle.reference import Loss

Pairs = tuple[Array, Array]  # inputs and targets


def _pairs(rows: Sequence[tuple[float, float]]) -> Pairs:
    table = np.array(rows, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _result(loss: Loss, output: str, r: Extended, parameters: dict[str, float]) -> Extended:
    """An output in long double; of the second derivative also its slope, as a difference."""
    return loss.extended[output](Residual(r, None, False), **parameters)[0]


def _slope(loss: Loss, output: str, r: Extended, parameters: dict[str, float]) -> Extended:
    following = {"value": "gradient", "gradient": "second_derivative"}
    if output in following:
        return _result(loss, following[output], r, parameters)
    step = np.longdouble(2) ** -18 * np.maximum(np.abs(r), 2.0**-6)
    rise = _result(loss, output, r + step, parameters) - _result(loss, output, r - step, parameters)
    return rise / (2 * step)


def _scaled(result: Extended, fmt: Format) -> tuple[Extended, NDArray[np.int64]]:
    """The result in units of its ULP, and log2 of that unit."""
    lowest = fmt.min_exponent - fmt.precision + 1
    unit = np.maximum(np.frexp(result)[1] - fmt.precision, lowest).astype(np.int64)
    return np.ldexp(result, -unit), unit


def residuals(
    loss: Loss, output: str, candidates: Array, fmt: Format, keep: int, **parameters: float
) -> Array:
    """The candidates whose results come closest to the middle between two numbers."""
    result = _result(loss, output, candidates.astype(np.longdouble), parameters)
    scaled, _ = _scaled(result, fmt)
    distance = np.abs(scaled - np.floor(scaled) - 0.5)
    distance[distance == 0] = 1  # ties have families of their own
    closest = np.argpartition(distance, keep)[:keep]
    return candidates[closest]


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
        result = _result(loss, output, x, parameters)
        scaled, unit = _scaled(result, fmt)
        offset = np.ldexp(scaled - (np.floor(scaled) + 0.5 + steps), unit)
        target = offset / _slope(loss, output, x, parameters)
        # The slope halfway makes this right to second order.
        slope = _slope(loss, output, x - target / 2, parameters)
        target = offset / slope
        rounded = round_extended(target, fmt)
        miss = np.abs(np.ldexp((target - rounded.astype(np.longdouble)) * slope, -unit))
    good = np.isfinite(miss) & (rounded != 0) & np.isfinite(rounded)
    miss[~good] = np.inf
    closest = np.argsort(miss)[: min(keep, int(good.sum()))]
    return inputs[closest], rounded[closest]


def steered(loss: Loss, output: str, inputs: Array, fmt: Format, **parameters: float) -> Pairs:
    """The same for single inputs that are hard already, where only mpmath sees the offset."""
    function = partial(loss.real[output], **parameters)
    rows: list[tuple[float, float]] = []
    for number in inputs.astype(np.float64):
        with mp.workprec(400):
            x = mp.mpf(number)
            truth = function(x)
            unit = fmt.quantum_exponent(int(mp.mag(truth)))
            middle = mp.ldexp(mp.floor(mp.ldexp(truth, -unit)) + mp.mpf(0.5), unit)
            root = mp.findroot(partial(_above, function, middle), x, tol=1e-60)
            near = round_real(x - root, fmt)
        rows += [(number, fmt.neighbour(near, step)) for step in (-1, 0, 1)]
    return _pairs(rows)


def _above(function: Callable[[Mpf], Mpf], middle: Mpf, r: Mpf) -> Mpf:
    return function(r) - middle


def distance(
    loss: Loss, output: str, x: float, t: float, fmt: Format, **parameters: float
) -> float:
    """log2 of the distance between the true result and the nearest midpoint, in ULP."""
    with mp.workprec(400):
        truth = abs(reference.real(loss, output, x, t, **parameters))
        if not truth or not mp.isfinite(truth):
            return math.inf
        unit = fmt.quantum_exponent(int(mp.mag(truth)))
        scaled = mp.ldexp(truth, -unit)
        apart = abs(scaled - mp.floor(scaled) - mp.mpf(0.5))
        return float(mp.log(apart, 2)) if apart else -math.inf


def hardest(
    loss: Loss, output: str, points: Pairs, fmt: Format, keep: int, **parameters: float
) -> Pairs:
    """Of these pairs the ones that mpmath finds closest to a midpoint."""
    numbers = [
        distance(loss, output, float(x), float(t), fmt, **parameters)
        for x, t in zip(*points, strict=True)
    ]
    order = np.argsort(numbers, kind="stable")[:keep]
    return points[0][order], points[1][order]


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
    return _pairs(rows)


def around(fmt: Format, numbers: Sequence[float], steps: int = 2) -> Array:
    """Each number rounded to the format, and its next neighbours; both signs."""
    near = [
        fmt.neighbour(float(fmt.array(number)), step)
        for number in numbers
        for step in range(-steps, steps + 1)
    ]
    return np.array(near + [-number for number in near])


def boundary(fmt: Format, delta: float) -> Pairs:
    """|inputs - targets| on delta and next to it, by one step of the inputs or of tiny targets."""
    if not math.isfinite(delta):
        return _pairs([])
    rows: list[tuple[float, float]] = []
    for x in around(fmt, [delta], 1):
        rest = abs(float(x)) - delta
        near = float(fmt.array(rest))
        targets = {0.0, fmt.smallest, -fmt.smallest, near}
        targets |= {fmt.neighbour(near, 1), fmt.neighbour(near, -1)}
        rows += [(float(x), math.copysign(1.0, x) * target) for target in sorted(targets)]
    return _pairs(rows)


def overflow(fmt: Format, offset: float) -> Pairs:
    """x - t - offset beside the point from which results round to infinity."""
    half = math.ldexp(1.0, fmt.max_exponent - fmt.precision)
    near = float(fmt.array(-(half + offset)))
    targets = [fmt.neighbour(near, step) for step in (-2, -1, 0, 1, 2)]
    x = np.full(len(targets), fmt.largest)
    return np.concatenate([x, -x]), np.concatenate([targets, np.negative(targets)])


def batches(total: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, stop) pieces of range(total)."""
    for start in range(0, total, size):
        yield start, min(start + size, total)
