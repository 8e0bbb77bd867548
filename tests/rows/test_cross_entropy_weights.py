"""Weights of cross entropy broadcast to the losses, as those of element-wise losses do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FORMATS, Array
from support.cases import JAX, MLX, TORCH, Backend

LOSS = lossless.cross_entropy
BOTH = lossless.value_and_grad(LOSS)
# Of losses in the shape (3, 4): a number, one for each row, column, element.
WEIGHTS: list[Any] = [
    0.5, 3, np.float32(0.5), np.array(0.5), np.array([[2.0]], np.float32), np.arange(1.0, 5.0),
    np.array([[1.0], [2.0], [0.25]], np.float32), np.array([[1], [2], [3]]),
]  # fmt: skip
SOFT = pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])


def samples(soft: bool, rng: np.random.Generator) -> tuple[Array, Array]:
    x = rng.normal(0.5, 2, (3, 4, 5)).astype(np.float32)
    labels = rng.integers(0, 5, (3, 4))
    return x, rng.dirichlet(np.ones(5), (3, 4)).astype(np.float32) if soft else labels


@SOFT
@pytest.mark.parametrize("backend", Backend)
def test_cross_entropy_of_fewer_weights_is_that_of_repeated_ones(
    backend: Backend, soft: bool, rng: np.random.Generator
) -> None:
    x, t = samples(soft, rng)
    settings: list[tuple[Any, Any]] = [
        (how, w) for how in ("none", "sum", "mean", "weighted_mean") for w in WEIGHTS
    ]
    if backend in JAX:  # which compiles each of them
        settings = [("weighted_mean", WEIGHTS[5]), ("none", WEIGHTS[0])]
    y, u = backend.array(x), backend.array(t)
    with backend.path():
        for reduction, weights in settings:
            repeated = np.array(np.broadcast_to(weights, (3, 4)))
            for function in (LOSS, BOTH):
                few = function(y, u, backend.array(weights), reduction=reduction)
                many = function(y, u, backend.array(repeated), reduction=reduction)
                pairs = zip(few, many, strict=True) if function is BOTH else [(few, many)]
                for actual, expected in pairs:
                    actual, expected = backend.numpy(actual), backend.numpy(expected)
                    assert np.float32 == expected.dtype == actual.dtype
                    # A number is as wide as a float; an array of it may be computed in float32.
                    unit = 2 * FORMATS["float32"].spacing(expected)
                    assert expected.shape == actual.shape
                    assert (abs(actual - expected) <= unit).all(), f"{reduction} {weights!r}"


SHAPES = [(3, 4), (3, 1), (4,), (1, 1), ()]
# JAX compiles each of them.
EVERY: list[Any] = [(backend, shape) for backend in (*MLX, *TORCH) for shape in SHAPES]
SOME: list[Any] = [(backend, shape) for backend in JAX for shape in ((3, 1), ())]


@SOFT
@pytest.mark.parametrize(("backend", "shape"), EVERY + SOME, ids=str)
def test_cross_entropy_gradient_by_weights_is_a_sum_of_losses(
    backend: Backend, shape: tuple[int, ...], soft: bool, rng: np.random.Generator
) -> None:
    x, t = samples(soft, rng)
    weights = rng.uniform(0.5, 2, shape)

    def total(w: Any) -> Any:
        return LOSS(backend.array(x), backend.array(t), w, reduction="sum")

    with backend.path():
        given = backend.array(weights)
        if backend in MLX:
            import mlx.core as mx

            gradient = mx.grad(total)(given)
        elif backend in JAX:
            import jax

            gradient = jax.grad(total)(given)
        else:
            total(given.requires_grad_()).backward()
            gradient = given.grad
        actual = backend.numpy(gradient)
    each = LOSS(x.astype(np.float64), t)
    expected = each.sum(tuple(range(2 - len(shape))))
    for axis, size in enumerate(shape):
        if size == 1:
            expected = expected.sum(axis, keepdims=True)
    assert shape == actual.shape
    np.testing.assert_allclose(actual, expected, rtol=2e-7, atol=0)


def test_cross_entropy_weights_by_hand() -> None:
    """log 2 for each row of two equal logits."""
    x, labels = np.zeros((2, 3, 2)), np.zeros((2, 3), int)
    actual = LOSS(x, labels, np.array([[1.0], [4.0]])) / np.log(2)
    assert [[1, 1, 1], [4, 4, 4]] == actual.tolist()
    mean = LOSS(x, labels, np.array([1.0, 2.0, 3.0]), reduction="weighted_mean")
    assert pytest.approx(np.log(2), rel=1e-15) == mean
    assert pytest.approx(15 * np.log(2), rel=1e-15) == LOSS(x, labels, 2.5, reduction="sum")


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1, 2, 3), (2, 3, 1), (0,)], ids=str)
def test_cross_entropy_weights_that_do_not_broadcast(shape: tuple[int, ...]) -> None:
    x, labels = np.zeros((2, 3, 2)), np.zeros((2, 3), int)
    message = r"^cross_entropy: weights must broadcast to the shape of the loss \(2, 3\), got"
    with pytest.raises(ValueError, match=message):
        LOSS(x, labels, np.ones(shape))
