"""The hardest of the points whose results lie next to, or on, the middle of two numbers.

`make.py` keeps them; `lossless.verification.hard` makes masses of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from mpmath import mp

from lossless.verification import reference
from lossless.verification.formats import Array, Format, Mpf, round_real
from lossless.verification.hard import in_long_double, scaled, table
from lossless.verification.points import Pairs
from lossless.verification.reference import Loss


def residuals(
    loss: Loss, output: str, candidates: Array, fmt: Format, keep: int, **parameters: float
) -> Array:
    """The candidates whose results come closest to the middle between two numbers."""
    extended = candidates.astype(np.longdouble)
    result, _ = scaled(in_long_double(loss, output, extended, None, parameters), fmt)
    distance = np.abs(result - np.floor(result) - 0.5)
    distance[distance == 0] = 1  # ties have families of their own
    closest = np.argpartition(distance, keep)[:keep]
    return candidates[closest]


def steered(loss: Loss, output: str, inputs: Array, fmt: Format, **parameters: float) -> Pairs:
    """The same for single inputs that are hard already, where only mpmath sees the offset."""
    function = partial(loss.definition[output], **parameters)
    rows: list[tuple[float, float]] = []
    for number in inputs.astype(np.float64):
        with mp.workprec(400):
            x = mp.mpf(number)
            exact = function(x)
            unit = fmt.quantum_exponent(int(mp.mag(exact)))
            middle = mp.ldexp(mp.floor(mp.ldexp(exact, -unit)) + mp.mpf(0.5), unit)
            root = mp.findroot(partial(_above, function, middle), x, tol=1e-60)
            near = round_real(x - root, fmt)
        rows += [(number, fmt.neighbour(near, step)) for step in (-1, 0, 1)]
    return table(rows)


def _above(function: Callable[[Mpf], Mpf], middle: Mpf, r: Mpf) -> Mpf:
    return function(r) - middle


def distance(
    loss: Loss, output: str, x: float, t: float, fmt: Format, **parameters: float
) -> float:
    """log2 of the distance between the true result and the nearest midpoint, in ULP."""
    with mp.workprec(400):
        exact = abs(reference.real(loss, output, x, t, **parameters))
        if not exact or not mp.isfinite(exact):
            return math.inf
        unit = fmt.quantum_exponent(int(mp.mag(exact)))
        result = mp.ldexp(exact, -unit)
        apart = abs(result - mp.floor(result) - mp.mpf(0.5))
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
        return table([])
    rows: list[tuple[float, float]] = []
    for x in around(fmt, [delta], 1):
        rest = abs(float(x)) - delta
        near = float(fmt.array(rest))
        targets = {0.0, fmt.smallest, -fmt.smallest, near}
        targets |= {fmt.neighbour(near, 1), fmt.neighbour(near, -1)}
        rows += [(float(x), math.copysign(1.0, x) * target) for target in sorted(targets)]
    return table(rows)


def overflow(fmt: Format, offset: float) -> Pairs:
    """x - t - offset beside the point from which results round to infinity."""
    half = math.ldexp(1.0, fmt.max_exponent - fmt.precision)
    near = float(fmt.array(-(half + offset)))
    targets = [fmt.neighbour(near, step) for step in (-2, -1, 0, 1, 2)]
    x = np.full(len(targets), fmt.largest)
    return np.concatenate([x, -x]), np.concatenate([targets, np.negative(targets)])
