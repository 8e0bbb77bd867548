"""Whether a result is what was to come: bits where they are promised, else bounds."""

from __future__ import annotations

import math

import numpy as np

from fuzz.programs import Program
from fuzz.reference import Expected, result_dtype
from lossless.verification.formats import FORMATS, Array


def complaint(program: Program, expected: Expected, actual: Array) -> str:
    """What is wrong, or nothing."""
    what = expected.what
    if actual.dtype.name != expected.dtype:
        return f"{what}: expected dtype {expected.dtype}, got {actual.dtype.name}"
    if actual.shape != expected.exact.shape:
        return f"{what}: expected shape {expected.exact.shape}, got {actual.shape}"
    if not actual.size:
        return ""
    # A cotangent for each element is a factor, be it 1, with which results are within a bound.
    has_factor = program.base == "grad" and program.reduction == "none"
    if expected.bits is not None and not has_factor:
        fmt = FORMATS[expected.dtype]
        differ = fmt.bits(expected.bits) != fmt.bits(actual)
        zeros = (expected.bits == 0) & (actual == 0)
        # The negative of a gradient that is 0 may be either zero.
        either = zeros & (what in ("targets", "inputs2"))
        wrong = np.flatnonzero(differ & ~either)
        if wrong.size:
            return _shown(f"{what}: other bits than NumPy's", wrong, expected.bits, actual)
    with np.errstate(all="ignore"):
        return _beyond(program, expected, actual)


def _bounds(program: Program, expected: Expected) -> tuple[float, float]:
    """In ULP, and as a part of the terms."""
    fmt, losses = FORMATS[expected.dtype], FORMATS[result_dtype(program)]
    native = not program.by_formulas and expected.bits is not None
    narrow = fmt.precision < 24
    xla, double = program.library.xla, losses.precision == 53
    if native and not double:
        return 0.5 + 2.0**-19, 2.0**-40
    unit = 2.0**-53 if double else 2.0**-24
    if program.spec.of_rows and losses.precision == 24 and program.library.float64:
        unit = 2.0**-44  # computed in float64
    ulp = 1.0 if narrow else 16.0 if xla else 8.0
    if expected.what == "second_derivative" and not narrow:
        ulp = 16.0
    if program.spec.of_rows and losses.precision == 24 and program.library.float64:
        ulp = 2.0
    # Sums in the dtype of the losses: over what was broadcast, and along rows.
    summed = expected.summed * max(unit, 2.0**-24 if not double else 0.0)
    if "mean" in program.reduction:  # which divides by a sum
        summed += max(math.prod(sizes) for sizes in program.sizes) * unit
    summed += expected.rounded * 2.0**-fmt.precision
    of_rows = max(map(max, program.sizes)) * unit if program.spec.of_rows else 0.0
    return ulp + 1.0, (32 if xla or program.spec.of_rows else 16) * unit + summed + of_rows


def _beyond(program: Program, expected: Expected, actual: Array) -> str:
    fmt = FORMATS[expected.dtype]
    exact = np.asarray(expected.exact, np.longdouble)
    ulp, part = _bounds(program, expected)
    numbers = actual.astype(np.longdouble)
    # Numbers at the edge of the range may round to infinity.
    edge = abs(exact) >= fmt.largest * (1 - 2.0**-6)
    unit = fmt.spacing(np.where(np.isfinite(exact) & ~edge, exact, fmt.largest).astype(np.float64))
    terms = np.where(np.isnan(expected.terms), 0.0, expected.terms)
    slack = part * terms + expected.jumps
    if expected.what == "second_derivative":
        slack = slack + 2.0**-22
    if expected.bits is None:
        slack = slack + 2.0 ** max(fmt.min_exponent, -1022 if fmt.precision == 53 else -126)
    close = abs(numbers - exact) <= ulp * unit + slack
    same = (np.isnan(numbers) & np.isnan(exact)) | (numbers == exact)
    same |= np.asarray(expected.anything)
    at_edge = edge & (np.isinf(numbers) | (abs(numbers) >= fmt.largest / 2))
    at_edge &= np.sign(numbers) == np.sign(exact)
    wrong = np.flatnonzero(~(close | same | at_edge))
    return _shown(f"{expected.what}: wrong", wrong, exact, actual) if wrong.size else ""


def _shown(what: str, wrong: Array, expected: Array, actual: Array) -> str:
    place = wrong[0]
    at = tuple(map(int, np.unravel_index(place, actual.shape)))
    return (
        f"{what} in {wrong.size} of {actual.size}, at {at}: "
        f"expected {float(expected.flat[place])!r}, got {float(actual.flat[place])!r}"
    )
