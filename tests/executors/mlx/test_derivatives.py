"""MLX's own derivatives of the kernels' nodes: cotangents, higher orders, by options, mapped."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mpmath import mp

import lossless
from lossless.verification.formats import NARROW, Array
from support.cases import REDUCTIONS, Backend, Case, cases, from_mlx, to_mlx
from support.checks import assert_same_bits
from support.frameworks.cases import arrays, on_numpy
from support.frameworks.mlx import IN_FLOAT32


@pytest.mark.parametrize("case", cases(NARROW, backends=[Backend.MLX]))
def test_cotangents_are_folded_in(case: Case, rng: np.random.Generator) -> None:
    """A factor after the loss comes before the one rounding: also in half precision."""
    x, t = arrays(case, (37, 11), rng)
    # The constant cotangent is exact in every dtype; a weight is what it amounts to.
    for factor in (0.75, -3.0):
        weights = np.full(x.shape, factor)
        expected = on_numpy(case).value_and_grad(x, t, reduction="mean", weights=weights)[1]
        for scaled in (
            lambda x, f=factor: f * case.function(x, to_mlx(t), reduction="mean"),
            lambda x, f=factor: -f * -case.function(x, to_mlx(t), reduction="mean"),
        ):
            actual = mx.grad(scaled)(to_mlx(x))
            assert_same_bits(expected, from_mlx(actual), case.fmt, f"{case} times {factor}")
    each = rng.choice([0.5, -1.25, 3.0], x.shape)
    expected = on_numpy(case).value_and_grad(x, t, weights=each)[1]
    actual = mx.grad(lambda x: (to_mlx(case.fmt.array(each)) * case.function(x, to_mlx(t))).sum())(
        to_mlx(x)
    )
    assert_same_bits(expected, from_mlx(actual), case.fmt, f"{case} element by element")


@IN_FLOAT32
def test_third_order_derivatives(case: Case) -> None:
    """By reverse mode, forward mode, and both mixed."""
    points = [-2.5, -0.875, -1e-3, 0.25, 0.9375, 3.0]
    x = mx.array(points)

    def forward(function: Any) -> Any:
        return lambda x: mx.jvp(function, [x], [mx.ones_like(x)])[1][0]

    def backward(function: Any) -> Any:
        return mx.grad(lambda x: function(x).sum())

    def value(x: Any) -> Any:
        return case.function(x, mx.zeros_like(x))

    true = [0.0] * len(points)
    if case.loss.name == "log_cosh":
        true = [float(-2 * mp.tanh(p) * mp.sech(p) ** 2) for p in points]
    for modes in itertools.product((forward, backward), repeat=3):
        function: Any = value
        for mode in modes:
            function = mode(function)
        actual = from_mlx(function(x)).astype(np.float64)
        assert np.all(np.abs(actual - true) <= 2.0**-20 * np.abs(true)), (modes, actual, true)


@IN_FLOAT32
def test_derivatives_with_respect_to_options(case: Case, rng: np.random.Generator) -> None:
    """What the kernels do not give comes from the formulas: the same as composed."""
    x, t = (to_mlx(array) for array in arrays(case, (5, 7), rng))
    weights = mx.array(rng.uniform(0.5, 2.0, 7).astype(np.float32))
    mask = mx.array(rng.random((5, 1)) < 0.7)
    delta = mx.array(rng.uniform(0.5, 2.0, (5, 1)).astype(np.float32))
    more = {"delta": delta} if case.loss.parameters else {}
    for reduction in REDUCTIONS:

        def loss(given: dict[str, Any], reduction: Any = reduction) -> Any:
            return case.function(**given, where=mask, reduction=reduction).sum()

        given = {"inputs": x, "targets": t, "weights": weights, **more}
        native = mx.grad(loss)(given)
        with lossless.composed():
            composed = mx.grad(loss)(given)
        for name in given:
            actual, expected = from_mlx(native[name]), from_mlx(composed[name])
            off = np.abs(actual - expected) <= 1e-5 * np.abs(expected) + 1e-7
            assert off.all(), f"{case} {reduction} by {name}: {actual} {expected}"


@IN_FLOAT32
def test_vmap_of_options(case: Case, rng: np.random.Generator) -> None:
    """Over any one of the arguments, inside and outside of mx.grad."""
    batch, n = 3, 7
    shapes: dict[str, tuple[int, ...]] = {"inputs": (n,), "targets": (n,), "weights": (n,)}
    shapes |= dict.fromkeys(case.loss.parameters, (1,))
    names = list(shapes)

    def loss(*given: Any) -> Any:
        return case.function(**dict(zip(names, given, strict=True)), reduction="mean")

    every = list(range(len(names)))
    for mapped in every:
        given = [
            to_mlx(rng.uniform(0.5, 2.0, (batch, *shape) if i == mapped else shape).astype("f4"))
            for i, shape in enumerate(shapes.values())
        ]
        axes = tuple(0 if i == mapped else None for i in every)
        over: Any = mx.vmap(loss, in_axes=axes)
        slopes = mx.vmap(mx.grad(loss, argnums=every), in_axes=axes)(*given)
        total: Any = mx.grad(lambda *given, over=over: over(*given).sum(), argnums=every)
        outer = total(*given)
        sums: list[Any] = [np.zeros(shape) for shape in shapes.values()]
        for row in range(batch):
            one = [a[row] if i == mapped else a for i, a in enumerate(given)]
            assert loss(*one).item() == over(*given)[row].item()
            for i, slope in enumerate(mx.grad(loss, argnums=every)(*one)):
                expected = from_mlx(slope)
                assert_close(expected, from_mlx(slopes[i][row]))
                sums[i] = sums[i] + expected
                if i == mapped:
                    assert_close(expected, from_mlx(outer[i][row]))
        for i in every:
            if i != mapped:
                assert_close(sums[i], from_mlx(outer[i]))


def assert_close(expected: Array, actual: Array) -> None:
    """Equal but for the order of a few additions in float32."""
    assert expected.shape == actual.shape
    assert np.all(np.abs(actual - expected) <= 2.0**-20 * np.abs(expected).max()), (
        actual,
        expected,
    )


@pytest.mark.parametrize("in_axes", [0, 1, 2, -1])
def test_nested_vmap_of_options_of_fewer_dimensions(in_axes: int, rng: np.random.Generator) -> None:
    """MLX's vmap of expand_dims over several axes at once is wrong: we must not meet it."""
    x = mx.array(rng.normal(0, 2, (3, 3, 3)).astype(np.float32))
    cube = mx.array(rng.uniform(0.5, 2, (3, 3, 3)).astype(np.float32))
    calls: list[Any] = [
        lambda w: lossless.huber_loss(x, 0.0, weights=w),
        lambda w: lossless.huber_loss(x, 0.0, weights=w, reduction="mean", axis=(0, 1)),
        lambda w: mx.grad(lambda x: lossless.log_cosh_loss(x, 0.0, "sum", weights=w))(x),
    ]
    for call in calls:
        native = mx.vmap(mx.vmap(call), in_axes=in_axes)(cube)
        each = [mx.stack([call(w) for w in part]) for part in mx.moveaxis(cube, in_axes, 0)]
        assert mx.array_equal(native, mx.stack(each))


def test_options_have_clean_derivatives_beside_masked_rows() -> None:
    x, t, mask = mx.array([[1.0, 2.0], [3.0, 4.0]]), mx.zeros((2, 2)), mx.array([[True], [False]])

    def first_row(**options: Any) -> Any:
        return lossless.huber_loss(x, t, where=mask, reduction="mean", axis=1, **options)[0]

    def slopes(x: Any) -> Any:
        function = lossless.value_and_grad(lossless.huber_loss)
        return function(x, t, where=mask, reduction="mean", axis=1)[1].sum()

    for path in (lossless.composed, nullcontext):
        with path():
            by_weights = mx.grad(lambda w: first_row(weights=w))(mx.ones(2))
            assert [0.25, 0.75] == by_weights.tolist()
            assert [0.0, 0.5] == mx.grad(lambda d: first_row(delta=d))(mx.ones(2)).tolist()
            assert [[0.5, 0.0], [0.0, 0.0]] == mx.grad(slopes)(x).tolist()


def test_gradients_have_the_dtype_of_their_arrays() -> None:
    """Also where one number against an array is added up in float64."""
    t = mx.array([0.1, 0.9, -2.0])

    def slope(t: Any) -> Any:
        return lossless.value_and_grad(lossless.log_cosh_loss)(mx.array(0.3), t, reduction="sum")[1]

    inner = mx.grad(lambda x, t: lossless.log_cosh_loss(x, t, reduction="sum"))
    for function in (slope, lambda t: inner(mx.array(0.3), t)):
        actual = mx.grad(function)(t)
        assert mx.float32 == actual.dtype
        true = np.array([-(mp.sech(0.3 - r) ** 2) for r in from_mlx(t).tolist()], float)
        assert np.all(np.abs(from_mlx(actual) - true) < 1e-6)


def test_replayed_nodes_keep_to_their_own_results() -> None:
    """Two replays of one compiled loss share the primitive; one is evaluated too early."""
    n = 1000
    x, first, second = (mx.random.normal((n,)) for _ in range(3))
    mx.eval(x, first, second)

    def gradient(compiled: Any) -> Any:
        loss = compiled(lambda x, t: lossless.log_cosh_loss(x, t, reduction="sum"))

        @mx.custom_function
        def total(a: Any, b: Any) -> Any:
            return a + b

        @total.vjp
        def total_vjp(primals: Any, cotangent: Any, output: Any) -> Any:
            primals[0].item()
            return cotangent, cotangent

        def function(x: Any) -> Any:
            penalty = mx.grad(lambda y: (y * x).sum())(first)  # x is then no tracer any more
            return total(loss(x, first), loss(x, second)) + 0 * penalty.sum()

        return mx.grad(function)(x)

    assert mx.array_equal(gradient(mx.compile), gradient(lambda function: function))
