"""Kernels on MLX arrays and PyTorch tensors: NumPy's bits, in calls and by the frameworks' grad.

JAX compiles every call: jax/test_kernels.py says the same of it in few programs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, FORMATS, NARROW, Format
from support.cases import REDUCTIONS, Backend, Case, cases
from support.checks import assert_same_bits
from support.frameworks.autodiff import with_gradients
from support.frameworks.cases import SHAPE, arrays, combinations, on_numpy
from support.rows import cross_entropy_cases as entropy
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, FMT, SOFT, samples
from support.rows.cross_entropy_reference import cross_entropy

BACKENDS = [Backend.MLX, Backend.TORCH]
ON_BOTH = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.value)
EVERY_CASE = pytest.mark.parametrize("case", cases(backends=BACKENDS))
CLASSES = entropy.SHAPE[-1]


def handed_over(backend: Backend, given: dict[str, Any]) -> dict[str, Any]:
    return {name: backend.array(option) for name, option in given.items()}


# Element-wise losses


@EVERY_CASE
def test_kernels_have_the_bits_of_numpy(case: Case, rng: np.random.Generator) -> None:
    """In calls, and by autodiff with respect to inputs, targets and both, whatever the options."""
    x, t = arrays(case, SHAPE, rng)
    twin = on_numpy(case)
    for given in combinations(case, rng):
        keywords = handed_over(case.backend, given)

        def function(x: Any, t: Any, keywords: Any = keywords) -> Any:
            return case.function(x, t, **keywords)

        value, slope = twin.value_and_grad(x, t, **given)
        ones = np.ones_like(value)
        y, u = case.backend.array(x), case.backend.array(t)
        beside, (by_inputs, by_targets) = with_gradients(
            case.backend, function, x, t, cotangent=ones
        )
        _, of_sum = with_gradients(case.backend, lambda x, t, f=function: f(x, t).sum(), x, t)
        _, (inputs_alone,) = with_gradients(
            case.backend, lambda x, t=u, f=function: f(x, t), x, cotangent=ones
        )
        _, (targets_alone,) = with_gradients(
            case.backend, lambda t, x=y, f=function: f(x, t), t, cotangent=ones
        )
        explicit = case.value_and_grad(x, t, **given)
        results = [
            ("value", value, case.value(x, t, **given)),
            ("value of value_and_grad", value, explicit[0]),
            ("gradient of value_and_grad", slope, explicit[1]),
            ("value with gradients", value, beside),
            ("by inputs", slope, by_inputs),
            ("by targets", slope, -by_targets),
            ("of the sum by inputs", slope, of_sum[0]),
            ("of the sum by targets", slope, -of_sum[1]),
            ("by inputs alone", slope, inputs_alone),
            ("by targets alone", slope, -targets_alone),
        ]
        if given["reduction"] == "none":
            parts = zip(
                ("gradient", "second derivative"),
                twin.grad_and_hess(x, t, **given),
                case.grad_and_hess(x, t, **given),
                strict=True,
            )
            results += [(f"{name} of grad_and_hess", part, mine) for name, part, mine in parts]
        for what, expected, actual in results:
            assert_same_bits(expected, actual, case.fmt, f"{case} {given} {what}")


VIEWS: dict[str, Any] = {
    "sliced": lambda a: a[::2, 1:7],
    "transposed": lambda a: a.T,
    "one row": lambda a: a[3],
    "empty": lambda a: a[:0],
    "no dimensions": lambda a: a[2, 3],
}


@EVERY_CASE
def test_kernels_have_the_bits_of_numpy_in_any_view(case: Case, rng: np.random.Generator) -> None:
    """What else a framework has for views is in its folder."""
    x, t = arrays(case, (8, 9), rng)
    b = case.backend.array(t)
    for name, view in VIEWS.items():
        for reduction in ("none", "mean"):

            def explicit(a: Any, view: Any = view, reduction: Any = reduction) -> Any:
                both = lossless.value_and_grad(case.function)
                return both(view(a), view(b), reduction=reduction)

            def total(a: Any, view: Any = view, reduction: Any = reduction) -> Any:
                return case.function(view(a), view(b), reduction=reduction).sum()

            what = f"{case} {name} {reduction}"
            expected = on_numpy(case).value_and_grad(view(x), view(t), reduction=reduction)
            for part, mine in zip(expected, explicit(case.backend.array(x)), strict=True):
                assert_same_bits(part, case.backend.numpy(mine), case.fmt, what)
            slope = np.zeros_like(x)
            slope.flat[view(np.arange(x.size).reshape(x.shape))] = expected[1]
            _, (found,) = with_gradients(case.backend, total, x)
            # Beside the view are zeros of no sign.
            assert_same_bits(slope + 0, found + 0, case.fmt, f"{what} autodiff")


# Cross entropy


@ON_BOTH
@FMT
@SOFT
def test_cross_entropy_has_the_bits_of_numpy(
    backend: Backend, fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    x, targets = samples(fmt, soft, rng)
    t = backend.array(targets)
    for given in entropy.options(rng):
        value, slope = BOTH(x, targets, **given)
        keywords = handed_over(backend, given)

        def loss(y: Any, keywords: Any = keywords) -> Any:
            return CROSS_ENTROPY(y, t, **keywords)

        explicit = [backend.numpy(part) for part in BOTH(backend.array(x), t, **keywords)]
        beside, (found,) = with_gradients(backend, loss, x, cotangent=np.ones_like(value))
        results = [
            ("value", value, backend.numpy(loss(backend.array(x)))),
            ("value of value_and_grad", value, explicit[0]),
            ("gradient of value_and_grad", slope, explicit[1]),
            ("value with a gradient", value, beside),
            ("gradient by autodiff", slope, found),
        ]
        for what, expected, actual in results:
            assert_same_bits(expected, actual, fmt, f"{backend} {fmt.name} {what} {given}")


@ON_BOTH
@pytest.mark.parametrize("fmt", NARROW, ids=str)
@SOFT
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_cotangents_are_folded_in(
    backend: Backend, fmt: Format, soft: bool, reduction: Any, rng: np.random.Generator
) -> None:
    """Rounded once, as the kernel does with its cotangents, not multiplied afterwards."""
    x, targets = samples(fmt, soft, rng)
    weights = rng.uniform(0.5, 2.0, entropy.SHAPE[:-1])
    shape = entropy.SHAPE[:-1] if reduction == "none" else ()
    factors = fmt.array(rng.normal(1.0, 2.0, shape))
    _, expected = cross_entropy(
        x, targets, weights=weights, reduction=reduction, cotangent=factors, smoothing=0.1
    )
    t, w, factor = map(backend.array, (targets, weights, factors))

    def loss(y: Any) -> Any:
        return CROSS_ENTROPY(y, t, w, -1, 0.1, reduction)

    _, (found,) = with_gradients(backend, loss, x, cotangent=factors)
    _, (scaled,) = with_gradients(backend, lambda y: (factor * loss(y)).sum(), x)
    for what, actual in (("cotangent", found), ("factor", scaled)):
        assert_same_bits(expected, actual, fmt, f"{backend} {fmt.name} {reduction} {what}")
    _, plain = BOTH(x, targets, weights, label_smoothing=0.1, reduction=reduction)
    with np.errstate(over="ignore"):
        rounded_twice = fmt.array(plain * np.expand_dims(factors, -1)) if shape else plain * factors
    assert (fmt.bits(rounded_twice) != fmt.bits(expected)).any(), "the factors prove nothing"


@ON_BOTH
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64"]
)
def test_cross_entropy_dtypes_of_classes_and_weights(
    backend: Backend, dtype: str, rng: np.random.Generator
) -> None:
    """Weights of integers and booleans, too; and one row alone, with a number for a weight."""
    x, labels = samples(FLOAT32, False, rng)
    integers = rng.integers(1, 5, entropy.SHAPE[:-1])
    weights = integers > 2 if dtype == "int8" else integers
    for logits, row_labels, weight in ((x, labels, weights), (x[0, 0], labels[0, 0], 2.5)):
        t = backend.array(np.asarray(row_labels, dtype))
        w = backend.array(weight)
        value, slope = BOTH(logits, row_labels, np.asarray(weight, float))
        explicit = [backend.numpy(part) for part in BOTH(backend.array(logits), t, w)]
        _, (found,) = with_gradients(
            backend,
            lambda y, t=t, w=w: CROSS_ENTROPY(y, t, w),
            logits,
            cotangent=np.ones_like(value),
        )
        for expected, actual in ((value, explicit[0]), (slope, explicit[1]), (slope, found)):
            assert_same_bits(expected, actual, FLOAT32, f"{backend} {dtype} {logits.shape}")


@ON_BOTH
def test_cross_entropy_of_mixed_dtypes(backend: Backend, rng: np.random.Generator) -> None:
    """In the wider one; each gradient in the dtype of its array."""
    x, p = samples(FLOAT32, True, rng)
    wide = p.astype(np.float64)
    value, slope = BOTH(x, wide)
    explicit = BOTH(backend.array(x), backend.array(wide))
    for expected, actual in zip((value, slope), explicit, strict=True):
        assert_same_bits(expected, backend.numpy(actual), FLOAT64, f"{backend} explicitly")
    beside, (found,) = with_gradients(
        backend,
        lambda y: CROSS_ENTROPY(y, backend.array(wide)),
        x,
        cotangent=np.ones_like(value),
    )
    assert_same_bits(value, beside, FLOAT64, f"{backend} value with a gradient")
    assert_same_bits(slope.astype(np.float32), found, FLOAT32, f"{backend} by autodiff")
    labels = rng.integers(CLASSES, size=entropy.SHAPE[:-1])
    expected, _ = BOTH(x, labels)
    hot = np.eye(CLASSES, dtype=np.int64)[labels]
    actual = CROSS_ENTROPY(backend.array(x), backend.array(hot))
    assert_same_bits(expected, backend.numpy(actual), FLOAT32, f"{backend} of integers")


# Which dtype comes


@ON_BOTH
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("uint8", "uint8", "float32"),
        ("bool", "int32", "float32"),
        ("uint16", "uint64", "float32"),
        ("int64", "float16", "float32"),
        ("int64", "float64", "float64"),
        ("float16", "bfloat16", "float32"),
        ("float16", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
@pytest.mark.parametrize("function", [lossless.huber_loss, lossless.log_cosh_loss])
def test_mixed_dtypes(
    backend: Backend, function: Any, first: str, second: str, expected: str
) -> None:
    """As if both had been converted to the dtype of the result."""
    fmt = FORMATS[expected]
    dtypes = {name: fmt.dtype for name, fmt in FORMATS.items()}
    x, t = (
        np.array(numbers).astype(dtypes.get(name, name))
        for numbers, name in (([1, 0], first), ([0, 1], second))
    )
    for a, b in ((x, t), (t, x)):
        converted = function(*(backend.array(part.astype(fmt.dtype)) for part in (a, b)))
        given = backend.array(a), backend.array(b)
        what = f"{backend} {first} {second}"
        assert_same_bits(backend.numpy(converted), backend.numpy(function(*given)), fmt, what)
        for part in lossless.value_and_grad(function)(*given, reduction="mean"):
            assert fmt.dtype == backend.numpy(part).dtype


@ON_BOTH
@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float32(2), np.float64(2), np.int8(2)])
@FMT
def test_numbers_are_weak(backend: Backend, scalar: Any, fmt: Format) -> None:
    """NumPy's scalars count as numbers: they change no dtype and are no foreign arrays."""
    x = backend.array(fmt.array([0.5, 3.0]))
    for actual in (
        lossless.huber_loss(x, scalar),
        lossless.huber_loss(scalar, x),
        lossless.huber_loss(x, x, delta=scalar, weights=scalar),
        lossless.log_cosh_loss(x, scalar, reduction="mean"),
    ):
        assert fmt.dtype == backend.numpy(actual).dtype


@ON_BOTH
@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float32(2), np.float64(2), np.int8(2)])
def test_numbers_beside_integers_give_float32(backend: Backend, scalar: Any) -> None:
    integers, weight = (
        backend.array(np.array([1, 2], np.int32)),
        backend.array(np.ones(1, np.float32))[0],
    )
    for actual in (
        lossless.huber_loss(integers, scalar),
        lossless.huber_loss(1.5, scalar, weights=weight),
    ):
        assert np.float32 == backend.numpy(actual).dtype
