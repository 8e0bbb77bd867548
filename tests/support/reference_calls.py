"""Whole calls, options included, from the definitions in mpmath: slow, for small arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mpmath import mp

from lossless.verification import reference
from lossless.verification.formats import FLOAT32, FLOAT64, NARROW, Array, Mpf
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


@dataclass(frozen=True)
class Errors:
    """What may be lost beside the rounding of a result."""

    term: Mpf  # of each term of an element, where they cancel
    total: Mpf  # of a sum, relative to the magnitudes
    weights: Mpf  # of the sum of the weights
    underflow: Mpf  # of each element of a sum, where its dtype underflows


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
    errors = _errors(case, x.size)
    with mp.workprec(PRECISION):
        weight = np.broadcast_to(np.asarray(1.0 if weights is None else weights, float), shape)
        factors = np.full(shape, mp.mpf(0), object)
        factors[mask] = [mp.mpf(float(w)) for w in weight[mask]]
        values, gradients, seconds = _elements(case, x, t, factors, mask, errors.term, parameters)
        value, value_slack = values
        scale: Any = mp.mpf(1)
        if reduction != "none":
            axes = tuple(range(len(shape))) if axis is None else axis
            scale = _scale(reduction, factors, mask, axes)
            total = partial(np.sum, axis=axes, keepdims=True, initial=mp.mpf(0))
            value_slack = value_slack + abs(factors) * errors.underflow
            value_slack = total(abs(value) * errors.total + value_slack) * abs(scale) + SMALLEST
            value, value_slack = (
                np.squeeze(part, axis=axes) for part in (total(value) * scale, value_slack)
            )
        gradient = np.where(mask, gradients[0] * scale, mp.mpf(0))
        gradient_slack = np.where(mask, gradients[1] * abs(scale) + SMALLEST, mp.mpf(0))
        if reduction == "weighted_mean":
            gradient_slack = gradient_slack + abs(gradient) * errors.weights
        if inputs.ndim == 0 and len(shape):
            lost = np.where(mask, abs(factors * scale) * errors.underflow, mp.mpf(0))
            gradient_slack = np.sum(abs(gradient) * errors.total + gradient_slack + lost)
            gradient = np.sum(gradient)
        second, second_slack = seconds
        if not case.backend.native and case.fmt is FLOAT32:
            with np.errstate(invalid="ignore"):  # masked-out places hold anything
                far = abs(x - t) > 2
            second_slack = second_slack + abs(factors) * np.where(far, COMPOSED_SECOND, mp.mpf(0))
    parts = (value, gradient, second, value_slack, gradient_slack, second_slack)
    return Reference(*(np.asarray(part, object) for part in parts))


def _errors(case: Case, size: int) -> Errors:
    term = mp.ldexp(8, -FLOAT64.precision)
    if case.backend.native:
        narrow = mp.ldexp(1, -57)
        return Errors(term if case.fmt is FLOAT64 else narrow, TOTAL, mp.mpf(0), mp.mpf(0))
    # Elements in float32 or wider, added up in any order.
    if case.fmt is not FLOAT64:
        term = mp.ldexp(8, -FLOAT32.precision)
    in_order = mp.ldexp(size, -FLOAT64.precision)
    element = mp.ldexp(16, -max(FLOAT32.precision, case.fmt.precision))
    underflow = 0 if case.fmt is FLOAT64 else ELEMENT_ULP * mp.mpf(FLOAT32.smallest)
    return Errors(term, in_order + element, in_order, underflow)


def _elements(
    case: Case, x: Array, t: Array, factors: Array, mask: Array, term: Mpf, parameters: Any
) -> list[tuple[Array, Array]]:
    """Every output of every element, times its factor, and what may be lost of it."""
    arrays = {name: np.broadcast_to(given, x.shape) for name, given in parameters.items()}
    numbers, lost = (
        [np.full(x.shape, mp.mpf(0), object) for _ in reference.OUTPUTS] for _ in range(2)
    )
    for place in filter(lambda place: mask[place], np.ndindex(x.shape)):
        point = {name: float(array[place]) for name, array in arrays.items()}
        pair = float(x[place]), float(t[place])
        for output, results in zip(reference.OUTPUTS, numbers, strict=True):
            results[place] = reference.real(case.loss, output, *pair, **point) * factors[place]
        cancelled = slacks(case.loss, mp.mpf(pair[0]), mp.mpf(pair[1]), term, **point)
        for results, slack in zip(lost, cancelled, strict=True):
            results[place] = slack * abs(factors[place])
    underflow = (abs(factors) * ELEMENT_ULP + 1) * SMALLEST
    return [(many, underflow + slack) for many, slack in zip(numbers, lost, strict=True)]


def _scale(reduction: str, factors: Array, mask: Array, axes: Any) -> Array:
    """What a sum is multiplied by; NaN where there is nothing to divide by."""
    counted = {"mean": mask.astype(object), "weighted_mean": factors}.get(reduction)
    if counted is None:
        return np.asarray(mp.mpf(1), object)
    divisors = np.sum(counted, axis=axes, keepdims=True, initial=mp.mpf(0))
    inverse = np.vectorize(lambda n: mp.mpf(1) / n if n else mp.nan, otypes=[object])
    return np.asarray(inverse(divisors), object)


def assert_keeps_contract(case: Case, inputs: Array, targets: Array, /, **options: Any) -> None:
    """Every way to compute this call is as close to the reference as the contract asks."""
    expected = reference_call(case, inputs, targets, **options)
    what = f"{case} {inputs.shape} {targets.shape} {sorted(options)} {options.get('reduction')}"
    bounds = _bounds(case)
    value = case.value(inputs, targets, **options)
    assert expected.value.shape == value.shape, (
        f"{what}: expected shape {expected.value.shape}, got {value.shape}"
    )
    again, gradient = case.value_and_grad(inputs, targets, **options)
    if not case.backend.flushes:  # XLA compiles another program, in which it joins other operations
        assert_same_bits(value, again, case.fmt, f"{what} value_and_grad against the loss")
    assert inputs.shape == gradient.shape, (
        f"{what}: expected a gradient of shape {inputs.shape}, got {gradient.shape}"
    )
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
