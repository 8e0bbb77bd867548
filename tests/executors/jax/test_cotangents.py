"""What multiplies a loss on JAX arrays counts before its gradient is rounded."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import lossless
from lossless.verification.formats import FLOAT16, FLOAT32, NARROW, Format
from support.cases import Backend, Case, cases
from support.checks import assert_same_bits, assert_ulp
from support.frameworks.cases import arrays, on_numpy
from support.frameworks.jax import LOSSES
from support.frameworks.jax_programs import collectives, text
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, SHAPE, SOFT, samples
from support.rows.cross_entropy_reference import cross_entropy

IN_NARROW_DTYPES = pytest.mark.parametrize("case", cases(NARROW, backends=[Backend.JAX]))


@IN_NARROW_DTYPES
def test_cotangents_are_folded_in(case: Case, rng: np.random.Generator) -> None:
    """A factor of all, of rows or of elements; a constant or traced; jitted and not."""
    x, t = arrays(case, (37, 11), rng)
    each = case.fmt.array(rng.choice([0.5, -1.25, 3.0], x.shape))
    # A weight is what a cotangent amounts to; these are exact in every dtype.
    combinations: list[tuple[Any, dict[str, Any]]] = [
        (each, {"reduction": "none"}),
        (each[0], {"reduction": "mean", "axis": 0}),
        *((factor, {"reduction": "mean"}) for factor in (0.75, -3.0, 1024.0)),
    ]
    for factor, given in combinations:
        weights = np.asarray(factor, np.float64)
        expected = on_numpy(case).value_and_grad(x, t, weights=weights, **given)[1]

        def scaled(x: Any, t: Any, factor: Any, given: Any = given) -> Any:
            return (factor * case.function(x, t, **given)).sum()

        gradients: Any = jax.grad(scaled, argnums=(0, 1))
        constant = jax.jit(lambda x, t, f=factor, g=gradients: g(x, t, f))
        for by_inputs, by_targets in (
            constant(x, t),
            jax.jit(gradients)(x, t, factor),
            gradients(jnp.asarray(x), jnp.asarray(t), factor),
        ):
            what = f"{case} {given} times {factor}"
            assert_same_bits(expected, by_inputs, case.fmt, what)
            assert_same_bits(expected, -by_targets, case.fmt, f"{what}, by targets")


@pytest.mark.parametrize("case", cases([FLOAT16], backends=[Backend.JAX]))
def test_scaling_keeps_gradients_from_underflow(case: Case, rng: np.random.Generator) -> None:
    """As a loss scale does: gradients below float16's range come back, rounded once."""
    x = case.fmt.array(rng.normal(0, 1e-3, 1 << 16))
    t = np.zeros_like(x)
    _, lost = on_numpy(case).value_and_grad(x, t, reduction="mean")
    _, expected = on_numpy(case).value_and_grad(x, t, reduction="mean", weights=1024.0)
    step = jax.jit(jax.grad(lambda x, scale: scale * case.function(x, t, reduction="mean")))
    assert_same_bits(expected, step(x, np.float16(1024)), case.fmt, str(case))
    assert np.count_nonzero(lost) < 0.5 * np.count_nonzero(expected)


@IN_NARROW_DTYPES
def test_cotangent_that_turns_out_to_be_one(case: Case, rng: np.random.Generator) -> None:
    """Its gradient is the one that came with the value, and yet depends on the cotangent."""
    x, t = arrays(case, (37, 11), rng)
    one = jnp.ones((), x.dtype)
    _, expected = on_numpy(case).value_and_grad(x, t, reduction="mean")
    function = jax.jit(jax.grad(lambda x, factor: factor * case.function(x, t, reduction="mean")))
    assert_same_bits(expected, function(x, one), case.fmt, str(case))
    _, by_factor = jax.jvp(lambda factor: function(x, factor), (one,), (one,))
    true = [float(slope) for slope in expected.flat]
    assert_ulp(true, by_factor, case.fmt, 2 if x.dtype.itemsize < 4 else 16, str(case))


@IN_NARROW_DTYPES
def test_constant_factor_takes_two_custom_calls(case: Case) -> None:
    """One for the value and one for the gradient, no copies, and no memory but theirs."""
    x = jnp.ones((64, 3), case.fmt.dtype)
    for factor, calls in ((1, 1), (3, 2)):

        def scaled(x: Any, t: Any, factor: Any = factor) -> Any:
            return factor * case.function(x, t, reduction="mean")

        program = text(jax.value_and_grad(scaled), x, x)
        assert calls == program.count("custom-call("), program
        assert "copy" not in program, program
        assert "conditional" not in program, program


@LOSSES
def test_cotangents_of_batches(loss: Any, rng: np.random.Generator) -> None:
    """Many for one loss, and one for many; and the transpose of many directions of one loss."""
    x, t = rng.normal(0.5, 2, (2, 4, 5)).astype(np.float32)
    factors = np.array([1.0, 0.75, -3.0], np.float32)

    def gradient(x: Any, factor: Any) -> Any:
        return jax.vjp(lambda x: loss(x, t, reduction="mean"), x)[1](factor)[0]

    def expected(factor: Any) -> Any:
        return lossless.value_and_grad(loss)(x, t, reduction="mean", weights=float(factor))[1]

    slopes: Any = jax.jit(jax.vmap(gradient, (None, 0)))(x, factors)
    for slope, factor in zip(slopes, factors, strict=True):
        assert_same_bits(expected(factor), slope, FLOAT32, f"{factor}")
    slopes = jax.jit(jax.vmap(gradient, (0, None)))(np.stack([x, x]), factors[1])
    for slope in slopes:
        assert_same_bits(expected(factors[1]), slope, FLOAT32, "batch of losses")

    def changes(directions: Any) -> Any:
        def change(direction: Any) -> Any:
            return jax.jvp(lambda x: loss(x, t, reduction="mean"), (x,), (direction,))[1]

        return factors @ jax.vmap(change)(directions)

    slopes = jax.jit(jax.grad(changes))(np.ones((3, *x.shape), np.float32))
    for slope, factor in zip(slopes, factors, strict=True):
        assert_same_bits(expected(factor), slope, FLOAT32, f"direction times {factor}")


@LOSSES
def test_gradients_are_not_compiled_again(loss: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Gradients that are not jitted, whatever the cotangent, from the second call on."""
    x = jnp.asarray([0.5, -3.0])

    def gradients() -> Any:
        slope = jax.grad(lambda x: 3 * loss(x, 0.25, reduction="mean"))(x)
        _, pull = jax.vjp(lambda x: loss(x, 0.25, reduction="mean"), x)
        moved = jax.jvp(jax.grad(lambda x: loss(x, 0.25, reduction="sum")), (x,), (x,))
        return slope, pull(jnp.float32(0.5)), moved, jax.jvp(loss, (x, x), (x, x))

    gradients()
    with jax.log_compiles():
        gradients()
    assert not [record for record in caplog.records if "Compiling" in record.getMessage()]


@LOSSES
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_gradient_of_what_is_not_spread(
    loss: Any, kind: AxisType, rng: np.random.Generator
) -> None:
    """Targets that every device has, as an array or a number, beside inputs that are spread."""
    x, t = rng.normal(0.5, 2, (2, 16, 24)).astype(np.float32)
    mesh = jax.make_mesh((8,), ("a",), axis_types=(kind,))
    whole, spread = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("a",)))
    for targets in (t, t[0, 0]):

        def scaled(x: Any, t: Any) -> Any:
            return 0.75 * loss(x, t, reduction="mean")

        def by_targets(x: Any, t: Any) -> Any:
            return jax.grad(scaled, argnums=1)(x, t)

        expected = by_targets(jnp.asarray(x), jnp.asarray(targets))
        a, b = jax.device_put(x, spread), jax.device_put(targets, whole)
        with jax.set_mesh(mesh):
            for function in (by_targets, jax.jit(by_targets)):
                actual = np.asarray(function(a, b))
                if targets.ndim:
                    assert_same_bits(np.asarray(expected), actual, FLOAT32, f"{kind}")
                else:  # a sum of all elements, in another order
                    np.testing.assert_allclose(actual, expected, rtol=0, atol=x.size * 2.0**-24)
        if kind == AxisType.Explicit:
            continue

        def local(x: Any, t: Any) -> Any:
            return jax.lax.pmean(loss(x, t, reduction="mean"), "a")

        rows = t[:2] if targets.ndim else targets
        specs = PartitionSpec("a"), PartitionSpec()
        mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())
        slopes = jax.jit(jax.grad(mapped, argnums=1))(x, rows)
        each = [
            jax.grad(lambda t, part=part: loss(part, t, reduction="mean"))(rows)
            for part in np.split(x, 8)
        ]
        np.testing.assert_allclose(slopes, sum(each) / 8, rtol=0, atol=x.size * 2.0**-24)


@pytest.mark.parametrize("case", cases([FLOAT16], backends=[Backend.JAX]))
def test_gradient_of_a_number_is_a_wide_sum(case: Case, rng: np.random.Generator) -> None:
    """Its terms may be too small for float16."""
    x = case.fmt.array(rng.normal(0.5, 1, 4096))
    t = jnp.asarray(0.25, jnp.float16)
    function = jax.grad(lambda t, s: s * case.function(x, t, reduction="mean"))
    wide = np.float64(on_numpy(case).value_and_grad(x, np.float16(0.25))[1]).mean()
    for scale in (np.float16(1), np.float16(1e-3)):
        actual, expected = float(jax.jit(function)(t, scale)), -wide * float(scale)
        assert abs(actual - expected) <= 2.0**-9 * abs(expected)


@LOSSES
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_cotangents_of_sharded_arrays(loss: Any, kind: AxisType, rng: np.random.Generator) -> None:
    """The gradient stays where the inputs are, without more communication; constant or traced."""
    x, t = rng.normal(0.5, 2, (2, 16, 24)).astype(np.float32)
    _, expected = lossless.value_and_grad(loss)(x, t, reduction="mean", weights=0.75)
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(kind,) * 2)
    sharding = NamedSharding(mesh, PartitionSpec("a", "b"))

    def scaled(x: Any, t: Any, factor: Any) -> Any:
        return factor * loss(x, t, reduction="mean")

    with jax.set_mesh(mesh):
        a, b = (jax.device_put(array, sharding) for array in (x, t))
        constant = jax.jit(lambda x, t: jax.value_and_grad(scaled)(x, t, 0.75))
        traced = jax.jit(jax.value_and_grad(scaled))
        for program, arguments in ((constant, (a, b)), (traced, (a, b, np.float32(0.75)))):
            _, gradient = program(*arguments)
            assert_same_bits(expected, gradient, FLOAT32, f"{kind}")
            assert gradient.sharding.is_equivalent_to(sharding, 2), gradient.sharding
            assert {"all-reduce": 1} == collectives(program, *arguments)


@pytest.mark.parametrize("fmt", NARROW, ids=str)
@SOFT
@pytest.mark.parametrize("reduction", ["none", "mean", "weighted_mean"])
def test_cross_entropy_cotangents_are_folded_in(
    fmt: Format, soft: bool, reduction: Any, rng: np.random.Generator
) -> None:
    """Rounded once, as the kernel does with its cotangents, not multiplied afterwards."""
    x, targets = samples(fmt, soft, rng)
    weights = rng.uniform(0.5, 2.0, SHAPE[:-1]).astype(np.float32)
    shape = SHAPE[:-1] if reduction == "none" else ()
    factors = fmt.array(rng.normal(1.0, 2.0, shape))
    _, expected = cross_entropy(
        x, targets, weights=weights, reduction=reduction, cotangent=factors, smoothing=0.1
    )

    def loss(x: Any) -> Any:
        return CROSS_ENTROPY(x, targets, weights, -1, 0.1, reduction)

    constant = jax.jit(jax.grad(lambda x: (factors * loss(x)).sum()))(x)
    (traced,) = jax.jit(lambda x, factors: jax.vjp(loss, x)[1](factors))(x, factors)
    for actual in (constant, traced):
        assert_same_bits(expected, actual, fmt, f"{fmt.name} {reduction}")
    _, plain = BOTH(x, targets, weights, label_smoothing=0.1, reduction=reduction)
    with np.errstate(over="ignore"):
        rounded_twice = fmt.array(plain * np.expand_dims(factors, -1)) if shape else plain * factors
    assert (fmt.bits(rounded_twice) != fmt.bits(expected)).any()
