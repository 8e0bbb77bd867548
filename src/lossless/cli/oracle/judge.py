"""Comparing every output of calls with the truth: how many are off, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from mpmath import mp
from numpy.typing import NDArray

from .extended import Residual
from .formats import FLOAT64, Array, Format, round_real
from .reference import OUTPUTS, Loss, real, rounded_array

BATCH = 1 << 16  # numbers judged at once; their long doubles stay in the cache
EXAMPLES = 5


class Case(Protocol):
    """A loss in a format, computed by some calls."""

    @property
    def loss(self) -> Loss: ...

    @property
    def fmt(self) -> Format: ...

    def element_wise(
        self, inputs: Any, targets: Any, /, **parameters: Any
    ) -> Iterable[tuple[str, str, Array]]:
        """(output, the call that gave it, result) for every public way to an output."""


@dataclass(frozen=True)
class Bound:
    """What is promised where results need not be correctly rounded."""

    ulp: float
    absolute_beyond_2: float = 0.0  # for residuals larger than 2, in place of ULP
    flushes: bool = False  # subnormal results may be 0


@dataclass
class Tally:
    """What came out for one output."""

    results: int = 0
    wrong: int = 0  # not correctly rounded
    broken: int = 0  # beyond the bound
    worst: float = 0.0  # ULP, where ULP are promised
    examples: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.results += other.results
        self.wrong += other.wrong
        self.broken += other.broken
        self.worst = max(self.worst, other.worst)
        self.examples = (self.examples + other.examples)[:EXAMPLES]


Tallies = dict[str, Tally]


def tallies() -> Tallies:
    return {output: Tally() for output in OUTPUTS}


@dataclass(frozen=True)
class Truth:
    """Of one output: the correctly rounded results, and what the real ones have beside them."""

    rounded: Array
    rest: NDArray[np.longdouble]  # real result - rounded result
    unit: NDArray[np.int64]  # log2 of the real result's ULP
    fmt: Format

    @classmethod
    def of(
        cls,
        loss: Loss,
        output: str,
        inputs: Array,
        targets: Array | None,
        fmt: Format,
        residual: Residual,
        **parameters: float,
    ) -> Truth:
        lowest = fmt.min_exponent - fmt.precision + 1
        with np.errstate(invalid="ignore", over="ignore"):
            if fmt is FLOAT64:  # to which long double is too near
                rounded, rest = _by_mpmath(loss, output, inputs, targets, **parameters)
                truth = rounded.astype(np.longdouble)
            else:
                rounded = rounded_array(loss, output, inputs, targets, fmt, residual, **parameters)
                truth = loss.extended[output](residual, **parameters)[0]
                rest = truth - rounded.astype(np.longdouble)
            unit = np.where(truth == 0, lowest, np.frexp(truth)[1] - fmt.precision)
        return cls(rounded, rest, np.maximum(unit, lowest), fmt)

    def negated(self) -> Truth:
        return Truth(-self.rounded, -self.rest, self.unit, self.fmt)

    def errors(self, got: Array) -> NDArray[np.float64]:
        """In ULP. Zeros of either sign are equal, and so are NaN and infinities; else inf."""
        with np.errstate(invalid="ignore", over="ignore"):
            apart = got.astype(np.longdouble) - self.rounded.astype(np.longdouble)
            errors = np.ldexp(np.abs(apart - self.rest), -self.unit)
        same = (got == self.rounded) | (np.isnan(got) & np.isnan(self.rounded))
        same &= ~np.isfinite(self.rounded)
        errors[~np.isfinite(errors)] = np.inf
        errors[same] = 0.0
        return np.asarray(errors, np.float64)

    @cached_property
    def worst(self) -> float:
        """Of the correctly rounded results."""
        return float(self.errors(self.rounded).max(initial=0.0))


def _by_mpmath(
    loss: Loss, output: str, inputs: Array, targets: Array | None, **parameters: float
) -> tuple[Array, NDArray[np.longdouble]]:
    """As `Truth` has them: 400 bits are more than any of these results needs to be rounded."""
    rounded, rest = np.empty(inputs.shape), np.empty(inputs.shape, np.longdouble)
    others = np.zeros_like(inputs) if targets is None else targets
    with mp.workprec(400):
        for index, (x, t) in enumerate(zip(inputs.tolist(), others.tolist(), strict=True)):
            truth = real(loss, output, x, t, **parameters)
            rounded[index] = near = round_real(truth, FLOAT64)
            if output == "gradient" and not truth:
                rounded[index] = np.copysign(0.0, x - t)
            finite = mp.isfinite(truth) and np.isfinite(near)
            rest[index] = float(truth - mp.mpf(near)) if finite else np.nan
    return rounded, rest


def judge(
    case: Case,
    inputs: Array,
    targets: Array | None,
    parameters: dict[str, float],
    into: Tallies,
    *,
    mirrored: bool = False,
    bounds: dict[str, Bound] | None = None,
    truths: dict[str, Truth] | None = None,
) -> dict[str, Truth]:
    """Compare every output of flat arrays with the truth, which is returned.

    `mirrored`, for inputs without targets, judges -inputs as well: the losses are even, so the
    truths are the same values and the negated gradients. Without `bounds`, what is not correctly
    rounded is broken.
    """
    if truths is None:
        residual = Residual.of(inputs, targets, case.fmt)
        truths = {
            o: Truth.of(case.loss, o, inputs, targets, case.fmt, residual, **parameters)
            for o in OUTPUTS
        }
    other = np.zeros_like(inputs) if targets is None else targets
    for sign in (1, -1) if mirrored else (1,):
        x = inputs if sign == 1 else -inputs
        for output, call, got in case.element_wise(x, other, **parameters):
            truth = truths[output]
            if sign == -1 and output == "gradient":
                truth = truth.negated()
            bound = None if bounds is None else bounds[output]
            wrong, broken = _enter(into[output], got, truth, bound, x, other)
            blamed = broken if bound is not None else wrong
            for i in blamed[: EXAMPLES - len(into[output].examples)]:
                place = f"{float(x[i]).hex()}, {float(other[i]).hex()}"
                into[output].examples.append(
                    f"{case} {output} from {call} {parameters or ''} at ({place}): "
                    f"got {float(got[i]).hex()}, wanted {float(truth.rounded[i]).hex()}"
                )
    return truths


def _enter(
    tally: Tally, got: Array, truth: Truth, bound: Bound | None, inputs: Array, targets: Array
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Count these results; which are not correctly rounded, and which are broken."""
    bits = truth.fmt.bits
    wrong = np.flatnonzero(bits(got) != bits(truth.rounded))
    tally.results += got.size
    tally.wrong += wrong.size
    if bound is None:
        broken, worst = wrong, truth.worst
        if wrong.size:
            worst = max(worst, float(truth.errors(got)[wrong].max()))
    else:
        errors = truth.errors(got)
        excess = errors > bound.ulp
        with np.errstate(invalid="ignore", over="ignore"):
            far = np.abs(inputs.astype(np.float64) - targets.astype(np.float64)) > 2
            real = np.abs(truth.rounded.astype(np.longdouble) + truth.rest)
            excused = (got == 0) & (real < np.ldexp(1.0, truth.fmt.min_exponent))
            excused &= bound.flushes
            excess &= ~excused
            if bound.absolute_beyond_2:
                excused |= far
                excess &= ~(far & (np.ldexp(errors, truth.unit) <= bound.absolute_beyond_2))
        broken = np.flatnonzero(excess)
        worst = float(np.max(errors, initial=0.0, where=~excused))
    tally.broken += broken.size
    tally.worst = max(tally.worst, worst)
    return wrong, broken


def bit_patterns(fmt: Format) -> int:
    """How many non-negative numbers there are, infinity included."""
    return int(fmt.bits(fmt.array(np.inf))) + 1


def batches_of_residuals(fmt: Format, start: int, stop: int, stride: int) -> Iterator[Array]:
    """The non-negative numbers with bits in range(start, stop, stride), not too many at once."""
    for first in range(start, stop, BATCH * stride):
        yield fmt.from_bits(np.arange(first, min(first + BATCH * stride, stop), stride))


def random_pairs(
    fmt: Format, count: int, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Pairs of any bits, of like size, that nearly cancel, and with targets tiny against inputs."""
    patterns = bit_patterns(fmt)
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        x, t = (fmt.from_bits(rng.integers(0, patterns, n)) for _ in range(2))
        signs = fmt.array(rng.choice([-1.0, 1.0], n))
        yield x * signs, t
        x, t = (fmt.array(rng.standard_normal(n) * np.exp2(rng.integers(-9, 9, n))) for _ in "xt")
        yield x, t
        yield x, fmt.array(x.astype(np.float64) * (1 + rng.uniform(-1, 1, n) * 2.0**-6))
        tiny = rng.standard_normal(n) * np.exp2(rng.uniform(-fmt.precision * 4.0, 0, n))
        yield x, fmt.array(x.astype(np.float64) * tiny)
