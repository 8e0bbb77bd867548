"""The kernels inside MLX's graph: NumPy's bits, one pass, no leaks; and what serves without."""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
from contextlib import nullcontext
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from cases import Backend, Case, cases, from_mlx, to_mlx
from checks import assert_same_bits
from mlx import nn, optimizers, utils
from mlx_cases import IN_EVERY_DTYPE, IN_FLOAT32, arrays
from mpmath import mp

import lossless
from lossless.cli.oracle.formats import NARROW, Array

SHAPE = (6, 5, 4)
REDUCTIONS = ("none", "sum", "mean", "weighted_mean")
MEBI = 1 << 20


def on_numpy(case: Case) -> Case:
    return Case(case.loss, Backend.NUMPY, case.fmt)


def options(case: Case, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Every combination of reduction, axis, weights, mask and delta."""
    weights = (None, 1.5, rng.uniform(0.5, 2.0, SHAPE[1:]).astype(np.float32))
    masks = (None, rng.random((SHAPE[0], 1, SHAPE[2])) < 0.7)
    parameters: list[dict[str, Any]] = [{}]
    if case.loss.parameters:
        parameters = [{"delta": 0.1}, {"delta": rng.uniform(0.5, 2.0, SHAPE[2])}]
    reductions = [("none", None), *itertools.product(REDUCTIONS[1:], (None, 1, (0, 2)))]
    return [
        {"reduction": reduction, "axis": axis, "weights": weight, "where": mask, **more}
        for (reduction, axis), weight, mask, more in itertools.product(
            reductions, weights, masks, parameters
        )
    ]


@IN_EVERY_DTYPE
def test_loss_has_the_bits_of_numpy(case: Case, rng: np.random.Generator) -> None:
    """Explicitly and under mx.grad, whatever the options."""
    x, t = arrays(case, SHAPE, rng)
    twin = on_numpy(case)
    for given in options(case, rng):
        what = f"{case} {given}"
        value, gradient = twin.value_and_grad(x, t, **given)
        assert_same_bits(case.value(x, t, **given), value, case.fmt, what)
        for got, wanted in zip(case.value_and_grad(x, t, **given), (value, gradient), strict=True):
            assert_same_bits(got, wanted, case.fmt, what)
        keywords = {name: case.backend.array(option) for name, option in given.items()}

        def total(x: Any, t: Any, keywords: Any = keywords) -> Any:
            return case.function(x, t, **keywords).sum()

        by_inputs, by_targets = mx.grad(total, argnums=(0, 1))(to_mlx(x), to_mlx(t))
        assert_same_bits(from_mlx(by_inputs), gradient, case.fmt, f"{what} mx.grad")
        assert_same_bits(from_mlx(-by_targets), gradient, case.fmt, f"{what} by targets")
        if given["reduction"] == "none":
            parts = twin.grad_and_hess(x, t, **given)
            for got, part in zip(case.grad_and_hess(x, t, **given), parts, strict=True):
                assert_same_bits(got, part, case.fmt, what)


@IN_EVERY_DTYPE
def test_loss_has_the_bits_of_numpy_in_any_layout(case: Case, rng: np.random.Generator) -> None:
    """Slices, transposed and broadcast views, empty arrays, arrays of no dimensions."""
    x, t = arrays(case, (8, 9), rng)
    twin = on_numpy(case)
    views: list[Any] = [
        lambda a: a[::2, 1:7],
        lambda a: a.T,
        lambda a: a[3],
        lambda a: a[:0],
        lambda a: a[2, 3],
        lambda a: a[::-1, ::-2],
    ]
    for view in views:
        for reduction in ("none", "mean"):
            wanted = twin.value_and_grad(view(x), view(t), reduction=reduction)
            got = lossless.value_and_grad(case.function)(
                view(to_mlx(x)), view(to_mlx(t)), reduction=reduction
            )
            for mine, part in zip(got, wanted, strict=True):
                assert_same_bits(from_mlx(mine), part, case.fmt, f"{case} {reduction}")
    rows = mx.broadcast_to(to_mlx(x[0]), x.shape)
    got = case.function(rows, to_mlx(t))
    wanted_rows = twin.value(np.broadcast_to(x[0], x.shape), t)
    assert_same_bits(from_mlx(got), wanted_rows, case.fmt, f"{case} broadcast")


@pytest.mark.parametrize("case", cases(NARROW, backends=[Backend.MLX]))
def test_loss_cotangents_are_folded_in(case: Case, rng: np.random.Generator) -> None:
    """A factor after the loss comes before the one rounding: also in half precision."""
    x, t = arrays(case, (37, 11), rng)
    # The constant cotangent is exact in every dtype; a weight is what it amounts to.
    for factor in (0.75, -3.0):
        weights = np.full(x.shape, factor)
        wanted = on_numpy(case).value_and_grad(x, t, reduction="mean", weights=weights)[1]
        for scaled in (
            lambda x, f=factor: f * case.function(x, to_mlx(t), reduction="mean"),
            lambda x, f=factor: -f * -case.function(x, to_mlx(t), reduction="mean"),
        ):
            got = mx.grad(scaled)(to_mlx(x))
            assert_same_bits(from_mlx(got), wanted, case.fmt, f"{case} times {factor}")
    each = rng.choice([0.5, -1.25, 3.0], x.shape)
    wanted = on_numpy(case).value_and_grad(x, t, weights=each)[1]
    got = mx.grad(lambda x: (to_mlx(case.fmt.array(each)) * case.function(x, to_mlx(t))).sum())(
        to_mlx(x)
    )
    assert_same_bits(from_mlx(got), wanted, case.fmt, f"{case} element by element")


@IN_FLOAT32
def test_loss_third_order(case: Case) -> None:
    """By reverse mode, forward mode, and both mixed."""
    points = [-2.5, -0.875, -1e-3, 0.25, 0.9375, 3.0]
    x = mx.array(points)

    def forward(function: Any) -> Any:
        return lambda x: mx.jvp(function, [x], [mx.ones_like(x)])[1][0]

    def backward(function: Any) -> Any:
        return mx.grad(lambda x: function(x).sum())

    def value(x: Any) -> Any:
        return case.function(x, mx.zeros_like(x))

    true = [0.0] * len(points)
    if case.loss.name == "log_cosh":
        true = [float(-2 * mp.tanh(p) * mp.sech(p) ** 2) for p in points]
    for modes in itertools.product((forward, backward), repeat=3):
        function: Any = value
        for mode in modes:
            function = mode(function)
        got = from_mlx(function(x)).astype(np.float64)
        assert np.all(np.abs(got - true) <= 2.0**-20 * np.abs(true)), (modes, got, true)


@IN_FLOAT32
def test_loss_derivatives_by_options(case: Case, rng: np.random.Generator) -> None:
    """What the kernels do not give comes from the formulas: the same as composed."""
    x, t = (to_mlx(array) for array in arrays(case, (5, 7), rng))
    weights = mx.array(rng.uniform(0.5, 2.0, 7).astype(np.float32))
    mask = mx.array(rng.random((5, 1)) < 0.7)
    delta = mx.array(rng.uniform(0.5, 2.0, (5, 1)).astype(np.float32))
    more = {"delta": delta} if case.loss.parameters else {}
    for reduction in REDUCTIONS:

        def loss(given: dict[str, Any], reduction: str = reduction) -> Any:
            return case.function(**given, where=mask, reduction=reduction).sum()

        given = {"inputs": x, "targets": t, "weights": weights, **more}
        native = mx.grad(loss)(given)
        with lossless.composed():
            composed = mx.grad(loss)(given)
        for name in given:
            got, wanted = from_mlx(native[name]), from_mlx(composed[name])
            off = np.abs(got - wanted) <= 1e-5 * np.abs(wanted) + 1e-7
            assert off.all(), f"{case} {reduction} by {name}: {got} {wanted}"


@IN_FLOAT32
def test_loss_vmap_of_options(case: Case, rng: np.random.Generator) -> None:
    """Over any one of the arguments, inside and outside of mx.grad."""
    batch, n = 3, 7
    shapes: dict[str, tuple[int, ...]] = {"inputs": (n,), "targets": (n,), "weights": (n,)}
    shapes |= dict.fromkeys(case.loss.parameters, (1,))
    names = list(shapes)

    def loss(*given: Any) -> Any:
        return case.function(**dict(zip(names, given, strict=True)), reduction="mean")

    every = list(range(len(names)))
    for mapped in every:
        given = [
            to_mlx(rng.uniform(0.5, 2.0, (batch, *shape) if i == mapped else shape).astype("f4"))
            for i, shape in enumerate(shapes.values())
        ]
        axes = tuple(0 if i == mapped else None for i in every)
        over: Any = mx.vmap(loss, in_axes=axes)
        slopes = mx.vmap(mx.grad(loss, argnums=every), in_axes=axes)(*given)
        total: Any = mx.grad(lambda *given, over=over: over(*given).sum(), argnums=every)
        outer = total(*given)
        sums: list[Any] = [np.zeros(shape) for shape in shapes.values()]
        for row in range(batch):
            one = [a[row] if i == mapped else a for i, a in enumerate(given)]
            assert over(*given)[row].item() == loss(*one).item()
            for i, slope in enumerate(mx.grad(loss, argnums=every)(*one)):
                wanted = from_mlx(slope)
                assert_close(from_mlx(slopes[i][row]), wanted)
                sums[i] = sums[i] + wanted
                if i == mapped:
                    assert_close(from_mlx(outer[i][row]), wanted)
        for i in every:
            if i != mapped:
                assert_close(from_mlx(outer[i]), sums[i])


def assert_close(got: Array, wanted: Array) -> None:
    """Equal but for the order of a few additions in float32."""
    assert got.shape == wanted.shape
    assert np.all(np.abs(got - wanted) <= 2.0**-20 * np.abs(wanted).max()), (got, wanted)


def peak_beyond(function: Any, *arrays: Any) -> float:
    """The most memory that evaluating function(*arrays) takes beside what there is, in bytes."""
    mx.eval(function(*arrays))
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mx.eval(function(*arrays))
    return float(mx.get_peak_memory() - before)


@IN_FLOAT32
def test_loss_and_gradient_are_one_pass(case: Case) -> None:
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


def test_loss_evaluated_while_it_is_traced(rng: np.random.Generator) -> None:
    """Before MLX asks for the gradient: it is computed then."""
    x, t = mx.array(rng.normal(0, 2, 1000).astype(np.float32)), mx.zeros(1000)
    seen = []

    def loss(x: Any) -> Any:
        value = lossless.huber_loss(x, t, reduction="mean")
        seen.append(value.item())
        return value

    value, gradient = mx.value_and_grad(loss)(x)
    wanted = lossless.value_and_grad(lossless.huber_loss)(x, t, reduction="mean")
    assert seen == [value.item()] == [wanted[0].item()]
    assert mx.array_equal(gradient, wanted[1])


def test_ten_thousand_evaluations_leak_nothing() -> None:
    x, t = mx.random.normal((1000,)), mx.random.normal((1000,))
    step = mx.value_and_grad(lambda x: lossless.log_cosh_loss(x, t, reduction="mean"))

    def run(times: int) -> None:
        for _ in range(times):
            mx.eval(step(x))

    run(1000)
    active, resident = mx.get_active_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(10_000)
    assert mx.get_active_memory() <= active
    # Ten thousand gradients are 40 MB; the peak of the process is in KiB, on macOS in bytes.
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
    assert grown <= (8 << 10) * (1024 if sys.platform == "darwin" else 1)


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

BROKEN_BRIDGE = OTHER_VERSION.replace(
    'lossless._core.built_for_mlx = lambda: "0.1.2"',
    'import sys; sys.modules["lossless._mlx"] = None',
)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (OTHER_VERSION, "lossless was built for mlx 0.1.2, not "),
        (BROKEN_BRIDGE, "the bridge to mlx "),
    ],
)
def test_without_its_bridge_the_formulas_serve_and_say_so_once(program: str, reason: str) -> None:
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    *values, warning, info = output.splitlines()
    assert values == ["[0.125, 2.5]"] * 3
    assert warning.startswith("RuntimeWarning lossless: MLX arrays are served by composed formulas")
    assert reason in warning
    assert "'path': 'composed'" in info
    assert reason in info


def test_info_says_which_path_serves_mlx() -> None:
    def path() -> str:
        found: str = lossless.info()["backends"]["mlx"]["path"]
        return found

    lossless.huber_loss(mx.array(1.0), mx.array(0.5))
    assert path() == "native"
    with lossless.composed():
        assert path() == "composed"
        assert "composed()" in lossless.info()["backends"]["mlx"]["why"]


# What a review found


@pytest.mark.parametrize("in_axes", [0, 1, 2, -1])
def test_loss_nested_vmap_of_options_of_fewer_dimensions(
    in_axes: int, rng: np.random.Generator
) -> None:
    """MLX's vmap of expand_dims over several axes at once is wrong: we must not meet it."""
    x = mx.array(rng.normal(0, 2, (3, 3, 3)).astype(np.float32))
    cube = mx.array(rng.uniform(0.5, 2, (3, 3, 3)).astype(np.float32))
    calls: list[Any] = [
        lambda w: lossless.huber_loss(x, 0.0, weights=w),
        lambda w: lossless.huber_loss(x, 0.0, weights=w, reduction="mean", axis=(0, 1)),
        lambda w: mx.grad(lambda x: lossless.log_cosh_loss(x, 0.0, "sum", weights=w))(x),
    ]
    for call in calls:
        native = mx.vmap(mx.vmap(call), in_axes=in_axes)(cube)
        each = [mx.stack([call(w) for w in part]) for part in mx.moveaxis(cube, in_axes, 0)]
        assert mx.array_equal(native, mx.stack(each))


def test_loss_options_have_clean_derivatives_beside_masked_rows() -> None:
    x, t, mask = mx.array([[1.0, 2.0], [3.0, 4.0]]), mx.zeros((2, 2)), mx.array([[True], [False]])

    def first_row(**options: Any) -> Any:
        return lossless.huber_loss(x, t, where=mask, reduction="mean", axis=1, **options)[0]

    def slopes(x: Any) -> Any:
        function = lossless.value_and_grad(lossless.huber_loss)
        return function(x, t, where=mask, reduction="mean", axis=1)[1].sum()

    for path in (lossless.composed, nullcontext):
        with path():
            by_weights = mx.grad(lambda w: first_row(weights=w))(mx.ones(2))
            assert by_weights.tolist() == [0.25, 0.75]
            assert mx.grad(lambda d: first_row(delta=d))(mx.ones(2)).tolist() == [0.0, 0.5]
            assert mx.grad(slopes)(x).tolist() == [[0.5, 0.0], [0.0, 0.0]]


def test_loss_gradients_have_the_dtype_of_their_arrays() -> None:
    """Also where one number against an array is added up in float64."""
    t = mx.array([0.1, 0.9, -2.0])

    def slope(t: Any) -> Any:
        return lossless.value_and_grad(lossless.log_cosh_loss)(mx.array(0.3), t, reduction="sum")[1]

    inner = mx.grad(lambda x, t: lossless.log_cosh_loss(x, t, reduction="sum"))
    for function in (slope, lambda t: inner(mx.array(0.3), t)):
        got = mx.grad(function)(t)
        assert got.dtype == mx.float32
        true = np.array([-(mp.sech(0.3 - r) ** 2) for r in from_mlx(t).tolist()], float)
        assert np.all(np.abs(from_mlx(got) - true) < 1e-6)


def test_loss_of_replayed_nodes_keeps_to_its_own_results() -> None:
    """Two replays of one compiled loss share the primitive; one is evaluated too early."""
    n = 1000
    x, first, second = (mx.random.normal((n,)) for _ in range(3))
    mx.eval(x, first, second)

    def gradient(compiled: Any) -> Any:
        loss = compiled(lambda x, t: lossless.log_cosh_loss(x, t, reduction="sum"))

        @mx.custom_function
        def total(a: Any, b: Any) -> Any:
            return a + b

        @total.vjp
        def total_vjp(primals: Any, cotangent: Any, output: Any) -> Any:
            primals[0].item()
            return cotangent, cotangent

        def function(x: Any) -> Any:
            penalty = mx.grad(lambda y: (y * x).sum())(first)  # x is then no tracer any more
            return total(loss(x, first), loss(x, second)) + 0 * penalty.sum()

        return mx.grad(function)(x)

    assert mx.array_equal(gradient(mx.compile), gradient(lambda function: function))
