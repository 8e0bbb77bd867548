"""Cross entropy on JAX arrays under JAX's transforms: every mode of derivatives, batches, loops."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from mpmath import mp

from lossless.executors.jax.custom_call import JaxOperation
from lossless.verification.formats import FLOAT32, FLOAT64
from support.checks import assert_same_bits, assert_ulp
from support.frameworks.jax import WITH_FLOAT64
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, SHAPE, SOFT, samples


@SOFT
@WITH_FLOAT64
def test_cross_entropy_derivatives_by_every_mode(soft: bool, rng: np.random.Generator) -> None:
    """Linear maps, and second derivatives: softmax·(1 at the diagonal - softmax), a difference."""
    x, p = rng.normal(0.5, 2.0, (2, 5)), rng.dirichlet(np.ones(5), 2)
    targets = jnp.asarray(p if soft else [3, 1])
    _, expected = BOTH(x, np.asarray(targets), label_smoothing=0.1)
    true, terms = (np.zeros((2, 5, 2, 5), object) for _ in range(2))
    with mp.workprec(200):
        for row, logits in enumerate(x):
            exponentials = [mp.exp(float(logit)) for logit in logits]
            softmax = np.array(exponentials, object) / mp.fsum(exponentials)
            true[row, :, row] = np.diag(softmax) - np.outer(softmax, softmax)
            terms[row, :, row] = np.add.outer(softmax, softmax)
        slack = [mp.ldexp(part, -50) for part in terms.flat]

    def each(x: Any) -> Any:
        return CROSS_ENTROPY(x, targets, label_smoothing=0.1)

    value, vjp = jax.vjp(each, x)
    moved, linear = jax.linearize(each, x)
    ones = jnp.ones_like(x)
    for actual in (value, moved, jax.jvp(each, (x,), (ones,))[0]):
        assert_same_bits(each(x), actual, FLOAT64, "value")
    assert_same_bits(expected, vjp(jnp.ones(2))[0], FLOAT64, "vjp")
    for actual in (linear(ones * x), jax.jvp(each, (x,), (ones * x,))[1]):
        np.testing.assert_array_max_ulp(np.asarray(actual), (expected * x).sum(-1), 16)
    for reduction, scale in (("sum", 1.0), ("mean", 0.5)):

        def function(x: Any, reduction: Any = reduction) -> Any:
            return CROSS_ENTROPY(x, targets, label_smoothing=0.1, reduction=reduction)

        for outer, inner in itertools.product((jax.jacfwd, jax.jacrev), repeat=2):
            hessian = jax.jit(outer(inner(function)))(x) / scale
            what = f"{reduction} {outer.__name__} {inner.__name__}"
            assert_ulp(list(true.flat), hessian, FLOAT64, 8, what, slack=slack)


@WITH_FLOAT64
def test_cross_entropy_third_derivatives(rng: np.random.Generator) -> None:
    """The third cumulants of the distribution that softmax gives."""
    x = rng.normal(0.5, 2.0, 4)
    with mp.workprec(200):
        exponentials = [mp.exp(float(logit)) for logit in x]
        softmax = np.array(exponentials, object) / mp.fsum(exponentials)
        apart = np.diag([mp.mpf(1)] * 4) - softmax  # of each outcome from the mean
        true = np.einsum("o,oi,oj,ok->ijk", softmax, apart, apart, apart)
        terms = np.einsum("o,oi,oj,ok->ijk", softmax, *[abs(apart)] * 3)
    found = jax.jit(jax.jacfwd(jax.hessian(lambda x: CROSS_ENTROPY(x, 2))))(x)
    slack = [mp.ldexp(part, -49) for part in terms.flat]
    assert_ulp(list(true.flat), found, FLOAT64, 8, "third order", slack=slack)


@SOFT
@pytest.mark.parametrize("reduction", ["none", "weighted_mean"])
@WITH_FLOAT64
def test_cross_entropy_passes_check_grads(
    soft: bool, reduction: Any, rng: np.random.Generator
) -> None:
    """By everything that may be differentiated; of probabilities that add up to 1."""
    x, w = rng.normal(0.5, 2.0, (2, 3)), rng.uniform(0.5, 2.0, 2)
    differentiable = (x, w, rng.normal(0.0, 1.0, (2, 3))) if soft else (x, w)
    labels = np.array([2, 0])

    @jax.jit
    def function(x: Any, w: Any, *t: Any) -> Any:
        targets = jax.nn.softmax(t[0]) if soft else labels
        return CROSS_ENTROPY(x, targets, w, label_smoothing=0.1, reduction=reduction)

    check_grads(function, differentiable, order=2, modes=["fwd", "rev"], eps=1e-5)


@SOFT
@WITH_FLOAT64
def test_cross_entropy_vmap(soft: bool, rng: np.random.Generator) -> None:
    """Over any of the arguments, along any axis, nested, inside and outside of grad."""
    x, targets = samples(FLOAT32, soft, rng)
    arguments = {
        "logits": x,
        "targets": targets,
        "weights": rng.uniform(0.5, 2.0, SHAPE[:-1]),
        "where": rng.random(SHAPE[:-1]) < 0.7,
    }

    def function(arguments: Any) -> Any:
        return [
            (*BOTH(**arguments, reduction=reduction), slope)
            for reduction in ("none", "weighted_mean")
            for slope in [
                jax.grad(lambda x: CROSS_ENTROPY(**{**arguments, "logits": x}, reduction="mean"))(
                    arguments["logits"]
                )
            ]
        ]

    one = jax.jit(function)
    for name, axis in zip(arguments, itertools.cycle((0, -1)), strict=False):
        batch = np.stack([arguments[name], np.roll(arguments[name], 1)], axis)
        axes = {key: axis if key == name else None for key in arguments}
        mapped = jax.jit(jax.vmap(function, in_axes=(axes,)))({**arguments, name: batch})
        for place in (0, 1):
            alone = one({**arguments, name: np.take(batch, place, axis)})
            for actual, expected in zip(
                jax.tree.leaves(mapped), jax.tree.leaves(alone), strict=True
            ):
                assert_same_bits(expected, actual[place], FLOAT32, f"{name} {axis} {place}")
    nested = jax.jit(jax.vmap(jax.vmap(lambda x, t: BOTH(x, t, reduction="mean"), (0, None))))
    slopes = jax.grad(lambda x: jax.vmap(CROSS_ENTROPY)(x, targets).sum())(x)
    assert_same_bits(BOTH(x, targets)[1], slopes, FLOAT32, "grad of vmap")
    found = nested(x, targets[:, 0])
    expected = BOTH(x, np.stack([targets[:, 0]] * SHAPE[1], 1))
    for actual, part in zip(found, expected, strict=True):
        assert_same_bits(part, actual, FLOAT32, "nested")


@WITH_FLOAT64
def test_cross_entropy_inside_of_loops_and_checkpoint(rng: np.random.Generator) -> None:
    x, targets = samples(FLOAT32, False, rng)
    value, slope = BOTH(x, targets)

    def scanned(x: Any) -> Any:
        return jax.lax.scan(lambda _, row: (None, CROSS_ENTROPY(*row)), None, (x, targets))[1]

    kept = jax.checkpoint(CROSS_ENTROPY)
    assert_same_bits(value, jax.jit(scanned)(x), FLOAT32, "scan")
    for what, function in (("scan", scanned), ("checkpoint", lambda x: kept(x, targets))):
        actual = jax.jit(jax.grad(lambda x, f=function: f(x).sum()))(x)
        assert_same_bits(slope, actual, FLOAT32, f"grad of {what}")


@SOFT
@WITH_FLOAT64
def test_cross_entropy_of_batches_on_other_platforms(
    soft: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program for GPUs would compute, on the CPU: the formula, of a batch."""
    monkeypatch.setattr(JaxOperation, "_on_platform", lambda self, *given: self.formula(*given))
    x = rng.normal(0.5, 2.0, (3, 4, 7))  # a shape of this test, as programs are kept
    targets = rng.dirichlet(np.ones(7), (3, 4)) if soft else rng.integers(7, size=(3, 4))
    arguments = (x, targets, rng.uniform(0.5, 2.0, (3, 4)), rng.random((3, 4)) < 0.7)
    for reduction, place in itertools.product(("none", "mean", "weighted_mean"), range(4)):

        def function(x: Any, t: Any, w: Any, where: Any, reduction: Any = reduction) -> Any:
            return BOTH(x, t, w, label_smoothing=0.1, reduction=reduction, where=where)

        axes = [0 if place in (0, other) else None for other in range(4)]
        given = [
            array if axis == 0 else array[1] for array, axis in zip(arguments, axes, strict=True)
        ]
        program = jax.jit(jax.vmap(function, axes))
        assert "lossless_rows" not in program.lower(*given).as_text()
        for batch, results in enumerate(zip(*program(*given), strict=True)):
            one = [
                array if axis is None else array[batch]
                for array, axis in zip(given, axes, strict=True)
            ]
            for actual, expected in zip(results, function(*one), strict=True):  # NumPy's
                np.testing.assert_allclose(actual, expected, 1e-13, err_msg=f"{reduction} {axes}")
