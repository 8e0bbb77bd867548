"""Weights, masks, smoothing and another axis, traced at one shape and called with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lossless
from support.cases import from_jax, from_mlx, from_torch, to_jax, to_mlx, to_torch
from support.loss_calls import assert_as_numpy, path

TRACED = (3, 4)
LATER = [(5, 4), (2, 7), (7, 2)]
Arrays = tuple[Any, ...]


def arrays(rng: np.random.Generator, rows: int, classes: int, soft: bool) -> Arrays:
    """Logits, targets, weights and mask; the classes along the first axis."""
    logits = rng.normal(0, 2, (classes, rows)).astype(np.float32)
    targets = rng.dirichlet(np.ones(classes), rows).T.astype(np.float32)
    labels = rng.integers(0, classes, rows).astype(np.int32)
    weights, where = rng.uniform(0.5, 2, rows).astype(np.float32), rng.random(rows) < 0.7
    where[0] = True
    return logits, targets if soft else labels, weights, where


def call(logits: Any, targets: Any, weights: Any, where: Any) -> Any:
    both: Any = lossless.value_and_grad(lossless.cross_entropy)
    return both(logits, targets, weights, 0, 0.2, "weighted_mean", where=where)


def mlx(_: Arrays) -> Callable[..., Any]:
    import mlx.core as mx

    program = mx.compile(call, shapeless=True)
    return lambda *given: map(from_mlx, program(*map(to_mlx, given)))


def torch_fx(traced: Arrays) -> Callable[..., Any]:
    from torch.fx.experimental.proxy_tensor import make_fx

    program = make_fx(call, tracing_mode="symbolic")(*map(to_torch, traced))
    return lambda *given: map(from_torch, program(*map(to_torch, given)))


def jax_export(traced: Arrays) -> Callable[..., Any]:
    import jax
    from jax import export

    rows, classes = export.symbolic_shape("rows, classes")
    types = [jax.ShapeDtypeStruct((classes, rows)[-x.ndim :], x.dtype) for x in traced]
    program = export.export(jax.jit(call))(*types)
    return lambda *given: map(from_jax, program.call(*map(to_jax, given)))


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize(
    ("tracer", "composed"),
    [(mlx, False), (mlx, True), (torch_fx, False), (jax_export, True)],
    ids=["mlx", "mlx_composed", "make_fx", "jax_export"],
)
def test_cross_entropy_with_options_at_later_shapes(
    tracer: Any, composed: bool, soft: bool, rng: np.random.Generator
) -> None:
    traced = arrays(rng, *TRACED, soft)
    expected = [(given := arrays(rng, *later, soft), call(*given)) for later in LATER]
    with path(composed):
        program = tracer(traced)
        list(program(*traced))
        actual = [list(program(*given)) for given, _ in expected]
    for results, (given, right) in zip(actual, expected, strict=True):
        for one, other in zip(results, right, strict=True):
            assert_as_numpy(other, one, f"{given[0].shape}")
