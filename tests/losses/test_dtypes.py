"""The dtype of a result comes from inputs and targets alone, by NumPy's rules."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lossless.verification.extended import Residual
from lossless.verification.formats import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    NARROW,
    Format,
)
from lossless.verification.losses import LOSSES
from lossless.verification.reference import Loss, rounded_array
from support.cases import EVERYWHERE_BUT_JAX, REPRESENTATIVES, Backend, Case
from support.checks import assert_same_bits

HALVES = {FLOAT16, BFLOAT16}
INTEGERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@pytest.fixture(params=REPRESENTATIVES.values(), ids=lambda loss: loss.name)
def loss(request: pytest.FixtureRequest) -> Any:
    return request.param


def case_for(loss: Loss, fmt: Format) -> Case:
    return Case(loss, Backend.NUMPY, fmt)


@EVERYWHERE_BUT_JAX
def test_one_dtype_is_kept(case: Case, rng: np.random.Generator) -> None:
    x, t = (case.fmt.array(rng.normal(mean, 1.0, (3, 4))) for mean in (0, 1))
    for reduction in ("none", "sum", "mean", "weighted_mean"):
        for part in case.value_and_grad(x, t, reduction=reduction):
            assert case.fmt.dtype == part.dtype
    for part in case.grad_and_hess(x, t):
        assert case.fmt.dtype == part.dtype


MIXED = [(a, b) for a in FORMATS.values() for b in FORMATS.values() if {a, b} != HALVES]


@pytest.mark.kernel
@pytest.mark.parametrize(("first", "second"), MIXED, ids=lambda fmt: fmt.name)
def test_mixed_dtypes(loss: Loss, first: Format, second: Format, rng: np.random.Generator) -> None:
    """Neither side is rounded to the other's dtype before the difference, nor after it."""
    fmt = FORMATS[np.promote_types(first.dtype, second.dtype).name]
    case = case_for(loss, fmt)
    x = first.array(rng.normal(0.5, 2.0, 2000) * np.exp2(rng.integers(-8, 4, 2000)))
    t = second.array(rng.normal(-0.5, 1.0, 2000) * np.exp2(rng.integers(-20, 4, 2000)))
    wide = x.astype(fmt.dtype), t.astype(fmt.dtype)
    for output, call, actual in case.element_wise(x, t):
        what = f"{case} {output} from {call}, {first.name} and {second.name}"
        if fmt in NARROW:
            residual = Residual.of(*wide, fmt)
            expected = rounded_array(loss, output, *wide, fmt, residual, **loss.parameters)
        else:
            expected = {o: array for o, _, array in case.element_wise(*wide)}[output]
        assert_same_bits(expected, actual, fmt, what, x, t)
    strided = case.value(np.repeat(x, 2)[::2], t[::-1][::-1])
    assert_same_bits(case.value(x, t), strided, fmt, f"{case} strided and mixed", x, t)


def test_float16_and_bfloat16_have_no_common_dtype(loss: Loss) -> None:
    """NumPy promotes them to nothing, so neither do we."""
    a, b = FLOAT16.array([0.5, 1.5]), BFLOAT16.array([1.0, -2.0])
    for x, t in ((a, b), (b, a)):
        with pytest.raises(TypeError):
            np.promote_types(x.dtype, t.dtype)
        dtypes = f"{x.dtype.name}.*{t.dtype.name}"
        with pytest.raises(TypeError, match=rf"^{loss.name}_loss: inputs and targets .*{dtypes}"):
            case_for(loss, FLOAT32).value(x, t)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_become_float64_before_subtracting(loss: Loss, dtype: Any) -> None:
    case = case_for(loss, FLOAT64)
    largest = True if dtype == "bool" else np.iinfo(dtype).max
    x = np.array([0, 1, 1, largest, 0], dtype)
    t = np.array([1, 0, 1, 0, largest], dtype)
    wide = x.astype(np.float64), t.astype(np.float64)
    for other in (t, wide[1], wide[1].astype(np.float32)):
        for (output, call, actual), (_, _, expected) in zip(
            case.element_wise(x, other),
            case.element_wise(wide[0], other.astype(np.float64)),
            strict=True,
        ):
            what = f"{case} {output} from {call}, {dtype} and {other.dtype}"
            assert_same_bits(expected, actual, FLOAT64, what, x, t)


def test_huber_unsigned_integers_do_not_wrap_around() -> None:
    case = case_for(LOSSES["huber"], FLOAT64)
    assert [2.5] == case.value(np.array([0], np.uint8), np.array([3], np.uint8)).tolist()
    assert [2.5, 254.5] == case.value([0, 255], [3, 0]).tolist()


@EVERYWHERE_BUT_JAX
def test_python_numbers_are_weak(case: Case) -> None:
    """They take the array's dtype, as in NumPy, whatever the side."""
    x = case.fmt.array([0.3, 1.7, -2.0])
    for number in (0.1, 3, True):
        rounded = case.fmt.array(number)
        for actual, expected in (
            (case.value(x, number), case.value(x, rounded)),
            (case.value(number, x), case.value(rounded, x)),
        ):
            assert_same_bits(expected, actual, case.fmt, f"{case} {number!r}", x)


def test_python_numbers_alone_are_float64(loss: Loss) -> None:
    case = case_for(loss, FLOAT64)
    for x, t in ((1.5, 0.25), (3, 1), (2, 0.5), (True, -1)):
        actual = case.function(x, t)
        assert type(actual) is np.float64
        assert case.value(np.array([float(x)]), np.array([float(t)]))[0] == actual


def test_numpy_scalars_are_strong(loss: Loss) -> None:
    """np.float64 is a Python float by inheritance, but keeps its dtype."""
    x = FLOAT32.array([0.3, 1.7, -2.0])
    actual = case_for(loss, FLOAT64).value(x, np.float64(0.1))
    expected = case_for(loss, FLOAT64).value(x.astype(np.float64), np.full(3, 0.1))
    assert_same_bits(expected, actual, FLOAT64, f"{loss.name} with np.float64", x)
    half = ml_dtypes.bfloat16(0.5)
    actual = case_for(loss, FLOAT32).value(x, half)
    assert_same_bits(case_for(loss, FLOAT32).value(x, np.float32(0.5)), actual, FLOAT32, loss.name)


@EVERYWHERE_BUT_JAX
def test_options_never_change_the_dtype(case: Case) -> None:
    x, t = case.fmt.array([0.5, 2.0, -1.5]), case.fmt.array([1.5, 0.25, -0.5])
    for wide in (np.float64, np.float32, np.int64):
        options = {"weights": np.array([1, 2, 3], wide)}
        options |= {name: np.array([1, 2, 3], wide) for name in case.loss.parameters}
        for part in (
            case.value(x, t, **options),
            case.value(x, t, reduction="weighted_mean", **options),
            *case.value_and_grad(x, t, **options),
            *case.grad_and_hess(x, t, **options),
        ):
            assert case.fmt.dtype == part.dtype


# On some platforms a long double is a double.
LONG_DOUBLES = [np.array([1.5, 2.5], np.longdouble)] if np.dtype("g") != np.dtype("d") else []


@pytest.mark.parametrize(
    "bad",
    [
        *LONG_DOUBLES,
        np.array([1.5 + 2j, 1.0]),
        np.array([1.5, None], object),
        np.array(["1.5", "2.5"]),
        np.array([b"1.5", b"2.5"]),
        np.array(["2020-01-01", "2021-01-01"], "datetime64[D]"),
        np.array([1, 2], "timedelta64[s]"),
        [1.5, 2.5j],
        ["a", "b"],
        [None, 1.5],
    ],
    ids=str,
)
def test_other_dtypes_are_rejected(case: Case, bad: Any) -> None:
    good = case.fmt.array([0.5, 1.5])
    with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: inputs "):
        case.value(bad, good)
    with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: targets "):
        case.value(good, bad)
    with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: weights "):
        case.value(good, good, weights=bad)
    for name in case.loss.parameters:
        with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: {name} "):
            case.value(good, good, **{name: bad})


def test_complex_scalars_are_rejected(case: Case) -> None:
    x = case.fmt.array([0.5, 1.5])
    for bad in (1j, np.complex64(1j), "1.5", None, object()):
        with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: targets "):
            case.value(x, bad)
