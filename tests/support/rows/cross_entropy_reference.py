"""The kernel of cross entropy called directly, and its reference from the definition in mpmath."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp

from lossless import _core
from lossless.verification.formats import FLOAT64, FORMATS, Array, Format
from support.checks import assert_ulp

CODES = {fmt.dtype: code for code, fmt in enumerate(FORMATS.values())} | {np.dtype(bool): 4}
LOSS = [name for name, *_ in _core.row_losses()].index("cross_entropy")
REDUCTIONS = ("none", "sum", "mean", "weighted_mean")
# A lane of a sum adds so many terms at most, before it is added to others without error.
MOST_ADDITIONS = 4096
# What is lost where float64 underflows: units of its smallest number.
SMALLEST = mp.ldexp(1, -1074)


def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    axis: int = -1,
    smoothing: float = 0.0,
    weights: Array | None = None,
    where: Array | None = None,
    reduction: Any = "none",
    cotangent: Array | float | None = None,
    into: Array | None = None,
    threads: int = 0,
) -> tuple[Array, Array]:
    """Value and gradient, and a check that the value alone is the same."""
    rows = np.moveaxis(logits, axis, -1)
    is_soft = targets.ndim == logits.ndim
    labels = None if is_soft else targets
    probabilities = operand(np.moveaxis(targets, axis, -1)) if is_soft else None
    gradient = np.empty_like(logits) if into is None else into
    shape = rows.shape[:-1] if reduction == "none" else ()
    values = [np.empty(shape, logits.dtype) for _ in range(2)]
    for value, slope in zip(values, (None, np.moveaxis(gradient, axis, -1)), strict=True):
        first_bad = _core.sweep_rows(
            LOSS, CODES[logits.dtype], REDUCTIONS.index(reduction), rows.shape,
            (rows, CODES[rows.dtype]),
            labels, probabilities, (smoothing,), operand(weights), operand(where), value, slope,
            operand(cotangent), threads,
        )  # fmt: skip
        assert -1 == first_bad
    assert values[0].tobytes() == values[1].tobytes()
    return values[0], gradient


def operand(x: Any) -> Any:
    return (x, CODES[x.dtype]) if isinstance(x, np.ndarray) else x


@dataclass(frozen=True)
class Reference:
    """Real numbers, as object arrays, and the sums of the absolute terms of which each consists."""

    value: Array
    gradient: Array
    value_terms: Array
    gradient_terms: Array


def reference(
    logits: Array,
    targets: Array,
    *,
    smoothing: float = 0.0,
    weights: Array | None = None,
    where: Array | None = None,
    reduction: Any = "none",
    cotangent: Any = None,
    precision: int = 400,
) -> Reference:
    """Of rows along the last axis."""
    with mp.workprec(precision):
        shape = logits.shape[:-1]
        factors = np.vectorize(lambda w: mp.mpf(float(w)), otypes=[object])(
            np.ones(shape) if weights is None else weights
        )
        if where is not None:
            factors = np.where(where, factors, mp.mpf(0))
        counts = np.ones(shape, int) if where is None else where.astype(int)
        divisor = {
            "mean": mp.mpf(int(counts.sum())),
            "weighted_mean": factors.sum(),
        }.get(reduction, mp.mpf(1))
        value, value_terms = (np.full(shape, mp.mpf(0), object) for _ in range(2))
        gradient, gradient_terms = (np.full(logits.shape, mp.mpf(0), object) for _ in range(2))
        for place in np.ndindex(shape):
            if not counts[place]:
                continue
            target = targets[place]
            row = of_row(logits[place], target, smoothing)
            value[place], value_terms[place] = factors[place] * row[0], factors[place] * row[1]
            given = 1.0 if cotangent is None else np.broadcast_to(cotangent, shape)[place]
            scale = factors[place] * mp.mpf(float(given)) / divisor
            gradient[place], gradient_terms[place] = scale * row[2], abs(scale) * row[3]
        if reduction != "none":
            value = np.asarray(value.sum() / divisor)
            value_terms = np.asarray(abs(value_terms).sum() / divisor)
    return Reference(value, gradient, np.asarray(abs(value_terms)), gradient_terms)


def of_row(logits: Array, target: Any, smoothing: float) -> tuple[Any, Any, Array, Array]:
    """Value, gradient and their terms: minus the logarithm of softmax, weighted by the targets."""
    s, classes = mp.mpf(smoothing), len(logits)
    x = [mp.mpf(float(logit)) for logit in logits]
    largest = max(x)
    exponentials = [mp.exp(logit - largest) for logit in x]
    total = mp.fsum(exponentials)
    if np.ndim(target):
        p = [mp.mpf(float(part)) for part in target]
    else:
        p = [mp.mpf(int(target) == place) for place in range(classes)]
    shares = [(1 - s) * part + s / classes for part in p]
    parts = [
        q * (mp.log(total) + (largest - logit)) for q, logit in zip(shares, x, strict=True) if q
    ]
    softmax, q = np.array([e / total for e in exponentials], object), np.array(shares, object)
    of_all = softmax * mp.fsum(shares)
    return mp.fsum(parts), mp.fsum(map(abs, parts)), of_all - q, of_all + abs(q)


def assert_near(
    true: Array, actual: Array, terms: Array, fmt: Format, classes: int, what: str
) -> None:
    """As promised: one rounding of a number whose error is relative to its absolute terms."""
    assert true.shape == actual.shape, f"{what}: expected shape {true.shape}, got {actual.shape}"
    if fmt is FLOAT64:
        relative = mp.ldexp(16 + min(classes / 16, MOST_ADDITIONS), -53)
    else:
        relative = mp.ldexp(1, -40)
    # A float64 number off by several ULP may round in the next binade.
    bound = 1.0 if fmt is FLOAT64 else 0.5
    slack = [part * relative + 2 * SMALLEST for part in terms.flat]
    assert_ulp(list(true.flat), actual, fmt, bound, what, slack=slack)
