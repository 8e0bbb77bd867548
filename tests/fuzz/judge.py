"""Whether a result is what was to come: bits where they are promised, else bounds."""

from __future__ import annotations

import math

import numpy as np

from fuzz.programs import Program
from fuzz.truth import Expected, result_dtype
from lossless.verification.formats import FORMATS, Array


def complaint(program: Program, wanted: Expected, got: Array) -> str:
    """What is wrong, or nothing."""
    what = wanted.what
    if got.dtype.name != wanted.dtype:
        return f"{what}: dtype {got.dtype.name}, wanted {wanted.dtype}"
    if got.shape != wanted.exact.shape:
        return f"{what}: shape {got.shape}, wanted {wanted.exact.shape}"
    if not got.size:
        return ""
    # A cotangent for each element is a factor, be it 1, with which results are within a bound.
    has_factor = program.base == "grad" and program.reduction == "none"
    if wanted.bits is not None and not has_factor:
        fmt = FORMATS[wanted.dtype]
        wrong = np.flatnonzero(_differ(fmt.bits(got), fmt.bits(wanted.bits), got, wanted))
        if wrong.size:
            return _shown(f"{what}: other bits than NumPy's", wrong, got, wanted.bits)
    with np.errstate(all="ignore"):
        return _beyond(program, wanted, got)


def _differ(got: Array, wanted: Array, numbers: Array, expected: Expected) -> Array:
    differ = got != wanted
    zeros = (numbers == 0) & (expected.bits == 0)
    # The negative of a gradient that is 0 may be either zero.
    return np.asarray(differ & ~zeros if expected.what in ("targets", "inputs2") else differ)


def _bounds(program: Program, wanted: Expected) -> tuple[float, float]:
    """In ULP, and as a part of the terms."""
    fmt, losses = FORMATS[wanted.dtype], FORMATS[result_dtype(program)]
    native = not program.by_formulas and wanted.bits is not None
    narrow = fmt.precision < 24
    xla, double = program.library.xla, losses.precision == 53
    if native and not double:
        return 0.5 + 2.0**-19, 2.0**-40
    unit = 2.0**-53 if double else 2.0**-24
    if program.spec.of_rows and losses.precision == 24 and program.library.float64:
        unit = 2.0**-44  # computed in float64
    ulp = 1.0 if narrow else 16.0 if xla else 8.0
    if wanted.what == "second_derivative" and not narrow:
        ulp = 16.0
    if program.spec.of_rows and losses.precision == 24 and program.library.float64:
        ulp = 2.0
    # Sums in the dtype of the losses: over what was broadcast, and along rows.
    summed = wanted.summed * max(unit, 2.0**-24 if not double else 0.0)
    if "mean" in program.reduction:  # which divides by a sum
        summed += max(math.prod(sizes) for sizes in program.sizes) * unit
    summed += wanted.rounded * 2.0**-fmt.precision
    of_rows = max(map(max, program.sizes)) * unit if program.spec.of_rows else 0.0
    return ulp + 1.0, (32 if xla or program.spec.of_rows else 16) * unit + summed + of_rows


def _beyond(program: Program, wanted: Expected, got: Array) -> str:
    fmt = FORMATS[wanted.dtype]
    exact = np.asarray(wanted.exact, np.longdouble)
    ulp, part = _bounds(program, wanted)
    numbers = got.astype(np.longdouble)
    # Numbers at the edge of the range may round to infinity.
    edge = abs(exact) >= fmt.largest * (1 - 2.0**-6)
    unit = fmt.spacing(np.where(np.isfinite(exact) & ~edge, exact, fmt.largest).astype(np.float64))
    terms = np.where(np.isnan(wanted.terms), 0.0, wanted.terms)
    slack = part * terms + wanted.jumps
    if wanted.what == "second_derivative":
        slack = slack + 2.0**-22
    if wanted.bits is None:
        slack = slack + 2.0 ** max(fmt.min_exponent, -1022 if fmt.precision == 53 else -126)
    close = abs(numbers - exact) <= ulp * unit + slack
    same = (np.isnan(numbers) & np.isnan(exact)) | (numbers == exact)
    same |= np.asarray(wanted.anything)
    at_edge = edge & (np.isinf(numbers) | (abs(numbers) >= fmt.largest / 2))
    at_edge &= np.sign(numbers) == np.sign(exact)
    wrong = np.flatnonzero(~(close | same | at_edge))
    return _shown(f"{wanted.what}: wrong", wrong, got, exact) if wrong.size else ""


def _shown(what: str, wrong: Array, got: Array, wanted: Array) -> str:
    place = wrong[0]
    at = tuple(map(int, np.unravel_index(place, got.shape)))
    return (
        f"{what} in {wrong.size} of {got.size}, at {at}: got {float(got.flat[place])!r}, "
        f"wanted {float(wanted.flat[place])!r}"
    )
