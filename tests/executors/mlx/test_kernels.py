"""The kernels inside MLX's graph: NumPy's bits, one pass, no leaks; and what serves without."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn, optimizers, utils

import lossless
from support.cases import Case, from_mlx, to_mlx
from support.checks import assert_same_bits
from support.frameworks.cases import SHAPE, arrays, combinations, on_numpy, printed
from support.frameworks.mlx import (
    IN_EVERY_DTYPE,
    IN_FLOAT32,
    assert_leaks_nothing,
    nodes,
    peak_beyond,
)

MEBI = 1 << 20


@IN_EVERY_DTYPE
def test_arrays_that_wait_give_the_same_bits(case: Case, rng: np.random.Generator) -> None:
    """Few numbers that are there already are computed at once, others when MLX evaluates them."""
    x, t = arrays(case, SHAPE, rng)
    waiting = [-mx.negative(to_mlx(array)) for array in (x, t)]
    large = [np.resize(array, 10_000) for array in (x, t)]
    twin = on_numpy(case)
    for given in combinations(case, rng):
        keywords = {name: case.backend.array(option) for name, option in given.items()}
        actual = from_mlx(case.function(*waiting, **keywords))
        assert_same_bits(twin.value(x, t, **given), actual, case.fmt, f"{case} {given}")
    for reduction in ("none", "mean"):
        expected = twin.value_and_grad(*large, reduction=reduction)
        both = case.value_and_grad(*large, reduction=reduction)
        for actual, part in zip(both, expected, strict=True):
            assert_same_bits(part, actual, case.fmt, f"{case} {reduction} of many")


@IN_EVERY_DTYPE
def test_kernels_have_the_bits_of_numpy_in_other_views(
    case: Case, rng: np.random.Generator
) -> None:
    """Reversed and broadcast views, beside those that PyTorch has, too."""
    x, t = arrays(case, (8, 9), rng)
    twin = on_numpy(case)
    for reduction in ("none", "mean"):
        backwards = x[::-1, ::-2], t[::-1, ::-2]
        expected = twin.value_and_grad(*backwards, reduction=reduction)
        actual = lossless.value_and_grad(case.function)(
            to_mlx(x)[::-1, ::-2], to_mlx(t)[::-1, ::-2], reduction=reduction
        )
        for mine, part in zip(actual, expected, strict=True):
            assert_same_bits(part, from_mlx(mine), case.fmt, f"{case} {reduction}", *backwards)
    rows = mx.broadcast_to(to_mlx(x[0]), x.shape)
    actual = case.function(rows, to_mlx(t))
    expected_rows = twin.value(np.broadcast_to(x[0], x.shape), t)
    assert_same_bits(expected_rows, from_mlx(actual), case.fmt, f"{case} broadcast")


@IN_FLOAT32
def test_value_and_gradient_are_one_pass(case: Case) -> None:
    """Beside inputs and targets, only the gradient is in memory, and nothing if it is not asked."""
    x, t = mx.random.normal((2 * MEBI,)), mx.random.normal((2 * MEBI,))
    mx.eval(x, t)

    def loss(x: Any, t: Any) -> Any:
        return case.function(x, t, reduction="mean")

    one_array = 1.001 * x.nbytes

    def explicit(x: Any, t: Any) -> Any:
        return lossless.value_and_grad(case.function)(x, t, reduction="mean")

    def unused(x: Any, t: Any) -> Any:
        return mx.vjp(loss, [x, t], [mx.zeros(())])[0]

    for function in (mx.value_and_grad(loss), mx.grad(loss), explicit):
        assert peak_beyond(function, x, t) <= one_array
    assert peak_beyond(mx.compile(mx.value_and_grad(loss)), x, t) <= one_array
    nothing: list[Any] = [loss, mx.compile(loss), unused]
    for function in nothing:
        assert peak_beyond(function, x, t) <= 0.001 * x.nbytes
    # An intermediate array that nobody else needs becomes the gradient.

    def of_prediction(x: Any, t: Any) -> Any:
        return loss(x + 1, t)

    assert peak_beyond(mx.value_and_grad(of_prediction), x, t) <= one_array


@IN_FLOAT32
def test_sum_of_losses_and_gradient_are_one_node(case: Case, rng: np.random.Generator) -> None:
    """As a reduction is; with a factor the gradient is a node of its own."""
    x, t = map(to_mlx, arrays(case, (300, 20), rng))
    sums: list[Any] = [
        lambda x: case.function(x, t, reduction="sum"),
        lambda x: case.function(x, t, reduction="none").sum(),
        lambda x: case.function(x, t, reduction="sum", axis=1).reshape(15, 20).sum(axis=0).sum(),
    ]
    for loss in sums:
        assert 1 == nodes(*mx.value_and_grad(loss)(x))
    assert 2 == nodes(*mx.value_and_grad(lambda x: 3 * sums[0](x))(x))


def test_evaluation_of_a_loss_that_is_traced(rng: np.random.Generator) -> None:
    """Before MLX asks for the gradient: it is computed then."""
    x, t = mx.array(rng.normal(0, 2, 1000).astype(np.float32)), mx.zeros(1000)
    seen = []

    def loss(x: Any) -> Any:
        value = lossless.huber_loss(x, t, reduction="mean")
        seen.append(value.item())
        return value

    value, gradient = mx.value_and_grad(loss)(x)
    expected = lossless.value_and_grad(lossless.huber_loss)(x, t, reduction="mean")
    assert [expected[0].item()] == seen == [value.item()]
    assert mx.array_equal(gradient, expected[1])


def test_ten_thousand_evaluations_leak_nothing() -> None:
    x, t = mx.random.normal((1000,)), mx.random.normal((1000,))
    step = mx.value_and_grad(lambda x: lossless.log_cosh_loss(x, t, reduction="mean"))

    def evaluate() -> None:
        mx.eval(step(x), lossless.log_cosh_loss(x, t))

    assert_leaks_nothing(evaluate, 1000, 10_000)  # ten thousand gradients are 40 MB


@pytest.mark.parametrize("compiled", [False, True])
def test_training_takes_the_way_of_the_formulas(compiled: bool) -> None:
    """The loss curve of a small network, native and composed, to the rounding of float32."""

    def curve() -> list[float]:
        mx.random.seed(4)
        rows = MEBI
        x = mx.random.normal((rows, 8))
        y = mx.sin(x.sum(axis=1, keepdims=True)) + (mx.random.uniform(shape=(rows, 1)) < 0.05) * 20
        model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
        optimizer = optimizers.Adam(1e-2)
        loss_and_grad = nn.value_and_grad(
            model, lambda model, x, y: lossless.huber_loss(model(x), y, 0.5, "mean")
        )

        def step(x: Any, y: Any) -> Any:
            value, gradients = loss_and_grad(model, x, y)
            optimizer.update(model, gradients)
            return value

        state = [model.state, optimizer.state]
        train = mx.compile(step, inputs=state, outputs=state) if compiled else step
        batch = rows // 32
        parts = [slice(begin, begin + batch) for begin in range(0, rows, batch)]
        values = [train(x[part], y[part]).item() for part in parts]
        assert all(np.isfinite(value).all() for _, value in utils.tree_flatten(model.parameters()))
        return values

    native = curve()
    with lossless.composed():
        composed = curve()
    assert native[-1] < 0.8 * native[0]
    off = np.abs(np.array(native) / np.array(composed) - 1)
    assert off.max() < 1e-4, off.max()


OTHER_VERSION = """
import warnings
import mlx.core as mx, lossless
lossless._core.built_for_mlx = lambda: "0.1.2"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        print(lossless.huber_loss(mx.array([0.5, 3.0]), mx.array([0.0, 0.0])).tolist())
for warning in caught:
    print(warning.category.__name__, warning.message)
print(lossless.info()["backends"]["mlx"])
"""

WITHOUT_MLX = OTHER_VERSION.replace("0.1.2", "")
BROKEN_BRIDGE = OTHER_VERSION.replace(
    'lossless._core.built_for_mlx = lambda: "0.1.2"',
    'import sys; sys.modules["lossless._mlx"] = None',
)


@pytest.mark.parametrize(
    ("program", "reason", "cure"),
    [
        (OTHER_VERSION, "lossless was built for mlx 0.1.2, not ", "==0.1.2'"),
        (WITHOUT_MLX, "lossless was built without MLX", "Install it again"),
        (BROKEN_BRIDGE, "the bridge to mlx ", "Install lossless again"),
    ],
)
def test_without_its_bridge_the_formulas_serve_and_say_so_once(
    program: str, reason: str, cure: str
) -> None:
    *values, warning, info = printed(program)
    assert ["[0.125, 2.5]"] * 3 == values
    assert warning.startswith("RuntimeWarning lossless: formulas compute on MLX arrays")
    assert reason in warning
    assert cure in warning
    assert "'executor': 'formulas'" in info
    assert reason in info


def test_info_says_which_path_serves_mlx() -> None:
    def path() -> str:
        found: str = lossless.info()["backends"]["mlx"]["executor"]
        return found

    lossless.huber_loss(mx.array(1.0), mx.array(0.5))
    assert "kernels" == path()
    with lossless.composed():
        assert "formulas" == path()
        assert "composed()" in lossless.info()["backends"]["mlx"]["why"]
