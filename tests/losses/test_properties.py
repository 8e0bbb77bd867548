"""Laws that hold for any shape, stride, dtype and option."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lossless.verification.formats import FLOAT32, FORMATS, NARROW, Array, Format
from lossless.verification.losses import LOSSES
from support.cases import EVERYWHERE_BUT_JAX, REDUCTIONS, Backend, Case, cases
from support.checks import assert_same_bits
from support.reference_calls import assert_keeps_contract

HUBER = LOSSES["huber"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=5)


def numbers(fmt: Format, shape: Any, finite: bool = True) -> st.SearchStrategy[Array]:
    """Arrays of any bits of the format; NaNs are quiet, or moderate numbers where finite."""

    def tame(bits: Array) -> Array:
        array = np.asarray(bits.view(fmt.dtype))
        with np.errstate(invalid="ignore"):
            if finite:
                return np.where(np.isfinite(array) & (abs(array) < 2**14), array, fmt.array(3.25))
            return np.where(np.isnan(array), fmt.array(math.nan), array)

    return hnp.arrays(fmt.unsigned, shape).map(tame)


@st.composite
def layouts(draw: st.DrawFn, array: Array) -> Array:
    """The same numbers behind other strides."""
    axes = draw(st.permutations(range(array.ndim)))
    moved = array.transpose(axes).copy().transpose(np.argsort(axes).astype(int))
    for axis in range(array.ndim):
        step = draw(st.sampled_from([1, 1, 2, -1]))
        if step == -1:
            moved = np.flip(np.flip(moved, axis).copy(), axis)
        elif step == 2:
            every = (slice(None),) * axis + (slice(None, None, 2),)
            moved = np.repeat(moved, 2, axis)[every]
    return np.asarray(moved)


@st.composite
def calls(draw: st.DrawFn, case: Case) -> tuple[Array, Array, dict[str, Any]]:
    """inputs, targets and options of one call, laid out anyhow."""
    shape = draw(SHAPES)
    x, t = (draw(layouts(draw(numbers(case.fmt, shape)))) for _ in range(2))
    if draw(st.booleans()) and shape:
        scalar = draw(numbers(case.fmt, ()))
        x, t = draw(st.sampled_from([(scalar, t), (x, scalar)]))
    options: dict[str, Any] = {"reduction": draw(st.sampled_from(REDUCTIONS))}
    if options["reduction"] != "none":
        axes = st.none() | st.sets(st.sampled_from(range(len(shape))), min_size=1).map(tuple)
        options["axis"] = draw(axes) if shape else None
    smaller = hnp.broadcastable_shapes(shape, max_dims=len(shape), max_side=5).filter(
        lambda part: np.broadcast_shapes(part, shape) == shape
    )
    positive = st.floats(0.0625, 8, width=16)
    if draw(st.booleans()):
        options["weights"] = draw(hnp.arrays(np.float64, draw(smaller), elements=positive))
    if draw(st.booleans()):
        options["where"] = draw(hnp.arrays(bool, draw(smaller)))
    for name in case.loss.parameters:
        options[name] = draw(positive | hnp.arrays(np.float32, draw(smaller), elements=positive))
    return x, t, options


@EVERYWHERE_BUT_JAX
@given(st.data())
def test_any_call_keeps_the_contract(case: Case, data: st.DataObject) -> None:
    x, t, options = data.draw(calls(case))
    assert_keeps_contract(case, x, t, **options)


@EVERYWHERE_BUT_JAX
def test_sums_of_losses_that_underflow_keep_the_contract(case: Case) -> None:
    """Each loss is far below the smallest float32 number, their sum is not."""
    x = np.full((2, 4, 5), 2.3675303e-23).astype(case.fmt.dtype)
    for inputs in (x, np.zeros((), case.fmt.dtype)):
        targets = 0 * x if inputs is x else x
        assert_keeps_contract(case, inputs, targets, reduction="sum", **case.loss.parameters)


@given(st.data())
def test_mirror_images_have_equal_losses(case: Case, data: st.DataObject) -> None:
    """Both signs, and both orders, give the same value and the opposite gradient."""
    x, t = (data.draw(numbers(case.fmt, 11, finite=False)) for _ in range(2))
    value, gradient = case.value_and_grad(x, t)
    _, second = case.grad_and_hess(x, t)
    for a, b in ((-x, -t), (t, x)):
        mirrored, slope = case.value_and_grad(a, b)
        what = f"{case} of {a!r}, {b!r}"
        assert_same_bits(value, mirrored, case.fmt, what, x, t)
        assert_same_bits(second, case.grad_and_hess(a, b)[1], case.fmt, what, x, t)
        opposite = np.where(np.equal(x, t), slope, -gradient)  # 5 - 5 is +0 either way
        assert_same_bits(opposite, slope, case.fmt, what, x, t)


@given(st.data())
@pytest.mark.parametrize("case", cases(losses=[LOSSES["log_cosh"]]))
def test_log_cosh_lies_between_its_asymptotes(case: Case, data: st.DataObject) -> None:
    """a - log 2 <= log cosh a <= a*a/2, where a*a/2 does not round either side."""
    x = data.draw(numbers(case.fmt, 17, finite=False))
    value, slope = case.value_and_grad(x, np.zeros_like(x))
    a = np.abs(x.astype(np.longdouble))
    known = ~np.isnan(a)
    v = value.astype(np.longdouble)
    unit = case.fmt.spacing(value).astype(np.longdouble)
    ulp = case.loss.ulp_float64["value"] if case.fmt not in NARROW else 0.5
    assert (v[known] <= (a * a / 2 + ulp * unit)[known]).all()
    finite = known & np.isfinite(v)
    assert (v[finite] >= (a - np.log(np.longdouble(2)) - ulp * unit)[finite]).all()
    assert (v[known] >= 0).all()
    assert (abs(slope[known].astype(np.float64)) <= 1).all()


@given(st.data())
@pytest.mark.parametrize("case", cases(NARROW, [HUBER]))
def test_huber_scales_with_powers_of_two(case: Case, data: st.DataObject) -> None:
    """huber(s r, s delta) = s**2 huber(r, delta): exact while nothing leaves the normal range."""
    fmt = case.fmt
    x, t = (data.draw(numbers(fmt, 9)).astype(np.float64) for _ in range(2))
    delta = data.draw(st.floats(0.1, 8))
    scale = data.draw(st.sampled_from([0.25, 0.5, 2.0, 4.0]))
    a, b = fmt.array(scale * x), fmt.array(scale * t)
    assume((a == scale * x).all() and (b == scale * t).all())
    value, gradient = case.value_and_grad(fmt.array(x), fmt.array(t), delta=delta)
    actual, slope = case.value_and_grad(a, b, delta=scale * delta)
    tiny, huge = 2.0 ** (fmt.min_exponent + 6), fmt.largest / 64
    for output, before, after, factor in (
        ("value", value.astype(np.float64), actual, scale**2),
        ("gradient", gradient.astype(np.float64), slope, scale),
    ):
        normal = (abs(before) > tiny) & (abs(before) < huge)
        expected = fmt.array(before * factor)[normal]
        what = f"{case} {output} scale={scale} delta={delta}"
        assert_same_bits(expected, after[normal], fmt, what, x[normal], t[normal])


@given(st.data())
@pytest.mark.parametrize("case", cases(losses=[HUBER]))
def test_huber_grows_with_delta(case: Case, data: st.DataObject) -> None:
    """And with delta=inf it is half the square."""
    x, t = (data.draw(numbers(case.fmt, 9)) for _ in range(2))
    delta = data.draw(st.floats(0.0625, 64))
    small, large, square = (
        case.value(x, t, delta=d).astype(np.float64) for d in (delta, 1.5 * delta, math.inf)
    )
    slack = 0 if case.fmt in NARROW else case.fmt.spacing(square)
    assert (small <= large + slack).all()
    assert (large <= square + slack).all()


@given(st.data())
def test_where_is_a_subset(case: Case, data: st.DataObject) -> None:
    """Masked sums are the sums of what is left: whole residuals add without rounding."""
    n = data.draw(st.integers(1, 40))
    whole = hnp.arrays(np.int8, n, elements=st.integers(-8, 8))
    x, t = (case.fmt.array(data.draw(whole)) for _ in range(2))
    mask = data.draw(hnp.arrays(bool, n))
    plain = {"delta": 4.0} if case.loss is HUBER else {}
    for reduction in ("none", "mean", "sum") if case.loss is HUBER else ("none",):
        actual, slope = case.value_and_grad(x, t, reduction=reduction, where=mask, **plain)
        want, part = case.value_and_grad(x[mask], t[mask], reduction=reduction, **plain)
        what = f"{case} {reduction} {mask}"
        assert_same_bits(want, actual[mask] if reduction == "none" else actual, case.fmt, what)
        assert_same_bits(part, slope[mask], case.fmt, f"{what} gradient")
        assert not slope[~mask].any()


@given(st.data())
def test_gradient_is_monotone(narrow_case: Case, data: st.DataObject) -> None:
    """A convex loss: rounding keeps the order of the gradients."""
    x = np.sort(data.draw(numbers(narrow_case.fmt, 13)).astype(np.float64))
    x = narrow_case.fmt.array(x)
    t = narrow_case.fmt.array(np.full(13, data.draw(st.sampled_from([0.5, -2.0, 100.0]))))
    slope = narrow_case.value_and_grad(x, t)[1].astype(np.float64)
    assert (np.diff(slope) >= 0).all(), (x, slope)


def test_every_dtype_has_a_case() -> None:
    assert set(FORMATS.values()) == {case.values[0].fmt for case in cases()}
    assert Case(HUBER, Backend.NUMPY, FLOAT32) in [case.values[0] for case in cases()]
