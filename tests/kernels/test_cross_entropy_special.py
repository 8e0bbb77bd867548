"""Special numbers in the kernel of cross entropy: infinities, NaN, what over- and underflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    Array,
    Format,
)
from support.rows.cross_entropy_reference import REDUCTIONS, assert_near, cross_entropy, reference

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("native")]

FMT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
SMOOTHING = pytest.mark.parametrize("smoothing", [0.0, 0.1], ids=["sharp", "smoothed"])
INF, NAN = np.inf, np.nan


def numbers(x: Array) -> list[float]:
    return [float(number) for number in x.ravel()]


@pytest.mark.parametrize(
    ("fmt", "size"),
    [
        (FLOAT16, 1e4), (FLOAT16, 6e4), (BFLOAT16, 1e30), (FLOAT32, 1e4), (FLOAT32, 1e30),
        (FLOAT32, FLOAT32.largest), (FLOAT64, 1e4), (FLOAT64, 1e30), (FLOAT64, 8e307),
        (FLOAT64, FLOAT64.largest),
    ],
)  # fmt: skip
@SMOOTHING
def test_cross_entropy_of_large_logits(fmt: Format, size: float, smoothing: float) -> None:
    x = fmt.array(np.array([[size, 1.0, -size], [-size, size, size], [-size, -size, -size]]))
    for label in range(3):
        targets = np.full(3, label)
        for given in (targets, np.asarray(np.eye(3)[targets].astype(fmt.dtype))):
            parted = smoothing or given.ndim == 2
            if fmt is FLOAT64 and size == fmt.largest and parted:
                continue  # a part of a distance that overflows, which counts as infinite
            expected = reference(x, given, smoothing=smoothing)
            value, gradient = cross_entropy(x, given, smoothing=smoothing)
            what = f"{fmt.name} {size} {label}"
            overflows = [abs(number) > fmt.largest for number in expected.value]
            assert np.all(value[overflows] == INF)
            kept = ~np.array(overflows)
            terms = expected.value_terms[kept]
            assert_near(expected.value[kept], value[kept], terms, fmt, 3, f"{what} value")
            terms = expected.gradient_terms
            assert_near(expected.gradient, gradient, terms, fmt, 3, f"{what} gradient")


@FMT
@SMOOTHING
def test_cross_entropy_of_impossible_classes(fmt: Format, smoothing: float) -> None:
    """Logits of -inf: as if the class were not there, but for smoothing."""
    x = fmt.array(np.array([[0.25, -INF, 1.0, -INF], [-INF, -INF, -7.0, -INF]]))
    value, gradient = cross_entropy(x, np.array([2, 2]), smoothing=smoothing)
    if smoothing:
        assert [INF, INF] == numbers(value)
    else:
        expected = reference(x[:, [0, 2]], np.array([1, 1]))
        terms = expected.value_terms
        assert_near(expected.value, value, terms, fmt, 4, f"{fmt.name} value")
        assert 0.0 == float(value[1])
    share = float(fmt.array(-smoothing / 4))
    assert [share, share] == numbers(gradient[0, [1, 3]])
    assert [share, share, float(fmt.array(smoothing * 0.75)), share] == numbers(gradient[1])


@FMT
def test_cross_entropy_of_an_impossible_label(fmt: Format) -> None:
    x = fmt.array(np.array([[0.0, -INF, 0.0], [-INF, 3.0, -INF]]))
    value, gradient = cross_entropy(x, np.array([1, 2]))
    assert [INF, INF] == numbers(value)
    assert [0.5, -1.0, 0.5, 0.0, 1.0, -1.0] == numbers(gradient)


@FMT
def test_cross_entropy_of_impossible_classes_beside_probabilities(fmt: Format) -> None:
    """As if the class were not there where the probability is 0, infinite where it is not."""
    x = fmt.array(np.array([[0.0, -INF, 0.0], [0.0, -INF, 0.0], [3.0, -INF, -INF]]))
    p = fmt.array(np.array([[0.25, 0.0, 0.75], [0.5, 0.25, 0.25], [1.0, -0.0, 0.0]]))
    value, gradient = cross_entropy(x, p)
    assert [float(fmt.array(np.log(2.0))), INF, 0.0] == numbers(value)
    assert [0.25, 0.0, -0.25, 0.0, -0.25, 0.25, 0.0, 0.0, 0.0] == numbers(gradient)
    value, gradient = cross_entropy(x, p, smoothing=0.5)
    assert [INF] * 3 == numbers(value)


@pytest.mark.parametrize("classes", [3, 40, 70])
def test_cross_entropy_of_a_distance_that_overflows_beside_no_probability(classes: int) -> None:
    x, p = np.full((1, classes), -FLOAT64.largest), np.zeros((1, classes))
    x[0, 1], p[0, 1] = FLOAT64.largest, 0.5
    value, gradient = cross_entropy(x, p)
    assert [0.0] == numbers(value)
    assert [0.0] * classes == numbers(gradient)


@FMT
@pytest.mark.parametrize("classes", [3, 40, 70])
def test_cross_entropy_of_no_probabilities(
    fmt: Format, classes: int, rng: np.random.Generator
) -> None:
    """A row of zeros, as one-hot encoding makes of a label to ignore."""
    x = fmt.array(rng.normal(0.0, 3.0, (2, classes)))
    value, gradient = cross_entropy(x, np.zeros_like(x))
    assert [0.0] * 2 == numbers(value)
    assert [0.0] * gradient.size == numbers(gradient)


@FMT
@SMOOTHING
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("classes", [4, 70])
def test_cross_entropy_nan_stays_in_its_row(
    fmt: Format, smoothing: float, soft: bool, classes: int, rng: np.random.Generator
) -> None:
    x = np.tile(fmt.array(rng.normal(0.0, 2.0, classes)), (9, 1))
    x[0, 0], x[2, 3], x[4, 1] = NAN, INF, NAN
    x[4, 2] = INF
    x[6], x[7] = -INF, NAN
    if classes == 70:
        x[2, 68] = INF
        x[4, 66] = NAN
    targets = np.full(9, 1)
    given = np.asarray(np.eye(classes)[targets].astype(fmt.dtype)) if soft else targets
    value, gradient = cross_entropy(x, given, smoothing=smoothing)
    wrong = [0, 2, 4, 6, 7]
    assert wrong == list(np.flatnonzero(np.isnan(value)))
    assert wrong == list(np.flatnonzero(np.isnan(gradient).any(axis=1)))
    assert np.all(np.isnan(gradient[wrong]))
    assert 1 == len({part.tobytes() for part in gradient[[1, 3, 5, 8]]})
    assert 1 == len(set(numbers(value[[1, 3, 5, 8]])))


@FMT
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_left_out_rows_may_hold_anything(
    fmt: Format, reduction: Any, rng: np.random.Generator
) -> None:
    x = fmt.array(rng.normal(0.5, 2.0, (40, 5)))
    labels, weights = rng.integers(0, 5, 40), rng.uniform(0.5, 2.0, 40)
    where = rng.random(40) < 0.6
    kept = cross_entropy(x[where], labels[where], weights=weights[where], reduction=reduction)
    x[~where], labels[~where], weights[~where] = NAN, -7, INF
    value, gradient = cross_entropy(x, labels, weights=weights, where=where, reduction=reduction)
    if reduction == "none":
        assert not value[~where].any()
        value = value[where]
    if reduction == "none" or fmt is not FLOAT64:
        assert kept[0].tobytes() == value.tobytes()
        assert kept[1].tobytes() == gradient[where].tobytes()
    else:  # the rows that are left out have their place in the order of the sum
        assert np.all(np.abs(value - kept[0]) <= 2 * fmt.spacing(kept[0]))
        assert np.all(np.abs(gradient[where] - kept[1]) <= 2 * fmt.spacing(kept[1]))
    assert not gradient[~where].view(fmt.unsigned).any()


@FMT
@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
def test_cross_entropy_of_nothing(fmt: Format, reduction: Any) -> None:
    x, labels = fmt.array(np.ones((6, 3))), np.full(6, 9)
    value, gradient = cross_entropy(x, labels, where=np.zeros(6, bool), reduction=reduction)
    assert value == 0.0 if reduction == "sum" else np.isnan(value)
    assert [0.0] * 18 == numbers(gradient)
    value, gradient = cross_entropy(x[:0], labels[:0], reduction=reduction)
    assert value == 0.0 if reduction == "sum" else np.isnan(value)
    assert (0, 3) == gradient.shape


@FMT
def test_cross_entropy_weights_that_cancel(fmt: Format) -> None:
    x, labels, weights = fmt.array(np.eye(3)), np.arange(3), np.array([1.0, -1.0, 7.0])
    where = np.array([True, True, False])
    value, gradient = cross_entropy(
        x, labels, weights=weights, where=where, reduction="weighted_mean"
    )
    assert np.isnan(value)
    assert np.all(np.isnan(gradient[:2]))
    assert [0.0] * 3 == numbers(gradient[2])


@pytest.mark.parametrize("fmt", [FLOAT32, FLOAT64], ids=str)
def test_cross_entropy_subnormal_probabilities(fmt: Format) -> None:
    """Gradients go down to the smallest number, and then to 0."""
    lowest = -744.4 if fmt is FLOAT64 else -103.2
    x = fmt.array(np.stack([np.zeros(400), np.linspace(lowest - 3, lowest + 45, 400)], axis=-1))
    labels = np.zeros(400, np.int64)
    expected = reference(x, labels, precision=1400)
    value, gradient = cross_entropy(x, labels)
    assert 0.0 < np.min(value[value > 0]) < 3 * fmt.smallest
    assert 0.0 == value[0] == gradient[0, 1]
    assert_near(expected.value, value, expected.value_terms, fmt, 2, f"{fmt.name} value")
    assert_near(
        expected.gradient, gradient, expected.gradient_terms, fmt, 2, f"{fmt.name} gradient"
    )


def test_cross_entropy_keeps_subnormals_whatever_the_caller_does() -> None:
    """In the threads of the pool, too."""
    x = np.zeros((4096, 16), np.float32)
    x[:, 0] = 95.0
    lossless.set_num_threads(2)
    value, gradient = cross_entropy(x, np.zeros(4096, np.int64))
    assert 0.0 < value[0] < np.finfo(np.float32).smallest_normal
    assert np.all(value == value[0])
    assert np.all(gradient[:, 1:] == gradient[0, 1])
    assert gradient[0, 1] > 0.0
