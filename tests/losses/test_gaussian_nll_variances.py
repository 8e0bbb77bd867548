"""Variances that broadcast to the residuals: one for each element, row, column, or for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT64, Array
from lossless.verification.losses import LOSSES
from support.cases import JAX, MLX, TORCH, Backend, Case
from support.checks import assert_same_bits, assert_ulp
from support.frameworks.autodiff import differentiated

SHAPE = (3, 4)
SHAPES = [(3, 4), (3, 1), (1, 4), (4,), (1,), (1, 1), ()]
LOSS = lossless.gaussian_nll_loss


def samples(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array, Array]:
    return rng.normal(0.5, 2, SHAPE), rng.normal(-0.25, 1, SHAPE), rng.uniform(0.5, 2, shape)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gaussian_nll_of_fewer_variances_is_that_of_repeated_ones(
    shape: tuple[int, ...], reduction: Any, full: bool, rng: np.random.Generator
) -> None:
    x, t, v = samples(shape, rng)
    repeated = np.array(np.broadcast_to(v, SHAPE))
    options: dict[str, Any] = {"reduction": reduction, "full": full}
    for function in (LOSS, lossless.value_and_grad(LOSS)):
        few, many = function(x, t, v, **options), function(x, t, repeated, **options)
        pairs = zip(few, many, strict=True) if isinstance(few, tuple) else [(few, many)]
        for one, other in pairs:
            assert_same_bits(other, one, FLOAT64, f"{shape}")
    second = lossless.grad_and_hess(LOSS)(x, t, v)[1]
    assert np.divide(1.0, repeated).tolist() == second.tolist()


# JAX compiles each of them.
EVERY: list[Any] = [(backend, shape) for backend in (*MLX, *TORCH) for shape in SHAPES]
SOME: list[Any] = [(backend, shape) for backend in JAX for shape in ((3, 1), (4,))]


@pytest.mark.parametrize(("backend", "shape"), EVERY + SOME, ids=str)
def test_gaussian_nll_gradient_by_variances_is_a_sum(
    backend: Backend, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Of (1/v - r²/v²)/2 over the elements that have the variance."""
    case = Case(LOSSES["gaussian_nll"], backend, FLOAT64)
    x, t, v = samples(shape, rng)

    def total(x: Any, t: Any, v: Any) -> Any:
        return LOSS(x, t, v, reduction="sum")

    by_inputs, by_targets, actual = differentiated(case, total, [x, t, v])
    with mp.workprec(200):
        residuals = [mp.mpf(a) - mp.mpf(b) for a, b in zip(x.flat, t.flat, strict=True)]
        variances = [mp.mpf(float(number)) for number in np.broadcast_to(v, SHAPE).flat]
        pairs = list(zip(residuals, variances, strict=True))
        places = np.broadcast_to(np.arange(v.size).reshape(shape), SHAPE).ravel()
        true, terms = ([mp.mpf(0)] * v.size for _ in range(2))
        for place, (r, s) in zip(places, pairs, strict=True):
            true[place] += (1 / s - r * r / s / s) / 2
            terms[place] += (1 / s + r * r / s / s) / 2
        slack = [term * mp.ldexp(1, -47) for term in terms]
        assert_ulp(true, actual, FLOAT64, 16, f"{case} by vars {shape}", slack=slack)
        assert_ulp([r / s for r, s in pairs], by_inputs, FLOAT64, 16, f"{case} by inputs {shape}")
        assert_ulp([-r / s for r, s in pairs], by_targets, FLOAT64, 16, f"{case} {shape}")
    assert shape == actual.shape


def test_gaussian_nll_of_one_variance_that_is_known() -> None:
    """-0.5 each: log 1 + 1²/1 and so on, for a column of variances 1 and 4."""
    x = np.array([[1.0, 2.0], [2.0, 4.0]])
    actual = LOSS(x, np.zeros((2, 2)), np.array([[1.0], [4.0]]), reduction="none")
    expected = [[0.5, 2.0], [0.5 + np.log(2), 2.0 + np.log(2)]]
    np.testing.assert_allclose(actual, expected, rtol=4e-16, atol=0)
