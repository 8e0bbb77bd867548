"""What the other element-wise losses have to do with each other, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64
from lossless.verification.losses import LOSSES
from support.cases import Case, cases

NAN, INF = math.nan, math.inf


@given(
    pairs=st.lists(
        st.tuples(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32)), min_size=1
    ),
    beta=st.sampled_from([0.5, 1.0, 4.0]),
)
def test_some_losses_are_each_other(pairs: list[tuple[float, float]], beta: float) -> None:
    x, t = np.array(pairs, np.float32).T.copy()
    assert_bits = np.testing.assert_array_equal
    none: dict[str, Any] = {"reduction": "none"}
    assert_bits(lossless.smooth_l1_loss(x, t, 0.0, **none), lossless.l1_loss(x, t, **none))
    assert_bits(
        lossless.smooth_l1_loss(x, t, beta, **none),
        lossless.huber_loss(x, t, beta) / np.float32(beta),
    )
    assert_bits(lossless.mse_loss(x, t, **none) / 2, lossless.huber_loss(x, t, INF))
    assert_bits(
        lossless.hinge_loss(x, np.sign(t)),
        lossless.margin_ranking_loss(x, 0.0, np.sign(t), 1.0),
    )
    assert_bits(
        lossless.l1_loss(x, t, **none),
        lossless.margin_ranking_loss(x, t, np.where(x < t, 1, -1).astype(np.float32)),
    )
    label = np.where(t > 0, 0.25, 1.0).astype(np.float32)
    assert_bits(
        lossless.binary_cross_entropy(x, label, **none),
        lossless.binary_cross_entropy(-x, 1 - label, **none),
    )


@given(
    logit=st.floats(-60, 60),
    target=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_binary_cross_entropy_two_ways(logit: float, target: float) -> None:
    """Of a logit, and of its probability, which has lost digits where it is near 1."""
    probability = 1 / (1 + math.exp(-logit))
    of_logit = lossless.binary_cross_entropy(logit, target, reduction="none")
    other = lossless.binary_cross_entropy(probability, target, None, False, "none")
    lost = 2.0**-51 * (1 + (1 - target) * math.exp(max(logit, 0)))
    assert abs(of_logit - other) <= lost + 1e-14 * of_logit or 1 == probability


def test_gaussian_nll_is_least_at_the_truth() -> None:
    """Of all variances, that of the squared residual: the derivative of the value is 0 there."""
    x, t = np.array([1.0, 0.5, -2.0]), np.array([3.0, 0.75, -2.5])
    best = (x - t) ** 2
    least = lossless.gaussian_nll_loss(x, t, best, reduction="none")
    for factor in (0.9, 1.1):
        other = lossless.gaussian_nll_loss(x, t, factor * best, reduction="none")
        assert (other > least).all()


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: lossless.l1_loss(x, x[:, 0]), r"l1_loss: targets must have the shape of pred"),
        (lambda x: lossless.hinge_loss(x, x[:1]), r"hinge_loss: targets must have the shape of in"),
        (
            lambda x: lossless.margin_ranking_loss(x, x, x[0]),
            r"margin_ranking_loss: targets must have the shape of inputs1 \(3, 4\), got \(4,\)",
        ),
        (
            lambda x: lossless.gaussian_nll_loss(x, x, x[:, 0]),
            r"^gaussian_nll_loss: vars must broadcast to .* residuals \(3, 4\), got \(3,\)$",
        ),
        (
            lambda x: lossless.gaussian_nll_loss(x[0], x[0], x),
            r"^gaussian_nll_loss: vars must broadcast to .* residuals \(4,\), got \(3, 4\)$",
        ),
        (
            lambda x: lossless.gaussian_nll_loss(1.0, 2.0, x),
            r"^gaussian_nll_loss: vars must broadcast to .* residuals \(\), got \(3, 4\)$",
        ),
        (lambda x: lossless.smooth_l1_loss(x, x, -0.5), r"beta must be >= 0, got -0.5"),
        (lambda x: lossless.smooth_l1_loss(x, x, NAN), r"beta must be >= 0, got nan"),
        (lambda x: lossless.gaussian_nll_loss(x, x, x, eps=0.0), r"eps must be > 0, got 0.0"),
        (lambda x: lossless.binary_cross_entropy(x, x, x[0, :3]), r"weights must broadcast"),
    ],
)
def test_wrong_shapes_and_parameters_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(np.ones((3, 4)))


def test_grad_and_hess_takes_losses_whose_default_is_a_mean() -> None:
    x, t = np.array([1.0, 3.0]), np.array([0.5, 4.0])
    first, second = lossless.grad_and_hess(lossless.mse_loss)(x, t)
    assert [1.0, -2.0] == first.tolist()
    assert [2.0, 2.0] == second.tolist()
    for reduction in ((x, t, "mean"), (x, t)):
        keywords: dict[str, Any] = {} if len(reduction) == 3 else {"reduction": "mean"}
        with pytest.raises(ValueError, match="reduction must be 'none', got 'mean'"):
            lossless.grad_and_hess(lossless.mse_loss)(*reduction, **keywords)


OF_PROBABILITIES = [LOSSES["binary_cross_entropy_of_probabilities"]]


@pytest.mark.kernel
@pytest.mark.parametrize(
    "case",
    cases([FLOAT32, FLOAT64], OF_PROBABILITIES),
)
def test_probabilities_count_from_the_lowest_logarithm_on(case: Case) -> None:
    """Below e**-100 the value is 100 and no derivative is left; from the next number on, one is."""
    above = {FLOAT32: 27 * 2.0**-149, FLOAT64: float.fromhex("0x1.a8c1f14e2af5dp-145")}[case.fmt]
    with mp.workprec(200):
        assert case.fmt.neighbour(above, -1) < mp.exp(-100) < above
    x = np.array([case.fmt.neighbour(above, step) for step in range(-3, 4)])
    below = x < above
    exact = {
        "value": np.where(below, 100, -np.log(x)),
        "gradient": np.where(below, 0, -1 / x),
        "second_derivative": np.where(below, 0, 1 / x / x),
    }
    for output, call, actual in case.element_wise(case.fmt.array(x), case.fmt.array(np.ones(7))):
        expected = case.fmt.array(exact[output])
        assert list(expected[below]) == list(actual[below]), (output, call)
        np.testing.assert_array_max_ulp(actual[~below], expected[~below], 5)
