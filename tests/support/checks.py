"""Assertions on bits and ULP whose messages say inputs, expected, got and the error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mpmath import mp
from numpy.typing import NDArray

from lossless.verification.formats import FLOAT32, FLOAT64, FORMATS, Array, Format, ulp_error
from lossless.verification.reference import rounded_array
from support.cases import JAX, Case

WEIGHTED_ULP = 0.5 + 2.0**-20  # the contract with weights, array parameters or 1/n
# The contract of composed formulas, in ULP of each output; half types are computed in float32.
# Beyond |residual| = 2 the second derivative may also be off by so much.
COMPOSED_ULP: dict[Format, dict[str, float]] = {
    fmt: {"value": 8, "gradient": 8, "second_derivative": 16}
    if fmt in (FLOAT32, FLOAT64)
    else dict.fromkeys(("value", "gradient", "second_derivative"), 1)
    for fmt in FORMATS.values()
}
XLA_ULP = 16  # in place of 8: its elementary functions are coarser
COMPOSED_SECOND = mp.ldexp(1, -22)
SHOWN = 5


def composed_ulp(case: Case, output: str) -> float:
    bound = COMPOSED_ULP[case.fmt][output]
    return XLA_ULP if case.backend in JAX and bound > 1 else bound


def _complaint(
    what: str,
    wrong: NDArray[np.intp],
    expected: Array,
    actual: Array,
    arguments: Sequence[Any],
    errors: Sequence[str],
) -> str:
    lines = [f"{what}: {len(wrong)} of {actual.size} wrong"]
    for index, error in zip(wrong[:SHOWN], errors, strict=False):
        places = [float(np.broadcast_to(part, actual.shape).flat[index]) for part in arguments]
        lines.append(
            f"  [{index}] at ({', '.join(f'{place.hex()} = {place!r}' for place in places)}): "
            f"expected {float(expected.flat[index])!r}, got {float(actual.flat[index])!r}, "
            f"error {error}"
        )
    return "\n".join(lines)


def assert_same_bits(expected: Any, actual: Any, fmt: Format, what: str, *arguments: Any) -> None:
    """Equal dtype, shape and bits: signs of zeros count, and every NaN is the same one."""
    expected, actual = np.asarray(expected), np.asarray(actual)
    assert fmt.dtype == expected.dtype, (
        f"{what}: the test expects {expected.dtype}, not {fmt.dtype}"
    )
    assert fmt.dtype == actual.dtype, f"{what}: expected {fmt.dtype}, got {actual.dtype}"
    assert expected.shape == actual.shape, (
        f"{what}: expected shape {expected.shape}, got {actual.shape}"
    )
    wrong = np.flatnonzero(fmt.bits(actual) != fmt.bits(expected))
    if wrong.size:
        pairs = zip(expected.flat[wrong[:SHOWN]], actual.flat[wrong[:SHOWN]], strict=True)
        errors = [f"{abs(float(b) - float(a)) / float(fmt.spacing(a))} ULP" for a, b in pairs]
        raise AssertionError(_complaint(what, wrong, expected, actual, arguments, errors))


def assert_within(allowed: Any, expected: Any, actual: Any, what: str, *arguments: Any) -> None:
    """Numbers that differ by no more than so much each; NaN is NaN, and infinite the same one."""
    expected, actual = np.asarray(expected), np.asarray(actual)
    assert expected.shape == actual.shape, (
        f"{what}: expected shape {expected.shape}, got {actual.shape}"
    )
    wide, other = expected.astype(np.float64), actual.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(other - wide)
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    wrong = np.flatnonzero(~((off <= allowed) | same))
    if wrong.size:
        bounds = np.broadcast_to(allowed, off.shape)
        errors = [f"{off.flat[i]} (allowed {bounds.flat[i]})" for i in wrong[:SHOWN]]
        raise AssertionError(_complaint(what, wrong, expected, actual, arguments, errors))


def assert_correctly_rounded(
    case: Case, inputs: Array, targets: Array | None, **parameters: float
) -> None:
    """Every element-wise result, whichever call gives it, is the reference rounded once."""
    other = np.zeros_like(inputs) if targets is None else targets
    operands = case.loss.operands(inputs, targets, case.fmt)
    expected: dict[str, Array] = {}
    for output, call, actual in case.element_wise(inputs, other, **parameters):
        if output not in expected:
            expected[output] = rounded_array(
                case.loss, output, inputs, targets, case.fmt, operands, **parameters
            )
        what = f"{case} {output} from {call} {parameters or ''}"
        assert_same_bits(expected[output], actual, case.fmt, what, inputs, other)


def assert_ulp(
    expected: Sequence[Any],
    actual: Any,
    fmt: Format,
    bound: float,
    what: str,
    *arguments: Any,
    slack: Sequence[Any] | None = None,
) -> None:
    """Within so many ULP of real numbers, plus an absolute slack where a sum earns one."""
    actual = np.asarray(actual)
    assert fmt.dtype == actual.dtype, f"{what}: expected {fmt.dtype}, got {actual.dtype}"
    assert len(expected) == actual.size, (
        f"{what}: expected {len(expected)} results, got {actual.size}"
    )
    errors = ulp_errors(expected, actual, fmt)
    bounds = [bound] * len(expected)
    if slack is not None:
        for index, (number, more) in enumerate(zip(expected, slack, strict=True)):
            if mp.isfinite(number):
                magnitude = int(mp.mag(number)) if number else fmt.min_exponent
                unit = fmt.quantum_exponent(magnitude)
                bounds[index] += float(mp.ldexp(more, -unit))
    wrong = np.array([i for i, e in enumerate(errors) if not e <= bounds[i]], np.intp)
    if wrong.size:
        shown = [f"{errors[i]} ULP (allowed {bounds[i]})" for i in wrong[:SHOWN]]
        nearest = np.array([float(number) for number in expected]).reshape(actual.shape)
        raise AssertionError(_complaint(what, wrong, nearest, actual, arguments, shown))


def ulp_errors(expected: Sequence[Any], actual: Array, fmt: Format) -> list[float]:
    return [ulp_error(float(b), a, fmt) for a, b in zip(expected, actual.flat, strict=True)]
