"""Cross entropy in MLX's graphs: mapped, compiled, differentiated again, on other streams."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64
from support.cases import REDUCTIONS, from_mlx, to_mlx
from support.checks import assert_same_bits
from support.frameworks.mlx import nodes
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, SHAPE, SOFT, samples

REDUCED = pytest.mark.parametrize("reduction", REDUCTIONS)


def same(expected: Any, actual: Any, what: str = "") -> None:
    assert_same_bits(expected, from_mlx(actual), FLOAT32, what)


def test_cross_entropy_and_gradient_are_one_node(rng: np.random.Generator) -> None:
    """However the losses are added up; with a factor the gradient is a node of its own."""
    x, labels = (np.resize(a, (40, *a.shape[1:])) for a in samples(FLOAT32, False, rng))
    y, t = to_mlx(x), to_mlx(labels)
    _, expected = BOTH(x, labels)
    sums: list[Any] = [
        lambda y: CROSS_ENTROPY(y, t, reduction="sum"),
        lambda y: CROSS_ENTROPY(y, t).sum(),
        lambda y: CROSS_ENTROPY(y, t).sum(axis=0).sum(),
        lambda y: mx.mean(t) - 3 + CROSS_ENTROPY(y, t).reshape(-1, 5).sum(),
    ]
    for number, loss in enumerate(sums):
        value, gradient = mx.value_and_grad(loss)(y)
        assert 1 == nodes(value, gradient)
        same(expected, gradient, f"sum {number}")
    value, gradient = BOTH(y, t)
    assert 1 == nodes(value, gradient)
    value, gradient = mx.value_and_grad(lambda y: CROSS_ENTROPY(y, t).mean())(y)
    assert 2 == nodes(value, gradient)
    cotangents = np.full(labels.shape, np.float32(1) / np.float32(labels.size))
    same(BOTH(x, labels, cotangents)[1], gradient, "mean")


@SOFT
def test_cross_entropy_vmap_over_every_axis(soft: bool, rng: np.random.Generator) -> None:
    """Of logits, targets, or both; also of the gradient, and the gradient of what is mapped."""
    cubes = [a[:3, :3] for a in samples(FLOAT32, soft, rng)]
    for in_axes in itertools.product((None, 0, 1), repeat=2):
        if in_axes == (None, None):
            continue
        given, full = [], []
        for cube, axis in zip(cubes, in_axes, strict=True):
            given.append(to_mlx(cube[0] if axis is None else cube))
            each = cube[:1] if axis is None else np.moveaxis(cube, axis, 0)
            full.append(np.broadcast_to(each, cube.shape))
        value, slope = BOTH(*full)
        mapped = mx.vmap(CROSS_ENTROPY, in_axes=in_axes)
        slopes = mx.vmap(mx.grad(lambda y, t: CROSS_ENTROPY(y, t).sum()), in_axes=in_axes)
        same(value, mapped(*given), f"{in_axes}")
        same(slope, slopes(*given), f"{in_axes}")
        gradient = mx.grad(lambda y, t, mapped=mapped: mapped(y, t).sum())(*given)
        if in_axes[0] is None:  # added up in float64, and rounded once
            logits = full[0].astype(np.float64)
            slope = BOTH(logits, full[1])[1].sum(axis=0).astype(np.float32)
            same(slope, gradient, f"{in_axes}")
        else:
            same(np.moveaxis(slope, 0, in_axes[0]), gradient, f"{in_axes}")


@SOFT
@REDUCED
def test_cross_entropy_vmap_of_reductions(
    soft: bool, reduction: Any, rng: np.random.Generator
) -> None:
    """With options, nested, also of the gradient and with cotangents."""
    x, targets = (np.stack([a, a[::-1]]) for a in samples(FLOAT32, soft, rng))
    w = rng.uniform(0.5, 2.0, x.shape[:-1]).astype(np.float32)
    mask = rng.random(x.shape[:-1]) < 0.8
    factors = rng.choice([0.5, -1.5, 3.0], x.shape[:2]).astype(np.float32)
    given = [to_mlx(array) for array in (x, targets, w, mask)]

    def loss(x: Any, t: Any, w: Any, mask: Any) -> Any:
        return CROSS_ENTROPY(x, t, w, -1, 0.1, reduction, where=mask)

    def both(x: Any, t: Any, w: Any, mask: Any) -> Any:
        return BOTH(x, t, w, -1, 0.1, reduction, where=mask)

    def scaled(x: Any, t: Any, w: Any, mask: Any, factor: Any) -> Any:
        return mx.grad(lambda x: (factor * loss(x, t, w, mask)).sum())(x)

    functions: list[Any] = [loss, lambda *a: mx.grad(lambda *b: loss(*b).sum())(*a), both, scaled]
    value, slopes, pair, products = (mx.vmap(mx.vmap(function)) for function in functions)
    found, gradients = value(*given), slopes(*given)
    value_too, gradients_too = pair(*given)
    multiplied = products(*given, to_mlx(factors))
    for place in np.ndindex(x.shape[:2]):
        here = [a[place] for a in (x, targets, w)]
        options: dict[str, Any] = {"label_smoothing": 0.1, "reduction": reduction}
        options["where"] = mask[place]
        expected = BOTH(*here, **options)
        for actual, part in zip(
            (found, gradients, value_too, gradients_too), expected * 2, strict=True
        ):
            same(part, actual[place], f"{place}")
        # The exact product of two float32 numbers.
        weights = here[2] * factors[place].astype(np.float64)
        if reduction != "weighted_mean":
            slope = BOTH(*here[:2], weights, **options)[1]
            same(slope, multiplied[place], f"{place} times {factors[place]}")


@REDUCED
@pytest.mark.parametrize("shapeless", [False, True])
@SOFT
def test_cross_entropy_compiled(
    soft: bool, reduction: Any, shapeless: bool, rng: np.random.Generator
) -> None:
    """One compiled function for several sizes: what was traced first is not kept."""

    def everything(x: Any, t: Any, w: Any, mask: Any) -> Any:
        options: dict[str, Any] = {"where": mask, "axis": 0, "reduction": reduction}
        loss = CROSS_ENTROPY(x, t, w, label_smoothing=0.1, **options)
        slope = mx.grad(lambda x: CROSS_ENTROPY(x, t, **options).sum())(x)
        return *BOTH(x, t, w, **options), loss, slope

    compiled = mx.compile(everything, shapeless=shapeless)
    x, targets = samples(FLOAT32, soft, rng)
    for rows, classes in ((5, 20), (2, 33), (4, 1)):
        y = np.moveaxis(x[:rows, :, :classes], -1, 0)
        t = np.moveaxis(targets[:rows, :, :classes], -1, 0) if soft else targets[:rows] % classes
        w = rng.uniform(0.5, 2.0, y.shape[1:]).astype(np.float32)
        mask = rng.random(SHAPE[1]) < 0.8
        results = compiled(*map(to_mlx, (y, t, w, mask)))
        options: dict[str, Any] = {"where": mask, "axis": 0, "reduction": reduction}
        smoothed = CROSS_ENTROPY(y, t, w, label_smoothing=0.1, **options)
        expected = *BOTH(y, t, w, **options), smoothed, BOTH(y, t, **options)[1]
        for number, (actual, part) in enumerate(zip(results, expected, strict=True)):
            same(part, actual, f"{y.shape} result {number}")


@SOFT
@REDUCED
def test_cross_entropy_derivatives_by_formulas(
    soft: bool, reduction: Any, rng: np.random.Generator
) -> None:
    """By weights and probabilities, forward, and of the gradient: as where there is no kernel."""
    x, targets = samples(FLOAT64, soft, rng)
    if soft:
        targets *= 1.25  # not adding up to 1
    w = rng.uniform(0.5, 2.0, SHAPE[:-1])
    given = [to_mlx(array) for array in (x, targets, w)]
    mask = to_mlx(rng.random(SHAPE[:-1]) < 0.8)
    directions = [to_mlx(rng.normal(size=a.shape)) for a in (x, targets, w)]
    places = [0, 1, 2] if soft else [0, 2]

    def loss(*arrays: Any) -> Any:
        each = CROSS_ENTROPY(*arrays, -1, 0.1, reduction, where=mask)
        return (each * each).sum()

    def slope(*arrays: Any) -> Any:
        slopes = mx.grad(loss, argnums=places)(*arrays)
        return sum((slopes[n] * directions[place]).sum() for n, place in enumerate(places))

    def explicit(*arrays: Any) -> Any:
        value, gradient = BOTH(*arrays, -1, 0.1, reduction, where=mask)
        return (value * value).sum() + (gradient * directions[0]).sum()

    def forward(*some: Any) -> Any:
        arrays = list(given)
        for place, x in zip(places, some, strict=True):
            arrays[place] = x
        return loss(*arrays)

    def results() -> Any:
        primals, tangents = ([a[place] for place in places] for a in (given, directions))
        return [
            *mx.grad(loss, argnums=places)(*given),
            *mx.grad(slope, argnums=places)(*given),
            *mx.grad(explicit, argnums=places)(*given),
            mx.grad(lambda x: (mx.grad(slope)(x, *given[1:]) * directions[0]).sum())(given[0]),
            *mx.jvp(forward, primals, tangents)[1],
        ]

    found = results()
    assert nodes(found[0]) > 0
    with lossless.composed():
        for number, (actual, expected) in enumerate(zip(found, results(), strict=True)):
            largest = abs(from_mlx(expected)).max()
            np.testing.assert_allclose(
                from_mlx(actual), from_mlx(expected), 1e-11, 1e-11 * largest, err_msg=f"{number}"
            )


def test_cross_entropy_of_labels_and_masks_that_depend_on_the_logits(
    rng: np.random.Generator,
) -> None:
    """They are constants to derivatives."""
    x, _ = samples(FLOAT32, False, rng)
    where = x[..., 0] > 0
    expected = BOTH(x, x.argmax(axis=-1), where=where, reduction="mean")

    def loss(y: Any) -> Any:
        return CROSS_ENTROPY(y, y.argmax(axis=-1), where=y[..., 0] > 0, reduction="mean")

    for actual, part in zip(mx.value_and_grad(loss)(to_mlx(x)), expected, strict=True):
        same(part, actual)
    with lossless.composed():
        _, composed = mx.value_and_grad(loss)(to_mlx(x))
    np.testing.assert_allclose(from_mlx(composed), expected[1], 2.0**-22)


def test_cross_entropy_exported(tmp_path: Path, rng: np.random.Generator) -> None:
    file = str(tmp_path / "loss.mlxfn")
    x, labels = samples(FLOAT32, False, rng)
    given = [to_mlx(x), to_mlx(labels)]

    def step(x: Any, t: Any) -> Any:
        return mx.value_and_grad(lambda x: CROSS_ENTROPY(x, t, reduction="mean"))(x)

    with pytest.raises(ValueError, match=r"to_export_use_lossless\.composed\(\)"):
        mx.export_function(file, step, *given)
    with lossless.composed():
        mx.export_function(file, step, *given)
    imported: Any = mx.import_function(file)
    for actual, expected in zip(imported(*given), step(*given), strict=True):
        np.testing.assert_allclose(from_mlx(actual), from_mlx(expected), 2.0**-22)


def test_cross_entropy_checkpoint(rng: np.random.Generator) -> None:
    x, labels = samples(FLOAT32, False, rng)

    def loss(y: Any) -> Any:
        return CROSS_ENTROPY(y, to_mlx(labels), reduction="mean")

    saving: Any = mx.checkpoint(loss)  # its stub is wrong
    expected = BOTH(x, labels, reduction="mean")
    for actual, part in zip(mx.value_and_grad(saving)(to_mlx(x)), expected, strict=True):
        same(part, actual)


def test_cross_entropy_in_several_threads_and_streams(rng: np.random.Generator) -> None:
    x, labels = (np.resize(a, (40, *a.shape[1:])) for a in samples(FLOAT32, False, rng))
    expected = BOTH(x, labels, reduction="mean")
    results: list[Any] = []

    def work() -> None:
        with mx.stream(mx.new_stream(mx.cpu)):
            for _ in range(20):
                pair = BOTH(to_mlx(x), to_mlx(labels), reduction="mean")
                mx.eval(pair)
            results.append(pair)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4 == len(results)
    for pair in results:
        for actual, part in zip(pair, expected, strict=True):
            same(part, actual)


@REDUCED
def test_cross_entropy_has_no_float64_where_the_default_device_is_a_gpu(
    reduction: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There MLX has none, and the kernel does not serve: whatever asks for either here fails."""
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu, 0))
    monkeypatch.setattr(mx, "float64", "a dtype that this device does not have")
    x, labels = (np.resize(a, (40, *a.shape[1:])) for a in samples(FLOAT32, False, rng))
    w = np.asarray(rng.uniform(0.5, 2.0, labels.shape), np.float32)
    expected = BOTH(x, labels, w, reduction=reduction)
    pair = BOTH(to_mlx(x), to_mlx(labels), to_mlx(w), reduction=reduction)
    assert 0 == nodes(*pair)
    for actual, part in zip(pair, expected, strict=True):
        largest = abs(part).max()
        np.testing.assert_allclose(from_mlx(actual), part, 1e-5, 2.0**-19 * largest)
