"""The fused kernel of cross entropy: values and gradients in every dtype, form and layout."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FLOAT64, FORMATS, Array, Format
from support.checks import assert_same_bits
from support.rows.cross_entropy_reference import (
    CODES,
    LOSS,
    REDUCTIONS,
    assert_near,
    cross_entropy,
    reference,
)

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("native")]

FMT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
SMOOTHING = pytest.mark.parametrize("smoothing", [0.0, 0.1], ids=["sharp", "smoothed"])
SOFT = pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
FEW = pytest.mark.parametrize("few", [False, True], ids=["many", "few"])  # classes
# Below, at and above the groups in which rows are computed.
SIZES = [1, 2, 3, 15, 32, 33, 64, 65, 150]
BLOCK = 1 << 16  # of the elements of a sum


def scores(fmt: Format, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Rows of several widths, some with a class that dominates by far, some with two largest."""
    x = rng.normal(0.5, 1.0, shape) * np.exp2(rng.integers(-2, 4, (*shape[:-1], 1)))
    x += rng.normal(0.0, 30.0, (*shape[:-1], 1))
    for row in x.reshape(-1, shape[-1])[::3]:
        row[rng.integers(shape[-1])] += rng.uniform(8.0, 40.0)
    for row in x.reshape(-1, shape[-1])[1::5]:
        row[rng.integers(shape[-1], size=2)] = row.max()
    return fmt.array(x)


def classes_of(x: Array, rng: np.random.Generator) -> Array:
    """Labels, the largest score's for half of the rows."""
    labels = rng.integers(x.shape[-1], size=x.shape[:-1])
    best = x.astype(np.float64).argmax(axis=-1)
    return np.where(rng.random(labels.shape) < 0.5, best, labels)


def parts_of(x: Array, rng: np.random.Generator) -> Array:
    """Probabilities of the dtype of x; some are near softmax, where the gradient cancels."""
    p = rng.dirichlet(np.full(x.shape[-1], 0.3), x.shape[:-1])
    wide = x.astype(np.float64)
    softmax = np.exp(wide - wide.max(axis=-1, keepdims=True))
    near = softmax / softmax.sum(axis=-1, keepdims=True)
    p[::2] = near[::2]
    p[1::4] *= rng.choice([0.0, 0.25, 3.0], (*p[1::4].shape[:-1], 1))  # they add up to that
    return np.asarray(p.astype(x.dtype))


def targets_of(x: Array, soft: bool, rng: np.random.Generator) -> Array:
    return parts_of(x, rng) if soft else classes_of(x, rng)


def assert_as_promised(x: Array, targets: Array, fmt: Format, what: str, **options: Any) -> None:
    expected = reference(x, targets, **options)
    value, gradient = cross_entropy(x, targets, **options)
    classes = x.shape[-1]
    assert_near(expected.value, value, expected.value_terms, fmt, classes, f"{what} value")
    assert_near(
        expected.gradient, gradient, expected.gradient_terms, fmt, classes, f"{what} gradient"
    )


@FMT
@SOFT
@SMOOTHING
@pytest.mark.parametrize("size", SIZES)
def test_cross_entropy_of_rows(
    fmt: Format, soft: bool, smoothing: float, size: int, rng: np.random.Generator
) -> None:
    x = scores(fmt, (24, size), rng)
    assert_as_promised(x, targets_of(x, soft, rng), fmt, f"{fmt.name} {size}", smoothing=smoothing)


@FMT
@SOFT
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_options(
    fmt: Format, soft: bool, reduction: Any, rng: np.random.Generator
) -> None:
    x = scores(fmt, (5, 7, 21), rng)
    targets = targets_of(x, soft, rng)
    weights = rng.uniform(0.3, 2.5, (5, 7)).astype(np.float32)
    where = rng.random((5, 7)) < 0.7
    cotangents = rng.normal(1.0, 2.0, (5, 7)) if reduction == "none" else -1.75
    for cotangent, smoothing in ((None, 0.0), (cotangents, 0.25)):
        for some in ({}, {"weights": weights}, {"where": where, "weights": weights}):
            options: dict[str, Any] = {"reduction": reduction, "smoothing": smoothing, **some}
            what = f"{fmt.name} {reduction} {sorted(some)}"
            assert_as_promised(x, targets, fmt, what, cotangent=cotangent, **options)


@FMT
@SOFT
def test_cross_entropy_of_more_classes_than_a_block(
    fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    """The first largest score in the second block, which is not whole."""
    x = fmt.array(rng.normal(0.5, 2.0, (1, BLOCK + 1000)))
    x[0, BLOCK + 70] = 15.0
    targets = targets_of(x, soft, rng)
    if soft:  # in float16 most would be subnormal
        targets = np.asarray(fmt.array(rng.random(x.shape) < 2.0**-10))
    assert_as_promised(x, targets, fmt, fmt.name, smoothing=0.05)


@FMT
@pytest.mark.parametrize("other", FORMATS.values(), ids=FORMATS)
def test_cross_entropy_probabilities_of_another_dtype(
    fmt: Format, other: Format, rng: np.random.Generator
) -> None:
    x = scores(fmt, (6, 70), rng)
    p = other.array(rng.dirichlet(np.ones(70), 6))
    assert_as_promised(x, p, fmt, f"{fmt.name} {other.name}", smoothing=0.1)


@FMT
def test_cross_entropy_of_a_certain_class(fmt: Format) -> None:
    """A loss near 0 keeps its digits, and so does the gradient at the label."""
    below = np.array([5.0, 9.0, 20.0, 40.0, 80.0])
    x = np.zeros((5, 3))
    x[:, 1] = below
    x[:, 2] = -1.0
    x = fmt.array(x)
    value, gradient = cross_entropy(x, np.ones(5, np.int64))
    assert_as_promised(x, np.ones(5, np.int64), fmt, fmt.name)
    expected = np.log1p((1 + np.exp(-1.0)) * np.exp(-below))
    unit = fmt.spacing(expected)
    assert np.all(np.abs(value.astype(np.float64) - expected) <= unit)
    lost = -np.expm1(-expected)
    assert np.all(np.abs(gradient[:, 1].astype(np.float64) + lost) <= fmt.spacing(lost))


@FMT
@SOFT
def test_cross_entropy_does_not_depend_on_an_offset(
    fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    """The same bits for logits that are all greater by so much, if these do not round."""
    x = rng.integers(-16, 16, (30, 33)) / 8
    targets = targets_of(fmt.array(x), soft, rng)
    expected = cross_entropy(fmt.array(x), targets, smoothing=0.1)
    for offset in (-8.0, 4.0) if fmt.precision == 8 else (-60.0, 8.0, 100.0):
        moved = fmt.array(x + offset)
        assert np.all(moved.astype(np.float64) == x + offset)
        for part, same in zip(cross_entropy(moved, targets, smoothing=0.1), expected, strict=True):
            assert_same_bits(same, part, fmt, f"{fmt.name} + {offset}", same)


@FMT
@SOFT
@FEW
def test_cross_entropy_bits_do_not_depend_on_the_layout(
    fmt: Format, soft: bool, few: bool, rng: np.random.Generator
) -> None:
    shape = (4, 6, 21 if few else 75)
    x = scores(fmt, shape, rng)
    targets = targets_of(x, soft, rng)
    options: dict[str, Any] = {
        "weights": rng.uniform(0.5, 2.0, shape[:2]),
        "where": rng.random(shape[:2]) < 0.8,
        "smoothing": 0.1,
        "cotangent": rng.normal(0.0, 2.0, shape[:2]),
    }
    expected = cross_entropy(x, targets, **options)
    for order in itertools.permutations(range(3)):
        for step in (1, -1, 3):
            moved = [spread(part, order, step) for part in (x, np.empty_like(x))]
            other = spread(targets, order, step) if soft else spread(targets, (1, 0), step)
            value, gradient = cross_entropy(moved[0], other, into=moved[1], **options)
            what = f"{fmt.name} {order} {step}"
            assert_same_bits(expected[0], value, fmt, f"{what} value")
            assert_same_bits(expected[1], gradient, fmt, f"{what} gradient")


def spread(x: Array, order: tuple[int, ...], step: int) -> Array:
    """An array that is equal to x; its dimensions lie in this order, so many elements apart."""
    room = np.zeros([abs(step) * x.shape[d] for d in order], x.dtype)
    view = room[tuple(slice(None, None, step) for _ in order)].transpose(np.argsort(order))
    view[...] = x
    return view


@FMT
@FEW
def test_cross_entropy_at_any_address(fmt: Format, few: bool, rng: np.random.Generator) -> None:
    """Also at one that is no multiple of the size of an element; and in the place of the logits."""
    x = scores(fmt, (19, 9 if few else 70), rng)
    targets = classes_of(x, rng)
    expected = cross_entropy(x, targets)
    for offset in (1, 2, 4, 8, 24):
        arrays = []
        for _ in range(2):
            room = np.zeros(x.nbytes + offset, np.uint8)
            arrays.append(room[offset:].view(x.dtype).reshape(x.shape))
            arrays[-1][...] = x
        value, gradient = cross_entropy(arrays[0], targets, into=arrays[1])
        assert_same_bits(expected[0], value, fmt, f"{fmt.name} at {offset}")
        assert_same_bits(expected[1], gradient, fmt, f"{fmt.name} at {offset}")
    _, in_place = cross_entropy(x, targets, into=x)
    assert_same_bits(expected[1], in_place, fmt, f"{fmt.name} in place")


@FMT
@SOFT
@FEW
def test_cross_entropy_bits_do_not_depend_on_threads_and_instructions(
    fmt: Format, soft: bool, few: bool, rng: np.random.Generator
) -> None:
    rows = 2100 if few else 700  # several chunks
    x = scores(fmt, (rows, 10 if few else 333), rng)
    x[5, 7], x[8, 9] = np.nan, -np.inf
    targets = targets_of(x, soft, rng)
    if soft:
        targets[8, 9] = 0.5
    weights, where = rng.uniform(0.5, 2.0, rows), rng.random(rows) < 0.9
    where[5] = False
    found = []
    for instructions in lossless.info()["instruction_sets"]:
        lossless._core.set_instruction_set(instructions)
        for threads in (1, 2, 3, 7):
            lossless.set_num_threads(threads)
            parts = [cross_entropy(x, targets, smoothing=0.1)]
            for reduction in REDUCTIONS[1:]:
                options: dict[str, Any] = {"weights": weights, "where": where}
                parts.append(cross_entropy(x, targets, reduction=reduction, **options))
            found.append([fmt.bits(part) for pair in parts for part in pair])
    for other in found[1:]:
        for part, expected in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(part, expected)


@FMT
@SOFT
@pytest.mark.parametrize("outer_dims", [1, 2, 3])
def test_cross_entropy_of_outer_dims_is_that_of_each_slice(
    fmt: Format, soft: bool, outer_dims: int, rng: np.random.Generator
) -> None:
    """To the bit, with one chunk in each slice and with several, and with options that repeat."""
    for shape in ((3, 4, 1, 33), (2, 2, 1500, 5), (2, 1, 3, 70)):
        x = scores(fmt, shape, rng)
        x[0, 0, 0, 0] = np.nan
        targets = targets_of(x, soft, rng)
        weights = rng.uniform(0.5, 2.0, shape[1:-1])
        where = rng.random(shape[:-1]) < 0.8
        where[-1, -1] = False
        cotangent = rng.uniform(-2.0, 2.0, shape[:outer_dims])
        for reduction in REDUCTIONS[1:]:
            value, gradient = np.empty(shape[:outer_dims], x.dtype), np.empty_like(x)
            code = CODES[x.dtype]
            first_bad = lossless._core.sweep_rows(
                LOSS, code, REDUCTIONS.index(reduction), shape, (x, code),
                None if soft else targets, (targets, code) if soft else None, (0.1,),
                (weights, CODES[weights.dtype]), (where, CODES[where.dtype]), value, gradient,
                (cotangent, CODES[cotangent.dtype]), outer_dims=outer_dims,
            )  # fmt: skip
            assert -1 == first_bad
            every_weight = np.broadcast_to(weights, shape[:-1])
            for place in np.ndindex(value.shape):
                part, weight, mask = map(
                    np.asarray, (targets[place], every_weight[place], where[place])
                )
                expected = cross_entropy(
                    x[place], part, smoothing=0.1, weights=weight, where=mask,
                    reduction=reduction, cotangent=float(cotangent[place]),
                )  # fmt: skip
                what = f"{fmt.name} {shape} {reduction} {place}"
                assert_same_bits(expected[0], value[place], fmt, f"{what} value")
                assert_same_bits(expected[1], gradient[place], fmt, f"{what} gradient")


def test_cross_entropy_tells_the_first_bad_class_of_all_slices() -> None:
    x, labels = np.zeros((3, 4, 5), np.float32), np.zeros((3, 4), np.int64)
    labels[1, 2] = labels[2, 0] = 5
    value = np.empty(3, np.float32)
    code = CODES[x.dtype]
    first_bad = lossless._core.sweep_rows(
        LOSS,
        code,
        2,
        x.shape,
        (x, code),
        labels,
        None,
        (0.0,),
        None,
        None,
        value,
        None,
        outer_dims=1,
    )
    assert 6 == first_bad
    np.testing.assert_array_equal([False, True, True], np.isnan(value))


@FMT
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_cross_entropy_bad_classes(fmt: Format, dtype: Any, rng: np.random.Generator) -> None:
    """They make their row NaN, and the first is told; a row that is left out may say anything."""
    x = scores(fmt, (300, 11), rng)
    good = rng.integers(0, 11, 300).astype(dtype)
    expected = cross_entropy(x, good)
    for bad in (-1, 11, np.iinfo(dtype).max, np.iinfo(dtype).min):
        for rows in ([123, 200, 299], [200, 299], [299], []):
            labels, where = good.copy(), np.ones(300, bool)
            labels[[7, *rows]] = bad
            where[7] = False
            first_bad, value, gradient = of_any_classes(x, labels, where)
            assert (rows[0] if rows else -1) == first_bad
            assert np.isnan(value[rows]).all()
            assert np.isnan(gradient[rows]).all()
            others = np.setdiff1d(np.arange(300), [7, *rows])
            for part, same in zip((value, gradient), expected, strict=True):
                assert not part[7].any()
                assert_same_bits(same[others], part[others], fmt, f"{fmt.name} {bad} {rows}")


def of_any_classes(x: Array, labels: Array, where: Array) -> tuple[int, Array, Array]:
    value, gradient = np.empty(len(x), x.dtype), np.empty_like(x)
    code, mask = CODES[x.dtype], (where, CODES[where.dtype])
    first_bad = lossless._core.sweep_rows(
        LOSS, code, 0, x.shape, (x, code), labels, None, (0.0,), None, mask, value, gradient
    )
    return first_bad, value, gradient


@pytest.mark.parametrize(
    "change",
    [
        {"shape": ()},
        {"shape": (3, 0)},
        {"shape": (4, 5)},
        {"dtype": 4},
        {"dtype": 3},
        {"labels": None},
        {"labels": np.zeros(3, np.int16)},
        {"labels": np.zeros((3, 5), np.int64)},
        {"targets": (np.zeros((3, 5)), CODES[FLOAT64.dtype])},
        {"value": np.empty((), np.float64)},
        {"gradient": np.empty((3, 4), np.float32)},
        {"outer_dims": -1},
        {"outer_dims": 1},
        {"outer_dims": 2},
        {"loss": -1},
        {"loss": 99},
        {"parameters": ()},
        {"parameters": (0.0, 0.0)},
    ],
)
def test_cross_entropy_refuses_what_would_crash(change: dict[str, Any]) -> None:
    x = np.zeros((3, 5), np.float32)
    arguments: dict[str, Any] = {
        "loss": LOSS,
        "dtype": CODES[x.dtype],
        "reduction": 1,
        "shape": x.shape,
        "inputs": (x, CODES[x.dtype]),
        "labels": np.zeros(3, np.int64),
        "targets": None,
        "parameters": (0.0,),
        "weights": None,
        "where": None,
        "value": np.empty((), np.float32),
        "gradient": np.empty_like(x),
    }
    assert -1 == lossless._core.sweep_rows(**arguments)
    with pytest.raises((ValueError, TypeError, IndexError)):
        lossless._core.sweep_rows(**arguments | change)
