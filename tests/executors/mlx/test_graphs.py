"""Our losses in MLX's graphs: transforms, compiled and exported functions, streams, threads."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn, optimizers
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT16
from lossless.verification.losses import LOSSES
from lossless.verification.reference import real
from support.cases import REDUCTIONS, Backend, Case, cases, from_mlx, to_mlx
from support.checks import assert_ulp
from support.frameworks.cases import FUNCTIONS, ON_EVERY_PATH, arrays, assert_near
from support.frameworks.mlx import IN_FLOAT32
from support.reference_calls import reference_call

pytestmark = ON_EVERY_PATH


@IN_FLOAT32
def test_vmap_over_every_axis(case: Case, rng: np.random.Generator) -> None:
    """Of inputs, targets, or both, whatever the axis of the result."""
    cubes = arrays(case, (3, 3, 3), rng)
    for in_axes in itertools.product((None, 0, 1, -1), repeat=2):
        if in_axes == (None, None):
            continue
        given, pairs = [], []
        for cube, axis in zip(cubes, in_axes, strict=True):
            mapped_over = cube[0].copy() if axis is None else cube
            each = mapped_over[None] if axis is None else np.moveaxis(cube, axis, 0)
            given.append(to_mlx(mapped_over))
            pairs.append(np.broadcast_to(each, cube.shape))
        true = reference_call(case, pairs[0], pairs[1], **case.loss.parameters).value
        for out_axis in (0, 1):
            mapped = mx.vmap(case.function, in_axes=in_axes, out_axes=out_axis)
            expected = np.moveaxis(true, 0, out_axis)
            assert_near(case, "value", expected, mapped(*given), f"{in_axes} {out_axis}")


@IN_FLOAT32
@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
def test_vmap_of_reductions(case: Case, reduction: Any, rng: np.random.Generator) -> None:
    """Over rows: what axis= gives; also of the gradient, twice nested, and with options."""
    shape = (2, 3, 5)
    x, t = arrays(case, shape, rng)
    w, mask = rng.uniform(0.5, 2.0, shape).astype(np.float32), rng.random(shape) < 0.8
    given = [to_mlx(array) for array in (x, t, w, mask)]
    for axis, depth in (((1, 2), 1), (2, 2)):
        options: dict[str, Any] = {"reduction": reduction, "axis": axis}
        options |= {"weights": w, "where": mask} | dict(case.loss.parameters)
        expected = reference_call(case, x, t, **options)

        def loss(x: Any, t: Any, w: Any, mask: Any) -> Any:
            return case.function(x, t, reduction=reduction, weights=w, where=mask)

        mapped: Any = loss
        slopes: Any = mx.grad(loss)
        pairs: Any = _value_and_grad(case, reduction)
        for _ in range(depth):
            mapped, slopes, pairs = map(mx.vmap, (mapped, slopes, pairs))
        assert_near(case, "value", expected.value, mapped(*given), f"{reduction} {depth}")
        assert_near(case, "gradient", expected.gradient, slopes(*given), f"{reduction} {depth}")
        value, gradient = pairs(*given)
        assert_near(case, "value", expected.value, value, f"{reduction} {depth}")
        assert_near(case, "gradient", expected.gradient, gradient, f"{reduction} {depth}")


def _value_and_grad(case: Case, reduction: Any) -> Callable[..., Any]:
    def pair(x: Any, t: Any, w: Any, mask: Any) -> Any:
        function = lossless.value_and_grad(case.function)
        return function(x, t, reduction=reduction, weights=w, where=mask)

    return pair


@pytest.mark.parametrize(
    ("reduction", "shapeless"),
    [("mean", False), *((reduction, True) for reduction in REDUCTIONS)],
)
@IN_FLOAT32
def test_compiled_losses(
    case: Case, reduction: Any, shapeless: bool, rng: np.random.Generator
) -> None:
    """One compiled function for several sizes: what was traced first is not kept."""

    def everything(x: Any, t: Any, w: Any, mask: Any) -> Any:
        options = {"reduction": reduction, "weights": w, "where": mask}
        plain = case.function(x, t, reduction=reduction)
        value, gradient = lossless.value_and_grad(case.function)(x, t, reduction=reduction)
        slope = mx.grad(lambda x: case.function(x, t, **options).sum())(x)
        return plain, value, gradient, case.function(x, t, **options), slope

    compiled = mx.compile(everything, shapeless=shapeless)
    for shape in ((3, 5), (4, 7), (1, 2)):
        x, t = arrays(case, shape, rng)
        w, mask = rng.uniform(0.5, 2.0, shape).astype(np.float32), rng.random(shape) < 0.8
        mask[0, 0] = True
        plain = reference_call(case, x, t, reduction=reduction, **case.loss.parameters)
        full = reference_call(
            case, x, t, reduction=reduction, weights=w, where=mask, **case.loss.parameters
        )
        results = compiled(*map(to_mlx, (x, t, w, mask)))
        expected = (plain.value, plain.value, plain.gradient, full.value, full.gradient)
        outputs = ("value", "value", "gradient", "value", "gradient")
        for place, (output, actual, true) in enumerate(
            zip(outputs, results, expected, strict=True)
        ):
            assert_near(case, output, true, actual, f"{reduction} {shape} result {place}")


@pytest.mark.parametrize("shapeless", [False, True])
@IN_FLOAT32
def test_exported_losses(
    case: Case, shapeless: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    file = str(tmp_path / "loss.mlxfn")
    x, t = arrays(case, (4, 6), rng)

    def training_loss(x: Any, t: Any) -> Any:
        return mx.value_and_grad(lambda x: case.function(x, t, reduction="mean"))(x)

    if lossless.info()["backends"]["mlx"]["executor"] == "kernels":
        with pytest.raises(ValueError, match=r"to_export_use_lossless\.composed\(\)"):
            mx.export_function(file, training_loss, to_mlx(x), to_mlx(t))
    with lossless.composed():
        mx.export_function(file, training_loss, to_mlx(x), to_mlx(t), shapeless=shapeless)
    imported: Any = mx.import_function(file)
    for shape in ((4, 6), (2, 3)) if shapeless else ((4, 6),):
        x, t = arrays(case, shape, rng)
        expected = reference_call(case, x, t, reduction="mean", **case.loss.parameters)
        value, gradient = imported(to_mlx(x), to_mlx(t))
        assert_near(case, "value", expected.value, value, f"{shape}")
        assert_near(case, "gradient", expected.gradient, gradient, f"{shape}")


@IN_FLOAT32
def test_checkpointed_losses(case: Case, rng: np.random.Generator) -> None:
    x, t = arrays(case, (4, 6), rng)

    def loss(x: Any) -> Any:
        return case.function(x, to_mlx(t), reduction="mean")

    saving: Any = mx.checkpoint(loss)  # its stub is wrong
    value, gradient = mx.value_and_grad(saving)(to_mlx(x))
    expected = reference_call(case, x, t, reduction="mean", **case.loss.parameters)
    assert_near(case, "value", expected.value, value)
    assert_near(case, "gradient", expected.gradient, gradient)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_losses_train_a_model(function: Any, compiled: bool, rng: np.random.Generator) -> None:
    """nn.value_and_grad, an optimizer, and a line that outliers do not move."""
    numbers = rng.uniform(-1, 1, (200, 1)).astype(np.float32)
    x, y = mx.array(numbers), mx.array(2 * numbers - 0.5)
    y[::10] += 50
    model = nn.Linear(1, 1)
    optimizer = optimizers.Adam(learning_rate=0.05)

    def loss(model: Any, x: Any, y: Any) -> Any:
        return function(model(x), y, reduction="mean")

    step = nn.value_and_grad(model, loss)

    def train(x: Any, y: Any) -> Any:
        value, gradients = step(model, x, y)
        optimizer.update(model, gradients)
        return value

    if compiled:
        state = [model.state, optimizer.state]
        train = mx.compile(train, inputs=state, outputs=state)
    for _ in range(400):
        value = train(x, y)
        mx.eval(model.parameters(), optimizer.state, value)
    # Least squares would put the bias at 4.5.
    assert abs(model.weight.item() - 2) < 0.5
    assert abs(model.bias.item() + 0.5) < 0.5


@IN_FLOAT32
def test_losses_are_lazy_and_keep_the_stream(case: Case, rng: np.random.Generator) -> None:
    """On another stream of the CPU, and on one that is chosen in the middle of a graph."""
    x, t = arrays(case, (30, 7), rng)
    expected = reference_call(case, x, t, reduction="mean", **case.loss.parameters)
    stream = mx.new_stream(mx.cpu)
    with mx.stream(stream):
        first = case.function(to_mlx(x), to_mlx(t), reduction="mean")
    a, b = mx.add(to_mlx(x), 0.0, stream=stream), to_mlx(t)
    second = case.function(a, b, reduction="mean")
    for actual in (first, second):
        assert_near(case, "value", expected.value, actual)


@IN_FLOAT32
def test_losses_in_several_threads(case: Case, rng: np.random.Generator) -> None:
    x, t = arrays(case, (64, 33), rng)
    expected = reference_call(case, x, t, reduction="mean", **case.loss.parameters)
    results: list[Any] = []

    def work() -> None:
        with mx.stream(mx.new_stream(mx.cpu)):
            for _ in range(20):
                waiting = [-mx.negative(to_mlx(array)) for array in (x, t)]  # not computed at once
                pair = lossless.value_and_grad(case.function)(*waiting, reduction="mean")
                mx.eval(pair)
            results.append(tuple(map(from_mlx, pair)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4 == len(results)
    for value, gradient in results:
        assert_near(case, "value", expected.value, mx.array(value))
        assert_near(case, "gradient", expected.gradient, mx.array(gradient))


@IN_FLOAT32
def test_float64_is_refused_where_the_default_device_is_a_gpu(
    case: Case, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There MLX has none: whatever asks for it here fails."""
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu, 0))
    monkeypatch.setattr(mx, "float64", "a dtype that this device does not have")
    x, t = arrays(case, (5, 7), rng)
    for reduction in REDUCTIONS:
        options: dict[str, Any] = {"weights": rng.uniform(0.5, 2.0, 7).astype(np.float32)}
        options |= {"where": rng.random((5, 7)) < 0.8, "reduction": reduction}
        expected = reference_call(case, x, t, **options, **case.loss.parameters)
        function = lossless.value_and_grad(case.function)
        value, gradient = case.call(function, x, t, **options)
        assert_near(case, "value", expected.value, value)
        assert_near(case, "gradient", expected.gradient, gradient)
        plain = case.call(case.function, x, t, reduction=reduction)
        true = reference_call(case, x, t, reduction=reduction, **case.loss.parameters).value
        assert_near(case, "value", true, plain)


@IN_FLOAT32
def test_mean_of_two_to_the_25(case: Case) -> None:
    """Within 1 ULP, eager, compiled for any shape, and mapped; its gradient within the contract."""
    rng = np.random.default_rng(25)
    size = 1 << 25
    points = case.fmt.array(rng.normal(0.5, 3.0, 4096))
    picked = rng.integers(0, len(points), (2, size // 2), np.int16)
    x = to_mlx(points)[mx.array(picked)]
    t = mx.zeros_like(x)
    with mp.workprec(120):
        values = [real(case.loss, "value", r, **case.loss.parameters) for r in points.tolist()]
        halves = [
            mp.fdot(values, np.bincount(half, minlength=len(points)).tolist()) / (size // 2)
            for half in picked
        ]
        mean = mp.fsum(halves) / 2
        first = [points[i].item() for i in picked[0, :100]]
        slopes = [real(case.loss, "gradient", r, **case.loss.parameters) / size for r in first]

    def loss(x: Any, t: Any) -> Any:
        return case.function(x, t, reduction="mean")

    compiled = mx.compile(loss, shapeless=True)
    assert math.isfinite(compiled(x[:, :4], t[:, :4]).item())
    value, gradient = lossless.value_and_grad(case.function)(x, t, reduction="mean")
    mapped = mx.vmap(loss)(x, t)
    for actual, true in [(value, mean), (compiled(x, t), mean), *zip(mapped, halves, strict=True)]:
        assert_ulp([true], from_mlx(actual), case.fmt, 1, f"{case} mean of 2**25")
    for part in (gradient, mx.grad(loss)(x, t)):
        assert_near(case, "gradient", slopes, part[0, :100])


@pytest.mark.parametrize("case", cases([FLOAT16], [LOSSES["huber"]], [Backend.MLX]))
def test_huber_mean_of_100000_float16_elements(case: Case) -> None:
    """Their sum, 250,000, is beyond float16: the mean is not."""
    x, t = mx.full((100_000,), 2.5, mx.float16), mx.full((100_000,), -0.5, mx.float16)
    value, gradient = lossless.value_and_grad(case.function)(x, t, reduction="mean")
    assert (mx.float16, 2.5) == (value.dtype, value.item())
    assert math.inf == lossless.huber_loss(x, t, reduction="sum").item()
    automatic = mx.grad(lambda x: case.function(x, t, reduction="mean"))(x)
    for slope in (gradient, automatic):
        assert_near(case, "gradient", [mp.mpf(1) / 100_000] * 3, slope[:3])
