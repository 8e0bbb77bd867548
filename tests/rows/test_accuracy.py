"""Losses of rows against their definitions in mpmath, on every backend, in every dtype."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT16, FLOAT32, FLOAT64, Format
from support.cases import JAX, Backend, to_jax
from support.frameworks.autodiff import by_autodiff
from support.rows.cases import (
    BOUNDS,
    WITHOUT_FLOAT64,
    Bound,
    RowCase,
    assert_near,
    bound,
    reference_rows,
    row_cases,
    row_params,
)
from support.rows.reference import ROW_LOSSES

ROWS, SIZE = 6, 5


def of_gradient(limit: Bound, name: str, fmt: Format, parameters: dict[str, Any]) -> Bound:
    """The bound of gradients where nothing is computed wider.

    The power p - 1 multiplies the error of five roundings; of e^-40 the difference that is its
    exponent has an error of up to 32 units.
    """
    if fmt is FLOAT64 and name == "triplet" and parameters.get("p", 2) < math.inf:
        return Bound(limit.ulp + 5 * (parameters.get("p", 2) - 1), limit.terms)
    if fmt is FLOAT64 and name == "cross_entropy":
        return Bound(limit.ulp + 32, limit.terms)
    return limit


@row_cases()
def test_rows_are_true(case: RowCase) -> None:
    """Values and the gradients that come with them."""
    samples = case.loss.samples(case.fmt, ROWS, SIZE)
    few = case.backend in JAX and case.fmt not in BOUNDS  # JAX compiles each for 0.1 s
    for setting, parameters in enumerate(case.loss.settings[: 1 if few else None]):
        values, slopes = reference_rows(case.loss, case.fmt, setting, ROWS, SIZE)
        what, limit = f"{case} {parameters}", bound(case.backend, case.fmt)
        value, gradient = case.value_and_grad(*samples, **parameters)
        assert (ROWS,) == value.shape
        assert (ROWS, SIZE) == gradient.shape
        assert_near(values, value, case.fmt, limit, what)
        limit = of_gradient(limit, case.loss.name, case.fmt, parameters)
        assert_near(slopes, gradient, case.fmt, limit, f"gradient of {what}")
        np.testing.assert_array_equal(case.value(*samples, **parameters), value)


@pytest.mark.parametrize(
    "case",
    [
        *row_params(ROW_LOSSES, [FLOAT16, FLOAT32, FLOAT64], [Backend.MLX, Backend.TORCH]),
        *row_params(ROW_LOSSES, [FLOAT32], [Backend.JAX]),
    ],
)
def test_frameworks_find_the_true_gradient(case: RowCase) -> None:
    samples = case.loss.samples(case.fmt, ROWS, SIZE)
    for setting, parameters in enumerate(case.loss.settings):
        _, slopes = reference_rows(case.loss, case.fmt, setting, ROWS, SIZE)

        def gradient(*arrays: Any, parameters: Any = parameters) -> Any:
            return by_autodiff(case.backend, case.function, *arrays, **parameters)

        actual = case.backend.numpy(case.call(gradient, *samples))
        limit = bound(case.backend, case.fmt)
        limit = of_gradient(limit, case.loss.name, case.fmt, parameters)
        assert_near(slopes, actual, case.fmt, limit, f"autodiff of {case} {parameters}")


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_jax_without_float64(name: str) -> None:
    """float32 has no wider dtype there: its own few ULP, and those of a sum."""
    loss = ROW_LOSSES[name]
    function = getattr(lossless, loss.function)
    samples = list(map(to_jax, loss.samples(FLOAT32, ROWS, SIZE)))
    for setting, parameters in enumerate(loss.settings):
        values, slopes = reference_rows(loss, FLOAT32, setting, ROWS, SIZE)
        value, gradient = lossless.value_and_grad(function)(*samples, **parameters)
        assert jnp.float32 == value.dtype
        what = f"{name} {parameters}"
        assert_near(values, value, FLOAT32, WITHOUT_FLOAT64, what)
        if parameters.get("p") != 40.0:  # |x|^39 by XLA
            limit = of_gradient(WITHOUT_FLOAT64, name, FLOAT64, parameters)
            assert_near(slopes, gradient, FLOAT32, limit, f"gradient of {what}")


@row_cases(backends=[*(b for b in Backend if b not in JAX), Backend.JAX], formats=[FLOAT32])
def test_reductions_are_true(case: RowCase, rng: np.random.Generator) -> None:
    """Sum and mean over the rows that are selected, rounded once; their gradients too."""
    samples = case.loss.samples(case.fmt, ROWS, SIZE)
    values, slopes = reference_rows(case.loss, case.fmt, 0, ROWS, SIZE)
    where = np.array([True, False, True, True, False, True])
    limit = bound(case.backend, case.fmt)
    for reduction, divisor in (("sum", 1), ("mean", 4)):
        value, gradient = case.value_and_grad(*samples, reduction=reduction, where=where)
        kept = [value for value, chosen in zip(values, where, strict=True) if chosen]
        total = mp.fsum(v for v, _ in kept) / divisor
        terms = mp.fsum(t for _, t in kept) / divisor
        what = f"{reduction} of {case}"
        assert () == value.shape
        assert_near([(total, terms)], value, case.fmt, limit, what)
        true = [
            (slope / divisor * bool(chosen), terms)
            for (slope, terms), chosen in zip(slopes, np.repeat(where, SIZE), strict=True)
        ]
        assert_near(true, gradient, case.fmt, limit, f"gradient of {what}")


@row_cases(["cross_entropy", "soft_cross_entropy"], [FLOAT32, FLOAT16])
def test_cross_entropy_weights(case: RowCase, rng: np.random.Generator) -> None:
    samples = case.loss.samples(case.fmt, ROWS, SIZE)
    weights = case.fmt.array(rng.uniform(0.25, 4.0, ROWS))
    values, slopes = reference_rows(case.loss, case.fmt, 0, ROWS, SIZE)
    reals = [mp.mpf(float(w)) for w in weights]
    limit = bound(case.backend, case.fmt)

    def weighted(divisor: Any, pairs: Any, repeat: int = 1) -> list[tuple[Any, Any]]:
        factors = np.repeat(np.array(reals, object), repeat)
        return [
            (v * w / divisor, t * w / divisor) for (v, t), w in zip(pairs, factors, strict=True)
        ]

    for reduction, divisor in (("none", 1), ("mean", ROWS), ("weighted_mean", mp.fsum(reals))):
        value, gradient = case.value_and_grad(*samples, weights, reduction=reduction)
        each = weighted(divisor, values)
        if reduction != "none":
            each = [tuple(map(mp.fsum, zip(*each, strict=True)))]
        what = f"{reduction} of {case}"
        assert_near(each, value, case.fmt, limit, what)
        true = weighted(divisor, slopes, SIZE)
        assert_near(true, gradient, case.fmt, limit, f"gradient of {what}")


@pytest.fixture(scope="module")
def many() -> tuple[Any, ...]:
    """Logits and labels of many classes, the true losses, and the true softmax of one class."""
    rng = np.random.default_rng(20_000)
    x, labels = rng.normal(0.5, 3.0, (3, 20_000)).astype(np.float32), np.array([0, 777, 19_999])
    x[1, 777] = 30.0
    values, shares = [], []
    with mp.workprec(200):
        for row, label in zip(x, labels, strict=True):
            exponentials = [mp.exp(float(number)) for number in row]
            whole = mp.fsum(exponentials)
            values.append((mp.log(whole) - float(row[label]), mp.mpf(0)))
            shares.append((exponentials[5] / whole, mp.mpf(0)))
    return x, labels, values, shares


@row_cases(["cross_entropy"], [FLOAT32])
def test_cross_entropy_of_many_classes(case: RowCase, many: tuple[Any, ...]) -> None:
    """Where float32 sums go wrong, such as MLX's."""
    x, labels, values, shares = many
    value, gradient = case.value_and_grad(x, labels)
    assert_near(values, value, FLOAT32, Bound(2, 0), str(case))
    assert_near(shares, gradient[:, 5], FLOAT32, Bound(2, 0), f"gradient of {case}")


@row_cases(["nll"], backends=[b for b in Backend if b not in JAX])
def test_nll_is_exact(case: RowCase) -> None:
    x, labels = case.loss.samples(case.fmt, ROWS, SIZE)
    value, gradient = case.value_and_grad(x, labels)
    np.testing.assert_array_equal(-x[np.arange(ROWS), labels], value)
    np.testing.assert_array_equal(-(np.arange(SIZE) == labels[:, None]).astype(float), gradient)
