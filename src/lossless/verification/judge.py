"""Comparing every output of calls with the reference: how many are off, and by how much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from mpmath import mp
from numpy.typing import NDArray

from .extended import Operands
from .formats import FLOAT64, Array, Extended, Format, round_real
from .reference import OUTPUTS, Loss, real, rounded, screen

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
    terms: float = 0.0  # besides, of the sum of the magnitudes of terms that may cancel
    of_exponential: bool = False  # that share grows with |inputs|
    flushed: float = 0.0  # inputs below may count as 0


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
class Reference:
    """Of one output: the correctly rounded results, and what the real ones have beside them."""

    rounded: Array
    rest: NDArray[np.longdouble]  # real result - rounded result
    unit: NDArray[np.int64]  # log2 of the real result's ULP
    fmt: Format
    terms: Extended | None = None  # the sum of their magnitudes, if they may cancel

    @classmethod
    def of(
        cls,
        loss: Loss,
        output: str,
        inputs: Array,
        targets: Array | None,
        fmt: Format,
        operands: Operands,
        /,
        **parameters: float,
    ) -> Reference:
        lowest = fmt.min_exponent - fmt.precision + 1
        terms = loss.magnitudes(output, operands, **parameters)
        with np.errstate(invalid="ignore", over="ignore"):
            if fmt is FLOAT64:  # to which long double is too near
                nearest, rest = np.empty(inputs.shape), np.empty(inputs.shape, np.longdouble)
                undecided = np.ones(inputs.shape, np.bool_)
            else:
                result, bound = loss.extended[output](operands, **parameters)
                nearest, undecided = screen(result, bound, fmt)
                rest = result - nearest.astype(np.longdouble)
            others = np.zeros_like(inputs) if targets is None else targets
            for i in np.flatnonzero(undecided):
                point = float(inputs[i]), float(others[i])
                near, rest[i] = _by_mpmath(loss, output, *point, fmt, **parameters)
                nearest[i] = fmt.array(near)
            if not loss.even:  # whose zeros have any sign
                nearest = np.where(nearest == 0, fmt.array(0.0), nearest)
            whole = nearest.astype(np.longdouble) + rest
            whole = np.where(np.isfinite(whole), whole, nearest.astype(np.longdouble))
            unit = np.where(whole == 0, lowest, np.frexp(whole)[1] - fmt.precision)
        return cls(nearest, rest, np.maximum(unit, lowest), fmt, terms)

    def negated(self) -> Reference:
        return Reference(-self.rounded, -self.rest, self.unit, self.fmt, self.terms)

    def errors(self, actual: Array) -> NDArray[np.float64]:
        """In ULP. Zeros of either sign are equal, and so are NaN and infinities; else inf."""
        with np.errstate(invalid="ignore", over="ignore"):
            apart = actual.astype(np.longdouble) - self.rounded.astype(np.longdouble)
            errors = np.ldexp(np.abs(apart - self.rest), -self.unit)
        same = (actual == self.rounded) | (np.isnan(actual) & np.isnan(self.rounded))
        same &= ~np.isfinite(self.rounded)
        errors[~np.isfinite(errors)] = np.inf
        errors[same] = 0.0
        return np.asarray(errors, np.float64)

    @cached_property
    def worst(self) -> float:
        """Of the correctly rounded results."""
        return float(self.errors(self.rounded).max(initial=0.0))


def _by_mpmath(
    loss: Loss, output: str, inputs: float, targets: float, fmt: Format, /, **parameters: float
) -> tuple[float, float]:
    """The correctly rounded result, and what the real one has beside it."""
    # More bits than any result in float64 needs to be rounded.
    with mp.workprec(400):
        exactly = real(loss, output, inputs, targets, **parameters)
        if fmt is FLOAT64:
            near = round_real(exactly, fmt)
            if output == "gradient" and not exactly:
                near = np.copysign(0.0, inputs - targets)
        else:
            near = rounded(loss, output, inputs, targets, fmt, **parameters)
        finite = mp.isfinite(exactly) and np.isfinite(near)
        return near, float(exactly - mp.mpf(near)) if finite else np.nan


def judge(
    case: Case,
    inputs: Array,
    targets: Array | None,
    parameters: dict[str, float],
    into: Tallies,
    *,
    mirrored: bool = False,
    bounds: dict[str, Bound] | None = None,
    references: dict[str, Reference] | None = None,
) -> dict[str, Reference]:
    """Compare every output of flat arrays with the reference, which is returned.

    `mirrored`, for an even loss of inputs without targets, judges -inputs as well: the references
    are the same values and the negated gradients. Without `bounds`, what is not correctly rounded
    is broken.
    """
    if references is None:
        operands = case.loss.operands(inputs, targets, case.fmt)
        references = {
            o: Reference.of(case.loss, o, inputs, targets, case.fmt, operands, **parameters)
            for o in OUTPUTS
        }
    other = np.zeros_like(inputs) if targets is None else targets
    for sign in (1, -1) if mirrored else (1,):
        x = inputs if sign == 1 else -inputs
        for output, call, actual in case.element_wise(x, other, **parameters):
            reference = references[output]
            if sign == -1 and output == "gradient":
                reference = reference.negated()
            bound = None if bounds is None else bounds[output]
            if not case.loss.even:
                actual = np.where(actual == 0, case.fmt.array(0.0), actual)
            wrong, broken = _enter(into[output], reference, actual, bound, x, other)
            blamed = broken if bound is not None else wrong
            for i in blamed[: EXAMPLES - len(into[output].examples)]:
                place = f"{float(x[i]).hex()}, {float(other[i]).hex()}"
                into[output].examples.append(
                    f"{case} {output} from {call} {parameters or ''} at ({place}): "
                    f"got {float(actual[i]).hex()}, wanted {float(reference.rounded[i]).hex()}"
                )
    return references


def _enter(
    tally: Tally,
    reference: Reference,
    actual: Array,
    bound: Bound | None,
    inputs: Array,
    targets: Array,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Count these results; which are not correctly rounded, and which are broken."""
    bits = reference.fmt.bits
    wrong = np.flatnonzero(bits(actual) != bits(reference.rounded))
    tally.results += actual.size
    tally.wrong += wrong.size
    if bound is None:
        broken, worst = wrong, reference.worst
        if wrong.size:
            worst = max(worst, float(reference.errors(actual)[wrong].max()))
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            x, t = inputs.astype(np.float64), targets.astype(np.float64)
            real = np.abs(reference.rounded.astype(np.longdouble) + reference.rest)
            errors = np.maximum(
                reference.errors(actual) - _slack(bound, reference, real, np.abs(x)), 0
            )
            excess = errors > bound.ulp
            excused = (
                (actual == 0) & (real < np.ldexp(1.0, reference.fmt.min_exponent)) & bound.flushes
            )
            excused |= (np.abs(x) < bound.flushed) & (x != 0)
            excess &= ~excused
            if bound.absolute_beyond_2:
                far = np.abs(x - t) > 2
                excused |= far
                excess &= ~(far & (np.ldexp(errors, reference.unit) <= bound.absolute_beyond_2))
        broken = np.flatnonzero(excess)
        worst = float(np.max(errors, initial=0.0, where=~excused))
    tally.broken += broken.size
    tally.worst = max(tally.worst, worst)
    return wrong, broken


def _slack(bound: Bound, reference: Reference, real: Extended, inputs: Array) -> Any:
    """What terms that cancel may leave, in ULP of the result: nothing where all have one sign."""
    if reference.terms is None or not bound.terms:
        return 0.0
    cancelled = reference.terms - real + reference.terms * inputs * bound.of_exponential
    slack = np.ldexp(bound.terms * np.maximum(cancelled, 0), -reference.unit).astype(np.float64)
    return np.where(np.isfinite(slack), slack, 0)
