"""Losses of rows under what frameworks do with programs: compile, map, differentiate twice."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import pytest
import torch

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, Array
from support.cases import from_jax, from_mlx, from_torch, to_jax, to_mlx, to_torch, with_float64
from support.checks import assert_within
from support.frameworks.cases import ON_EVERY_PATH
from support.rows.reference import ROW_LOSSES, RowLoss

LOSSES = pytest.mark.parametrize("loss", ROW_LOSSES.values(), ids=ROW_LOSSES)
# Their second derivatives are 0.
CURVED_NAMES = [name for name in ROW_LOSSES if name not in ("nll", "kl_div")]
CURVED = pytest.mark.parametrize(
    "loss", [ROW_LOSSES[name] for name in CURVED_NAMES], ids=CURVED_NAMES
)
# Relative, and of the terms, which are below 1: twice the contract, as both results are rounded.
NEAR = 4 * 2.0**-23, 2.0**-39
# Of a hessian by differences of slopes, for numbers near 1. Each slope is off by 2^-48 of terms
# below 4, which the step divides by 2^-16; and the difference by the square of half the step,
# 2^-34, times a sixth of the fourth derivatives. Those are below 4! / length^4 where the second
# ones are 1 / length^2: below 2^7 times their square.
DIFFERENCE = 2.0**-28 + 2.0**-29


def options(loss: RowLoss) -> dict[str, Any]:
    """Those that add something to compute."""
    if loss.name == "triplet":
        return {"p": 3.0, "margin": 2.0}
    return {"label_smoothing": 0.125} if "cross_entropy" in loss.name else {}


def function(loss: RowLoss, **more: Any) -> Callable[..., Any]:
    public = getattr(lossless, loss.function)
    return lambda *arrays: public(*arrays, **options(loss), **more)


def on_numpy(loss: RowLoss, *arrays: Array, **more: Any) -> tuple[Array, Array]:
    public = lossless.value_and_grad(getattr(lossless, loss.function))
    value, gradient = public(*arrays, **options(loss), **more)
    return value, gradient


@LOSSES
def test_mlx_compile(loss: RowLoss) -> None:
    """One program for any number of rows."""
    samples = loss.samples(FLOAT32)
    program = mx.compile(mx.value_and_grad(function(loss, reduction="mean")), shapeless=True)
    for rows in (6, 2, 4):
        arrays = [x[:rows] for x in samples]
        results = map(from_mlx, program(*map(to_mlx, arrays)))
        for expected, actual in zip(
            on_numpy(loss, *arrays, reduction="mean"), results, strict=True
        ):
            np.testing.assert_allclose(actual, expected, *NEAR, err_msg=f"{rows} rows")


@LOSSES
def test_mlx_transforms(loss: RowLoss) -> None:
    samples = loss.samples(FLOAT32)
    arrays = list(map(to_mlx, samples))
    rows = {"axis": 0} if loss.name == "cosine_similarity" else {}
    each, slopes = on_numpy(loss, *samples)
    one = function(loss, **rows)
    np.testing.assert_allclose(from_mlx(mx.vmap(one)(*arrays)), each, *NEAR)
    np.testing.assert_allclose(from_mlx(mx.vmap(mx.grad(one))(*arrays)), slopes, *NEAR)
    tangent = np.linspace(-1, 1, samples[0].size, dtype=np.float32).reshape(samples[0].shape)
    _, (moved,) = mx.jvp(lambda x: function(loss)(x, *arrays[1:]), arrays[:1], [to_mlx(tangent)])
    np.testing.assert_allclose(from_mlx(moved), (slopes * tangent).sum(-1), 1e-5, 1e-6)


def hessian(loss: RowLoss, samples: tuple[Array, ...], direction: Array) -> Array:
    """The derivative of the gradient of the sum: a difference for which float64 has the digits."""
    step = 2.0**-17 * direction
    x, *others = samples
    _, upper = on_numpy(loss, x + step, *others, reduction="sum")
    _, lower = on_numpy(loss, x - step, *others, reduction="sum")
    return np.asarray((upper - lower) / 2.0**-16)


@CURVED
def test_second_derivatives(loss: RowLoss) -> None:
    """Of MLX, PyTorch and JAX, reverse over reverse, are those of our own gradients."""
    samples = loss.samples(FLOAT64)
    direction = np.linspace(-1, 1, samples[0].size).reshape(samples[0].shape)
    total = function(loss, reduction="sum")
    expected = hessian(loss, samples, direction)
    allowed = DIFFERENCE * np.square(1 + np.abs(expected).max(axis=-1, keepdims=True))
    x, *others = map(to_mlx, samples)
    along = to_mlx(direction)
    actual = mx.grad(lambda x: (mx.grad(total)(x, *others) * along).sum())(x)
    assert_within(allowed, expected, from_mlx(actual), f"{loss.name} MLX")
    y, *others = map(to_torch, samples)
    slope = torch.func.grad(
        lambda y: (torch.func.grad(total)(y, *others) * to_torch(direction)).sum()
    )
    assert_within(allowed, expected, from_torch(slope(y)), f"{loss.name} PyTorch")
    with with_float64():
        z, *others = map(to_jax, samples)
        curve = jax.grad(lambda z: (jax.grad(total)(z, *others) * direction).sum())
        assert_within(allowed, expected, from_jax(curve(z)), f"{loss.name} JAX")


@LOSSES
def test_pytorch_compile(loss: RowLoss) -> None:
    """In one graph, differentiated by PyTorch, for other numbers of rows too."""
    torch.compiler.reset()  # which counts the programs of one function
    samples = loss.samples(FLOAT32)
    compiled = torch.compile(
        function(loss, reduction="mean"), fullgraph=True, backend="aot_eager", dynamic=True
    )
    for rows in (6, 3):
        arrays = [x[:rows] for x in samples]
        expected, slopes = on_numpy(loss, *arrays, reduction="mean")
        first, *others = map(to_torch, arrays)
        value = compiled(first.requires_grad_(), *others)
        np.testing.assert_allclose(from_torch(value), expected, *NEAR)
        (gradient,) = torch.autograd.grad(value, first)
        np.testing.assert_allclose(from_torch(gradient), slopes, *NEAR)


@LOSSES
def test_pytorch_transforms(loss: RowLoss) -> None:
    samples = loss.samples(FLOAT32)
    arrays = list(map(to_torch, samples))
    rows = {"axis": 0} if loss.name == "cosine_similarity" else {}
    each, slopes = on_numpy(loss, *samples)
    one = function(loss, **rows)
    np.testing.assert_allclose(from_torch(torch.func.vmap(one)(*arrays)), each, *NEAR)
    mapped = torch.func.vmap(torch.func.grad(one))
    np.testing.assert_allclose(from_torch(mapped(*arrays)), slopes, *NEAR)


@LOSSES
def test_jax_transforms(loss: RowLoss) -> None:
    samples = loss.samples(FLOAT32)
    rows = {"axis": 0} if loss.name == "cosine_similarity" else {}
    each, slopes = on_numpy(loss, *samples)
    one = function(loss, **rows)
    with with_float64():
        arrays = list(map(to_jax, samples))
        np.testing.assert_allclose(from_jax(jax.jit(jax.vmap(one))(*arrays)), each, *NEAR)
        mapped = jax.jit(jax.vmap(jax.grad(one)))
        np.testing.assert_allclose(from_jax(mapped(*arrays)), slopes, *NEAR)
        both = jax.jit(lossless.value_and_grad(getattr(lossless, loss.function)))
        value, gradient = both(*arrays)
        expected = lossless.value_and_grad(getattr(lossless, loss.function))(*samples)
        np.testing.assert_allclose(from_jax(value), expected[0], *NEAR)
        np.testing.assert_allclose(from_jax(gradient), expected[1], *NEAR)


def test_gradients_by_other_arguments() -> None:
    """Which frameworks find by themselves: by targets, weights and each of the vectors."""
    rng = np.random.default_rng(5)
    x, t = np.log(rng.dirichlet(np.ones(4), (2, 3)))
    y, u = torch.tensor(x, requires_grad=True), torch.tensor(t, requires_grad=True)
    lossless.kl_div_loss(y, u, reduction="sum").backward()
    assert u.grad is not None
    np.testing.assert_allclose(u.grad, np.exp(t) * (t - x + 1), 1e-12)

    weights = torch.tensor([0.5, 1.0, 2.0], requires_grad=True, dtype=torch.float64)
    labels = torch.tensor([3, 0, 1])
    lossless.cross_entropy(y, labels, weights, reduction="weighted_mean").backward()
    each = lossless.cross_entropy(x, labels.numpy())
    mean = (each * [0.5, 1, 2]).sum() / 3.5
    assert weights.grad is not None
    np.testing.assert_allclose(weights.grad, (each - mean) / 3.5, 1e-12)

    a, b = (mx.array(part, mx.float64) for part in (x, t))
    first = mx.grad(lambda a, b: lossless.cosine_similarity_loss(a, b, reduction="sum"), 1)(a, b)
    second = mx.grad(lambda b, a: lossless.cosine_similarity_loss(b, a, reduction="sum"))(b, a)
    np.testing.assert_allclose(from_mlx(first), from_mlx(second), 1e-12)

    anchors, near, far = (jnp.array(part) for part in rng.normal(size=(3, 3, 4)))
    slopes = jax.grad(lossless.triplet_loss, (0, 1, 2))(anchors[0], near[0], far[0], margin=math.pi)
    np.testing.assert_allclose(sum(slopes), np.zeros(4), atol=1e-6)
    assert all(np.abs(slope).max() > 0.1 for slope in slopes)


PROBABILITIES = {
    "probabilities": [[0.5, 0.125, 0.375], [0.0, 1.0, 0.0]],
    "other sums": [[0.25, 0.5, 1.0], [0.0, 0.0, 0.0]],
}


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("targets", PROBABILITIES.values(), ids=PROBABILITIES)
@ON_EVERY_PATH
def test_cross_entropy_of_probabilities_is_pytorch_s(targets: Any, smoothing: float) -> None:
    """Whatever they add up to; value and gradients, by the probabilities too, of all frameworks."""
    x, t = np.array([[1.5, -0.5, 7.0], [0.25, 3.0, -2.0]]), np.array(targets)
    logits, probabilities = (torch.tensor(given, requires_grad=True) for given in (x, t))
    arguments = [logits, probabilities]
    value = torch.nn.functional.cross_entropy(
        logits, probabilities, label_smoothing=smoothing, reduction="sum"
    )
    value.backward()
    expected = [value.detach(), *(given.grad for given in arguments)]

    def loss(x: Any, t: Any) -> Any:
        return lossless.cross_entropy(x, t, label_smoothing=smoothing, reduction="sum")

    near = functools.partial(np.testing.assert_allclose, rtol=1e-14, atol=1e-15)
    slopes = mx.grad(loss, (0, 1))(to_mlx(x), to_mlx(t))
    for right, actual in zip(expected, (loss(to_mlx(x), to_mlx(t)), *slopes), strict=True):
        near(from_mlx(actual), right)
    with with_float64():
        both = jax.grad(loss, (0, 1))(to_jax(x), to_jax(t))
        for right, actual in zip(expected, (loss(to_jax(x), to_jax(t)), *both), strict=True):
            near(from_jax(actual), right)
    by_hand: Any = lossless.value_and_grad(lossless.cross_entropy)(
        x, t, label_smoothing=smoothing, reduction="sum"
    )
    for right, actual in zip(expected, by_hand, strict=False):
        near(actual, right)
    assert torch.autograd.gradcheck(loss, arguments)
    assert torch.autograd.gradgradcheck(loss, arguments)


INF = math.inf
# Inputs, targets, and the gradient of the sum by the targets.
BY_TARGETS: dict[str, tuple[Callable[..., Any], Any, Any, Any]] = {
    "kl_div": (
        lossless.kl_div_loss,
        [0.0, -INF, -1.0, -INF],
        [math.log(0.5), math.log(0.25), -INF, -INF],
        [0.5 * (1 + math.log(0.5)), INF, 0.0, 0.0],  # e^t (t - x + 1)
    ),
    "cross_entropy": (
        lossless.cross_entropy,
        [0.0, -INF, 0.0, -INF],
        [0.5, 0.25, 0.0, 0.0],
        [math.log(2), INF, math.log(2), 0.0],  # -log(softmax(x)), but for what does not count
    ),
}


@pytest.mark.parametrize("name", BY_TARGETS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@ON_EVERY_PATH
def test_gradients_by_targets_where_nothing_was_predicted(name: str, dtype: Any) -> None:
    loss, *numbers = BY_TARGETS[name]
    x, t, expected = (np.array([given], dtype) for given in numbers)
    # What is computed in float32 of float16 targets.
    near = functools.partial(np.testing.assert_allclose, rtol=4 * np.finfo(dtype).eps, atol=0)
    total = functools.partial(loss, reduction="sum")
    near(from_mlx(mx.grad(total, 1)(to_mlx(x), to_mlx(t))), expected)
    with with_float64():
        near(from_jax(jax.grad(total, 1)(to_jax(x), to_jax(t))), expected)
    targets = to_torch(t).requires_grad_()
    total(to_torch(x), targets).backward()
    assert targets.grad is not None
    near(from_torch(targets.grad), expected)
