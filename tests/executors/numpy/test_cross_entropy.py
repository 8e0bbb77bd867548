"""cross_entropy on NumPy arrays is its kernel, whatever dtypes and layouts come."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, FORMATS, Array, Format
from support.checks import assert_same_bits
from support.rows.cross_entropy_reference import REDUCTIONS, cross_entropy

BOTH = lossless.value_and_grad(lossless.cross_entropy)
SHAPE = (4, 6, 19)


def samples(fmt: Format, rng: np.random.Generator) -> tuple[Array, Array]:
    return fmt.array(rng.normal(0.5, 4.0, SHAPE)), rng.integers(SHAPE[-1], size=SHAPE[:-1])


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
def test_cross_entropy_on_numpy_arrays_is_the_kernel(
    fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    x, targets = samples(fmt, rng)
    if soft:
        targets = fmt.array(rng.dirichlet(np.ones(SHAPE[-1]), SHAPE[:-1]))
    weights, where = rng.uniform(0.5, 2.0, SHAPE[:-1]), rng.random(SHAPE[:-1]) < 0.7
    for axis, reduction in itertools.product((0, 1, -1), REDUCTIONS):
        expected = cross_entropy(
            x, targets, weights=weights, where=where, smoothing=0.1, reduction=reduction
        )
        moved = np.moveaxis(x, -1, axis)
        given = np.moveaxis(targets, -1, axis) if soft else targets
        options: dict[str, Any] = {"label_smoothing": 0.1, "where": where, "reduction": reduction}
        value, gradient = BOTH(moved, given, weights, axis, **options)
        alone = lossless.cross_entropy(moved, given, weights, axis, **options)
        for part in (value, alone):
            assert_same_bits(expected[0], part, fmt, f"{fmt.name} {axis} {reduction}")
        assert_same_bits(expected[1], np.moveaxis(gradient, axis, -1), fmt, f"{fmt.name} {axis}")


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "<i4", ">i4", "u4", "i8", ">i8", "u8"])
def test_cross_entropy_classes_of_any_integers(dtype: str, rng: np.random.Generator) -> None:
    x, labels = samples(FLOAT32, rng)
    expected = cross_entropy(x, labels)
    for given in (labels.astype(dtype), np.repeat(labels.astype(dtype), 3, axis=-1)[:, ::3]):
        for part, same in zip(BOTH(x, given), expected, strict=True):
            assert_same_bits(same, part, FLOAT32, dtype)
    assert_same_bits(expected[0], lossless.cross_entropy(x, labels.tolist()), FLOAT32, "a list")


def test_cross_entropy_of_other_numbers(rng: np.random.Generator) -> None:
    """Integers and booleans as float64, other byte orders, probabilities of a wider dtype."""
    x, labels = samples(FLOAT64, rng)
    integers = np.rint(x).astype(np.int16)
    expected = cross_entropy(integers.astype(np.float64), labels)
    for given in (integers, integers.tolist()):
        assert_same_bits(expected[0], lossless.cross_entropy(given, labels), FLOAT64, "integers")
    swapped = cross_entropy(x, labels)
    for part, same in zip(BOTH(x.astype(">f8"), labels), swapped, strict=True):
        assert_same_bits(same, part, FLOAT64, "byte order")
    narrow = x.astype(np.float32)
    hot = np.eye(SHAPE[-1])[labels]
    expected = cross_entropy(narrow, labels)
    for given in (hot.astype(np.float32), hot.astype(np.float16)):
        value, gradient = BOTH(narrow, given)
        assert_same_bits(expected[0], value, FLOAT32, f"{given.dtype}")
        largest = abs(expected[1]).max()
        assert abs(gradient - expected[1]).max() <= 2.0**-24 * largest
    wide = cross_entropy(narrow.astype(np.float64), hot)
    for given in (hot, hot.astype(bool), hot.astype(np.int8)):  # float64 is NumPy's default, too
        for part, same in zip(BOTH(narrow, given), wide, strict=True):
            assert_same_bits(same, part, FLOAT64, f"{given.dtype}")


def test_cross_entropy_of_one_row() -> None:
    """Without dimensions to its loss, its weight is a number; a mask may broadcast."""
    x = np.array([0.5, -1.0, 2.0])
    expected = cross_entropy(x, np.array(1), weights=np.array(2.5))
    value, gradient = BOTH(x, 1, 2.5)
    assert isinstance(value, np.float64)
    assert_same_bits(expected[0][()], value, FLOAT64, "value")
    assert_same_bits(expected[1], gradient, FLOAT64, "gradient")
    rows = np.stack([x, x + 1, -x])
    masked = lossless.cross_entropy(rows, np.array([0, 1, 2]), where=np.array([True]))
    assert_same_bits(lossless.cross_entropy(rows, np.array([0, 1, 2])), masked, FLOAT64, "mask")
    nothing, slopes = BOTH(rows, np.array([0, 1, 2]), where=np.array(False), reduction="mean")
    assert np.isnan(nothing)
    assert not slopes.any()
