"""What is known of a loss, and its correctly rounded results: screened, and decided by mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from mpmath import mp

from .extended import Bounds, Operands, Pair, Residual, Screened
from .formats import Array, Extended, Format, Mpf, round_extended, round_real
from .special import SpecialValues

T = TypeVar("T")
OUTPUTS = ("value", "gradient", "second_derivative")


# A result whose long double is not known to so many bits more than the format has goes to mpmath,
# so that its error in ULP is known, too.
SPARE = 8


def outputs(value: T, gradient: T, second_derivative: T) -> dict[str, T]:
    """By the names of the outputs."""
    return dict(zip(OUTPUTS, (value, gradient, second_derivative), strict=True))


@dataclass(frozen=True)
class Loss:
    """What is known of an element-wise loss besides its kernel and its formula.

    Its functions are of the residual (inputs - targets), or of inputs and targets, and of its
    parameters.
    """

    name: str  # as in lossless.info()["kernels"]
    definition: Mapping[str, Callable[..., Mpf]]  # relative error below 2**(8 - mp.prec)
    extended: Mapping[str, Callable[..., Screened]]  # the same in long double, with bounds

    # How it is called
    function: str = ""  # the public one, if it is not called f"{name}_loss"
    fixed: Mapping[str, Any] = field(default_factory=dict)  # its arguments that choose this loss
    parameters: Mapping[str, Any] = field(default_factory=dict)  # with their defaults
    # The proof sweeps the first of these, tests try all.
    other_parameters: tuple[Mapping[str, float], ...] = ()

    # What kind of function it is
    uses_difference_only: bool = True  # of inputs and targets; else its functions take both
    even: bool = True  # in the residual; its gradient at -0 is -0
    exact: bool = False  # the definition does not round at all
    algebraic: bool = True  # results may lie exactly half way between two numbers
    probabilities: bool = False  # whether inputs are from 0 to 1
    exponential: bool = False  # of inputs, which MLX and XLA in float32 know but to |x| ULP
    # How far inputs and targets are from where there is no derivative: 0 there, of either sign.
    kink: Callable[..., float] | None = None
    # By output, the sum of the magnitudes of its terms, in long double, if they may cancel.
    terms: Mapping[str, Callable[..., Extended]] = field(default_factory=dict)

    # What is promised
    ulp_float64: Mapping[str, float] = field(default_factory=dict)  # by the kernels
    # Outputs of which formulas promise an absolute error only, where the residual is beyond 2.
    absolute_beyond_2: tuple[str, ...] = ()

    # Where it is tried
    special_values: tuple[SpecialValues, ...] = ()
    targets: tuple[float, ...] = (0.0,)  # with which all inputs are tried
    labels: tuple[int, int] = (0, 1)  # the least and the largest, if targets are labels
    # Outputs that targets bring next to the middle of two numbers.
    hard_outputs: tuple[str, ...] = ()
    # Of inputs: the targets where the gradient is 0 or jumps to it, and where the value is 0
    # though its terms are not.
    balanced_targets: Callable[[Any], Any] | None = None
    targets_of_no_loss: Callable[[Any], Any] | None = None
    # Inputs, targets and parameters of values that are small against their terms.
    cancelling: Callable[[np.random.Generator], Iterator[tuple[float, ...]]] | None = None

    @property
    def public(self) -> str:
        return self.function or f"{self.name}_loss"

    @property
    def settings(self) -> list[dict[str, float]]:
        """The parameters to try: the defaults, and the others."""
        return [dict(self.parameters), *map(dict, self.other_parameters)]

    def operands(self, inputs: Array, targets: Array | None, fmt: Format) -> Operands:
        """What the functions in long double take."""
        return (Residual if self.uses_difference_only else Pair).of(inputs, targets, fmt)

    def magnitudes(
        self, output: str, operands: Operands, /, **parameters: float
    ) -> Extended | None:
        """The sum of the magnitudes of the terms, if they may cancel."""
        function = self.terms.get(output)
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
    """The real result, with a relative error below 2**(8 - mp.prec)."""
    if loss.uses_difference_only:
        arguments: tuple[Mpf, ...] = (exact_residual(inputs, targets),)
    else:
        arguments = mp.mpf(inputs), mp.mpf(targets)
    for x in arguments:
        if mp.isnan(x):
            return x
    return loss.definition[output](*arguments, **parameters)


def rounded(
    loss: Loss, output: str, inputs: float, targets: float, fmt: Format, /, **parameters: float
) -> float:
    """The correctly rounded result: precision grows until the error bound decides the rounding."""
    for precision in (128, 256, 512, 1024, 2048, 4096):
        with mp.workprec(precision):
            exactly = real(loss, output, inputs, targets, **parameters)
            # A number that needs no more than half of the bits has not been rounded.
            short = loss.algebraic and mp.isfinite(exactly) and exactly._mpf_[3] <= precision // 2
            exact = loss.exact or short or not mp.isfinite(exactly)
            error = 0 if exact else mp.ldexp(1, 8 - precision)
            # The products are exact: the interval itself must not round.
            low = mp.fmul(exactly, 1 - error, exact=True)
            high = mp.fmul(exactly, 1 + error, exact=True)
        result = round_real(low, fmt)
        if result == round_real(high, fmt) or math.isnan(result):
            if output == "gradient" and not exactly:
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
        decided = rounded(loss, output, float(inputs[index]), target, fmt, **parameters)
        results[index] = fmt.array(decided)
    return results
