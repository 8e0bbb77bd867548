"""Arguments as arrays: of any bits, and such as are hard to get right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossless.verification.formats import FLOAT64, Format

from .enclosure import Enclosed, exactly
from .formats import SHAPES, middle_near, to_format
from .losses import LOSSES, Outside

Random = np.random.Generator


@dataclass(frozen=True)
class Batch:
    """Arguments of a loss, of one length; a parameter may be one number for all."""

    x: Any
    t: Any
    first: Any
    second: Any

    @property
    def arguments(self) -> tuple[Any, Any, Any, Any]:
        return self.x, self.t, self.first, self.second

    def enclosed(self) -> tuple[Enclosed, ...]:
        return tuple(exactly(array) for array in self.arguments)


def numbers(fmt: Format, count: int, rng: Random) -> Any:
    """Any finite numbers of the format; in a part of them bits are few, or exponents alike.

    A few are at the ends of the range, where differences overflow and results are subnormal.
    """
    width = fmt.dtype.itemsize * 8
    bits = rng.integers(0, (1 << width) - 1, count, dtype=np.uint64, endpoint=True)
    drawn = bits.astype(f"u{fmt.dtype.itemsize}").view(fmt.dtype)
    kind = rng.integers(4, size=count)
    with np.errstate(all="ignore"):
        usual = rng.normal(size=count) * 2.0 ** rng.integers(-12, 12, count)
        drawn = np.where(kind == 1, usual.astype(fmt.dtype), drawn)
        drawn = np.where(kind == 2, few_bits(fmt, count, rng), drawn)
        drawn = np.where(rng.random(count) < 0.1, _extreme(fmt, count, rng), drawn)
        finite = np.isfinite(drawn.astype(np.float64))
    return np.where(finite, drawn, np.ones((), fmt.dtype)).astype(fmt.dtype)


def _extreme(fmt: Format, count: int, rng: Random) -> Any:
    digits, least, greatest = SHAPES[fmt]
    large = greatest + 1 - rng.integers(0, 3, count)
    small = least - rng.integers(0, digits, count)
    exponents = np.where(rng.random(count) < 0.7, large, small)
    sizes = rng.choice([-1.0, 1.0], count) * rng.uniform(0.5, 1, count)
    return np.ldexp(sizes, exponents).astype(fmt.dtype)


def few_bits(fmt: Format, count: int, rng: Random) -> Any:
    """Numbers whose products, squares and quotients by powers of 2 end: ties are among them."""
    digits = SHAPES[fmt][0]
    width = rng.integers(1, digits // 2 + 2, count)
    odd = 2 * rng.integers(0, 1 << width) + 1
    exponents = rng.integers(-30, 30, count)
    reach = -SHAPES[fmt][1] + digits
    exponents = np.where(rng.random(count) < 0.3, rng.integers(-reach, reach, count), exponents)
    with np.errstate(all="ignore"):
        return np.ldexp(rng.choice([-1.0, 1.0], count) * odd, exponents - width).astype(fmt.dtype)


def positive(count: int, rng: Random) -> Any:
    """Parameters: usual ones, any exponent of a double, the smallest and the largest."""
    exponents = rng.integers(-1074, 1023, count)
    any_ = np.ldexp(rng.uniform(1, 2, count), exponents)
    usual = np.ldexp(rng.uniform(1, 2, count), rng.integers(-12, 12, count))
    ends = rng.choice([5e-324, 1e-310, 0.1, 1 / 3, 1e300, np.finfo(float).max], count)
    kind = rng.integers(4, size=count)
    return np.select([kind == 0, kind == 1], [any_, ends], usual)


def probabilities(fmt: Format, count: int, rng: Random) -> Any:
    """From 0 to 1, both included; near each end, near a half, near e^-100."""
    small = np.ldexp(rng.uniform(0.5, 1, count), -rng.integers(0, 160, count))
    near = np.ldexp(rng.uniform(-1, 1, count), -rng.integers(0, SHAPES[fmt][0] + 2, count))
    least = np.exp(-100.0) * (1 + 2.0**-6 * rng.normal(size=count))
    ends = rng.choice([0.0, 1.0, 0.5], count)
    bits = np.abs(numbers(fmt, count, rng).astype(np.float64))
    grid = rng.integers(0, 65, count) / 64
    choices = [rng.random(count), small, 1 - np.abs(near), 0.5 + near / 2, least, ends, grid]
    drawn = np.choose(rng.integers(len(choices), size=count), choices)
    drawn = np.where((rng.random(count) < 0.2) & (bits <= 1), bits, drawn)
    return to_format(drawn.astype(np.longdouble), fmt)


def batch(name: str, fmt: Format, count: int, rng: Random) -> Batch:
    loss = LOSSES[name]
    x = (probabilities if loss.probabilities else numbers)(fmt, count, rng)
    t = numbers(fmt, count, rng)
    first, second = positive(count, rng), positive(count, rng) * rng.choice([-1, 1], count)
    if name == "margin_ranking":
        first = numbers(fmt, count, rng)
    if loss.of_variances:
        first = np.abs(numbers(fmt, count, rng)) * rng.choice([1, 1, 1, -1], count).astype(
            fmt.dtype
        )
        first = np.where(rng.random(count) < 0.1, np.ones((), fmt.dtype), first)  # log v = 0
        second = np.abs(second)
    given = _related(fmt, Batch(x, t, first, second), loss, rng)
    if fmt is not FLOAT64:
        given = _solved(fmt, given, loss, rng)
    if loss.parameters and rng.random() < 0.5:
        at = int(rng.integers(count))
        fixed = {"second": float(given.second[at])}
        if name in ("huber", "smooth_l1"):
            fixed["first"] = float(given.first[at])
        given = replace(given, **fixed)
    return given


def _related(fmt: Format, given: Batch, loss: Outside, rng: Random) -> Batch:
    """Targets that are near the inputs, or nothing beside them, or labels, or make terms cancel."""
    count = len(given.x)
    with np.errstate(all="ignore"):
        x = given.x.astype(np.float64)
        beside = x * (1 + rng.normal(size=count) * np.ldexp(1.0, -rng.integers(1, 30, count)))
        far = np.ldexp(rng.uniform(-2, 2, count), rng.integers(-60, -20, count)) * x
        labels = rng.choice([0.0, 1.0, 0.5, -1.0, 2.0], count)
        labels = labels + rng.choice([0.0, 0.0, 1.0], count) * np.ldexp(
            rng.normal(size=count), -rng.integers(1, SHAPES[fmt][0] + 4, count)
        )
        inverse = 1 / x * (1 + rng.choice([0.0, 2.0**-8], count) * rng.normal(size=count))
        choices = [beside, far, far, np.zeros(count) if loss.of_residual else labels, inverse]
        if loss.name == "binary_cross_entropy":  # whose gradient and value cancel there
            sigmoid = 1 / (1 + np.exp(-np.clip(x, -700, 700)))
            softplus = np.log1p(np.exp(np.clip(x, -700, 700)))
            choices = [sigmoid, labels, labels, softplus / x, sigmoid]
        drawn = np.choose(rng.integers(len(choices), size=count), choices)
        rounded = to_format(drawn.astype(np.longdouble), fmt)
        kept = (rng.random(count) < 0.4) | ~np.isfinite(rounded.astype(np.float64))
    t = np.where(kept, given.t, rounded).astype(fmt.dtype)
    if loss.name == "margin_ranking":
        return replace(given, t=t, second=_deciding(fmt, replace(given, t=t), rng))
    return replace(given, t=t)


def _deciding(fmt: Format, given: Batch, rng: Random) -> Any:
    """Margins that leave nearly the middle of two results: their own rounding decides."""
    with np.errstate(all="ignore"):
        x, t, y, _ = (array.astype(np.longdouble) for array in given.arguments)
        product = y * (x - t)
        margins = (product + middle_near(np.abs(product), fmt)).astype(np.float64)
    usable = np.isfinite(margins) & (rng.random(len(x)) < 0.5)
    return np.where(usable, margins, given.second)


STEPS = 5


def _solved(fmt: Format, given: Batch, loss: Outside, rng: Random) -> Batch:
    """In a third of the points a result is next to the middle of two numbers.

    The loss is solved for a variable that is known to more digits than a result has: a difference
    of two numbers of different size, a target that is small beside what it is added to, or a
    parameter.
    """
    variable = str(rng.choice(loss.fine))
    output = int(rng.integers(3))
    points = rng.random(len(given.x)) < 1 / 3
    some = Batch(*(array[points] for array in given.arguments))
    x, t, first, second = some.enclosed()
    arguments = {"x": x, "t": t, "first": first, "second": second}
    if variable == "x":  # the difference, for a target of 0
        start = np.ldexp(rng.normal(size=len(some.x)), rng.integers(-20, 8, len(some.x)))
        arguments["t"] = exactly(np.zeros(len(some.x)))
    elif variable == "t":
        start = np.ldexp(rng.normal(size=len(some.x)), -rng.integers(4, 40, len(some.x)))
    else:
        start = np.asarray(arguments[variable].mid, np.float64)
    start = np.asarray(start, np.longdouble)

    def result(of: Any) -> Any:
        return loss.enclose(**arguments | {variable: exactly(of)})[output].number.mid

    with np.errstate(all="ignore"):
        before, there = start, start * (1 + np.longdouble(2.0**-9))
        middle = middle_near(result(before), fmt)
        miss = result(before) - middle
        for _ in range(STEPS):
            now = result(there) - middle
            slope = (now - miss) / (there - before)
            before, miss, there = there, now, there - np.where(now == 0, 0, now / slope)
        if variable == "x":
            apart = np.ldexp(rng.normal(size=len(there)), -rng.integers(0, 26, len(there)))
            new_x = to_format(there + there * apart, fmt)
            changed = {"x": new_x, "t": to_format(new_x.astype(np.longdouble) - there, fmt)}
        elif variable == "t":
            changed = {"t": to_format(there, fmt)}
        else:
            changed = {variable: there.astype(np.float64)}
            if loss.of_variances:  # by what is below eps
                changed["first"] = np.minimum(some.first, np.zeros((), fmt.dtype))
    usable = np.logical_and.reduce(
        [np.isfinite(array.astype(np.float64)) for array in changed.values()]
    )
    if variable in ("first", "second") and loss.name not in ("margin_ranking",):
        usable &= changed[variable] > 0
    where = np.flatnonzero(points)[usable]
    arrays = {name: getattr(given, name).copy() for name in changed}
    for name, array in changed.items():
        arrays[name][where] = array[usable]
    return replace(given, **arrays)
