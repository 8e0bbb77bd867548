"""Sums and means: one rounding of a float64 total, whatever the size, the axes and the dtype."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import lossless
from lossless._spec import LOSSES as SPECS
from lossless.executors.numpy.kernels import sums
from lossless.verification.extended import Residual
from lossless.verification.formats import FLOAT16, FLOAT32, Array
from lossless.verification.losses import LOSSES
from lossless.verification.reference import rounded
from support.cases import EVERYWHERE_BUT_JAX, Case, cases
from support.checks import assert_same_bits
from support.reference_calls import assert_keeps_contract

HUBER = [LOSSES["huber"]]
BLOCK = 1 << 16  # elements that one thread adds up at a time
SHAPES = [
    (7,), (3, 5), (2, 1, 4), (4, 3, 2, 2), (BLOCK - 1,), (BLOCK,), (BLOCK + 1,),
    (3 * BLOCK + 17,), (2, BLOCK + 3), (BLOCK + 3, 2), (BLOCK // 2, 3), (3, 2, 2 * BLOCK // 5),
]  # fmt: skip


def whole_numbers(
    case: Case, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[Array, Array]:
    """inputs and targets whose Huber losses (delta 4) and their sums are exact in float64."""
    x, t = rng.integers(-9, 10, shape), rng.integers(-3, 4, shape)
    return case.fmt.array(x), case.fmt.array(t)


def exact_huber(x: Array, t: Array) -> tuple[Array, Array]:
    """Values and gradients as float64, for delta 4 and whole numbers: nothing rounds."""
    r = x.astype(np.float64) - t.astype(np.float64)
    a = np.abs(r)
    return np.where(a <= 4, r * r / 2, 4 * (a - 2)), np.clip(r, -4, 4)


def axis_choices(dimensions: int) -> Iterator[int | tuple[int, ...] | None]:
    """None, every axis alone, and every set of them, some counted from the end."""
    yield None
    yield from range(-dimensions, dimensions)
    for size in range(1, dimensions + 1):
        for axes in itertools.combinations(range(dimensions), size):
            yield tuple(axis - dimensions if i % 2 else axis for i, axis in enumerate(axes))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", cases(losses=HUBER))
def test_huber_sums_of_whole_numbers_are_exact(
    case: Case, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Over every set of axes: the exact total, rounded once; gradients keep the factor 1/n."""
    x, t = whole_numbers(case, shape, rng)
    values, slopes = exact_huber(x, t)
    for axis in axis_choices(len(shape)):
        total = values.sum(axis=axis)
        count = values.size // max(1, total.size)
        what = f"{case} {shape} axis={axis}"
        actual, gradient = case.value_and_grad(x, t, delta=4.0, reduction="sum", axis=axis)
        assert_same_bits(case.fmt.array(total), actual, case.fmt, f"{what} sum")
        assert_same_bits(case.fmt.array(slopes), gradient, case.fmt, f"{what} sum gradient", x, t)
        actual = case.value(x, t, delta=4.0, reduction="mean", axis=axis)
        if case.fmt.name != "float64":
            # The quotient of whole numbers below 2**53 rounds once more, in float64: no narrow
            # midpoint is closer to it than that.
            assert_same_bits(case.fmt.array(total / count), actual, case.fmt, f"{what} mean")
        else:
            np.testing.assert_allclose(actual, total / count, rtol=2.0**-52, atol=0, err_msg=what)


@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 700, 3), (3, BLOCK + 5)], ids=str)
def test_axis_is_moveaxis(
    case: Case, shape: tuple[int, ...], reduction: Any, rng: np.random.Generator
) -> None:
    """Reducing some axes gives the bits of moving them to the end, copying and reducing those."""
    x, t = (case.fmt.array(rng.normal(mean, 2.0, shape)) for mean in (0.25, -0.5))
    w = rng.uniform(0.5, 2.0, shape)
    for axes in itertools.chain.from_iterable(
        itertools.combinations(range(len(shape)), size) for size in range(1, len(shape) + 1)
    ):
        last = tuple(range(-len(axes), 0))
        moved = [np.ascontiguousarray(np.moveaxis(array, axes, last)) for array in (x, t, w)]
        options = {"reduction": reduction, "weights": w, "axis": axes}
        value, gradient = case.value_and_grad(x, t, **options)
        options |= {"weights": moved[2], "axis": last}
        expected, expected_gradient = case.value_and_grad(*moved[:2], **options)
        what = f"{case} {shape} {reduction} axis={axes}"
        assert_same_bits(expected, value, case.fmt, what)
        back = np.moveaxis(expected_gradient, last, axes)
        assert_same_bits(back, gradient, case.fmt, f"{what} gradient", x, t)
        again = case.value(x, t, reduction=reduction, weights=w, axis=axes[::-1])
        assert_same_bits(value, again, case.fmt, f"{what}, the axes in another order")


@pytest.mark.parametrize("case", cases([FLOAT32]))
def test_mean_of_two_to_the_25_is_correctly_rounded(case: Case) -> None:
    rng = np.random.default_rng(2025)
    parts, total, magnitude = [], np.longdouble(0), 1 << 25
    for _ in range(32):
        x = case.fmt.array(3 * rng.standard_normal(magnitude // 32, np.float32))
        t = case.fmt.array(rng.standard_normal(magnitude // 32, np.float32))
        residual = Residual.of(x, t, case.fmt)
        total += case.loss.extended["value"](residual, **case.loss.parameters)[0].sum()
        parts.append((x, t))
    x, t = (np.concatenate(part) for part in zip(*parts, strict=True))
    del parts
    mean = total / magnitude
    low, expected = (np.float32(mean * (1 + sign * np.longdouble(2.0**-44))) for sign in (-1, 1))
    assert expected == low, "the data must not put the mean next to a midpoint"
    actual, gradient = case.value_and_grad(x, t, reduction="mean")
    assert expected == actual, f"{case}: expected {expected!r}, got {actual!r}"
    assert expected == case.value(x, t, reduction="mean")
    # A power of two scales without rounding: the gradient is the element-wise one, scaled.
    plain, _ = case.grad_and_hess(x, t)
    assert_same_bits(plain / np.float32(magnitude), gradient, case.fmt, f"{case} gradient", x, t)


@pytest.mark.parametrize("element", [2.5, 299.5])
@pytest.mark.parametrize("case", cases([FLOAT16], HUBER))
def test_huber_mean_of_100000_float16_does_not_overflow(case: Case, element: float) -> None:
    x, t = case.fmt.array(np.full(100_000, element)), case.fmt.array(np.full(100_000, -0.5))
    assert element == case.value(x, t, reduction="mean")
    value, gradient = case.value_and_grad(x, t, reduction="mean")
    assert element == value
    assert_same_bits(case.fmt.array(np.full(100_000, 1e-5)), gradient, case.fmt, str(case))
    assert math.inf == case.value(x, t, reduction="sum")


def test_mean_of_equal_elements_is_the_element(narrow_case: Case) -> None:
    fmt, loss = narrow_case.fmt, narrow_case.loss
    for number, count in [(300.0, 100_000), (1.75, 70_001), (0.125, 333)]:
        x, t = fmt.array(np.full(count, number)), fmt.array(np.full(count, -0.25))
        expected = rounded(loss, "value", float(x[0]), float(t[0]), fmt, **loss.parameters)
        actual = narrow_case.value(x, t, reduction="mean")
        assert expected == float(actual), (
            f"{narrow_case}: {count} times {number}: {actual!r}, {expected!r}"
        )


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
def test_reductions_against_mpmath(case: Case, reduction: Any, rng: np.random.Generator) -> None:
    """Elements of very different sizes, so that the order of a float32 sum would show."""
    x = case.fmt.array(rng.normal(0.0, 1.0, (5, 61)) * np.exp2(rng.integers(-6, 7, (5, 61))))
    t = case.fmt.array(rng.normal(0.0, 1.0, (5, 61)))
    for axis in (None, 0, 1, (0, 1), -1):
        assert_keeps_contract(case, x, t, reduction=reduction, axis=axis, **case.loss.parameters)


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradient_of_a_scalar_is_the_sum(
    case: Case, reduction: Any, rng: np.random.Generator
) -> None:
    """One number against an array, on either side."""
    array = case.fmt.array(rng.normal(0.5, 1.0, (4, 9)))
    scalar = case.fmt.array(0.75)
    for axis in (None, 0, (1,)):
        for x, t in ((scalar, array), (array, scalar)):
            assert_keeps_contract(
                case, x, t, reduction=reduction, axis=axis, **case.loss.parameters
            )
    assert_keeps_contract(case, scalar, array, **case.loss.parameters)
    _, gradient = case.value_and_grad(scalar, array, reduction=reduction)
    assert () == gradient.shape


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("reduction", ["mean", "sum", "weighted_mean"])
@pytest.mark.parametrize("weights", [None, 0.5])
def test_gradient_of_a_subnormal_scalar_is_the_sum(
    case: Case, reduction: Any, weights: float | None
) -> None:
    """Each element's part is half a unit of the dtype: it must not round before it is added."""
    x = case.fmt.array(9 * case.fmt.smallest)
    zeros = case.fmt.array(np.zeros((2, 3, 3)))
    assert_keeps_contract(
        case, x, zeros, reduction=reduction, weights=weights, **case.loss.parameters
    )


@EVERYWHERE_BUT_JAX
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)], ids=str)
def test_nothing_to_reduce(case: Case, shape: tuple[int, ...]) -> None:
    """An empty sum is 0, an empty mean NaN, without a warning; gradients are empty."""
    x, t = case.fmt.array(np.ones(shape)), case.fmt.array(np.ones(shape))
    for axis in axis_choices(len(shape)):
        expected = np.ones(shape).sum(axis=axis)
        for reduction, nothing in [("sum", 0.0), ("mean", math.nan), ("weighted_mean", math.nan)]:
            what = f"{case} {shape} {reduction} axis={axis}"
            value, gradient = case.value_and_grad(x, t, reduction=reduction, axis=axis)
            empty = case.fmt.array(np.full(expected.shape, nothing))
            assert_same_bits(empty, value, case.fmt, what)
            assert shape == gradient.shape
    assert shape == case.value(x, t).shape


def test_scalar_results_are_numpy_scalars(case: Case, rng: np.random.Generator) -> None:
    x, t = (case.fmt.array(rng.normal(mean, 1.0, 5)) for mean in (0, 1))
    scalar = case.fmt.dtype.type
    for value in (
        case.function(x, t, reduction="mean"),
        case.function(x, t, reduction="sum", axis=0),
        case.function(x[2], t[3]),
        case.function(np.asarray(x[2]), np.asarray(t[3])),
    ):
        assert type(value) is scalar, f"{case}: {type(value)}"
    for transform in (lossless.value_and_grad, lossless.grad_and_hess):
        for part in transform(case.function)(np.asarray(x[2]), np.asarray(t[3])):
            assert type(part) is scalar, f"{case}: {type(part)}"
    _, gradient = lossless.value_and_grad(case.function)(np.asarray(x[2]), t, reduction="sum")
    assert type(gradient) is scalar, f"{case}: {type(gradient)}"


@pytest.mark.parametrize("case", cases(losses=HUBER))
def test_huber_many_short_rows(case: Case, rng: np.random.Generator) -> None:
    x, t = whole_numbers(case, (100_000, 3), rng)
    values, slopes = exact_huber(x, t)
    value, gradient = case.value_and_grad(x, t, delta=4.0, reduction="mean", axis=1)
    assert_same_bits(case.fmt.array(values.sum(1) / 3), value, case.fmt, f"{case}")
    assert_same_bits(case.fmt.array(slopes / 3), gradient, case.fmt, f"{case} gradient", x, t)


@pytest.mark.kernel
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_huber_sums_in_float64_of_narrower_numbers_are_exact(
    dtype: type[np.floating[Any]], weighted: bool, rng: np.random.Generator
) -> None:
    """For those who add up more sums: neither rounded to float32 nor infinite in float16."""
    x = rng.integers(-2000, 2000, (3, BLOCK + 5)).astype(dtype)
    t = rng.integers(-3, 4, x.shape).astype(dtype)
    weights: Any = rng.integers(1, 9, x.shape).astype(np.float64) if weighted else np.ones(())
    expected = np.sum(exact_huber(x, t)[0] * weights, axis=1)
    assert (expected != expected.astype(np.float32)).any()
    actual = sums(SPECS["huber"], x, t, (4.0,), weights if weighted else None)
    assert np.float64 == actual.dtype
    np.testing.assert_array_equal(expected, actual)


def test_a_value_of_a_wider_dtype_needs_its_memory() -> None:
    x = (np.ones((2, 3), np.float32), 2)
    value = np.zeros(2, np.float32)
    number = SPECS["huber"].kernel_index
    arguments = (number, 2, 1, (2, 3), 1, x, x, (1.0,), None, None, value, None, None, None)
    lossless._core.sweep(*arguments)
    with pytest.raises(ValueError, match="the value does not have the size"):
        lossless._core.sweep(*arguments, value_dtype=3)
