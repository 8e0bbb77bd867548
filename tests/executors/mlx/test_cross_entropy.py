"""Cross entropy on MLX arrays: NumPy's bits, explicitly and under mx.grad, one pass, no leaks."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import lossless
from lossless.verification.formats import FLOAT32, Array, Format
from support.cases import from_mlx, to_mlx
from support.checks import assert_same_bits
from support.frameworks.mlx import assert_leaks_nothing, peak_beyond
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, FMT, SHAPE, SOFT, options, samples


def as_arrays(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: to_mlx(option) if isinstance(option, np.ndarray) else option
        for name, option in given.items()
    }


def waiting(x: Any) -> Any:
    """The same array, which MLX has yet to compute: no loss of it is computed at once."""
    return x[::-1][::-1] * 1


@FMT
@SOFT
def test_cross_entropy_of_arrays_that_wait_has_the_bits_of_numpy(
    fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    x, targets = samples(fmt, soft, rng)
    y, t = to_mlx(x), to_mlx(targets)
    for given in options(rng):
        value, slope = BOTH(x, targets, **given)
        keywords = as_arrays(given)

        def loss(y: Any, keywords: Any = keywords) -> Any:
            return lossless.cross_entropy(y, t, **keywords)

        lazily = BOTH(waiting(y), t, **keywords)
        results = [
            ("value", loss(waiting(y)), value),
            ("value with a gradient", lazily[0], value),
            ("gradient", lazily[1], slope),
        ]
        for what, actual, expected in results:
            assert_same_bits(expected, from_mlx(actual), fmt, f"{fmt.name} {what} {given}")


@FMT
@SOFT
def test_cross_entropy_has_the_bits_of_numpy_along_any_axis(
    fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    """Also of transposed arrays."""
    x, targets = samples(fmt, soft, rng)
    weights = rng.uniform(0.5, 2.0, SHAPE[:-1])
    value, slope = BOTH(x, targets, weights, reduction="mean")
    for axis, order in itertools.product(range(3), itertools.permutations(range(3))):
        back = np.argsort(order).tolist()

        def moved(a: Array, axis: int = axis, order: Any = order, back: Any = back) -> Any:
            return to_mlx(np.moveaxis(a, -1, axis).transpose(order)).transpose(back)

        p = moved(targets) if soft else to_mlx(targets)

        def loss(y: Any, p: Any = p, axis: int = axis) -> Any:
            return CROSS_ENTROPY(y, p, to_mlx(weights), axis, reduction="mean")

        both = BOTH(moved(x), p, to_mlx(weights), axis, reduction="mean")
        for actual, found in (both, mx.value_and_grad(loss)(moved(x))):
            assert_same_bits(value, from_mlx(actual), fmt, f"{fmt.name} {axis} {order}")
            assert moved(x).shape == found.shape
            gradient = np.moveaxis(from_mlx(found), axis, -1)
            assert_same_bits(slope, gradient, fmt, f"{fmt.name} {axis} {order}")


@FMT
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_cross_entropy_has_the_bits_of_numpy_in_any_layout(
    fmt: Format, reduction: Any, rng: np.random.Generator
) -> None:
    """Slices, reversed and broadcast views, no rows, one row, and more than are done at once."""
    x, labels = samples(fmt, False, rng)
    views: list[Any] = [
        lambda a: a[::2, 1:3],
        lambda a: a[::-1, ::-2],
        lambda a: a[:0],
        lambda a: a[3, 2],
    ]
    pairs = [(view(x), view(labels), view(to_mlx(x)), view(to_mlx(labels))) for view in views]
    every_other = to_mlx(np.repeat(labels, 2, axis=-1))[:, ::2]
    pairs.append((x[:, :, ::-3], labels % 11, to_mlx(x)[:, :, ::-3], every_other % 11))
    shape = (40, *SHAPE[1:])
    many = np.resize(x, shape), np.resize(labels, shape[:-1])
    pairs.append((*many, *map(to_mlx, many)))
    one_row = np.broadcast_to(x[:1], shape)
    pairs.append((one_row, many[1], mx.broadcast_to(to_mlx(x[:1]), shape), to_mlx(many[1])))
    for x_here, t_here, y, t in pairs:
        expected = BOTH(x_here, t_here, reduction=reduction)
        for z in (y, waiting(y)):
            for actual, part in zip(BOTH(z, t, reduction=reduction), expected, strict=True):
                assert_same_bits(part, from_mlx(actual), fmt, f"{fmt.name} {x_here.shape}")


def test_cross_entropy_of_classes_that_do_not_exist() -> None:
    """MLX's values cannot be looked at: NaN in their rows, in the others nothing."""
    x, labels = mx.array(np.eye(4, 3), mx.float32), mx.array([2, 3, -1, 0])
    for y in (x, waiting(x)):
        value, gradient = BOTH(y, labels)
        slopes = mx.grad(lambda y: CROSS_ENTROPY(y, labels, reduction="mean"))(y)
        for actual in (value, gradient.sum(axis=-1), slopes.sum(axis=-1)):
            assert [False, True, True, False] == mx.isnan(actual).tolist()
        assert mx.isnan(CROSS_ENTROPY(y, labels, reduction="sum")).item()
        valid = (labels >= 0) & (labels < 3)
        expected = BOTH(from_mlx(x)[[0, 3]], np.array([2, 0]), reduction="mean")
        actual, left_out = BOTH(y, labels, where=valid, reduction="mean")
        assert_same_bits(expected[0], from_mlx(actual), FLOAT32, "value")
        assert_same_bits(expected[1], from_mlx(left_out)[[0, 3]], FLOAT32, "gradient")
        assert not from_mlx(left_out)[1:3].any()


def test_cross_entropy_and_gradient_are_one_pass() -> None:
    """Beside the arguments only the gradient is in memory, and nothing if it is not asked for."""
    x, t = mx.random.normal((64, 32_000)), mx.arange(64)
    mx.eval(x, t)

    def loss(x: Any) -> Any:
        return CROSS_ENTROPY(x, t, label_smoothing=0.1, reduction="mean")

    def explicit(x: Any) -> Any:
        return BOTH(x, t, reduction="mean")

    def of_prediction(x: Any) -> Any:
        return loss(x + 1)

    def scaled(x: Any) -> Any:
        return 3 * loss(x)

    def of_rows(x: Any) -> Any:
        return CROSS_ENTROPY(x, t).mean()

    one_array = 1.001 * x.nbytes
    for function in (loss, of_prediction, scaled, of_rows):
        assert peak_beyond(mx.value_and_grad(function), x) <= one_array
        assert peak_beyond(mx.compile(mx.grad(function)), x) <= one_array
    assert peak_beyond(explicit, x) <= one_array
    unused: Any = lambda x: mx.vjp(loss, [x], [mx.zeros(())])[0]  # noqa: E731
    for nothing in (loss, mx.compile(loss), of_rows, unused):
        assert peak_beyond(nothing, x) <= 0.001 * x.nbytes


def test_cross_entropy_evaluated_while_it_is_traced(rng: np.random.Generator) -> None:
    """Before MLX asks for the gradient: it is computed then."""
    x, targets = samples(FLOAT32, False, rng)
    expected = BOTH(x, targets, reduction="mean")
    seen = []

    def loss(y: Any) -> Any:
        value = CROSS_ENTROPY(y, to_mlx(targets), reduction="mean")
        seen.append(value.item())
        return value

    value, gradient = mx.value_and_grad(loss)(to_mlx(x))
    assert [expected[0]] == seen == [value.item()]
    assert_same_bits(expected[1], from_mlx(gradient), FLOAT32, "gradient")


def test_three_thousand_cross_entropies_leak_nothing() -> None:
    x, t = mx.random.normal((100, 50)), mx.arange(100) % 50
    step = mx.value_and_grad(lambda x: CROSS_ENTROPY(x, t, reduction="mean"))
    scaled = mx.grad(lambda x: 3 * CROSS_ENTROPY(x, t, reduction="mean"))

    def evaluate() -> None:
        mx.eval(step(x), scaled(x), CROSS_ENTROPY(x, t), BOTH(x, t))

    assert_leaks_nothing(evaluate, 500, 3000)  # three thousand gradients are 60 MB
