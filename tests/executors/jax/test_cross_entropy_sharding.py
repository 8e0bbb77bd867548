"""Cross entropy of rows that are spread over eight devices: computed where they are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lossless.verification.formats import FLOAT16, FLOAT32
from support.checks import assert_same_bits
from support.frameworks.jax_programs import collectives
from support.frameworks.jax_sharding import MESHES, SHAPE, spread
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, SOFT

P = PartitionSpec
ROWS = [name for name, (_, _, spec) in MESHES.items() if len(spec) == 1]
CLASSES = [name for name in MESHES if name not in ROWS]


def data(soft: bool) -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    x = rng.normal(0.5, 2.0, SHAPE).astype(np.float32)
    if soft:
        return x, rng.dirichlet(np.ones(SHAPE[1]), SHAPE[0]).astype(np.float32)
    return x, rng.integers(SHAPE[1], size=SHAPE[0])


def mean(x: Any, t: Any) -> Any:
    return CROSS_ENTROPY(x, t, reduction="mean")


@SOFT
@pytest.mark.parametrize("name", ROWS)
def test_cross_entropy_of_spread_rows(soft: bool, name: str, kind: AxisType) -> None:
    """One all-reduce for a mean and its gradient, which is spread as the logits are."""
    x, t = data(soft)
    mesh, sharding = spread(name, kind)
    expected = BOTH(x, t, reduction="mean")
    program = jax.jit(jax.value_and_grad(mean))
    with jax.set_mesh(mesh):
        a = jax.device_put(x, sharding)
        for there in (sharding, NamedSharding(mesh, P())):  # the targets replicated, too
            b = jax.device_put(t, there)
            value, gradient = program(a, b)
            assert_same_bits(expected[1], gradient, FLOAT32, f"{name} gradient")
            np.testing.assert_array_max_ulp(np.asarray(value), np.asarray(expected[0]), 1)
            assert gradient.sharding.is_equivalent_to(sharding, 2), gradient.sharding
            assert {"all-reduce": 1} == collectives(program, a, b)


@SOFT
@pytest.mark.parametrize("name", CLASSES)
def test_cross_entropy_of_spread_classes(soft: bool, name: str, kind: AxisType) -> None:
    """The logits of a row come together first; the gradient is spread as they were."""
    x, t = data(soft)
    mesh, sharding = spread(name, kind)
    expected = BOTH(x, t, reduction="mean")
    with jax.set_mesh(mesh):
        a = jax.device_put(x, sharding)
        b = jax.device_put(t, sharding if soft else NamedSharding(mesh, P(sharding.spec[0])))
        for function in (jax.value_and_grad(mean), lambda x, t: BOTH(x, t, reduction="mean")):
            value, gradient = jax.jit(function)(a, b)
            assert_same_bits(expected[1], gradient, FLOAT32, f"{name} gradient")
            np.testing.assert_array_max_ulp(np.asarray(value), np.asarray(expected[0]), 1)
            assert gradient.sharding.is_equivalent_to(sharding, 2), gradient.sharding


def test_cross_entropy_of_each_spread_row_needs_no_collective(kind: AxisType) -> None:
    x, t = data(False)
    mesh, sharding = spread("1-D", kind)

    def batch(x: Any, t: Any) -> Any:
        return jax.vmap(lambda x, t: BOTH(x[None], t[None], reduction="mean"))(x, t)

    expected = BOTH(x, t)
    with jax.set_mesh(mesh):
        a, b = (jax.device_put(array, sharding) for array in (x, t))
        for function in (BOTH, batch):
            program = jax.jit(function)
            for actual, part in zip(program(a, b), expected, strict=True):
                assert_same_bits(part, np.reshape(actual, part.shape), FLOAT32, "of each row")
                assert actual.sharding.is_equivalent_to(NamedSharding(mesh, P("a")), actual.ndim)
            assert {} == collectives(program, a, b)


@SOFT
def test_cross_entropy_options_of_spread_rows(soft: bool, kind: AxisType) -> None:
    """Weights and masks, rows along the first axis, and nothing in a device's part."""
    x, t = data(soft)
    mesh, sharding = spread("1-D", kind)
    rng = np.random.default_rng(6)
    mask = rng.random(SHAPE[0]) < 0.6
    mask[2:4] = False  # all that the second device has
    given: list[dict[str, Any]] = [
        {"reduction": reduction, "weights": weights, "where": where, "label_smoothing": 0.1}
        for reduction in ("sum", "mean", "weighted_mean")
        for weights in (None, rng.uniform(0.5, 2.0, SHAPE[0]).astype(np.float32))
        for where in (None, mask)
    ]

    def every(x: Any, t: Any) -> Any:
        return [BOTH(x, t, **options) for options in given]

    with jax.set_mesh(mesh):
        results = jax.jit(every)(*(jax.device_put(array, sharding) for array in (x, t)))
        across = jax.jit(lambda x, t: BOTH(x.T, t.T, axis=0, reduction="mean"))
        moved = across(*(jax.device_put(array, sharding) for array in (x, t)))
    for options, (value, gradient) in zip(given, results, strict=True):
        expected_value, expected = BOTH(x, t, **options)
        np.testing.assert_array_max_ulp(np.asarray(value), np.asarray(expected_value), 1)
        np.testing.assert_array_max_ulp(np.asarray(gradient), expected, 1)
    assert_same_bits(BOTH(x, t, reduction="mean")[1], moved[1].T, FLOAT32, "axis 0")


def test_cross_entropy_totals_of_spread_halves_do_not_overflow(kind: AxisType) -> None:
    """They are float64 on their way."""
    mesh, sharding = spread("1-D", kind)
    x, t = np.zeros((1 << 14, 2), np.float16), np.zeros(1 << 14, np.int32)
    x[:, 1] = 1000.0
    with jax.set_mesh(mesh):
        value, gradient = jax.jit(lambda x: BOTH(x, t, reduction="mean"))(
            jax.device_put(x, sharding)
        )
    assert 1000.0 == float(value)
    assert_same_bits(BOTH(x, t, reduction="mean")[1], gradient, FLOAT16, "gradient")


def test_cross_entropy_inside_of_shard_map() -> None:
    x, t = data(False)
    mesh, _ = spread("1-D", AxisType.Auto)

    def local(x: Any, t: Any) -> Any:
        return jax.lax.pmean(mean(x, t), "a")

    function = jax.shard_map(local, mesh=mesh, in_specs=P("a"), out_specs=P())
    expected = BOTH(x, t, reduction="mean")
    value, gradient = jax.jit(jax.value_and_grad(function))(jnp.asarray(x), jnp.asarray(t))
    np.testing.assert_array_max_ulp(np.asarray(value), np.asarray(expected[0]), 4)
    np.testing.assert_array_max_ulp(np.asarray(gradient), expected[1], 2)


def test_cross_entropy_second_order_of_spread_rows(kind: AxisType) -> None:
    x, t = data(False)
    mesh, sharding = spread("1-D", kind)

    def along(x: Any) -> Any:
        return jax.jvp(jax.grad(lambda x: mean(x, t)), (x,), (jnp.cos(x),))[1]

    with jax.set_mesh(mesh):
        actual = jax.jit(along)(jax.device_put(x, sharding))
    exponentials = np.exp(x.astype(float))
    softmax = exponentials / exponentials.sum(-1, keepdims=True)
    moved = softmax * np.cos(x)
    expected = (moved - softmax * moved.sum(-1, keepdims=True)) / SHAPE[0]
    assert np.abs(np.asarray(actual) - expected).max() <= 2.0**-20 * np.abs(expected).max()
