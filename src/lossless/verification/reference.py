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


# The bits beyond the precision of the format to which a result must be known in long double, so
# that its error in ULP is known, too. Others go to mpmath.
SPARE = 8


def outputs(value: T, gradient: T, second_derivative: T) -> dict[str, T]:
    """Three things by the names of the outputs."""
    return dict(zip(OUTPUTS, (value, gradient, second_derivative), strict=True))


@dataclass(frozen=True)
class Loss:
    """What is known of an element-wise loss besides its kernel and its formula.

    Functions take the residual (inputs - targets), or inputs and targets if not only their
    difference counts, and then the parameters by name.
    """

    name: str  # as in lossless.info()["kernels"]
    definition: Mapping[str, Callable[..., Mpf]]  # with relative errors below 2**(8 - mp.prec)
    extended: Mapping[str, Callable[..., Screened]]  # the same in long double, with error bounds

    # How it is called
    function: str = ""  # the public function, if its name is not f"{name}_loss"
    fixed: Mapping[str, Any] = field(default_factory=dict)  # the arguments that choose this loss
    parameters: Mapping[str, Any] = field(default_factory=dict)  # and their default values
    # The tests try all of these, `lossless verify --exhaustive` the first.
    other_parameters: tuple[Mapping[str, float], ...] = ()

    # What kind of function it is
    uses_difference_only: bool = True  # the difference of inputs and targets
    even: bool = True  # in the residual; the gradient at -0 is -0
    exact: bool = False  # the definition does not round at all
    algebraic: bool = True  # a result may lie exactly half way between two numbers
    probabilities: bool = False  # the inputs are from 0 to 1
    exponential: bool = False  # of inputs: in float32, that of MLX and XLA is off by up to |x| ULP
    # Of inputs, targets and parameters: 0 where there is no derivative, and small next to it.
    kink: Callable[..., float] | None = None
    # For outputs whose terms may cancel: the sum of the magnitudes of the terms, in long double.
    terms: Mapping[str, Callable[..., Extended]] = field(default_factory=dict)

    # What is promised
    ulp_float64: Mapping[str, float] = field(default_factory=dict)  # by the kernels
    # Outputs for which formulas promise only an absolute error where the residual is beyond 2.
    absolute_beyond_2: tuple[str, ...] = ()

    # Where it is tried
    special_values: tuple[SpecialValues, ...] = ()
    targets: tuple[float, ...] = (0.0,)  # each is tried with all inputs
    labels: tuple[int, int] = (0, 1)  # the least and the largest label, if targets are labels
    # Outputs that a choice of targets can bring next to the middle of two numbers.
    hard_outputs: tuple[str, ...] = ()
    # For given inputs, the targets where the gradient is 0 or jumps to 0.
    balanced_targets: Callable[[Any], Any] | None = None
    # For given inputs, the targets where the value is 0 but its terms are not.
    targets_of_no_loss: Callable[[Any], Any] | None = None
    # Draws inputs, targets and parameters with values that are small against their terms.
    cancelling: Callable[[np.random.Generator], Iterator[tuple[float, ...]]] | None = None

    @property
    def public(self) -> str:
        return self.function or f"{self.name}_loss"

    @property
    def settings(self) -> list[dict[str, float]]:
        """The parameters to try: the defaults, and the others."""
        return [dict(self.parameters), *map(dict, self.other_parameters)]

    def operands(self, inputs: Array, targets: Array | None, fmt: Format) -> Operands:
        """The arguments of the functions in long double."""
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
