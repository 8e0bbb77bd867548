"""What is known of a loss, and its correctly rounded results: screened, and decided by mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpmath import mp

from .extended import Bounds, Operands, Pair, Residual, Screened
from .formats import Array, Extended, Format, Mpf, round_extended, round_real

OUTPUTS = ("value", "gradient", "second_derivative")


# A result whose long double is not known to so many bits more than the format has goes to mpmath,
# so that its error in ULP is known, too.
SPARE = 8


@dataclass(frozen=True)
class Loss:
    """A row of the registry: functions of the residual r (and parameters), one for each output."""

    name: str  # as in lossless.info()["kernels"]
    real: Mapping[str, Callable[..., Mpf]]  # relative error below 2**(8 - mp.prec)
    extended: Mapping[str, Callable[..., Screened]]  # the same in long double, with bounds
    exact: bool = False  # `real` does not round at all
    parameters: Mapping[str, Any] = field(default_factory=dict)  # with their defaults
    other_parameters: tuple[
        Mapping[str, float], ...
    ] = ()  # the proof sweeps the first, tests try all
    ulp_float64: Mapping[str, float] = field(default_factory=dict)  # the contract
    function: str = ""  # the public one, if it is not called f"{name}_loss"
    fixed: Mapping[str, Any] = field(default_factory=dict)  # its arguments that choose this loss
    of_residual: bool = True  # else functions of inputs and targets
    even: bool = True  # in the residual; its gradient at -0 is -0
    algebraic: bool = False  # may lie exactly half way between two numbers
    targets: tuple[float, ...] = (0.0,)  # with which all inputs are tried
    probabilities: bool = False  # whether inputs are from 0 to 1
    exponential: bool = False  # of inputs, which MLX and XLA in float32 know but to |x| ULP
    # The sums of the magnitudes of the terms of value, gradient and second derivative, in long
    # double, of those that may cancel.
    terms: tuple[Callable[..., Extended], ...] = ()
    steered: tuple[str, ...] = ()  # outputs that targets bring next to the middle of two numbers
    beyond_2: bool = False  # whether formulas promise the second derivative there absolutely only

    @property
    def public(self) -> str:
        return self.function or f"{self.name}_loss"

    @property
    def settings(self) -> list[dict[str, float]]:
        """The parameters to try: the defaults, and the others."""
        return [dict(self.parameters), *map(dict, self.other_parameters)]

    def operands(self, inputs: Array, targets: Array | None, fmt: Format) -> Operands:
        """What the functions in long double take."""
        return (Residual if self.of_residual else Pair).of(inputs, targets, fmt)

    def magnitudes(
        self, output: str, operands: Operands, /, **parameters: float
    ) -> Extended | None:
        """The sum of the magnitudes of the terms, if they may cancel."""
        functions = dict(zip(OUTPUTS, self.terms, strict=False))
        function = functions.get(output)
        with np.errstate(invalid="ignore", over="ignore"):
            return function(operands, **parameters) if function else None


def exact_residual(inputs: float, targets: float) -> Mpf:
    """inputs - targets, every bit of it."""
    if math.isfinite(inputs) and math.isfinite(targets):
        return mp.fsub(mp.mpf(inputs), mp.mpf(targets), exact=True)
    return mp.mpf(inputs - targets)


def real(
    loss: Loss, output: str, inputs: float, targets: float = 0.0, /, **parameters: float
) -> Mpf:
    """The true result, with a relative error below 2**(8 - mp.prec)."""
    if loss.of_residual:
        arguments: tuple[Mpf, ...] = (exact_residual(inputs, targets),)
    else:
        arguments = mp.mpf(inputs), mp.mpf(targets)
    for x in arguments:
        if mp.isnan(x):
            return x
    return loss.real[output](*arguments, **parameters)


def rounded(
    loss: Loss, output: str, inputs: float, targets: float, fmt: Format, /, **parameters: float
) -> float:
    """The correctly rounded result: precision grows until the error bound decides the rounding."""
    for precision in (128, 256, 512, 1024, 2048, 4096):
        with mp.workprec(precision):
            truth = real(loss, output, inputs, targets, **parameters)
            # A number that needs no more than half of the bits has not been rounded.
            short = loss.algebraic and mp.isfinite(truth) and truth._mpf_[3] <= precision // 2
            exact = loss.exact or short or not mp.isfinite(truth)
            error = 0 if exact else mp.ldexp(1, 8 - precision)
            # The products are exact: the interval itself must not round.
            low = mp.fmul(truth, 1 - error, exact=True)
            high = mp.fmul(truth, 1 + error, exact=True)
        result = round_real(low, fmt)
        if result == round_real(high, fmt) or math.isnan(result):
            if output == "gradient" and not truth:
                return math.copysign(0.0, inputs - targets)
            return result
    raise ArithmeticError(loss.name, output, inputs, targets, fmt.name, parameters)


def screen(result: Extended, bound: Bounds, fmt: Format) -> tuple[Array, Array]:
    """Results rounded from long double, and where its error bound leaves the rounding open."""
    if np.ndim(bound) == 0 and not bound:  # exact
        return round_extended(result, fmt), np.zeros(result.shape, np.bool_)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        low = round_extended(result * (1 - bound), fmt)
        high = round_extended(result * (1 + bound), fmt)
        loose = bound > 2.0 ** -(fmt.precision + SPARE)
    return high, ((low != high) | loose) & ~np.isnan(result)


def rounded_array(
    loss: Loss,
    output: str,
    inputs: Array,
    targets: Array | None,
    fmt: Format,
    operands: Operands | None = None,
    /,
    **parameters: float,
) -> Array:
    """Correctly rounded results for flat arrays: screened by long double, decided by mpmath."""
    operands = operands or loss.operands(inputs, targets, fmt)
    results, undecided = screen(*loss.extended[output](operands, **parameters), fmt)
    for index in np.flatnonzero(undecided):
        target = 0.0 if targets is None else float(targets[index])
        truth = rounded(loss, output, float(inputs[index]), target, fmt, **parameters)
        results[index] = fmt.array(truth)
    return results
