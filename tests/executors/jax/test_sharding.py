"""Arrays that are spread over devices stay there: eight of them, which conftest.py asks XLA for."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

import lossless
from lossless.verification.formats import FLOAT16, FLOAT32
from support.checks import assert_same_bits
from support.frameworks.jax import LOSSES
from support.frameworks.jax_programs import collectives
from support.frameworks.jax_sharding import MESHES, SHAPE, P, spread


def data(dtype: Any = np.float32) -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    return rng.normal(0.5, 2, SHAPE).astype(dtype), rng.normal(0, 1, SHAPE).astype(dtype)


@LOSSES
@pytest.mark.parametrize("name", MESHES)
def test_mean_of_sharded_arrays_is_one_all_reduce(loss: Any, name: str, kind: AxisType) -> None:
    """One all-reduce for a mean and its gradient, which is spread as the inputs are."""
    x, t = data()
    mesh, sharding = spread(name, kind)
    expected = lossless.value_and_grad(loss)(x, t, reduction="mean")
    program = jax.jit(jax.value_and_grad(lambda x, t: loss(x, t, reduction="mean")))
    with jax.set_mesh(mesh):
        a = jax.device_put(x, sharding)
        for there in (sharding, NamedSharding(mesh, P())):  # the targets replicated, too
            b = jax.device_put(t, there)
            value, gradient = program(a, b)
            assert_same_bits(expected[1], gradient, FLOAT32, f"{name} gradient")
            assert abs(float(value) - expected[0]) <= 2.0**-23 * expected[0]
            assert gradient.sharding.is_equivalent_to(sharding, 2), gradient.sharding
            assert {"all-reduce": 1} == collectives(program, a, b)


@LOSSES
def test_elements_and_rows_need_no_collective(loss: Any, kind: AxisType) -> None:
    x, t = data()
    mesh, sharding = spread("1-D", kind)
    with jax.set_mesh(mesh):
        a, b = (jax.device_put(array, sharding) for array in (x, t))
        for options in ({"reduction": "none"}, {"reduction": "mean", "axis": 1}):
            program = jax.jit(lambda x, t, o=options: lossless.value_and_grad(loss)(x, t, **o))
            expected = lossless.value_and_grad(loss)(x, t, **options)
            for actual, part in zip(program(a, b), expected, strict=True):
                assert_same_bits(part, actual, FLOAT32, f"{options}")
                assert actual.sharding.is_equivalent_to(NamedSharding(mesh, P("a")), actual.ndim)
            assert {} == collectives(program, a, b)


@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
def test_options_of_sharded_arrays(reduction: Any, kind: AxisType) -> None:
    """Weights, masks and deltas of any shape, over all axes and one; rows with nothing in them."""
    x, t = data()
    mesh, sharding = spread("2-D", kind)
    rng = np.random.default_rng(6)
    mask = rng.random(SHAPE) < 0.6
    mask[3] = False
    options: list[dict[str, Any]] = [
        {"delta": delta, "weights": weights, "where": where, "axis": axis}
        for delta in (0.75, rng.uniform(0.5, 2, (16, 1)).astype(np.float32))
        for weights in (None, 0.75, rng.uniform(0.5, 2, 24).astype(np.float32))
        for where in (None, mask)
        for axis in (None, 0, 1)
    ][kind == AxisType.Auto :: 2]  # XLA takes its time
    call = lossless.value_and_grad(lossless.huber_loss)

    def every(x: Any, t: Any) -> Any:
        return [call(x, t, reduction=reduction, **given) for given in options]

    with jax.set_mesh(mesh):
        actual = jax.jit(every)(*(jax.device_put(array, sharding) for array in (x, t)))
    for given, (value, gradient) in zip(options, actual, strict=True):
        expected_value, expected = call(x, t, reduction=reduction, **given)
        np.testing.assert_array_max_ulp(np.asarray(value), np.asarray(expected_value), 1)
        np.testing.assert_array_max_ulp(np.asarray(gradient), expected, 1)


def test_huber_mean_of_sharded_halves_does_not_overflow(kind: AxisType) -> None:
    """Totals are float64 on their way."""
    mesh, sharding = spread("1-D", kind)
    with jax.set_mesh(mesh):
        x = jax.device_put(np.full(1 << 17, 3.0, np.float16), sharding)
        value, gradient = jax.jit(
            lambda x: lossless.value_and_grad(lossless.huber_loss)(x, 0.0, reduction="mean")
        )(x)
    assert 2.5 == float(value)
    expected = np.full(x.shape, 2.0**-17, np.float16)
    assert_same_bits(expected, gradient, FLOAT16, "gradient")


@LOSSES
def test_shard_map_gives_the_loss_of_the_whole(loss: Any) -> None:
    x, t = data()
    mesh, _ = spread("2-D", AxisType.Auto)

    def local(x: Any, t: Any) -> Any:
        return jax.lax.pmean(loss(x, t, reduction="mean"), ("a", "b"))

    function = jax.shard_map(local, mesh=mesh, in_specs=P("a", "b"), out_specs=P())
    expected = lossless.value_and_grad(loss)(x, t, reduction="mean")
    value, gradient = jax.jit(jax.value_and_grad(function))(jnp.asarray(x), jnp.asarray(t))
    assert abs(float(value) - expected[0]) <= 2.0**-21 * expected[0]
    np.testing.assert_array_max_ulp(np.asarray(gradient), expected[1], 2)


@LOSSES
def test_second_order_and_vmap_of_sharded_arrays(loss: Any, kind: AxisType) -> None:
    x, t = data()
    mesh, sharding = spread("1-D", kind)

    def along(x: Any, t: Any) -> Any:
        total = jax.grad(lambda x: loss(x, t, reduction="sum"))
        return jax.jvp(total, (x,), (jnp.ones_like(x),))[1]

    def rows(x: Any, t: Any) -> Any:
        return jax.vmap(lambda x, t: loss(x, t, reduction="mean"))(x, t)

    with jax.set_mesh(mesh):
        a, b = (jax.device_put(array, sharding) for array in (x, t))
        second, means = jax.jit(along)(a, b), jax.jit(rows)(a, b)
        assert {} == collectives(jax.jit(rows), a, b)
    assert_same_bits(lossless.grad_and_hess(loss)(x, t)[1], second, FLOAT32, "second")
    assert_same_bits(loss(x, t, reduction="mean", axis=1), means, FLOAT32, "rows")
