"""Means of losses of labels, of one number against an array: they divide by the array's size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FORMATS
from support.cases import JAX, MLX, TORCH, Backend

LABELS = np.array([[0.25, -0.5, 1.0], [0.75, 0.5, -1.0]])
EVERYWHERE = pytest.mark.parametrize("backend", Backend)


def mean(x: Any, t: Any, **options: Any) -> Any:
    return lossless.hinge_loss(x, t, **{"reduction": "mean", **options})


@EVERYWHERE
def test_value_and_gradient_of_a_mean(backend: Backend) -> None:
    """1 - t x with x = 0.5, whose slopes are -t; nothing is beyond the kink."""
    with backend.path():
        x, t = backend.array(np.array(0.5)), backend.array(LABELS)
        value, gradient = lossless.value_and_grad(lossless.hinge_loss)(x, t, reduction="mean")
        assert pytest.approx(1 - LABELS.mean() / 2, rel=1e-15) == backend.numpy(value)
        assert pytest.approx(-LABELS.mean(), rel=1e-14) == backend.numpy(gradient)
        for options in ({"weights": 2.0, "reduction": "weighted_mean"}, {"weights": 1.0}):
            actual = backend.numpy(mean(x, t, **options))
            assert pytest.approx(1 - LABELS.mean() / 2, rel=1e-15) == actual
        rows = backend.numpy(mean(x, t, axis=1))
        assert pytest.approx(1 - LABELS.mean(1) / 2, rel=1e-15) == rows
        other = backend.numpy(mean(t, x))
        assert pytest.approx(1 - LABELS.mean() / 2, rel=1e-15) == other
        one = backend.numpy(lossless.binary_cross_entropy(backend.array(np.array(0.0)), t))
        assert pytest.approx(math.log(2), rel=1e-15) == one


@pytest.mark.parametrize("backend", [*MLX, *TORCH, *JAX])
@pytest.mark.parametrize("mapped", [False, True])
def test_gradient_of_a_mean_by_its_labels(backend: Backend, mapped: bool) -> None:
    """-x/n, also where many numbers are mapped over, each against its array."""
    numbers = np.array([0.5, 0.25, 0.125])
    with backend.path():
        x = backend.array(numbers if mapped else np.array(0.5))
        t = backend.array(np.stack([LABELS] * 3) if mapped else LABELS)
        if backend in MLX:
            import mlx.core as mx

            function: Any = mx.vmap(mean) if mapped else mean
            actual = mx.grad(lambda x, t: function(x, t).sum(), argnums=1)(x, t)
        elif backend in JAX:
            import jax

            function = jax.vmap(mean) if mapped else mean
            actual = jax.grad(lambda x, t: function(x, t).sum(), argnums=1)(x, t)
        else:
            import torch

            function = torch.func.vmap(mean) if mapped else mean
            function(x, t.requires_grad_()).sum().backward()
            actual = t.grad
        result = backend.numpy(actual)
    expected = -(numbers[:, None, None] if mapped else 0.5) / LABELS.size
    assert ((3, 2, 3) if mapped else (2, 3)) == result.shape
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), rtol=1e-15, atol=0)


@pytest.mark.parametrize("backend", [*MLX, *TORCH, *JAX])
def test_gradient_by_one_label_is_added_up_in_a_wider_dtype(backend: Backend) -> None:
    """In bfloat16 a sum of 600 slopes would end at 256 of them."""
    fmt = FORMATS["bfloat16"]
    x = fmt.array(np.full(600, 0.75))
    with backend.path():
        inputs, label = backend.array(x), backend.array(fmt.array(0.5))
        if backend in MLX:
            import mlx.core as mx

            actual = mx.grad(lambda t: lossless.hinge_loss(inputs, t, "sum"))(label)
        elif backend in JAX:
            import jax

            actual = jax.grad(lambda t: lossless.hinge_loss(inputs, t, "sum"))(label)
        else:
            lossless.hinge_loss(inputs, label.requires_grad_(), "sum").backward()
            actual = label.grad
        assert fmt.array(-450.0) == backend.numpy(actual)
