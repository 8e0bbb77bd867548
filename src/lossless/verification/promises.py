"""The numerical contract (docs/numerics.md): what each executor promises about its results.

The executors are "kernels" and "formulas", for the arrays of each framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .formats import FLOAT16, FLOAT32, FLOAT64, Format
from .judge import Bound
from .reference import OUTPUTS, Loss

Bounds = dict[str, Bound] | None  # by output; None: correctly rounded


class Promise(Protocol):
    """What an executor promises for a loss in a format."""

    def bounds(self, loss: Loss, fmt: Format) -> Bounds: ...


class ByKernels:
    """Correct rounding in narrow formats, and in float64 a bound for each loss.

    The kernels compute in double, and again in double-double where double does not decide the
    rounding to a narrow format. Float64 results are computed in double only, so the rounding
    errors of terms that cancel remain.
    """

    def bounds(self, loss: Loss, fmt: Format) -> Bounds:
        if fmt is not FLOAT64:
            return None
        return {output: Bound(ulp, terms=2.0**-50) for output, ulp in loss.ulp_float64.items()}


@dataclass(frozen=True)
class ByFormulas:
    """A few ULP in float32 and float64: the elementary functions are those of the framework.

    Results in half types are computed in float32, and are within one ULP of the half type.
    """

    first: float = 8.0  # ULP of value and gradient
    second: float = 16.0  # ULP of the second derivative
    terms: float = 2.0**-21  # of the magnitudes of float32 terms that cancel
    flushes_inputs: bool = False  # subnormal inputs may count as 0

    def bounds(self, loss: Loss, fmt: Format) -> Bounds:
        wide = fmt in (FLOAT32, FLOAT64)
        first, second = (self.first, self.second) if wide else (1.0, 1.0)
        # A subnormal number of float16 is a normal one of float32, in which it is computed.
        flushes_inputs = self.flushes_inputs and fmt is not FLOAT16
        # A framework differentiates tanh as 1 - tanh**2, which cancels where it is small.
        absolute = dict.fromkeys(loss.absolute_beyond_2, 2.0**-22)
        return {
            output: Bound(
                ulp,
                absolute.get(output, 0.0),
                flushes=True,
                flushed=2.0**fmt.min_exponent if flushes_inputs else 0.0,
                terms=2.0**-47 if fmt is FLOAT64 else self.terms,
                of_exponential=loss.exponential and fmt is not FLOAT64,
            )
            for output, ulp in zip(OUTPUTS, (first, first, second), strict=True)
        }


# By executor and framework.
PROMISES: Mapping[tuple[str, str], Promise] = {
    ("kernels", "numpy"): ByKernels(),
    ("kernels", "mlx"): ByKernels(),
    ("kernels", "torch"): ByKernels(),
    ("kernels", "jax"): ByKernels(),
    ("formulas", "numpy"): ByFormulas(),
    ("formulas", "mlx"): ByFormulas(),
    ("formulas", "torch"): ByFormulas(),
    # XLA's elementary functions are coarser, and its code takes subnormal numbers for 0.
    ("formulas", "jax"): ByFormulas(first=16.0, terms=2.0**-20, flushes_inputs=True),
}


def promised(bounds: Bounds) -> str:
    """The bounds in words."""
    if bounds is None:
        return "correctly rounded"
    ulp = [bound.ulp for bound in bounds.values()]
    listed = ulp if len(set(ulp)) > 1 else ulp[:1]
    return f"≤ {', '.join(f'{bound:g}' for bound in listed)} ULP"
