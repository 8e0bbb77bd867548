"""Second derivatives of cross entropy by its logits, against p·(1 - p) in mpmath."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64
from support.rows.cases import RowCase, assert_near, bound, everywhere, row_params

INF, NAN = np.inf, np.nan
LOGITS = [[2.0, -1.0, 0.5], [40.0, 0.0, 0.0], [-0.25, -0.25, -0.25], [-300.0, 1.0, -20.0]]
LABELS = np.array([0, 1, 2, 1])
PROBABILITIES = np.array([[0.5, 0.25, 0.25], [0, 0, 0], [1, 0, 0], [0.125, 2.0, 0.25]])
WEIGHTS = np.array([1.0, 0.5, 0.0, -2.0])


def reference(logits: Any, factors: Any) -> list[tuple[Any, Any]]:
    """(number, 0) of each: nothing cancels."""
    found = []
    with mp.workprec(2000):
        for row, factor in zip(logits, factors, strict=True):
            exponentials = [mp.exp(mp.mpf(float(x))) for x in row]
            for e in exponentials:
                p = e / mp.fsum(exponentials)
                found.append((mp.mpf(float(factor)) * p * (1 - p), mp.mpf(0)))
    return found


def both(case: RowCase, *arrays: Any, **options: Any) -> list[Any]:
    call = lossless.grad_and_hess(lossless.cross_entropy)
    return [case.backend.numpy(x) for x in case.call(call, *arrays, **options)]


@everywhere("cross_entropy")
def test_second_derivatives_are_true(case: RowCase) -> None:
    """With the gradient that `value_and_grad` has, of labels and of probabilities."""
    logits = case.fmt.array(LOGITS)
    weights = case.fmt.array(WEIGHTS)
    probabilities = case.fmt.array(PROBABILITIES)
    totals = PROBABILITIES.sum(1)
    for targets, options, factors in (
        (LABELS, {}, np.ones(4)),
        (LABELS, {"weights": weights}, WEIGHTS),
        (probabilities, {"weights": weights}, totals * WEIGHTS),
    ):
        gradient, actual = both(case, logits, targets, **options)
        assert case.fmt.dtype == actual.dtype
        assert_near(
            reference(logits, factors),
            actual.ravel(),
            case.fmt,
            bound(case.backend, case.fmt),
            f"{case}",
        )
        _, slope = case.value_and_grad(logits, targets, **options)
        np.testing.assert_array_equal(gradient, slope)


@pytest.mark.parametrize("case", row_params(["cross_entropy"], [FLOAT64]))
def test_second_derivatives_with_options(case: RowCase) -> None:
    logits = np.array(LOGITS)
    limit = bound(case.backend, FLOAT64)
    smoothed = 0.75 * PROBABILITIES.sum(1) + 0.25
    with case.backend.path():
        call = lossless.grad_and_hess(lossless.cross_entropy)
        array = case.backend.array
        _, actual = call(array(logits), array(PROBABILITIES), label_smoothing=0.25)
        assert_near(
            reference(logits, smoothed),
            case.backend.numpy(actual).ravel(),
            FLOAT64,
            limit,
            "smoothed",
        )
        where = np.array([True, False, True, False])
        _, actual = call(
            array(logits.T.copy()), array(LABELS), axis=0, where=array(where), weights=3.0
        )
        actual = case.backend.numpy(actual).T
    assert_near(reference(logits[where], [3, 3]), actual[where].ravel(), FLOAT64, limit, "where")
    assert not actual[~where].any()


@pytest.mark.parametrize("case", row_params(["cross_entropy"], [FLOAT32]))
def test_second_derivatives_of_special_logits(case: RowCase) -> None:
    """A class that cannot be has none; other infinities and NaN are nobody's derivatives."""
    logits = np.array([[0, 0, -INF], [1, NAN, 0], [INF, 0, 0], [-INF, -INF, -INF]], np.float32)
    _, actual = both(case, logits, np.zeros(4, np.int32))
    np.testing.assert_array_equal(actual[0], [0.25, 0.25, 0])
    assert np.isnan(actual[1:]).all()
