"""Assertions on bits and ULP whose messages say inputs, got, wanted and the error."""

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
    got: Array,
    wanted: Array,
    arguments: Sequence[Any],
    errors: Sequence[Any],
) -> str:
    lines = [f"{what}: {len(wrong)} of {got.size} wrong"]
    for index, error in zip(wrong[:SHOWN], errors, strict=False):
        places = [float(np.broadcast_to(part, got.shape).flat[index]) for part in arguments]
        lines.append(
            f"  [{index}] at ({', '.join(f'{place.hex()} = {place!r}' for place in places)}): "
            f"got {float(got.flat[index])!r}, wanted {float(wanted.flat[index])!r}, "
            f"error {error} ULP"
        )
    return "\n".join(lines)


def assert_same_bits(got: Any, wanted: Any, fmt: Format, what: str, *arguments: Any) -> None:
    """Equal dtype, shape and bits: signs of zeros count, and every NaN is the same one."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.dtype == fmt.dtype, f"{what}: got {got.dtype}, wanted {fmt.dtype}"
    assert wanted.dtype == fmt.dtype, f"{what}: the test wants {wanted.dtype}, not {fmt.dtype}"
    assert got.shape == wanted.shape, f"{what}: got shape {got.shape}, wanted {wanted.shape}"
    wrong = np.flatnonzero(fmt.bits(got) != fmt.bits(wanted))
    if wrong.size:
        pairs = zip(got.flat[wrong[:SHOWN]], wanted.flat[wrong[:SHOWN]], strict=True)
        errors = [abs(float(a) - float(b)) / float(fmt.spacing(b)) for a, b in pairs]
        raise AssertionError(_complaint(what, wrong, got, wanted, arguments, errors))


def assert_correctly_rounded(
    case: Case, inputs: Array, targets: Array | None, **parameters: float
) -> None:
    """Every element-wise result, whichever call gives it, is the truth rounded once."""
    other = np.zeros_like(inputs) if targets is None else targets
    operands = case.loss.operands(inputs, targets, case.fmt)
    wanted: dict[str, Array] = {}
    for output, call, got in case.element_wise(inputs, other, **parameters):
        if output not in wanted:
            wanted[output] = rounded_array(
                case.loss, output, inputs, targets, case.fmt, operands, **parameters
            )
        what = f"{case} {output} from {call} {parameters or ''}"
        assert_same_bits(got, wanted[output], case.fmt, what, inputs, other)


def assert_ulp(
    got: Any,
    true: Sequence[Any],
    fmt: Format,
    bound: float,
    what: str,
    *arguments: Any,
    slack: Sequence[Any] | None = None,
) -> None:
    """Within so many ULP of real numbers, plus an absolute slack where a sum earns one."""
    got = np.asarray(got)
    assert got.dtype == fmt.dtype, f"{what}: got {got.dtype}, wanted {fmt.dtype}"
    assert got.size == len(true), f"{what}: got {got.size} results, wanted {len(true)}"
    errors = ulp_errors(got, true, fmt)
    bounds = [bound] * len(true)
    if slack is not None:
        for index, (number, more) in enumerate(zip(true, slack, strict=True)):
            if mp.isfinite(number):
                magnitude = int(mp.mag(number)) if number else fmt.min_exponent
                unit = fmt.quantum_exponent(magnitude)
                bounds[index] += float(mp.ldexp(more, -unit))
    wrong = np.array([i for i, e in enumerate(errors) if not e <= bounds[i]], np.intp)
    if wrong.size:
        shown = [f"{errors[i]} (allowed {bounds[i]})" for i in wrong[:SHOWN]]
        wanted = np.array([float(number) for number in true]).reshape(got.shape)
        raise AssertionError(_complaint(what, wrong, got, wanted, arguments, shown))


def ulp_errors(got: Array, true: Sequence[Any], fmt: Format) -> list[float]:
    return [ulp_error(float(a), b, fmt) for a, b in zip(got.flat, true, strict=True)]
