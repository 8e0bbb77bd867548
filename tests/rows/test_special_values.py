"""Losses of rows where formulas break: infinities, ties, zeros, extremes, masked rows, no class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from lossless.verification.formats import FLOAT32, FLOAT64, Array
from support.cases import JAX, MLX, TORCH, Backend
from support.frameworks.autodiff import by_autodiff
from support.rows.cases import (
    BUT_JAX,
    RowCase,
    assert_close,
    assert_near,
    bound,
    everywhere,
    row_cases,
)

INF, NAN = math.inf, math.nan


def gradients(case: RowCase, *arrays: Any, **parameters: Any) -> list[tuple[str, Array]]:
    """That of value_and_grad, and the framework's own of a sum."""
    found = [("value_and_grad", case.value_and_grad(*arrays, **parameters)[1])]
    if case.backend in (*MLX, *TORCH, *JAX):

        def gradient(*arrays: Any, **options: Any) -> Any:
            return by_autodiff(case.backend, case.function, *arrays, **options)

        found.append(("autodiff", case.backend.numpy(case.call(gradient, *arrays, **parameters))))
    return found


def check(case: RowCase, values: Any, slopes: Any, *arrays: Any, **parameters: Any) -> None:
    """Exact values, or numbers to 2^-7, which no format misses; and all gradients of the sum."""
    actual = case.value(*arrays, **parameters)
    np.testing.assert_allclose(actual.astype(float), values, 2.0**-7, err_msg=f"{case}")
    for way, gradient in gradients(case, *arrays, **parameters):
        message = f"{way} of {case}"
        np.testing.assert_allclose(gradient.astype(float), slopes, 2.0**-7, err_msg=message)


def assert_as_defined(case: RowCase, *arrays: Array, **parameters: Any) -> None:
    """Values within the contract, even where their squares or powers are no numbers."""
    expected = [case.loss.value(*row, **parameters) for row in zip(*arrays, strict=True)]
    actual = case.value(*arrays, **parameters)
    assert_near(expected, actual, case.fmt, bound(case.backend, case.fmt), f"{case} {parameters}")


@everywhere("cross_entropy")
def test_cross_entropy_of_impossible_classes(case: RowCase) -> None:
    x = case.fmt.array([[0.0, -INF], [-INF, 0.0], [-INF, 0.0], [-INF, -INF], [2.5, INF]])
    values = [0.0, 0.0, INF, NAN, NAN]
    actual = case.value(x, np.array([0, 1, 0, 1, 0]))
    np.testing.assert_array_equal(actual.astype(float), values, f"{case}")
    slopes = [[0.0, 0.0], [0.0, 0.0], [-1.0, 1.0]]
    check(case, values[:3], slopes, x[:3], np.array([0, 1, 0]))


@everywhere("soft_cross_entropy")
def test_cross_entropy_of_impossible_classes_and_probabilities(case: RowCase) -> None:
    """As if the class were not there where its probability is 0; PyTorch and MLX have NaN."""
    x = case.fmt.array([[0.0, -INF], [-INF, 0.0], [0.0, -INF], [3.0, 3.0]])
    t = case.fmt.array([[1.0, 0.0], [-0.0, 0.25], [0.5, 0.5], [1.0, 0.0]])
    slopes = [[0, 0], [0, 0], [0.5, -0.5], [-0.5, 0.5]]
    check(case, [0.0, 0.0, INF, math.log(2)], slopes, x, t)
    smoothed = case.value(x, t, label_smoothing=0.25).astype(float)
    np.testing.assert_array_equal(smoothed[:3], [INF] * 3)
    infinite = case.fmt.array([[-INF, -INF], [INF, 0.0], [NAN, 0.0]])
    assert np.isnan(case.value(infinite, case.fmt.array([[0.0, 0.0]] * 3)).astype(float)).all()


@everywhere("soft_cross_entropy")
def test_cross_entropy_of_no_probabilities(case: RowCase) -> None:
    """Rows of zeros, as one-hot encoding makes of labels to ignore, count nothing."""
    x, _ = case.loss.samples(case.fmt)
    check(case, np.zeros(len(x)), np.zeros(x.shape), x, np.zeros_like(x))


@everywhere("cross_entropy")
def test_cross_entropy_of_huge_logits(case: RowCase) -> None:
    huge = min(1e30, case.fmt.largest / 4)
    x = case.fmt.array([[huge, huge], [huge, -huge], [huge, -huge], [1e4, 1e4], [-1e4, -1e4 + 64]])
    huge = float(x[0, 0])
    values = [math.log(2), 0.0, 2 * huge, math.log(2), 64.0]
    slopes = [[-0.5, 0.5], [0, 0], [1, -1], [-0.5, 0.5], [-1, 1]]
    check(case, values, slopes, x, np.array([0, 0, 1, 0, 0]))


@everywhere("cross_entropy")
def test_cross_entropy_of_equal_logits(case: RowCase) -> None:
    """No framework's derivative of a maximum shows, whichever of equal logits is the label."""
    x = case.fmt.array([[1.5, 1.5, 1.5], [1.5, 1.5, 1.5], [1.5, 1.5, -INF]])
    third, values = 1 / 3, [math.log(3), math.log(3), math.log(2)]
    slopes = [[third - 1, third, third], [third, third, third - 1], [0.5, -0.5, 0.0]]
    check(case, values, slopes, x, np.array([0, 2, 1]))


@everywhere("cross_entropy")
def test_cross_entropy_of_one_class_is_zero(case: RowCase) -> None:
    x = case.fmt.array([[3.5], [-1e4]])
    check(case, [0.0, 0.0], [[0.0], [0.0]], x, np.array([0, 0]))
    check(case, [0.0, 0.0], [[0.0], [0.0]], x, np.array([0, 0]), label_smoothing=0.5)


@row_cases(["cross_entropy", "nll"], [FLOAT32], backends=[*MLX, Backend.ARRAY_API_STRICT])
def test_classes_that_do_not_exist_are_nan(case: RowCase) -> None:
    """For the row only, where the values of class indices cannot be looked at."""
    x = case.fmt.array([[1.0, 2.0, 4.0]] * 5)
    labels = np.array([1, 3, -1, -3, 2**40])
    for way, gradient in gradients(case, x, labels):
        np.testing.assert_array_equal(np.isnan(gradient).any(1), labels != 1, f"{way} of {case}")
        assert np.isfinite(gradient[0]).all()
    np.testing.assert_array_equal(np.isnan(case.value(x, labels)), labels != 1)
    # Not wrapped around in a dtype that has no room for the number of classes.
    wide = case.fmt.array(np.linspace(0.5, 1.0, 300)[None])
    assert np.isfinite(case.value(wide, np.array([255], np.uint8))).all()


@everywhere("kl_div")
def test_kl_div_of_probabilities_of_zero(case: RowCase) -> None:
    """They add 0 to the loss whatever was predicted; predicted for the possible, infinity."""
    half = math.log(0.5)
    x = case.fmt.array([[half, -INF], [half, -3.0], [-INF, half], [-INF, half], [half, NAN]])
    t = case.fmt.array([[0.0, -INF], [0.0, -INF], [half, half], [-INF, 0.0], [0.0, -INF]])
    slopes = [[-1, 0], [-1, 0], [-0.5, -0.5], [0, -1], [-1, 0]]
    values = [-half, -half, INF, -half, NAN]
    check(case, values[:4], slopes[:4], x[:4], t[:4])
    np.testing.assert_allclose(case.value(x, t).astype(float), values, 2.0**-7)


@everywhere("kl_div", formats=[FLOAT32, FLOAT64])
def test_kl_div_of_probabilities_too_small_to_be_numbers(case: RowCase) -> None:
    x, t = case.fmt.array([[-INF, 0.0], [-3.0, 0.0]]), case.fmt.array([[-5000.0, 0.0]] * 2)
    check(case, [INF, 0.0], [[0.0, -1.0]] * 2, x, t)


@everywhere("cosine_similarity")
def test_cosine_similarity_of_zero_and_equal_vectors(case: RowCase) -> None:
    x1 = case.fmt.array([[0, 0], [3, 4], [0, 0], [0.75, 1]])
    x2 = case.fmt.array([[0, 0], [0, 0], [3, 4], [0.75, 1]])
    slopes = [[0, 0], [0, 0], [12, 16], [0, 0]]
    values = [0.0, 0.0, 0.0, 1.0]
    actual = case.value(x1, x2, eps=0.25)
    np.testing.assert_array_equal(actual.astype(float), values, f"{case}")
    for way, gradient in gradients(case, x1, x2, eps=0.25):
        error = np.abs(gradient.astype(float) - slopes).max()
        assert error <= 2.0**-20, f"{way} of {case}: {gradient}"


@everywhere("cosine_similarity")
def test_cosine_similarity_of_infinities_and_nan(case: RowCase) -> None:
    x1 = case.fmt.array([[INF, 1.0], [-INF, INF], [NAN, 0.0], [INF, 0.0], [3.0, 4.0]])
    x2 = case.fmt.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [4.0, 3.0]])
    for a, b in ((x1, x2), (x2, x1)):
        np.testing.assert_array_equal(np.isnan(case.value(a, b)), [True] * 4 + [False])


@everywhere("nll")
def test_nll_is_about_the_label_alone(case: RowCase) -> None:
    x = case.fmt.array([[-0.5, NAN], [-0.5, -INF], [-INF, NAN], [NAN, -0.5]])
    actual = case.value(x, np.array([0, 0, 0, 0]))
    np.testing.assert_array_equal(actual.astype(float), [0.5, 0.5, INF, NAN])


@everywhere("cosine_similarity", formats=[FLOAT32, FLOAT64])
def test_cosine_similarity_of_huge_and_tiny_vectors(case: RowCase) -> None:
    huge = 1e30 if case.fmt is FLOAT32 else 1e300
    x1 = case.fmt.array([[3 * huge, 4 * huge], [3 * huge, 4 * huge], [3 / huge, 4 / huge]])
    x2 = case.fmt.array([[5 * huge, 0.0], [5 / huge, 0.0], [0.0, 2 * huge]])
    assert_as_defined(case, x1, x2)
    assert all(np.isfinite(gradient).all() for _, gradient in gradients(case, x1, x2))
    assert_as_defined(case, x1[2:], x1[2:] * 2, eps=0.0)


@row_cases(["cosine_similarity"], backends=[Backend.NUMPY, Backend.MLX, Backend.TORCH])
def test_cosine_similarity_below_eps(case: RowCase) -> None:
    x1, x2 = case.fmt.array([[0.25, -0.5]]), case.fmt.array([[1.0, 0.25]])
    check(case, [0.125 / 4], [[1 / 4, 0.25 / 4]], x1, x2, eps=4.0)
    assert np.isnan(case.value(0 * x1, x2, eps=0.0)).all()


@everywhere("triplet", formats=[FLOAT32])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, INF])
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_triplet_of_equal_points(case: RowCase, p: float, eps: float) -> None:
    """The distance 0 has the slope 0."""
    a = case.fmt.array([[1.5, -2.0], [1.5, -2.0]])
    far = case.fmt.array([[1.5, -2.0], [1.5, 0.0]])
    distance = 2.0 if p == INF else (2.0**p + eps) ** (1 / p)
    nothing = 0.0 if p == INF else eps ** (1 / p)
    value = nothing - distance + 4.0
    check(case, [4.0, value], [[0, 0], [0, 1]], a, a, far, p=p, eps=eps, margin=4.0)


@everywhere("triplet")
def test_triplet_below_zero_and_at_it(case: RowCase) -> None:
    a, near = case.fmt.array([[0.0, 0.0]] * 3), case.fmt.array([[1.0, 0.0]] * 3)
    far = case.fmt.array([[0.0, 4.0], [0.0, 3.0], [0.0, NAN]])
    actual = case.value(a, near, far, eps=0.0, margin=2.0)
    np.testing.assert_array_equal(actual.astype(float), [0.0, 0.0, NAN])
    for _, gradient in gradients(case, a[:2], near[:2], far[:2], eps=0.0, margin=2.0):
        np.testing.assert_array_equal(gradient.astype(float), np.zeros((2, 2)))


@everywhere("triplet", formats=[FLOAT32])
def test_triplet_smaller_than_the_rounding_of_its_distances(case: RowCase) -> None:
    """Which are 2 and 3 in float32, and would leave nothing."""
    a, near, far = (case.fmt.array([point]) for point in ([0.0, 0.0], [2.0, 0.0], [0.0, 3.0]))
    exact = mp.cbrt(8 + mp.mpf(1e-6)) - mp.cbrt(27 + mp.mpf(1e-6)) + 1
    actual = case.value(a, near, far, p=3, eps=1e-6, margin=1.0)
    assert abs(mp.mpf(float(actual[0])) - exact) <= 2 * np.spacing(np.float32(exact))


@row_cases(["triplet"], backends=BUT_JAX)
@pytest.mark.parametrize("p", [1, 2, 3, INF])
def test_triplet_of_infinite_distances(case: RowCase, p: float) -> None:
    a, here = case.fmt.array([[0.0, 1.0]] * 3), case.fmt.array([[0.0, 2.0]] * 3)
    away = case.fmt.array([[INF, 1.0], [-INF, -INF], [1.0, NAN]])
    infinite, below = case.value(a, away, here, p=p), case.value(a, here, away, p=p)
    np.testing.assert_array_equal(infinite.astype(float), [INF, INF, NAN])
    np.testing.assert_array_equal(below.astype(float), [0.0, 0.0, NAN])
    np.testing.assert_array_equal(np.isnan(case.value(away, here, a, p=p)), [True] * 3)


@everywhere("cross_entropy", "soft_cross_entropy", formats=[FLOAT32])
def test_cross_entropy_of_masked_weights(case: RowCase) -> None:
    x, targets = case.loss.samples(case.fmt)
    where = np.array([True, False, True, True, False, True])
    weights = case.fmt.array([0.5, NAN, 2.0, 3.0, INF, 0.75])
    for reduction in ("mean", "weighted_mean"):
        options = {"reduction": reduction}
        kept = x[where], targets[where], weights[where]
        expected, slopes = case.value_and_grad(*kept, **options)
        value, gradient = case.value_and_grad(x, targets, weights, where=where, **options)
        terms = 3 * (np.abs(x).max() - x.min() + np.log(x.shape[-1])).astype(float)  # with weights
        assert_close(case, expected, value, terms, reduction)
        assert_close(case, slopes, gradient[where], 3.0, f"gradient of {reduction}")
        np.testing.assert_array_equal(gradient[~where], 0)


@everywhere("triplet", formats=[FLOAT32, FLOAT64])
@pytest.mark.parametrize("p", [1, 2, 3, 50, INF])
def test_triplet_of_huge_and_tiny_distances(case: RowCase, p: float) -> None:
    huge = 1e30 if case.fmt is FLOAT32 else 1e300
    a, near = case.fmt.array([[0.0], [0.0]]), case.fmt.array([[huge], [3 / huge]])
    far = case.fmt.array([[huge / 4], [1 / huge]])
    options = {"p": p, "eps": 0.0, "margin": 0.0}
    assert_as_defined(case, a, near, far, **options)
    assert all(
        np.isfinite(gradient).all() for _, gradient in gradients(case, a, near, far, **options)
    )


@everywhere(formats=[FLOAT32])
def test_masked_rows_are_absent(case: RowCase) -> None:
    """Whatever they hold, even no class; and all gradients are the others'."""
    for poison in (NAN,) if case.backend in JAX else (NAN, INF, -INF):
        check_masked_rows(case, poison)


def check_masked_rows(case: RowCase, poison: float) -> None:
    samples = case.loss.samples(case.fmt)
    where = np.array([True, False, True, True, False, True])
    poisoned = []
    for x in samples:
        bad = np.full_like(x[0], 99 if x.dtype.kind == "i" else poison)
        poisoned.append(np.where(where if x.ndim == 1 else where[:, None], x, bad))
    kept = [x[where] for x in samples]
    np.testing.assert_array_equal(
        case.value(*poisoned, where=where), np.where(where, case.value(*samples), 0)
    )
    for reduction in ("sum", "mean"):
        expected, slopes = case.value_and_grad(*kept, reduction=reduction)
        assert expected == case.value(*poisoned, where=where, reduction=reduction)
        for way, gradient in gradients(case, *poisoned, where=where, reduction=reduction):
            message = f"{way} of {case}"
            np.testing.assert_array_equal(gradient[~where], 0, message)
            np.testing.assert_allclose(gradient[where], slopes, 1e-5, 1e-12, err_msg=message)


@everywhere(formats=[FLOAT32])
def test_everything_masked(case: RowCase) -> None:
    samples = case.loss.samples(case.fmt)
    where = np.zeros(1, np.bool_)
    for reduction, expected in (("sum", 0.0), ("mean", NAN)):
        actual = case.value(*samples, where=where, reduction=reduction)
        np.testing.assert_array_equal(expected, actual)
        for way, gradient in gradients(case, *samples, where=where, reduction=reduction):
            np.testing.assert_array_equal(gradient, np.zeros_like(gradient), f"{way} of {case}")


@everywhere(formats=[FLOAT32])
def test_no_rows(case: RowCase) -> None:
    samples = [x[:0] for x in case.loss.samples(case.fmt)]
    assert (0,) == case.value(*samples).shape
    value, gradient = case.value_and_grad(*samples, reduction="mean")
    assert np.isnan(value)
    assert samples[0].shape == gradient.shape


@row_cases(backends=BUT_JAX)
def test_one_row_without_other_dimensions(case: RowCase) -> None:
    samples = case.loss.samples(case.fmt)
    axis = {"axis": 0} if case.loss.name == "cosine_similarity" else {}
    expected, slopes = case.value_and_grad(*samples)
    value, gradient = case.value_and_grad(*(np.asarray(x[3]) for x in samples), **axis)
    assert () == value.shape
    assert case.fmt.dtype == value.dtype
    np.testing.assert_array_equal(expected[3], value)
    np.testing.assert_array_equal(slopes[3], gradient)
