"""The truth: every loss and its derivatives from their definitions, at any precision, in mpmath.

`LOSSES` has one row per loss; tests, tables and the exhaustive proof all read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpmath import mp

from . import extended
from .extended import Residual, Screened
from .formats import Array, Extended, Format, Mpf, round_extended, round_real

OUTPUTS = ("value", "gradient", "second_derivative")


@dataclass(frozen=True)
class Loss:
    """A row of the registry: functions of the residual r (and parameters), one for each output."""

    name: str  # as in lossless.info()["losses"]
    real: Mapping[str, Callable[..., Mpf]]  # relative error below 2**(8 - mp.prec)
    extended: Mapping[str, Callable[..., Screened]]  # the same in long double, with bounds
    exact: bool  # `real` does not round at all
    parameters: Mapping[str, Any] = field(default_factory=dict)  # with their defaults
    other_parameters: tuple[
        Mapping[str, float], ...
    ] = ()  # the proof sweeps the first, tests try all
    ulp_float64: Mapping[str, float] = field(default_factory=dict)  # the contract
    function: str = ""  # the public one, if it is not called f"{name}_loss"
    fixed: Mapping[str, Any] = field(default_factory=dict)  # its arguments that choose this loss
    of_residual: bool = True  # else functions of inputs and targets
    algebraic: bool = False  # may lie exactly half way between two numbers

    @property
    def public(self) -> str:
        return self.function or f"{self.name}_loss"

    @property
    def settings(self) -> list[dict[str, float]]:
        """The parameters to try: the defaults, and the others."""
        return [dict(self.parameters), *map(dict, self.other_parameters)]


def _log_cosh(r: Mpf) -> Mpf:
    if not r:
        return r
    # cosh(r) - 1 begins that many bits behind the point.
    cancelled = max(0, -2 * int(mp.mag(r))) if mp.isfinite(r) else 0
    with mp.workprec(mp.prec + cancelled + 8):
        return mp.log(mp.cosh(r))


def _sech_squared(r: Mpf) -> Mpf:
    return mp.sech(r) ** 2


def _magnitude(r: Mpf) -> Mpf:
    return mp.fneg(r, exact=True) if r < 0 else r  # abs() rounds to mp.prec


def _huber(r: Mpf, delta: float) -> Mpf:
    a, d = _magnitude(r), mp.mpf(delta)
    if a <= d:
        return mp.ldexp(mp.fmul(a, a, exact=True), -1)
    return mp.fmul(d, mp.fsub(a, mp.ldexp(d, -1), exact=True), exact=True)


def _huber_gradient(r: Mpf, delta: float) -> Mpf:
    if _magnitude(r) <= mp.mpf(delta):
        return r
    return mp.mpf(delta if r > 0 else -delta)


def _huber_second_derivative(r: Mpf, delta: float) -> Mpf:
    return mp.mpf(1 if _magnitude(r) <= mp.mpf(delta) else 0)


LOSSES = {
    row.name: row
    for row in (
        Loss(
            "huber",
            dict(zip(OUTPUTS, (_huber, _huber_gradient, _huber_second_derivative), strict=True)),
            {
                "value": extended.huber_value,
                "gradient": extended.huber_gradient,
                "second_derivative": extended.huber_second_derivative,
            },
            exact=True,
            parameters={"delta": 1.0},
            other_parameters=tuple({"delta": delta} for delta in (0.1, 1.345, 3e-5, 1e4, math.inf)),
            ulp_float64={"value": 1, "gradient": 1, "second_derivative": 0},
        ),
        Loss(
            "log_cosh",
            dict(zip(OUTPUTS, (_log_cosh, mp.tanh, _sech_squared), strict=True)),
            {
                "value": extended.log_cosh_value,
                "gradient": extended.log_cosh_gradient,
                "second_derivative": extended.log_cosh_second_derivative,
            },
            exact=False,
            ulp_float64={"value": 6, "gradient": 6, "second_derivative": 8},
        ),
    )
}


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


def screen(result: Extended, bound: Extended | np.longdouble, fmt: Format) -> tuple[Array, Array]:
    """Results rounded from long double, and where its error bound leaves the rounding open."""
    if np.ndim(bound) == 0 and not bound:  # exact
        return round_extended(result, fmt), np.zeros(result.shape, np.bool_)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        low = round_extended(result * (1 - bound), fmt)
        high = round_extended(result * (1 + bound), fmt)
    return high, (low != high) & ~np.isnan(result)


def rounded_array(
    loss: Loss,
    output: str,
    inputs: Array,
    targets: Array | None,
    fmt: Format,
    residual: Residual | None = None,
    **parameters: float,
) -> Array:
    """Correctly rounded results for flat arrays: screened by long double, decided by mpmath."""
    residual = residual or Residual.of(inputs, targets, fmt)
    results, undecided = screen(*loss.extended[output](residual, **parameters), fmt)
    for index in np.flatnonzero(undecided):
        target = 0.0 if targets is None else float(targets[index])
        truth = rounded(loss, output, float(inputs[index]), target, fmt, **parameters)
        results[index] = fmt.array(truth)
    return results
