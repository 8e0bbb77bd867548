"""MLX arrays: values, MLX's own derivatives, dtypes and errors.

Element-wise results by every way are in ../test_formulas, transforms of graphs in test_graphs.
"""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mpmath import mp

import lossless
from lossless.verification.formats import BFLOAT16, FLOAT16, FLOAT32, Array
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS
from lossless.verification.special import SpecialValues
from support.cases import REDUCTIONS, Backend, Case, cases, from_mlx, to_mlx
from support.checks import assert_same_bits
from support.frameworks.cases import FUNCTIONS, ON_EVERY_PATH, arrays, assert_near
from support.frameworks.mlx import IN_EVERY_DTYPE
from support.reference_calls import reference_call
from support.special_values import special_values, without_subnormal_arguments

pytestmark = ON_EVERY_PATH

HUBER = cases(losses=[LOSSES["huber"]], backends=[Backend.MLX])


# MLX's own documentation and tests of the two losses, with lossless in place of mlx.nn.losses.


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_published_examples_of_mlx(reduction: Any) -> None:
    losses = lossless
    inputs, targets = mx.ones((2, 4)), mx.zeros((2, 4))
    count = 8 if reduction == "sum" else 1
    shape = (2, 4) if reduction == "none" else ()
    huber = losses.huber_loss(inputs, targets, reduction=reduction)
    assert isinstance(huber, mx.array)
    assert shape == huber.shape
    assert mx.all(huber == 0.5 * count)
    log_cosh = losses.log_cosh_loss(inputs, targets, reduction=reduction)
    assert shape == log_cosh.shape
    true = np.full(shape, mp.log(mp.cosh(1)) * count, object)
    assert_near(Case(LOSSES["log_cosh"], Backend.MLX, FLOAT32), "value", true, log_cosh)
    assert np.all(np.abs(from_mlx(log_cosh) / count - 0.433781) < 5e-7)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_positional_arguments_of_mlx(reduction: Any, rng: np.random.Generator) -> None:
    """Where MLX's own losses are accurate, both say the same: residuals from 1 to 3."""
    x = mx.array(rng.uniform(1.0, 3.0, (5, 7)).astype(np.float32))
    t = mx.zeros((5, 7))
    for ours, theirs in (
        (lossless.huber_loss(x, t, 1.5, reduction), nn.losses.huber_loss(x, t, 1.5, reduction)),
        (lossless.log_cosh_loss(x, t, reduction), nn.losses.log_cosh_loss(x, t, reduction)),
    ):
        assert (theirs.dtype, theirs.shape) == (ours.dtype, ours.shape)
        assert np.all(np.abs(from_mlx(ours / theirs) - 1) < 2e-6)


# Derivatives


@pytest.mark.parametrize("function", FUNCTIONS)
def test_second_derivative_at_zero_is_one(function: Any) -> None:
    def value(x: Any) -> Any:
        return function(x, mx.array(0.0))

    zero = mx.array(0.0)
    assert 0.0 == mx.grad(value)(zero).item()
    assert 1.0 == mx.grad(mx.grad(value))(zero).item()
    assert 1.0 == mx.grad(mx.grad(value))(-zero).item()
    assert 1.0 == mx.jvp(mx.grad(value), [zero], [mx.array(1.0)])[1][0].item()


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.5, math.inf])
def test_huber_second_derivative_at_delta_is_one(delta: float) -> None:
    def second(r: float) -> Any:
        return mx.grad(mx.grad(lambda x: lossless.huber_loss(x, 0.0, delta)))(mx.array(r)).item()

    if delta < math.inf:
        beyond = float(np.nextafter(np.float32(delta), np.float32(9)))
        assert [1, 1, 0, 0] == [second(r) for r in (delta, -delta, beyond, -beyond)]
    else:
        assert [1, 1, 1] == [second(r) for r in (1e-20, -3.0, 1e15)]


@special_values([FLOAT32], [Backend.MLX], held=True)
def test_special_values_under_autodiff(case: Case, special: SpecialValues) -> None:
    """As in the calls that return derivatives, but for the sign of 0 and for subnormal numbers.

    And the second derivative of Huber at NaN is that of a piece.
    """
    columns = without_subnormal_arguments(special).columns(case.fmt)
    x, t = map(to_mlx, columns[:2])

    def value(x: Any) -> Any:
        return case.function(x, t, **special.parameters)

    slope = mx.grad(lambda x: value(x).sum())
    curvature = mx.grad(lambda x: slope(x).sum())
    for output, actual, expected in zip(
        OUTPUTS, (value(x), slope(x), curvature(x)), columns[2:], strict=True
    ):
        known = ~np.isnan(expected)
        result = from_mlx(actual)
        assert_same_bits(expected[known] + 0, result[known] + 0, case.fmt, f"{case} {output}")
        if output != "second_derivative" or case.loss.name != "huber":
            assert np.isnan(result[~known]).all(), f"{case} {output}: {result}"


@IN_EVERY_DTYPE
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", ["plain", "where", "weights", "both"])
def test_autodiff_of_reductions(
    case: Case, reduction: Any, options: str, rng: np.random.Generator
) -> None:
    """mx.grad, mx.value_and_grad and lossless.value_and_grad agree with the reference."""
    shape = (4, 9)
    x, t = arrays(case, shape, rng)
    given: dict[str, Array] = {}
    if options in ("where", "both"):
        given["where"] = rng.random(shape) < 0.7
        with np.errstate(invalid="ignore"):
            spoil = case.fmt.array(rng.choice([math.nan, math.inf, -math.inf], shape))
            x, t = np.where(given["where"], x, spoil), np.where(given["where"], t, spoil[::-1])
    if options in ("weights", "both"):
        given["weights"] = rng.uniform(0.5, 2.0, shape[1]).astype(np.float32)
    for axis in (None,) if reduction == "none" else (None, 0, 1):
        expected = reference_call(
            case, x, t, reduction=reduction, axis=axis, **given, **case.loss.parameters
        )
        keywords = {name: to_mlx(array) for name, array in given.items()}
        keywords |= {"reduction": reduction, "axis": axis}

        def total(x: Any, t: Any, keywords: Any = keywords) -> Any:
            # In float32: it is the losses' dtype that is under test, not that of this sum.
            return case.function(x, t, **keywords).astype(mx.float32).sum()

        what = f"{reduction} {options} axis={axis}"
        mine, other = mx.grad(total, argnums=(0, 1))(to_mlx(x), to_mlx(t))
        assert_near(case, "gradient", expected.gradient, mine, what)
        assert_near(case, "gradient", -expected.gradient, other, f"{what}, by the targets")
        _, explicit = lossless.value_and_grad(case.function)(to_mlx(x), to_mlx(t), **keywords)
        assert_near(case, "gradient", expected.gradient, explicit, f"{what}, value_and_grad")


@pytest.mark.parametrize("case", HUBER)
def test_huber_array_delta_is_differentiable(case: Case) -> None:
    """By delta: the excess |residual| - delta, 0 inside."""
    x = to_mlx(case.fmt.array([0.5, -3.0, 2.0, 7.0]))
    delta = to_mlx(case.fmt.array([1.0, 1.0, 2.0, 0.5]))
    actual = mx.grad(lambda d: lossless.huber_loss(x, 0.0, d).sum())(delta)
    assert [0.0, 2.0, 0.0, 6.5] == from_mlx(actual).tolist()
    scalar = to_mlx(case.fmt.array(1.5))
    actual = mx.grad(lambda d: lossless.huber_loss(x, 0.0, d, "mean"))(scalar)
    assert (1.5 + 0.5 + 5.5) / 4 == actual.item()


@pytest.mark.parametrize("case", HUBER)
def test_huber_bad_elements_of_delta_give_nan_under_autodiff(case: Case) -> None:
    """Unless they are masked out."""
    x = to_mlx(case.fmt.array([0.5, -3.0, 2.0, 7.0]))
    delta = to_mlx(case.fmt.array([1.0, -1.0, math.nan, 0.0]))
    actual = mx.grad(lambda x: lossless.huber_loss(x, 0.0, delta).sum())(x)
    assert [False, True, True, True] == np.isnan(from_mlx(actual).astype(np.float64)).tolist()
    mask = mx.array([True, False, False, True])
    actual = mx.grad(lambda x: lossless.huber_loss(x, 0.0, delta, "sum", where=mask))(x)
    assert [False, False, False, True] == np.isnan(from_mlx(actual).astype(np.float64)).tolist()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradient_of_a_scalar_under_autodiff(function: Any) -> None:
    t = mx.array([0.25, 1.5, -2.0])
    scalar = mx.array(0.5)
    total = mx.grad(lambda x: function(x, t, reduction="sum"))(scalar)
    parts = mx.grad(lambda x: function(x, t, reduction="sum"))(mx.full((3,), 0.5))
    assert () == total.shape
    assert abs(total.item() / parts.sum().item() - 1) < 1e-6


# dtypes


def test_huber_unsigned_integers_do_not_wrap_around() -> None:
    actual = lossless.huber_loss(mx.array([0], mx.uint8), mx.array([3], mx.uint8))
    assert (mx.float32, [2.5]) == (actual.dtype, actual.tolist())


@pytest.mark.parametrize("case", cases([FLOAT16, BFLOAT16], backends=[Backend.MLX]))
def test_half_type_losses_are_never_negative(case: Case) -> None:
    everything = case.fmt.from_bits(np.arange(1 << 16))
    everything = everything[~np.isnan(everything.astype(np.float32))]
    x = to_mlx(everything)
    for t in (0.0, 1.0, mx.zeros_like(x)):
        assert (from_mlx(case.function(x, t)) >= 0).all()


# Errors, beside those that test_errors has for every backend


class Tensor:
    """A stand-in for the arrays of frameworks that are not installed."""

    shape = (2,)


@pytest.mark.parametrize("argument", ["inputs", "targets", "delta", "weights", "where"])
@pytest.mark.parametrize(
    ("foreign", "named"),
    [
        ([0.5, 1.0], "list"),
        ((0.5, 1.0), "tuple"),
        ("jax", "JAX"),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_two_frameworks_in_a_call_are_refused(
    function: Any, foreign: Any, named: str, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each argument, options included: the error names both, and says what to do."""
    name = function.__name__
    if isinstance(foreign, str):
        monkeypatch.setattr(Tensor, "__module__", foreign)
        foreign = Tensor()
    x = mx.array([0.5, 1.0])
    arguments: dict[str, Any] = {"inputs": x, "targets": x}
    if argument == "delta" and function is not lossless.huber_loss:
        argument = "weights"
    arguments[argument] = foreign
    with pytest.raises(TypeError, match=rf"^{name}: ") as caught:
        function(**arguments)
    message = str(caught.value)
    leader = "targets" if argument == "inputs" else "inputs"
    assert argument in message, message
    assert named in message, message
    assert "MLX" in message, message
    if named != "JAX":
        assert leader in message, message
        assert "convert" in message, message


def test_other_than_real_mlx_arrays_are_refused() -> None:
    x, bad = mx.array([0.5, 1.0]), mx.array([1j, 2.0])
    for arguments, name in (
        ({"inputs": bad, "targets": x}, "inputs"),
        ({"inputs": x, "targets": bad}, "targets"),
        ({"inputs": x, "targets": 1j}, "targets"),
        ({"inputs": x, "targets": np.complex64(1)}, "targets"),
        ({"inputs": x, "targets": x, "weights": bad}, "weights"),
        ({"inputs": x, "targets": x, "delta": bad}, "delta"),
    ):
        with pytest.raises(TypeError, match=rf"^huber_loss: {name} must be "):
            lossless.huber_loss(**arguments)


@pytest.mark.parametrize("transform", [lossless.value_and_grad, lossless.grad_and_hess])
def test_transforms_take_mlx_arrays(transform: Any) -> None:
    with pytest.raises(TypeError, match=r"^huber_loss: inputs must be an array, got float$"):
        transform(lossless.huber_loss)(1.0, mx.array([1.0]))
    for part in transform(lossless.huber_loss)(mx.array(2.0), 1.0):
        assert isinstance(part, mx.array)
