"""Laws of the losses of rows, for any shape, axis and numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lossless
from lossless.verification.formats import FLOAT16, FLOAT32, FLOAT64, Array
from support.cases import Backend
from support.checks import assert_same_bits
from support.rows.cases import RowCase, assert_close, row_cases
from support.rows.reference import ROW_LOSSES

QUICK = [Backend.NUMPY, Backend.TORCH, Backend.MLX]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
NUMBERS = st.floats(-40, 40, width=16)


@st.composite
def calls(draw: st.DrawFn, case: RowCase, whole: bool = False) -> tuple[tuple[Array, ...], int]:
    """The arrays of a call with the rows along the last axis, and another axis for them."""
    shape = draw(SHAPES)
    elements = NUMBERS.map(round).map(float) if whole else NUMBERS
    arrays = [case.fmt.array(draw(hnp.arrays(np.float64, shape, elements=elements)))]
    if case.loss.name in ("cross_entropy", "nll"):
        labels = st.integers(0, shape[-1] - 1)
        arrays.append(draw(hnp.arrays(np.int64, shape[:-1], elements=labels)))
    else:
        others = 2 if case.loss.name == "triplet" else 1
        arrays += [
            case.fmt.array(draw(hnp.arrays(np.float64, shape, elements=elements)))
            for _ in range(others)
        ]
    if case.loss.name == "kl_div":
        arrays[1] = -abs(arrays[1])
    if case.loss.name == "soft_cross_entropy":
        arrays[1] = abs(arrays[1]) / case.fmt.array(64)
    return tuple(arrays), draw(st.integers(-len(shape), len(shape) - 1))


def same(case: RowCase, expected: Any, actual: Any, what: str = "") -> None:
    for left, right in zip(expected, actual, strict=True):
        assert_same_bits(left, right, case.fmt, f"{case} {what}")


@row_cases(formats=[FLOAT32], backends=QUICK)
@given(data=st.data())
def test_axis_is_moveaxis(case: RowCase, data: st.DataObject) -> None:
    arrays, axis = data.draw(calls(case))
    expected, slopes = case.value_and_grad(*arrays, axis=-1)
    moved = [np.moveaxis(x, -1, axis) if x.ndim == arrays[0].ndim else x for x in arrays]
    value, gradient = case.value_and_grad(*moved, axis=axis)
    of_values, of_slopes = terms(case, arrays)
    assert_close(case, expected, value, of_values)
    assert_close(case, slopes, np.moveaxis(gradient, axis, -1), of_slopes)


def terms(case: RowCase, arrays: tuple[Array, ...]) -> tuple[Array, Array]:
    """Upper bounds of what is added up with both signs, for each value and each slope."""
    x, *others = (a.astype(float) for a in arrays)
    ones = np.ones_like(x)
    name = case.loss.name
    if name == "soft_cross_entropy":
        distance = x.max(-1, keepdims=True) - x
        return (others[0] * distance).sum(-1) + np.log(x.shape[-1]), ones + others[0]
    if name == "kl_div":
        return (np.exp(others[0]) * abs(others[0] - x)).sum(-1), 0 * ones
    if name == "cosine_similarity":
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
        return ones[..., 0], 2 / np.where(norm, norm, np.inf) * ones
    if name == "triplet":
        return 3 + sum(abs(x - other).sum(-1) for other in others), 2 * ones
    return 0 * ones[..., 0], 0 * ones


@row_cases(formats=[FLOAT32], backends=QUICK)
@given(data=st.data())
def test_mask_is_a_subset(case: RowCase, data: st.DataObject) -> None:
    arrays, _ = data.draw(calls(case))
    shape = arrays[0].shape[:-1]
    where = data.draw(hnp.arrays(np.bool_, shape))
    options = {"axis": -1, "reduction": data.draw(st.sampled_from(["sum", "mean"]))}
    expected, slopes = case.value_and_grad(*(x[where] for x in arrays), **options)
    value, gradient = case.value_and_grad(*arrays, where=where, **options)
    of_values, of_slopes = terms(case, arrays)
    if where.any() or options["reduction"] == "sum":
        assert_close(case, expected, value, of_values[where].sum())
    else:
        assert np.isnan(value)
    assert_close(case, slopes, gradient[where], of_slopes[where])
    assert not gradient[~where].any()


@row_cases(["cross_entropy", "soft_cross_entropy"], [FLOAT32, FLOAT64], QUICK)
@given(data=st.data())
def test_cross_entropy_offset_invariance(case: RowCase, data: st.DataObject) -> None:
    """Whole numbers, so that the sums are exact: then only the distances count, to the bit."""
    arrays, _ = data.draw(calls(case, whole=True))
    offset = data.draw(st.integers(-10_000, 10_000).map(float))
    options = {"label_smoothing": data.draw(st.sampled_from([0.0, 0.25]))}
    expected = case.value_and_grad(*arrays, **options)
    shifted = case.value_and_grad(arrays[0] + case.fmt.array(offset), *arrays[1:], **options)
    same(case, expected, shifted, "and offset")


@row_cases(["triplet"], [FLOAT32, FLOAT64], QUICK)
@given(data=st.data())
def test_triplet_shift_invariance(case: RowCase, data: st.DataObject) -> None:
    arrays, _ = data.draw(calls(case, whole=True))
    shift = data.draw(st.integers(-10_000, 10_000).map(float))
    options = {"p": data.draw(st.sampled_from([1, 2, 3.5, math.inf]))}
    expected = case.value_and_grad(*arrays, **options)
    shifted = case.value_and_grad(*(x + case.fmt.array(shift) for x in arrays), **options)
    same(case, expected, shifted, "and shift")


@row_cases(formats=[FLOAT32], backends=[Backend.NUMPY])
@given(data=st.data())
def test_order_of_classes_does_not_count(case: RowCase, data: st.DataObject) -> None:
    arrays, _ = data.draw(calls(case))
    order = np.array(data.draw(st.permutations(range(arrays[0].shape[-1]))))
    moved = [x[..., order] if x.ndim == arrays[0].ndim else np.argsort(order)[x] for x in arrays]
    expected, slopes = case.value_and_grad(*arrays, axis=-1)
    value, gradient = case.value_and_grad(*moved, axis=-1)
    of_values, of_slopes = terms(case, arrays)
    assert_close(case, expected, value, of_values)
    assert_close(case, slopes[..., order], gradient, of_slopes[..., order])


@row_cases(["cross_entropy"], [FLOAT16, FLOAT32, FLOAT64], QUICK)
@given(data=st.data())
def test_cross_entropy_of_certain_probabilities(case: RowCase, data: st.DataObject) -> None:
    """Probabilities of 0 and 1 are class indices."""
    (x, labels), _ = data.draw(calls(case))
    certain = case.fmt.array(np.arange(x.shape[-1]) == labels[..., None])
    options = {"label_smoothing": data.draw(st.sampled_from([0.0, 0.375]))}
    assert_close(case, case.value(x, labels, **options), case.value(x, certain, **options))


@row_cases(["cross_entropy", "soft_cross_entropy"], [FLOAT32, FLOAT64], QUICK)
@given(data=st.data())
def test_cross_entropy_weights_scale(case: RowCase, data: st.DataObject) -> None:
    """By powers of two each result exactly; in a weighted mean they cancel."""
    arrays, _ = data.draw(calls(case))
    weights = data.draw(hnp.arrays(np.int64, arrays[0].shape[:-1], elements=st.integers(1, 3)))
    weights = case.fmt.array(weights)
    each = case.value(*arrays, weights)
    np.testing.assert_array_equal(4 * each, case.value(*arrays, 4 * weights))
    expected = case.value_and_grad(*arrays, weights, reduction="weighted_mean")
    actual = case.value_and_grad(*arrays, 4 * weights, reduction="weighted_mean")
    same(case, expected, actual)


@row_cases(["cross_entropy"], [FLOAT32, FLOAT16], QUICK)
@given(data=st.data())
def test_cross_entropy_is_not_negative(case: RowCase, data: st.DataObject) -> None:
    """And its slopes add up to 0."""
    (x, labels), _ = data.draw(calls(case))
    value, gradient = case.value_and_grad(x, labels)
    assert (value >= 0).all()
    total = np.abs(gradient.astype(float).sum(-1))
    assert (total <= case.fmt.spacing(1.0) * x.shape[-1]).all()


@row_cases(["kl_div"], [FLOAT32, FLOAT64], QUICK)
@given(data=st.data())
def test_kl_div_of_distributions_is_not_negative(case: RowCase, data: st.DataObject) -> None:
    (x, t), _ = data.draw(calls(case))
    x, t = (case.fmt.array(a - np.logaddexp.reduce(a.astype(float), -1)[..., None]) for a in (x, t))
    # Normalised but for the rounding of each logarithm, which is below 2^-19 with |x| <= 80.
    slack = 2.0**-18 if case.fmt is FLOAT32 else 2.0**-46
    assert (case.value(x, t, axis=-1) >= -slack).all()
    np.testing.assert_array_equal(case.value(t, t, axis=-1), 0.0)


@row_cases(["cosine_similarity"], [FLOAT32, FLOAT64], QUICK)
@given(data=st.data())
def test_cosine_similarity_scale(case: RowCase, data: st.DataObject) -> None:
    """It does not depend on the vectors' lengths, and is linear in them below eps."""
    (x1, x2), _ = data.draw(calls(case))
    first, second = (2.0 ** data.draw(st.integers(-60, 60)) for _ in range(2))
    y1, y2 = case.fmt.array(x1 * first), case.fmt.array(x2 * second)
    plain, scaled = ((x1, x2), (y1, y2))
    assert_close(
        case, case.value(*plain, axis=-1, eps=1e-40), case.value(*scaled, axis=-1, eps=1e-40), 1
    )
    value, gradient = case.value_and_grad(*plain, axis=-1, eps=1e30)
    twice, same_gradient = case.value_and_grad(2 * x1, x2, axis=-1, eps=1e30)
    assert_close(case, 2 * value, twice, (abs(x1) * abs(x2)).astype(float).sum(-1) / 1e30)
    assert_close(case, gradient, same_gradient)
    assert (np.abs(case.value(*plain, axis=-1)) <= 1.0).all()


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_layouts_do_not_count(name: str) -> None:
    """Strides, byte orders and read-only memory."""
    loss = ROW_LOSSES[name]
    samples = loss.samples(FLOAT64)
    function = getattr(lossless, loss.function)
    expected = function(*samples)
    strided = [np.repeat(x, 2, 0)[::2] for x in samples]
    swapped = [x.astype(x.dtype.newbyteorder(">")) for x in samples]
    for x in samples:
        x.flags.writeable = False
    for arrays in (strided, swapped, samples):
        np.testing.assert_array_equal(function(*arrays), expected)
