"""Hard arguments of the losses that are quotients, products and sums, judged by exact fractions.

This knows nothing of the kernels: operands are any bits of their format, or made so that terms
lie far apart, cancel, or meet in the middle of two results; parameters are any doubles, subnormal
and huge ones too. `python tests/outside.py --pairs 1000000` tries more than the everyday tests.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import lossless
from lossless.cli.oracle.formats import BFLOAT16, FLOAT16, FLOAT32, Format

Random = np.random.Generator
Exact = tuple[Fraction, Fraction, Fraction]  # value, gradient, second derivative
INFINITE = Fraction(2) ** 5000  # what is rounded to infinity in any format

PRECISION = {FLOAT16: (11, -14, 15), BFLOAT16: (8, -126, 127), FLOAT32: (24, -126, 127)}


def rounded(x: Fraction, fmt: Format) -> float:
    """To nearest, ties to even: as Python rounds a fraction to an integer."""
    digits, least, greatest = PRECISION[fmt]
    if not x:
        return 0.0
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    exponent -= abs(x) < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, least) - digits + 1)
    result = round(x / unit) * unit
    if abs(result) >= Fraction(2) ** (greatest + 1):
        return float("inf") if result > 0 else float("-inf")
    return float(result)


def _sign(r: Fraction) -> Fraction:
    return Fraction((r > 0) - (r < 0))


def _huber(x: Fraction, t: Fraction, delta: Fraction, _: Fraction) -> Exact:
    r = x - t
    if abs(r) <= delta:
        return r * r / 2, r, Fraction(1)
    return delta * (abs(r) - delta / 2), delta * _sign(r), Fraction(0)


def _smooth_l1(x: Fraction, t: Fraction, beta: Fraction, _: Fraction) -> Exact:
    r = x - t
    if abs(r) < beta:
        return r * r / (2 * beta), r / beta, 1 / beta
    return abs(r) - beta / 2, _sign(r), Fraction(0)


def _l1(x: Fraction, t: Fraction, *_: Fraction) -> Exact:
    return abs(x - t), _sign(x - t), Fraction(0)


def _mse(x: Fraction, t: Fraction, *_: Fraction) -> Exact:
    return (x - t) ** 2, 2 * (x - t), Fraction(2)


def _hinge(x: Fraction, t: Fraction, *_: Fraction) -> Exact:
    rest = 1 - x * t
    return max(rest, Fraction(0)), -t if rest > 0 else Fraction(0), Fraction(0)


def _margin_ranking(x: Fraction, t: Fraction, y: Fraction, margin: Fraction) -> Exact:
    rest = margin - y * (x - t)
    return max(rest, Fraction(0)), -y if rest > 0 else Fraction(0), Fraction(0)


@dataclass(frozen=True)
class Outside:
    """A loss, its definition, and how its parameters are drawn."""

    function: str
    exact: Callable[[Fraction, Fraction, Fraction, Fraction], Exact]
    parameters: tuple[str, ...] = ()


LOSSES = {
    "huber": Outside("huber_loss", _huber, ("delta",)),
    "smooth_l1": Outside("smooth_l1_loss", _smooth_l1, ("beta",)),
    "l1": Outside("l1_loss", _l1),
    "mse": Outside("mse_loss", _mse),
    "hinge": Outside("hinge_loss", _hinge),
    "margin_ranking": Outside("margin_ranking_loss", _margin_ranking, ("targets", "margin")),
}


def operands(fmt: Format, count: int, rng: Random) -> Any:
    """Any finite numbers of the format; in a part of them bits are few, or exponents alike."""
    width = fmt.dtype.itemsize * 8
    bits = rng.integers(0, 1 << width, count, dtype=np.uint64).astype(f"u{fmt.dtype.itemsize}")
    numbers = bits.view(fmt.dtype)
    kind = rng.integers(4, size=count)
    with np.errstate(all="ignore"):
        usual = rng.normal(size=count) * 2.0 ** rng.integers(-12, 12, count)
        few = rng.integers(-64, 65, count) * 2.0 ** rng.integers(-30, 30, count)
        numbers = np.where(kind == 1, usual.astype(fmt.dtype), numbers)
        numbers = np.where(kind == 2, few.astype(fmt.dtype), numbers)
        wide = numbers.astype(np.float64)
    return np.where(np.isfinite(wide), numbers, np.ones((), fmt.dtype)).astype(fmt.dtype)


def positive(count: int, rng: Random) -> Any:
    """Parameters: usual ones, any exponent of a double, the smallest and the largest."""
    exponents = rng.integers(-1074, 1023, count)
    any_ = np.ldexp(rng.uniform(1, 2, count), exponents)
    usual = np.ldexp(rng.uniform(1, 2, count), rng.integers(-12, 12, count))
    ends = rng.choice([5e-324, 1e-310, 0.1, 1 / 3, 1e300, np.finfo(float).max], count)
    kind = rng.integers(4, size=count)
    return np.select([kind == 0, kind == 1], [any_, ends], usual)


@dataclass(frozen=True)
class Batch:
    """Arguments of a loss as arrays of one length."""

    x: Any
    t: Any
    first: Any
    second: Any


def _deciding(fmt: Format, x: Any, t: Any, y: Any) -> Any:
    """Margins that leave nearly the middle of two results: their own rounding decides."""
    digits = PRECISION[fmt][0]
    margins = np.zeros(len(x))
    for i in range(len(x)):
        product = Fraction(float(y[i])) * (Fraction(float(x[i])) - Fraction(float(t[i])))
        if product:
            exponent = product.numerator.bit_length() - product.denominator.bit_length()
            half = Fraction(2) ** (exponent - digits)
            middle = (2 * round(abs(product) / half / 2) + 1) * half
            margins[i] = float(product + middle) if product < 0 else 0.0
    return margins


def batch(name: str, fmt: Format, count: int, rng: Random) -> Batch:
    x, t = operands(fmt, count, rng), operands(fmt, count, rng)
    near = rng.random(count) < 0.3  # a difference of neighbours
    with np.errstate(all="ignore"):
        beside = (x.astype(float) * (1 + rng.normal(size=count) * 2.0**-8)).astype(fmt.dtype)
    t = np.where(near & np.isfinite(beside.astype(float)), beside, t).astype(fmt.dtype)
    apart = rng.random(count) < 0.3  # of whose difference a double is not enough
    with np.errstate(all="ignore"):
        far = np.ldexp(rng.uniform(-2, 2, count), rng.integers(-60, -20, count))
        far = (far * x.astype(float)).astype(fmt.dtype)
    t = np.where(apart & np.isfinite(far.astype(float)), far, t).astype(fmt.dtype)
    first, second = positive(count, rng), positive(count, rng) * rng.choice([-1, 1], count)
    if name == "margin_ranking":
        first = operands(fmt, count, rng)
        second = np.where(rng.random(count) < 0.5, second, _deciding(fmt, x, t, first))
    return Batch(x, t, first, second)


# What the calls give, and where it stands among the exact results.
RESULTS = (("value", 0), ("gradient", 1), ("gradient", 1), ("second derivative", 2))


def wrong(name: str, fmt: Format, given: Batch) -> Iterator[str]:
    """Each result that is not the exact one, rounded once."""
    loss = LOSSES[name]
    function: Any = getattr(lossless, loss.function)
    options: dict[str, Any] = dict(zip(loss.parameters, (given.first, given.second), strict=False))
    arrays = [given.x, given.t]
    if "targets" in options:
        arrays.append(options.pop("targets"))
    value, gradient = lossless.value_and_grad(function)(*arrays, reduction="none", **options)
    slope, second = lossless.grad_and_hess(function)(*arrays, **options)
    got = [np.asarray(array, np.float64) for array in (value, gradient, slope, second)]
    for i in range(len(given.x)):
        columns = (given.x, given.t, given.first, given.second)
        x, t, first, last = (Fraction(float(column[i])) for column in columns)
        exact = loss.exact(x, t, first, last)
        for results, (output, place) in zip(got, RESULTS, strict=True):
            expected = rounded(exact[place], fmt)
            if results[i] != expected:
                arguments = ", ".join(
                    float(array[i]).hex() for array in (given.x, given.t, given.first, given.second)
                )
                yield (
                    f"{name} {fmt.name} {output} at ({arguments}): "
                    f"expected {expected.hex()}, got {float(results[i]).hex()}"
                )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="how many, of all losses")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    rng = np.random.default_rng(options.seed)
    done = failures = 0
    began = told = time.monotonic()
    while done < options.pairs:
        for name in LOSSES:
            for fmt in PRECISION:
                for failure in wrong(name, fmt, batch(name, fmt, 1000, rng)):
                    failures += 1
                    print(failure, flush=True)
                done += 1000
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{done:,} of {options.pairs:,} pairs, {failures} wrong", flush=True)
    print(f"{done:,} pairs in {time.monotonic() - began:.0f} s, {failures} results wrong")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
