"""The numerical contract (docs/numerics.md): what executors promise about results, as bounds."""

from __future__ import annotations

import importlib
from functools import cache

from ..executors.executor import Executor, Promise
from .formats import FLOAT16, FLOAT32, FLOAT64, Format
from .judge import Bound
from .reference import OUTPUTS, Loss

Bounds = dict[str, Bound] | None  # by output; None: correctly rounded


@cache
def executors(framework: str) -> dict[str, Executor]:
    """Those for the arrays of a framework, which is imported, by their names, best first."""
    package = importlib.import_module(f"lossless.executors.{framework}")
    return {executor.name: executor for executor in package.FRAMEWORK.executors}


def bounds(promise: Promise, loss: Loss, fmt: Format) -> Bounds:
    """What is promised of a loss in a format."""
    if promise.correctly_rounded:
        if fmt is not FLOAT64:
            return None
        # There is nothing wider: terms that cancel leave their own rounding errors.
        return {output: Bound(ulp, terms=2.0**-50) for output, ulp in loss.ulp_float64.items()}
    wide = fmt in (FLOAT32, FLOAT64)
    first, second = (promise.first, promise.second) if wide else (1.0, 1.0)
    # A subnormal number of float16 is a normal one of float32, in which it is computed.
    flushes_inputs = promise.flushes_inputs and fmt is not FLOAT16
    # A framework differentiates tanh as 1 - tanh**2, which cancels where it is small.
    absolute = dict.fromkeys(loss.absolute_beyond_2, 2.0**-22)
    return {
        output: Bound(
            ulp,
            absolute.get(output, 0.0),
            flushes=True,
            flushed=2.0**fmt.min_exponent if flushes_inputs else 0.0,
            terms=2.0**-47 if fmt is FLOAT64 else promise.terms,
            of_exponential=loss.exponential and fmt is not FLOAT64,
        )
        for output, ulp in zip(OUTPUTS, (first, first, second), strict=True)
    }


def promised(found: Bounds) -> str:
    """The bounds in words."""
    if found is None:
        return "correctly rounded"
    ulp = [bound.ulp for bound in found.values()]
    listed = ulp if len(set(ulp)) > 1 else ulp[:1]
    return f"≤ {', '.join(f'{bound:g}' for bound in listed)} ULP"
