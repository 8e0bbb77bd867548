"""weights, where and array parameters, alone and together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lossless.verification.formats import NARROW, Array
from lossless.verification.losses import LOSSES
from support.cases import EVERYWHERE_BUT_JAX, REDUCTIONS, Case, cases
from support.checks import WEIGHTED_ULP, assert_same_bits, assert_ulp
from support.reference_calls import assert_keeps_contract, reference_call

HUBER = [LOSSES["huber"]]
SHAPE = (4, 37)


@pytest.fixture
def pair(case: Case, rng: np.random.Generator) -> tuple[Array, Array]:
    return (
        case.fmt.array(rng.normal(0.5, 2.0, SHAPE)),
        case.fmt.array(rng.normal(-0.25, 1.0, SHAPE)),
    )


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "kind", ["number", "integer", "element", "row", "sample", "0-d", "float16"]
)
def test_weights_keep_the_contract(
    case: Case, pair: tuple[Array, Array], kind: str, reduction: Any, rng: np.random.Generator
) -> None:
    """They multiply the exact loss, in float64, and broadcast to its shape."""
    weights = {
        "number": 1 / 3,
        "integer": 3,
        "element": rng.uniform(0.1, 3.0, SHAPE),
        "row": rng.uniform(0.1, 3.0, SHAPE[1]),
        "sample": rng.uniform(0.1, 3.0, (SHAPE[0], 1)).astype(np.float32),
        "0-d": np.array(0.7),
        "float16": rng.uniform(0.1, 3.0, SHAPE).astype(np.float16),
    }[kind]
    for axis in (None,) if reduction == "none" else (None, 0, 1):
        options: dict[str, Any] = {"reduction": reduction, "axis": axis, "weights": weights}
        assert_keeps_contract(case, *pair, **options, **case.loss.parameters)


@EVERYWHERE_BUT_JAX
def test_negative_and_huge_weights(
    case: Case, pair: tuple[Array, Array], rng: np.random.Generator
) -> None:
    """Products that overflow, underflow and change sign are still the products."""
    sizes = np.exp2(rng.integers(-200, 200, SHAPE)) * rng.choice([-1.0, 1.0], SHAPE)
    assert_keeps_contract(case, *pair, weights=sizes, **case.loss.parameters)


@EVERYWHERE_BUT_JAX
def test_weights_of_infinite_losses(case: Case) -> None:
    """inf times a weight is inf: the rounding error of an infinite loss is no number."""
    infinite = case.fmt.array([np.inf, -np.inf])
    actual = case.value(infinite, case.fmt.array([1.0, 2.0]), weights=0.75, **case.loss.parameters)
    np.testing.assert_array_equal(actual.astype(np.float64), [np.inf, np.inf])


@pytest.mark.parametrize("case", cases(NARROW))
def test_weight_is_not_rounded_to_the_dtype(case: Case) -> None:
    """A float64 weight a hair above 1 decides ties that the dtype's own 1 would leave."""
    x, t = case.fmt.array([1.5, 3.0, 0.75]), case.fmt.array([0.25, -0.5, 2.25])
    hair = 1 + 2.0 ** -(case.fmt.precision + 1)
    actual = case.value(x, t, weights=np.full(3, hair * (1 + 2.0**-20)))
    expected = reference_call(case, x, t, weights=hair * (1 + 2.0**-20), **case.loss.parameters)
    assert_ulp(list(expected.value), actual, case.fmt, WEIGHTED_ULP, str(case), x, t)


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_weights_of_one_change_no_bit(
    narrow_case: Case, reduction: Any, rng: np.random.Generator
) -> None:
    x, t = (narrow_case.fmt.array(rng.normal(mean, 2.0, SHAPE)) for mean in (0.5, -0.25))
    expected = narrow_case.value_and_grad(x, t, reduction=reduction)
    actual = narrow_case.value_and_grad(x, t, reduction=reduction, weights=np.ones(SHAPE))
    for output, a, b in zip(("value", "gradient"), actual, expected, strict=True):
        assert_same_bits(b, a, narrow_case.fmt, f"{narrow_case} {output}")


@EVERYWHERE_BUT_JAX
def test_weighted_mean_without_weight_is_nan(
    case: Case, pair: tuple[Array, Array], rng: np.random.Generator
) -> None:
    signs = np.tile([1.5, -1.5], SHAPE[1])[: SHAPE[1]] * np.ones(SHAPE)
    signs[:, -1] = 0
    for weights in (np.zeros(SHAPE), signs):
        value = case.value(*pair, reduction="weighted_mean", weights=weights)
        assert np.isnan(value), f"{case}: {value}"
        rows = case.value(*pair, reduction="weighted_mean", weights=weights, axis=1)
        assert np.isnan(rows).all(), f"{case}: {rows}"


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["element", "row", "sample", "0-d"])
def test_where_keeps_the_contract(
    case: Case, pair: tuple[Array, Array], kind: str, reduction: Any, rng: np.random.Generator
) -> None:
    mask = {
        "element": rng.random(SHAPE) < 0.6,
        "row": rng.random(SHAPE[1]) < 0.5,
        "sample": np.array([[True], [False], [True], [True]]),
        "0-d": np.array(True),
    }[kind]
    for axis in (None,) if reduction == "none" else (None, 0, 1):
        options: dict[str, Any] = {"reduction": reduction, "axis": axis, "where": mask}
        assert_keeps_contract(case, *pair, **options, **case.loss.parameters)


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_masked_nan_leaves_no_trace(
    case: Case, pair: tuple[Array, Array], reduction: Any, rng: np.random.Generator
) -> None:
    """Whatever stands in a masked-out place, of inputs, targets, weights or parameters."""
    x, t = pair
    mask = rng.random(SHAPE) < 0.7
    weights = rng.uniform(0.5, 2.0, SHAPE)
    deltas = {"delta": rng.uniform(0.5, 2.0, SHAPE)} if case.loss.parameters else {}
    spoiled = [array.copy() for array in (x, t, weights)]
    with np.errstate(invalid="ignore"):
        for array in spoiled:
            array[~mask] = rng.choice([math.nan, math.inf, -math.inf], int((~mask).sum()))
    bad = {name: np.where(mask, array, -1.0) for name, array in deltas.items()}
    expected = case.value_and_grad(x, t, reduction=reduction, weights=weights, where=mask, **deltas)
    options = {"reduction": reduction, "weights": spoiled[2], "where": mask, **bad}
    actual = case.value_and_grad(*spoiled[:2], **options)
    for output, a, b in zip(("value", "gradient"), actual, expected, strict=True):
        assert np.isfinite(a).all(), f"{case} {output}"
        assert_same_bits(b, a, case.fmt, f"{case} {reduction} {output}")
    assert not actual[1][~mask].any()
    if reduction == "none":
        assert not case.fmt.bits(actual[0][~mask]).any(), f"{case}: masked-out values are +0"
        first, second = case.grad_and_hess(*spoiled[:2], weights=spoiled[2], where=mask, **bad)
        assert_same_bits(actual[1], first, case.fmt, f"{case} grad_and_hess")
        assert not second[~mask].any()
        assert np.isfinite(second).all()


@EVERYWHERE_BUT_JAX
def test_everything_may_be_masked(case: Case, pair: tuple[Array, Array]) -> None:
    nothing = np.zeros(SHAPE, bool)
    for reduction, expected in [("sum", 0.0), ("mean", math.nan), ("weighted_mean", math.nan)]:
        value, gradient = case.value_and_grad(*pair, reduction=reduction, where=nothing)
        assert_same_bits(case.fmt.array(expected), value, case.fmt, f"{case} {reduction}")
        assert not gradient.any(), f"{case} {reduction}"
    one_row = np.array([[True], [False], [True], [True]])
    value, gradient = case.value_and_grad(*pair, reduction="mean", where=one_row, axis=1)
    assert [False, True, False, False] == np.isnan(value).tolist()
    assert not gradient[1].any()
    assert gradient[0].all()


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_all_options_together(
    case: Case, pair: tuple[Array, Array], reduction: Any, rng: np.random.Generator
) -> None:
    options = {"weights": rng.uniform(0.1, 3.0, SHAPE[1]), "where": rng.random(SHAPE) < 0.8}
    if case.loss.parameters:
        options["delta"] = rng.uniform(0.2, 2.0, (SHAPE[0], 1))
    for axis in (None,) if reduction == "none" else (None, 0, 1):
        assert_keeps_contract(case, *pair, reduction=reduction, axis=axis, **options)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [SHAPE, SHAPE[1:], (SHAPE[0], 1), (), (1, 1)], ids=str)
@pytest.mark.parametrize("case", cases(losses=HUBER))
def test_huber_array_delta_is_many_scalar_calls(
    case: Case,
    pair: tuple[Array, Array],
    shape: tuple[int, ...],
    dtype: Any,
    rng: np.random.Generator,
) -> None:
    """Per element, row or sample: bit for bit what one call for each delta gives."""
    x, t = pair
    delta = np.asarray((1 + rng.uniform(-0.9, 3.0, shape)).astype(dtype))
    delta += delta == 0
    each = np.broadcast_to(delta, SHAPE)
    expected = {name: np.empty_like(x) for name in ("value", "gradient", "second_derivative")}
    for number in np.unique(each):
        chosen = each == number
        for output, _, result in case.element_wise(x, t, delta=float(number)):
            expected[output][chosen] = result[chosen]
    for output, call, actual in case.element_wise(x, t, delta=delta):
        what = f"{case} {output} from {call} delta of {shape} {delta.dtype}"
        assert_same_bits(expected[output], actual, case.fmt, what, x, t, each)


@pytest.mark.kernel
@pytest.mark.parametrize("case", cases(losses=HUBER))
def test_huber_bad_elements_of_delta_give_nan_there(case: Case, rng: np.random.Generator) -> None:
    x, t = case.fmt.array([0.5, 2.0, -1.5, 3.0, 0.25]), case.fmt.array([1.5, 0.5, 1.0, 1.0, 2.0])
    delta = np.array([0.5, 0.0, -1.0, math.nan, math.inf])
    for output, call, actual in case.element_wise(x, t, delta=delta):
        good = np.isnan(actual).tolist()
        assert [False, True, True, True, False] == good, f"{case} {output} from {call}: {actual}"
    value, gradient = case.value_and_grad(x, t, delta=np.array(-2.0), reduction="sum")
    assert np.isnan(value)
    assert np.isnan(gradient).all()
