"""Whole calls, options included, from the definitions in mpmath: slow, for small arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp

from lossless.verification import reference
from lossless.verification.formats import FLOAT32, FLOAT64, NARROW, Array
from support.cases import Case
from support.checks import COMPOSED_SECOND, COMPOSED_ULP, WEIGHTED_ULP, assert_same_bits, assert_ulp
from support.element_wise_points import slacks

PRECISION = 400
# A float64 total: at most 4096 additions in each of 16 lanes of a block, then the lanes and the
# blocks, each off by 2**-53 of the sum of magnitudes.
TOTAL = mp.ldexp(1, -40)
# What is lost where float64 underflows: units of its smallest number, in an element (times its
# weight), in the product with the weight and in that with the scale.
SMALLEST = mp.ldexp(1, -1074)
ELEMENT_ULP = 8


@dataclass(frozen=True)
class Reference:
    """Real numbers, as object arrays, and what float64 sums and underflow may add to each."""

    value: Array
    gradient: Array
    second_derivative: Array
    value_slack: Array
    gradient_slack: Array
    second_derivative_slack: Array


def reference_call(
    case: Case,
    inputs: Array,
    targets: Array,
    /,
    reduction: Any = "none",
    weights: Any = None,
    where: Any = None,
    axis: Any = None,
    **parameters: Any,
) -> Reference:
    shape = np.broadcast_shapes(inputs.shape, targets.shape)
    x, t = (np.broadcast_to(a, shape).astype(np.float64) for a in (inputs, targets))
    mask = np.broadcast_to(True if where is None else where, shape)
    w = np.broadcast_to(np.asarray(1.0 if weights is None else weights, np.float64), shape)
    arrays = {name: np.broadcast_to(given, shape) for name, given in parameters.items()}
    outputs = {output: np.full(shape, mp.mpf(0), object) for output in reference.OUTPUTS}
    cancelled = [np.full(shape, mp.mpf(0), object) for _ in outputs]
    unit = mp.ldexp(1, -57 if case.backend.native else 3 - FLOAT32.precision)
    if case.fmt is FLOAT64:
        unit = mp.ldexp(8, -FLOAT64.precision)
    factors = np.full(shape, mp.mpf(0), object)
    total_error = TOTAL
    if not case.backend.native:  # elements in float32 or wider, added up in any order
        in_order = mp.ldexp(x.size, -FLOAT64.precision)
        total_error = in_order + mp.ldexp(16, -max(FLOAT32.precision, case.fmt.precision))
    with mp.workprec(PRECISION):
        for place in np.ndindex(shape):
            if mask[place]:
                factors[place] = mp.mpf(float(w[place]))
                point = {name: float(array[place]) for name, array in arrays.items()}
                for output, results in outputs.items():
                    real = reference.real(
                        case.loss, output, float(x[place]), float(t[place]), **point
                    )
                    results[place] = real * factors[place]
                exact = mp.mpf(float(x[place])), mp.mpf(float(t[place]))
                for each, slack in zip(
                    cancelled, slacks(case.loss, *exact, unit, **point), strict=True
                ):
                    each[place] = slack * abs(factors[place])
        value, gradient, second = outputs.values()
        lost = (abs(factors) * ELEMENT_ULP + 1) * SMALLEST
        lost_value, lost_gradient, lost = (lost + slack for slack in cancelled)
        value_slack = lost_value
        scale = np.full(shape, mp.mpf(1), object)
        if reduction != "none":
            axes = tuple(range(len(shape))) if axis is None else axis
            counts = np.sum(mask.astype(object), axis=axes, keepdims=True, initial=0)
            divisors = {
                "sum": np.full(np.shape(counts), mp.mpf(1), object),
                "mean": counts,
                "weighted_mean": np.sum(factors, axis=axes, keepdims=True, initial=mp.mpf(0)),
            }[reduction]
            scale = np.vectorize(lambda n: mp.mpf(1) / n if n else mp.nan, otypes=[object])(
                divisors
            )
            total = np.sum(value, axis=axes, keepdims=True, initial=mp.mpf(0)) * scale
            value_slack = np.sum(
                abs(value) * total_error + lost_value, axis=axes, keepdims=True, initial=mp.mpf(0)
            )
            value_slack = np.squeeze(value_slack * abs(scale) + SMALLEST, axis=axes)
            value = np.squeeze(total, axis=axes)
        gradient = np.where(mask, gradient * scale, mp.mpf(0))
        gradient_slack = np.where(mask, lost_gradient * abs(scale) + SMALLEST, mp.mpf(0))
        if not case.backend.native and reduction == "weighted_mean":
            gradient_slack = gradient_slack + abs(gradient) * in_order
        if inputs.ndim == 0 and len(shape):
            gradient_slack = np.sum(abs(gradient) * total_error + gradient_slack)
            gradient = np.sum(gradient)
        if not case.backend.native and case.fmt is FLOAT32:
            with np.errstate(invalid="ignore"):  # masked-out places hold anything
                far = abs(x - t) > 2
            lost = lost + abs(factors) * np.where(far, COMPOSED_SECOND, mp.mpf(0))
    parts = (value, gradient, second, value_slack, gradient_slack, lost)
    return Reference(*(np.asarray(part, object) for part in parts))


def assert_keeps_contract(case: Case, inputs: Array, targets: Array, /, **options: Any) -> None:
    """Every way to compute this call is as close to the reference as the contract asks."""
    expected = reference_call(case, inputs, targets, **options)
    what = f"{case} {inputs.shape} {targets.shape} {sorted(options)} {options.get('reduction')}"
    bounds = _bounds(case)
    value = case.value(inputs, targets, **options)
    assert expected.value.shape == value.shape, f"{what}: got shape {value.shape}"
    again, gradient = case.value_and_grad(inputs, targets, **options)
    if not case.backend.flushes:  # XLA compiles another program, in which it joins other operations
        assert_same_bits(value, again, case.fmt, f"{what} value_and_grad against the loss")
    assert inputs.shape == gradient.shape, f"{what}: got a gradient of shape {gradient.shape}"
    results = [("value", value, expected.value, expected.value_slack)]
    results += [("gradient", gradient, expected.gradient, expected.gradient_slack)]
    if options.get("reduction", "none") == "none" and expected.gradient.shape == value.shape:
        first, second = case.grad_and_hess(
            inputs, targets, **{key: options[key] for key in options if key != "reduction"}
        )
        assert_same_bits(gradient, first, case.fmt, f"{what} grad_and_hess against value_and_grad")
        true = expected.second_derivative
        results += [("second_derivative", second, true, expected.second_derivative_slack)]
    for output, actual, true, slack in results:
        assert_ulp(
            list(true.flat), actual, case.fmt, bounds[output], f"{what} {output}",
            slack=list(np.broadcast_to(slack, true.shape).flat),
        )  # fmt: skip


def _bounds(case: Case) -> dict[str, float]:
    """In ULP; a float64 product may begin a binade below its factor, where an ULP is half as long.

    There the weight, the sum of the weights, its inverse and the last product round once each.
    """
    if not case.backend.native:
        return COMPOSED_ULP[case.fmt]
    if case.fmt in NARROW:
        return dict.fromkeys(reference.OUTPUTS, WEIGHTED_ULP)
    return {output: 2 * (ulp + 1.5) + 0.5 for output, ulp in case.loss.ulp_float64.items()}
