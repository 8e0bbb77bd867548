"""Cross entropy on JAX arrays: NumPy's bits, one custom call, whatever comes."""

from __future__ import annotations

import itertools
import re
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import lossless
from lossless.verification.formats import BFLOAT16, FLOAT32, FLOAT64, FORMATS, Format
from support.checks import assert_same_bits
from support.frameworks.jax import WITH_FLOAT64
from support.frameworks.jax_programs import text
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, FMT, SHAPE, SOFT, options, samples


@FMT
@SOFT
@WITH_FLOAT64
def test_cross_entropy_has_the_bits_of_numpy(
    fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    """Explicitly and under jax.grad, whatever the options: all in one program."""
    x, targets = samples(fmt, soft, rng)
    place = list(FORMATS.values()).index(fmt)  # XLA takes its time
    given = options(rng)[place :: len(FORMATS)] + options(rng)[3 - place :: len(FORMATS)]

    def every(x: Any, targets: Any) -> Any:
        results = []
        for more in given:
            loss = CROSS_ENTROPY(x, targets, **more)
            slope = jax.grad(lambda x, more=more: CROSS_ENTROPY(x, targets, **more).sum())(x)
            results.append((loss, slope, *BOTH(x, targets, **more)))
        return results

    for more, results in zip(given, jax.jit(every)(x, targets), strict=True):
        expected = BOTH(x, targets, **more)
        for actual, part in zip(results, (*expected, *expected), strict=True):
            assert_same_bits(part, actual, fmt, f"{fmt.name} {more}")


@SOFT
@WITH_FLOAT64
def test_cross_entropy_has_the_bits_of_numpy_along_any_axis(
    soft: bool, rng: np.random.Generator
) -> None:
    x, targets = samples(FLOAT32, soft, rng)
    value, slope = BOTH(x, targets, reduction="mean")

    def every(x: Any, targets: Any) -> Any:
        results = []
        for axis in range(3):
            moved = jnp.moveaxis(x, -1, axis)
            given = jnp.moveaxis(targets, -1, axis) if soft else targets
            mean, gradient = BOTH(moved, given, axis=axis, reduction="mean")
            results.append((mean, jnp.moveaxis(gradient, axis, -1)))
        return results

    for axis, (mean, gradient) in enumerate(jax.jit(every)(x, targets)):
        assert_same_bits(value, mean, FLOAT32, f"value, axis {axis}")
        assert_same_bits(slope, gradient, FLOAT32, f"gradient, axis {axis}")


@FMT
@WITH_FLOAT64
def test_cross_entropy_bits_on_threads_of_xla(fmt: Format, rng: np.random.Generator) -> None:
    """Large enough for several threads; and subnormal numbers, which XLA's threads flush."""
    x = fmt.array(rng.normal(0.5, 2.0, (1500, 120)))
    x[:, 60:] += fmt.array(fmt.min_exponent * np.log(2) + 6)
    labels = rng.integers(60, size=1500)
    small = np.abs(BOTH(x, labels)[1].astype(float))
    assert np.count_nonzero((small > 0) & (small < 2.0**fmt.min_exponent)) > 10_000
    for reduction in ("none", "mean"):
        actual = jax.jit(lambda x, r=reduction: BOTH(x, labels, reduction=r))(x)
        for mine, part in zip(actual, BOTH(x, labels, reduction=reduction), strict=True):
            assert_same_bits(part, mine, fmt, f"{fmt.name} {reduction}")


def test_cross_entropy_of_views_and_empty_arrays(rng: np.random.Generator) -> None:
    """Without float64, which is JAX's default; not jitted."""
    x, targets = samples(FLOAT32, False, rng)
    views: list[Any] = [np.s_[::2, 1:], np.s_[:0], np.s_[2, 3]]
    for view, reduction in itertools.product(views, ("none", "mean")):
        expected = BOTH(x[view], targets[view], reduction=reduction)
        actual = BOTH(jnp.asarray(x)[view], jnp.asarray(targets)[view], reduction=reduction)
        for mine, part in zip(actual, expected, strict=True):
            assert_same_bits(part, mine, FLOAT32, f"{view} {reduction}")


def operations(program: str) -> list[str]:
    return sorted(re.findall(r" = \(?\S+ (?:\S+ )*?([a-z-]+)\(", program))


@SOFT
@pytest.mark.parametrize("fmt", [FLOAT32, BFLOAT16], ids=str)
def test_cross_entropy_is_one_custom_call(
    soft: bool, fmt: Format, rng: np.random.Generator
) -> None:
    """Value and gradient in one pass, and no copies around it; a batch is one, too."""
    x, targets = samples(fmt, soft, rng)
    arrays = jnp.asarray(x), jnp.asarray(targets)
    for reduction in ("sum", "mean"):
        both = jax.value_and_grad(lambda x, t, r=reduction: CROSS_ENTROPY(x, t, reduction=r))
        explicit = lambda x, t, r=reduction: BOTH(x, t, reduction=r)  # noqa: E731
        for function in (both, explicit, jax.vmap(both)):
            program = text(function, *arrays)
            assert ["custom-call", "parameter", "parameter"] == operations(program), program
        along = (
            jnp.moveaxis(arrays[0], -1, 0),
            jnp.moveaxis(arrays[1], -1, 0) if soft else arrays[1],
        )
        program = text(lambda x, t, r=reduction: BOTH(x, t, axis=0, reduction=r), *along)
        assert ["custom-call", "parameter", "parameter"] == operations(program), program


@SOFT
def test_cross_entropy_on_other_platforms_has_no_custom_call(
    soft: bool, rng: np.random.Generator
) -> None:
    arrays = samples(FLOAT32, soft, rng)
    function = jax.jit(jax.value_and_grad(lambda x, t: CROSS_ENTROPY(x, t, reduction="mean")))
    for platform in ("cuda", "tpu", "rocm"):
        program = function.trace(*arrays).lower(lowering_platforms=(platform,))
        assert "custom_call" not in program.as_text(), platform
    assert "@lossless_rows" in function.trace(*arrays).lower(lowering_platforms=("cpu",)).as_text()


def test_cross_entropy_exports(rng: np.random.Generator) -> None:
    """Composed for anyone; with the custom call to one's own programs."""
    x, t = (jnp.asarray(array) for array in samples(FLOAT32, False, rng))
    expected = CROSS_ENTROPY(x, t)
    with lossless.composed():
        composed = jax.jit(lambda x, t: CROSS_ENTROPY(x, t))
        exported = jax.export.export(composed, platforms=["cpu", "cuda"])(x, t)
    np.testing.assert_allclose(exported.call(x, t), expected, rtol=2**-20)
    with pytest.raises(ValueError, match=r"to_export_use_lossless\.composed\(\)"):
        jax.export.export(jax.jit(CROSS_ENTROPY))(x, t)
    check = jax.export.DisabledSafetyCheck.custom_call("lossless_rows")
    native = jax.export.export(jax.jit(CROSS_ENTROPY), disabled_checks=[check])(x, t)
    assert_same_bits(expected, native.call(x, t), FLOAT32, "exported")


@WITH_FLOAT64
def test_cross_entropy_of_classes_that_do_not_exist() -> None:
    """Traced, their rows are NaN, and with them what is reduced; not where the mask is false."""
    x = jnp.asarray(np.random.default_rng(4).normal(size=(6, 3)))
    labels, bad = np.array([1, 3, -1, 0, 2**40, 2]), np.array([0, 1, 1, 0, 1, 0], bool)
    program = jax.jit(BOTH, static_argnames="reduction")
    expected = BOTH(np.asarray(x)[~bad], labels[~bad])
    for actual, part in zip(program(x, labels), expected, strict=True):
        assert_same_bits(part, actual[~bad], FLOAT64, "other rows")
        assert np.isnan(actual[bad]).all()
    value, slopes = program(x, labels, where=~bad, reduction="sum")
    np.testing.assert_array_max_ulp(np.asarray(value), expected[0].sum(), 1)
    assert not slopes[bad].any()
    assert np.isnan(program(x, labels, reduction="mean")[0])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int32", "int64", "uint64"])
@WITH_FLOAT64
def test_cross_entropy_dtypes_of_classes_and_weights(dtype: str, rng: np.random.Generator) -> None:
    x, targets = samples(FLOAT32, False, rng)
    weights = rng.integers(1, 5, SHAPE[:-1])
    given = jnp.asarray(targets, dtype), jnp.asarray(weights)
    for actual, part in zip(BOTH(x, *given), BOTH(x, targets, weights.astype(float)), strict=True):
        assert_same_bits(part, actual, FLOAT32, dtype)


def test_cross_entropy_of_one_row_with_a_number_as_weight(rng: np.random.Generator) -> None:
    """It is a constant of the program, and counts as float64, which JAX does not have here."""
    x, targets = (array[0, 0] for array in samples(FLOAT32, False, rng))
    for weight in (0.0, -0.0, 1 / 3, float(np.float32(1 / 3))):
        actual = BOTH(jnp.asarray(x), targets, weight)
        for mine, part in zip(actual, BOTH(x, targets, weight), strict=True):
            assert_same_bits(part, mine, FLOAT32, f"{weight}")


@WITH_FLOAT64
def test_cross_entropy_of_mixed_dtypes(rng: np.random.Generator) -> None:
    """In the wider one; integers and booleans as JAX's default float."""
    x, p = samples(FLOAT32, True, rng)
    wide = p.astype(np.float64)
    value, slope = BOTH(x, wide)
    for actual, part in zip(BOTH(jnp.asarray(x), wide), (value, slope), strict=True):
        assert_same_bits(part, actual, FLOAT64, "wider probabilities")
    by_jax = jax.grad(lambda x: CROSS_ENTROPY(x, wide).sum())(jnp.asarray(x))
    assert_same_bits(slope.astype(np.float32), by_jax, FLOAT32, "gradient in the dtype of logits")
    hot = np.eye(SHAPE[-1])[rng.integers(SHAPE[-1], size=SHAPE[:-1])]
    expected = BOTH(x, hot)
    for given in (hot.astype(bool), hot.astype(np.int8)):
        for actual, part in zip(BOTH(jnp.asarray(x), given), expected, strict=True):
            assert_same_bits(part, actual, FLOAT64, f"{given.dtype}")
    integers = np.rint(x).astype(np.int16)
    actual = CROSS_ENTROPY(jnp.asarray(integers), hot)
    assert_same_bits(CROSS_ENTROPY(integers, hot), actual, FLOAT64, "integers as logits")


def test_cross_entropy_under_strict_settings_of_jax() -> None:
    x, t = jnp.asarray([[0.5, 2.5]] * 3, jnp.bfloat16), jnp.asarray([0, 1, 1], jnp.uint8)
    given = {"weights": jnp.asarray([2.0, 1.0, 0.5]), "where": jnp.asarray([True])}
    expected = BOTH(np.asarray(x), np.asarray(t), **{k: np.asarray(v) for k, v in given.items()})
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        actual = BOTH(x, t, **given)
        slope = jax.grad(lambda x: CROSS_ENTROPY(x, t, **given).sum())(x)
        second = jax.hessian(lambda x: CROSS_ENTROPY(x, t, **given, reduction="mean"))(x)
    for mine, part in zip((*actual, slope), (*expected, expected[1]), strict=True):
        assert_same_bits(part, mine, BFLOAT16, "strict")
    assert jnp.bfloat16 == second.dtype
