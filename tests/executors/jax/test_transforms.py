"""JAX arrays: every transform, every kind of derivative, JAX's rules for dtypes; on both paths."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

import lossless
from support.frameworks.cases import ON_EVERY_PATH
from support.frameworks.jax import LOSSES, POINTS, WITH_FLOAT64, assert_near_reference

pytestmark = ON_EVERY_PATH
Function = Callable[[Any], Any]


def forward(function: Function) -> Function:
    return lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1]


def backward(function: Function) -> Function:
    return jax.grad(lambda x: function(x).sum())


@LOSSES
@WITH_FLOAT64
def test_derivatives_by_every_mode(loss: Any) -> None:
    """Up to the third order, forwards and backwards in every mixture, jitted and not."""
    x = jnp.asarray(POINTS)
    for order in range(4):
        for modes in itertools.product((forward, backward), repeat=order):
            function: Function = lambda x: loss(x, jnp.zeros_like(x))  # noqa: E731
            for mode in modes:
                function = mode(function)
            names = [mode.__name__ for mode in modes]
            assert_near_reference(loss, order, jax.jit(function)(x), f"{names}")
            if order == 1:
                assert_near_reference(loss, order, function(x), f"{names}, not jitted")


@LOSSES
@WITH_FLOAT64
def test_linear_maps_and_hessians(loss: Any) -> None:
    x, t = jnp.asarray(POINTS), jnp.asarray(POINTS[::-1] / 2)
    residuals = np.asarray(x - t)

    def mean(x: Any) -> Any:
        return loss(x, t, reduction="mean")

    value, vjp = jax.vjp(lambda t: loss(x, t), t)
    assert_near_reference(loss, 0, value, "vjp", residuals)
    assert_near_reference(loss, 1, -vjp(jnp.ones_like(t))[0], "vjp by targets", residuals)
    value, linear = jax.linearize(lambda x: loss(x, t), x)
    assert_near_reference(loss, 0, value, "linearize", residuals)
    assert_near_reference(loss, 1, linear(jnp.ones_like(x)), "linearize", residuals)
    for outer, inner in itertools.product((jax.jacfwd, jax.jacrev), repeat=2):
        hessian = jax.jit(outer(inner(mean)))(x) * len(x)
        assert_near_reference(
            loss, 2, jnp.diag(hessian), f"{outer.__name__} {inner.__name__}", residuals
        )
        assert not np.any(hessian - jnp.diag(jnp.diag(hessian)))


@pytest.mark.parametrize(
    ("loss", "reduction"),
    [(lossless.huber_loss, "weighted_mean"), (lossless.log_cosh_loss, "none")],
)
@WITH_FLOAT64
def test_check_grads(loss: Any, reduction: Any) -> None:
    """By every argument that may be differentiated, at points away from Huber's corners."""
    rng = np.random.default_rng(7)
    x, t = jnp.asarray(rng.uniform(-3, 3, (2, 3, 4)))
    options: dict[str, Any] = {"weights": jnp.asarray(rng.uniform(0.5, 2, 4))}
    if loss is lossless.huber_loss:
        options["delta"] = jnp.asarray(rng.uniform(0.5, 1.5, (3, 1)))
    mask = jnp.asarray(rng.random((3, 4)) < 0.8)
    axis = None if reduction == "none" else 0

    @jax.jit
    def function(x: Any, t: Any, options: Any) -> Any:
        return loss(x, t, reduction=reduction, axis=axis, where=mask, **options)

    check_grads(function, (x, t, options), order=2, modes=["fwd", "rev"], eps=1e-5)


@LOSSES
@WITH_FLOAT64
def test_vmap(loss: Any) -> None:
    """Over any of the arguments, along any axis, nested, inside and outside of grad."""
    rng = np.random.default_rng(8)
    arguments = {
        "inputs": rng.uniform(-3, 3, (3, 4)),
        "targets": rng.uniform(-3, 3, (3, 4)),
        "weights": rng.uniform(0.5, 2, 4),
        "where": rng.random((3, 1)) < 0.7,
    }
    if loss is lossless.huber_loss:
        arguments["delta"] = rng.uniform(0.5, 1.5, (3, 4))

    def function(arguments: Any) -> Any:
        return loss(**arguments, reduction="mean", axis=1)

    def slope(arguments: Any) -> Any:
        rest = dict(arguments)
        return jax.grad(lambda x: function({**rest, "inputs": x}).sum())(rest["inputs"])

    both = jax.jit(lambda arguments: (function(arguments), slope(arguments)))
    for name, axis in zip(arguments, itertools.cycle((0, -1)), strict=False):
        batch = np.stack([arguments[name], np.roll(arguments[name], 1)], axis)
        given = {**arguments, name: batch}
        axes = {key: axis if key == name else None for key in given}
        actual = jax.jit(jax.vmap(both, in_axes=(axes,)))(given)
        for row in (0, 1):
            one = {**arguments, name: np.take(batch, row, axis)}
            for mine, part in zip(actual, both(one), strict=True):
                np.testing.assert_array_max_ulp(np.asarray(mine[row]), np.asarray(part), 2)

    cube, row = rng.uniform(-3, 3, (2, 5, 4)), arguments["inputs"][0]
    nested = jax.jit(jax.vmap(jax.vmap(lambda x: loss(x, row, reduction="sum"))))
    expected = loss(jnp.asarray(cube), np.broadcast_to(row, cube.shape), reduction="sum", axis=2)
    np.testing.assert_array_max_ulp(np.asarray(nested(cube)), np.asarray(expected), 2)
    outside = jax.jit(jax.grad(lambda x: jax.vmap(loss)(x, jnp.asarray(cube[1])).sum()))(cube[0])
    assert_near_reference(loss, 1, outside, "grad of vmap", cube[0] - cube[1])


@LOSSES
@WITH_FLOAT64
def test_loops_and_checkpoint(loss: Any) -> None:
    x, t = jnp.asarray(POINTS), jnp.zeros(len(POINTS))

    def scanned(x: Any) -> Any:
        return jax.lax.scan(lambda total, one: (total + loss(one, 0.0), loss(one, 0.0)), 0.0, x)

    total, each = jax.jit(scanned)(x)
    assert_near_reference(loss, 0, each, "scan")
    assert abs(total - each.sum()) <= 1e-14 * total
    slopes = jax.jit(jax.grad(lambda x: scanned(x)[0]))(x)
    assert_near_reference(loss, 1, slopes, "grad of scan")

    def step(state: Any) -> Any:
        count, slope = state
        return count + 1, slope + jax.grad(lambda x: loss(x, t).sum())(x)

    _, summed = jax.jit(lambda: jax.lax.while_loop(lambda s: s[0] < 2, step, (0, jnp.zeros(8))))()
    assert_near_reference(loss, 1, summed / 2, "while_loop")
    kept = jax.jit(jax.grad(jax.checkpoint(lambda x: loss(x, t).sum())))
    assert_near_reference(loss, 1, kept(x), "checkpoint")


@WITH_FLOAT64
def test_huber_traced_delta() -> None:
    """A delta that is an argument of a jitted function, and may be differentiated."""
    x, delta = jnp.asarray(POINTS), 1.5
    function = jax.jit(jax.value_and_grad(lambda d: lossless.huber_loss(x, 0.0, d, "sum")))
    expected = jax.value_and_grad(lambda d: optax.huber_loss(x, delta=d).sum())
    for actual, part in zip(function(delta), expected(delta), strict=True):
        np.testing.assert_array_max_ulp(np.asarray(actual), np.asarray(part), 4)
    assert np.isnan(function(-1.0)[0])


@LOSSES
def test_dtypes_without_float64(loss: Any) -> None:
    """JAX's default: float32 for integers, numbers and float64 from NumPy."""
    points = [0.5, -3.0]
    for inputs, targets, dtype in (
        (jnp.asarray(points, jnp.float16), 1.0, "float16"),
        (jnp.asarray(points, jnp.bfloat16), 1, "bfloat16"),
        (jnp.asarray(points, jnp.bfloat16), jnp.asarray(1.0), "bfloat16"),  # a weak array
        (jnp.asarray(points, jnp.bfloat16), jnp.asarray(1), "bfloat16"),
        (jnp.asarray(points, jnp.bfloat16), jnp.int32(1), "float32"),
        (jnp.asarray([1, -3]), 0.25, "float32"),
        (jnp.asarray([1, 3], jnp.uint8), jnp.asarray([3, 1], jnp.uint8), "float32"),
        (jnp.asarray([True, False]), jnp.asarray([0.5, 0.5], jnp.float16), "float32"),
        (jnp.asarray(points), np.array([0.5, 1.0]), "float32"),
        (np.array(points), jnp.asarray([0.5, 1.0], jnp.float16), "float32"),
        (jnp.asarray(points, jnp.float16), jnp.asarray(points[::-1], jnp.bfloat16), "float32"),
    ):
        expected = loss(np.asarray(inputs, np.float64), np.asarray(targets, np.float64))
        for call in (loss, jax.jit(loss)):
            actual = call(inputs, targets)
            assert isinstance(actual, jax.Array)
            assert (dtype, False) == (actual.dtype.name, actual.weak_type)
            np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=2**-7)
        value, slope = lossless.value_and_grad(loss)(inputs, targets, reduction="mean")
        assert (dtype, dtype) == (value.dtype.name, slope.dtype.name)


@LOSSES
def test_options_agree_with_numpy(loss: Any) -> None:
    """All of them, in one program: the composed path's compile time is what limits this."""
    rng = np.random.default_rng(9)
    x, t = rng.normal(0, 2, (2, 3, 5)).astype(np.float32)
    hole = rng.random((3, 5)) < 0.7
    t[~hole] = np.nan
    options = [
        {"reduction": reduction, "axis": axis, "weights": weights, "where": mask}
        for reduction, axis in [("none", None), ("sum", 0), ("mean", None), ("weighted_mean", 1)]
        for weights in (None, rng.uniform(0.5, 2, 5).astype(np.float32))
        for mask in (None, hole, hole & (rng.random((3, 1)) < 0.7), np.zeros((3, 5), bool))
    ]

    def every(x: Any, t: Any) -> Any:
        return [
            (
                *lossless.value_and_grad(loss)(x, t, **given),
                jax.grad(lambda x, given=given: loss(x, t, **given).sum())(x),
            )
            for given in options
        ]

    for given, actual in zip(options, jax.jit(every)(x, t), strict=True):
        value, slope = lossless.value_and_grad(loss)(x, t, **given)
        for mine, part in zip(actual, (value, slope, slope), strict=True):
            np.testing.assert_allclose(mine, part, rtol=16 * 2.0**-23, err_msg=f"{given}")


def test_one_number_against_an_array() -> None:
    for dtype in (jnp.float16, jnp.float32):
        targets = jnp.asarray([0.25, -2.0, 3.0], dtype)
        function = lossless.value_and_grad(lossless.huber_loss)
        value, slope = function(jnp.asarray(0.5, dtype), targets, reduction="mean")
        by_jax = jax.grad(lambda x, t=targets: lossless.huber_loss(x, t, reduction="mean"))
        assert dtype == value.dtype == slope.dtype
        for actual in (slope, by_jax(jnp.asarray(0.5, dtype))):
            assert () == actual.shape
            assert abs(float(actual) - 0.25 / 3) <= 2.0 ** (-14 if dtype == jnp.float16 else -26)


def test_arrays_of_other_libraries_are_refused() -> None:
    x = jnp.asarray([0.5, 1.0])
    for wrong, actual in (
        ([0.5, 1.0], "a list"),
        (x * 1j, "complex64"),
        (x.astype(jnp.float8_e4m3fn), "float8"),
        (np.array(["1"]), "dtype <U1"),
    ):
        with pytest.raises(TypeError, match=rf"^huber_loss: targets must .*{actual}"):
            lossless.huber_loss(x, wrong)
    with pytest.raises(TypeError, match=r"^huber_loss: where must be boolean, got dtype float32"):
        lossless.huber_loss(x, x, where=x)


def test_strict_settings_of_jax() -> None:
    x = jnp.asarray([[0.5, 2.5]], jnp.bfloat16)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        weights = jnp.asarray([2.0, 1.0])
        actual = lossless.huber_loss(x, x * 0, reduction="mean", weights=weights)
        slope = jax.grad(lambda x: lossless.huber_loss(x, 0, reduction="sum", weights=weights))(x)
    assert (jnp.bfloat16, 1.125) == (actual.dtype, float(actual))
    assert [[1.0, 1.0]] == slope.tolist()
