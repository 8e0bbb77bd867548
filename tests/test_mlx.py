"""MLX programs with our losses: transforms, compiled and exported graphs, streams and threads.

Values and derivatives by every way are in test_formulas; here is what MLX does with the graphs.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from brute import truth
from cases import Backend, Case, cases, from_mlx, to_mlx
from checks import COMPOSED_ULP, assert_same_bits, assert_ulp
from formats import BFLOAT16, FLOAT16, FLOAT32, Array
from mlx import nn, optimizers
from mpmath import mp
from reference import LOSSES, OUTPUTS, real
from test_special_values import TABLES, number

import lossless

# How a call computes; whatever else will serve MLX's graphs joins here.
PATHS: dict[str, Callable[[], Any]] = {"composed": lossless.composed}
CASES = cases(backends=[Backend.MLX])
IN_FLOAT32 = pytest.mark.parametrize("case", cases([FLOAT32], backends=[Backend.MLX]))
HUBER = cases(losses=[LOSSES["huber"]], backends=[Backend.MLX])
REDUCTIONS = ("sum", "mean", "weighted_mean")
FUNCTIONS = [lossless.huber_loss, lossless.log_cosh_loss]


@pytest.fixture(autouse=True, params=PATHS)
def path(request: pytest.FixtureRequest) -> Iterator[None]:
    with PATHS[request.param]():
        yield


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def arrays(case: Case, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array]:
    return (
        case.fmt.array(rng.normal(0.5, 2.0, shape)),
        case.fmt.array(rng.normal(-0.25, 1.0, shape)),
    )


def assert_near(case: Case, output: str, got: Any, true: Any, what: str = "") -> None:
    """An MLX array against real numbers, within the contract of the formulas."""
    true = np.asarray(true, object)
    result = from_mlx(got)
    assert result.shape == true.shape, f"{case} {what}: got {result.shape}, wanted {true.shape}"
    bound = COMPOSED_ULP[case.fmt][output]
    assert_ulp(result, list(true.flat), case.fmt, bound, f"{case} {output} {what}")


# MLX's own documentation and tests of the two losses, with lossless in place of mlx.nn.losses.


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_published_examples_of_mlx(reduction: str) -> None:
    losses = lossless
    inputs, targets = mx.ones((2, 4)), mx.zeros((2, 4))
    count = 8 if reduction == "sum" else 1
    shape = (2, 4) if reduction == "none" else ()
    huber = losses.huber_loss(inputs, targets, reduction=reduction)
    assert isinstance(huber, mx.array)
    assert huber.shape == shape
    assert mx.all(huber == 0.5 * count)
    log_cosh = losses.log_cosh_loss(inputs, targets, reduction=reduction)
    assert log_cosh.shape == shape
    true = np.full(shape, mp.log(mp.cosh(1)) * count, object)
    assert_near(CASES[-2].values[0], "value", log_cosh, true)
    assert np.all(np.abs(from_mlx(log_cosh) / count - 0.433781) < 5e-7)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_positional_arguments_of_mlx(reduction: str, rng: np.random.Generator) -> None:
    """Where MLX's own losses are accurate, both say the same: residuals from 1 to 3."""
    x = mx.array(rng.uniform(1.0, 3.0, (5, 7)).astype(np.float32))
    t = mx.zeros((5, 7))
    for ours, theirs in (
        (lossless.huber_loss(x, t, 1.5, reduction), nn.losses.huber_loss(x, t, 1.5, reduction)),
        (lossless.log_cosh_loss(x, t, reduction), nn.losses.log_cosh_loss(x, t, reduction)),
    ):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert np.all(np.abs(from_mlx(ours / theirs) - 1) < 2e-6)


# Derivatives


@pytest.mark.parametrize("function", FUNCTIONS)
def test_loss_second_derivative_at_zero_is_one(function: Any) -> None:
    def value(x: Any) -> Any:
        return function(x, mx.array(0.0))

    zero = mx.array(0.0)
    assert mx.grad(value)(zero).item() == 0.0
    assert mx.grad(mx.grad(value))(zero).item() == 1.0
    assert mx.grad(mx.grad(value))(-zero).item() == 1.0
    assert mx.jvp(mx.grad(value), [zero], [mx.array(1.0)])[1][0].item() == 1.0


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.5, math.inf])
def test_huber_second_derivative_at_delta_is_one(delta: float) -> None:
    def second(r: float) -> Any:
        return mx.grad(mx.grad(lambda x: lossless.huber_loss(x, 0.0, delta)))(mx.array(r)).item()

    if delta < math.inf:
        beyond = float(np.nextafter(np.float32(delta), np.float32(9)))
        assert [second(r) for r in (delta, -delta, beyond, -beyond)] == [1, 1, 0, 0]
    else:
        assert [second(r) for r in (1e-20, -3.0, 1e15)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("case", "parameters", "table"),
    [
        pytest.param(*case.values, parameters, table, id=f"{case.id}{parameters or ''}")
        for name, parameters, table in TABLES
        for case in cases([FLOAT32], [LOSSES[name]], [Backend.MLX])
        if parameters.get("delta") not in (1e300, 2.0**-1060)
    ],
)
def test_loss_special_values_under_autodiff(case: Case, parameters: Any, table: Any) -> None:
    """As in the calls that return derivatives, but for the sign of 0 and for subnormal numbers.

    And the second derivative of Huber at NaN is that of a piece.
    """
    table = [row for row in table if not {"smallest", "-smallest"} & set(row[0])]
    x, t = (
        to_mlx(case.fmt.array([number(pair[i], case, parameters) for pair, _ in table]))
        for i in (0, 1)
    )

    def value(x: Any) -> Any:
        return case.function(x, t, **parameters)

    slope = mx.grad(lambda x: value(x).sum())
    curvature = mx.grad(lambda x: slope(x).sum())
    for output, got in zip(OUTPUTS, (value(x), slope(x), curvature(x)), strict=True):
        place = OUTPUTS.index(output)
        wanted = case.fmt.array([number(results[place], case, parameters) for _, results in table])
        known = ~np.isnan(wanted)
        result = from_mlx(got)
        assert_same_bits(result[known] + 0, wanted[known] + 0, case.fmt, f"{case} {output}")
        if output != "second_derivative" or case.loss.name != "huber":
            assert np.isnan(result[~known]).all(), f"{case} {output}: {result}"


@pytest.mark.parametrize("reduction", ["none", *REDUCTIONS])
@pytest.mark.parametrize("options", ["plain", "where", "weights", "both"])
def test_loss_autodiff_of_reductions(
    case: Case, reduction: str, options: str, rng: np.random.Generator
) -> None:
    """mx.grad, mx.value_and_grad and lossless.value_and_grad agree with the truth."""
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
        wanted = truth(case, x, t, reduction=reduction, axis=axis, **given, **case.loss.parameters)
        keywords = {name: to_mlx(array) for name, array in given.items()}
        keywords |= {"reduction": reduction, "axis": axis}

        def total(x: Any, t: Any, keywords: Any = keywords) -> Any:
            # In float32: it is the losses' dtype that is under test, not that of this sum.
            return case.function(x, t, **keywords).astype(mx.float32).sum()

        what = f"{reduction} {options} axis={axis}"
        mine, other = mx.grad(total, argnums=(0, 1))(to_mlx(x), to_mlx(t))
        assert_near(case, "gradient", mine, wanted.gradient, what)
        assert_near(case, "gradient", other, -wanted.gradient, f"{what}, by the targets")
        _, explicit = lossless.value_and_grad(case.function)(to_mlx(x), to_mlx(t), **keywords)
        assert_near(case, "gradient", explicit, wanted.gradient, f"{what}, value_and_grad")


@pytest.mark.parametrize("case", HUBER)
def test_huber_array_delta_is_differentiable(case: Case) -> None:
    """By delta: the excess |residual| - delta, 0 inside."""
    x = to_mlx(case.fmt.array([0.5, -3.0, 2.0, 7.0]))
    delta = to_mlx(case.fmt.array([1.0, 1.0, 2.0, 0.5]))
    got = mx.grad(lambda d: lossless.huber_loss(x, 0.0, d).sum())(delta)
    assert from_mlx(got).tolist() == [0.0, 2.0, 0.0, 6.5]
    scalar = to_mlx(case.fmt.array(1.5))
    got = mx.grad(lambda d: lossless.huber_loss(x, 0.0, d, "mean"))(scalar)
    assert got.item() == (1.5 + 0.5 + 5.5) / 4


@pytest.mark.parametrize("function", FUNCTIONS)
def test_loss_gradient_of_a_scalar_under_autodiff(function: Any) -> None:
    t = mx.array([0.25, 1.5, -2.0])
    scalar = mx.array(0.5)
    total = mx.grad(lambda x: function(x, t, reduction="sum"))(scalar)
    parts = mx.grad(lambda x: function(x, t, reduction="sum"))(mx.full((3,), 0.5))
    assert total.shape == ()
    assert abs(total.item() / parts.sum().item() - 1) < 1e-6


# Transforms of graphs


@IN_FLOAT32
def test_loss_vmap_over_every_axis(case: Case, rng: np.random.Generator) -> None:
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
        true = truth(case, pairs[0], pairs[1], **case.loss.parameters).value
        for out_axis in (0, 1):
            mapped = mx.vmap(case.function, in_axes=in_axes, out_axes=out_axis)
            wanted = np.moveaxis(true, 0, out_axis)
            assert_near(case, "value", mapped(*given), wanted, f"{in_axes} {out_axis}")


@IN_FLOAT32
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_loss_vmap_of_reductions(case: Case, reduction: str, rng: np.random.Generator) -> None:
    """Over rows: what axis= gives; also of the gradient, twice nested, and with options."""
    shape = (2, 3, 5)
    x, t = arrays(case, shape, rng)
    w, mask = rng.uniform(0.5, 2.0, shape).astype(np.float32), rng.random(shape) < 0.8
    given = [to_mlx(array) for array in (x, t, w, mask)]
    for axis, depth in (((1, 2), 1), (2, 2)):
        options: dict[str, Any] = {"reduction": reduction, "axis": axis}
        options |= {"weights": w, "where": mask} | dict(case.loss.parameters)
        wanted = truth(case, x, t, **options)

        def loss(x: Any, t: Any, w: Any, mask: Any) -> Any:
            return case.function(x, t, reduction=reduction, weights=w, where=mask)

        mapped: Any = loss
        slopes: Any = mx.grad(loss)
        pairs: Any = _value_and_grad(case, reduction)
        for _ in range(depth):
            mapped, slopes, pairs = map(mx.vmap, (mapped, slopes, pairs))
        assert_near(case, "value", mapped(*given), wanted.value, f"{reduction} {depth}")
        assert_near(case, "gradient", slopes(*given), wanted.gradient, f"{reduction} {depth}")
        value, gradient = pairs(*given)
        assert_near(case, "value", value, wanted.value, f"{reduction} {depth}")
        assert_near(case, "gradient", gradient, wanted.gradient, f"{reduction} {depth}")


def _value_and_grad(case: Case, reduction: str) -> Callable[..., Any]:
    def pair(x: Any, t: Any, w: Any, mask: Any) -> Any:
        function = lossless.value_and_grad(case.function)
        return function(x, t, reduction=reduction, weights=w, where=mask)

    return pair


@pytest.mark.parametrize(
    ("reduction", "shapeless"),
    [("mean", False), *((reduction, True) for reduction in ("none", *REDUCTIONS))],
)
@IN_FLOAT32
def test_loss_compiled(
    case: Case, reduction: str, shapeless: bool, rng: np.random.Generator
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
        plain = truth(case, x, t, reduction=reduction, **case.loss.parameters)
        full = truth(case, x, t, reduction=reduction, weights=w, where=mask, **case.loss.parameters)
        results = compiled(*map(to_mlx, (x, t, w, mask)))
        wanted = (plain.value, plain.value, plain.gradient, full.value, full.gradient)
        outputs = ("value", "value", "gradient", "value", "gradient")
        for place, (output, got, true) in enumerate(zip(outputs, results, wanted, strict=True)):
            assert_near(case, output, got, true, f"{reduction} {shape} result {place}")


@pytest.mark.parametrize("shapeless", [False, True])
@IN_FLOAT32
def test_loss_exported(
    case: Case, shapeless: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    file = str(tmp_path / "loss.mlxfn")
    x, t = arrays(case, (4, 6), rng)

    def training_loss(x: Any, t: Any) -> Any:
        return mx.value_and_grad(lambda x: case.function(x, t, reduction="mean"))(x)

    mx.export_function(file, training_loss, to_mlx(x), to_mlx(t), shapeless=shapeless)
    imported: Any = mx.import_function(file)
    for shape in ((4, 6), (2, 3)) if shapeless else ((4, 6),):
        x, t = arrays(case, shape, rng)
        wanted = truth(case, x, t, reduction="mean", **case.loss.parameters)
        value, gradient = imported(to_mlx(x), to_mlx(t))
        assert_near(case, "value", value, wanted.value, f"{shape}")
        assert_near(case, "gradient", gradient, wanted.gradient, f"{shape}")


@IN_FLOAT32
def test_loss_checkpoint(case: Case, rng: np.random.Generator) -> None:
    x, t = arrays(case, (4, 6), rng)

    def loss(x: Any) -> Any:
        return case.function(x, to_mlx(t), reduction="mean")

    saving: Any = mx.checkpoint(loss)  # its stub is wrong
    value, gradient = mx.value_and_grad(saving)(to_mlx(x))
    wanted = truth(case, x, t, reduction="mean", **case.loss.parameters)
    assert_near(case, "value", value, wanted.value)
    assert_near(case, "gradient", gradient, wanted.gradient)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_loss_trains_a_model(function: Any, compiled: bool, rng: np.random.Generator) -> None:
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
def test_loss_is_lazy_and_keeps_the_stream(case: Case, rng: np.random.Generator) -> None:
    """On another stream of the CPU, and on one that is chosen in the middle of a graph."""
    x, t = arrays(case, (30, 7), rng)
    wanted = truth(case, x, t, reduction="mean", **case.loss.parameters)
    stream = mx.new_stream(mx.cpu)
    with mx.stream(stream):
        first = case.function(to_mlx(x), to_mlx(t), reduction="mean")
    a, b = mx.add(to_mlx(x), 0.0, stream=stream), to_mlx(t)
    second = case.function(a, b, reduction="mean")
    for got in (first, second):
        assert_near(case, "value", got, wanted.value)


@IN_FLOAT32
def test_loss_in_several_threads(case: Case, rng: np.random.Generator) -> None:
    x, t = arrays(case, (64, 33), rng)
    wanted = truth(case, x, t, reduction="mean", **case.loss.parameters)
    results: list[Any] = []

    def work() -> None:
        with mx.stream(mx.new_stream(mx.cpu)):
            for _ in range(20):
                pair = lossless.value_and_grad(case.function)(
                    to_mlx(x), to_mlx(t), reduction="mean"
                )
                mx.eval(pair)
            results.append(tuple(map(from_mlx, pair)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for value, gradient in results:
        assert_near(case, "value", mx.array(value), wanted.value)
        assert_near(case, "gradient", mx.array(gradient), wanted.gradient)


@IN_FLOAT32
def test_loss_has_no_float64_where_the_default_device_is_a_gpu(
    case: Case, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There MLX has none: whatever asks for it here fails."""
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu, 0))
    monkeypatch.setattr(mx, "float64", "a dtype that this device does not have")
    x, t = arrays(case, (5, 7), rng)
    for reduction in ("none", *REDUCTIONS):
        options: dict[str, Any] = {"weights": rng.uniform(0.5, 2.0, 7).astype(np.float32)}
        options |= {"where": rng.random((5, 7)) < 0.8, "reduction": reduction}
        wanted = truth(case, x, t, **options, **case.loss.parameters)
        function = lossless.value_and_grad(case.function)
        value, gradient = case.call(function, x, t, **options)
        assert_near(case, "value", value, wanted.value)
        assert_near(case, "gradient", gradient, wanted.gradient)
        plain = case.call(case.function, x, t, reduction=reduction)
        true = truth(case, x, t, reduction=reduction, **case.loss.parameters).value
        assert_near(case, "value", plain, true)


# Sums


@IN_FLOAT32
def test_loss_mean_of_two_to_the_25(case: Case) -> None:
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
    for got, true in [(value, mean), (compiled(x, t), mean), *zip(mapped, halves, strict=True)]:
        assert_ulp(from_mlx(got), [true], case.fmt, 1, f"{case} mean of 2**25")
    for part in (gradient, mx.grad(loss)(x, t)):
        assert_near(case, "gradient", part[0, :100], slopes)


@pytest.mark.parametrize("case", cases([FLOAT16], [LOSSES["huber"]], [Backend.MLX]))
def test_huber_mean_of_100000_float16_elements(case: Case) -> None:
    """Their sum, 250,000, is beyond float16: the mean is not."""
    x, t = mx.full((100_000,), 2.5, mx.float16), mx.full((100_000,), -0.5, mx.float16)
    value, gradient = lossless.value_and_grad(case.function)(x, t, reduction="mean")
    assert (value.dtype, value.item()) == (mx.float16, 2.5)
    assert lossless.huber_loss(x, t, reduction="sum").item() == math.inf
    automatic = mx.grad(lambda x: case.function(x, t, reduction="mean"))(x)
    for slope in (gradient, automatic):
        assert_near(case, "gradient", slope[:3], [mp.mpf(1) / 100_000] * 3)


# dtypes


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ("uint8", "uint8", "float32"),
        ("bool_", "int32", "float32"),
        ("int64", "float16", "float32"),
        ("float16", "bfloat16", "float32"),
        ("float16", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_loss_mixed_dtypes(function: Any, first: str, second: str, wanted: str) -> None:
    x, t = mx.array([1, 0], getattr(mx, first)), mx.array([0, 1], getattr(mx, second))
    for a, b in ((x, t), (t, x)):
        got = function(a, b)
        assert got.dtype == getattr(mx, wanted)
        expected = function(a.astype(got.dtype), b.astype(got.dtype))
        assert mx.array_equal(got, expected)


def test_huber_unsigned_integers_do_not_wrap_around() -> None:
    got = lossless.huber_loss(mx.array([0], mx.uint8), mx.array([3], mx.uint8))
    assert (got.dtype, got.tolist()) == (mx.float32, [2.5])


@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float32(2), np.float64(2), np.int8(2)])
def test_loss_numbers_are_weak(scalar: Any) -> None:
    """NumPy's scalars count as numbers: they change no dtype and are no foreign arrays."""
    for dtype in (mx.float16, mx.bfloat16, mx.float32):
        x = mx.array([0.5, 3.0], dtype)
        for got in (
            lossless.huber_loss(x, scalar),
            lossless.huber_loss(scalar, x),
            lossless.huber_loss(x, x, delta=scalar, weights=scalar),
            lossless.log_cosh_loss(x, scalar, reduction="mean"),
        ):
            assert got.dtype == dtype
    numbers = mx.array([1, 2], mx.int32)
    assert lossless.huber_loss(numbers, scalar).dtype == mx.float32
    assert lossless.huber_loss(1.5, scalar, weights=mx.array([1.0])[0]).dtype == mx.float32


@pytest.mark.parametrize("case", cases([FLOAT16, BFLOAT16], backends=[Backend.MLX]))
def test_loss_half_types_are_never_negative(case: Case) -> None:
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
        (np.array([0.5, 1.0], np.float32), "NumPy"),
        ([0.5, 1.0], "list"),
        ((0.5, 1.0), "tuple"),
        ("torch", "PyTorch"),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_loss_one_framework_in_a_call(
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
    if named != "PyTorch":
        assert leader in message, message
        assert "convert" in message, message


@pytest.mark.parametrize("framework", ["torch", "jaxlib._jax", "jax"])
def test_frameworks_to_come_say_so(framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "__module__", framework)
    for arguments in ((Tensor(), Tensor()), (np.ones(2), Tensor()), (Tensor(), 1.0)):
        with pytest.raises(TypeError, match=r"^huber_loss: .*(PyTorch|JAX).*not supported yet"):
            lossless.huber_loss(*arguments)


def test_loss_takes_real_mlx_arrays_only() -> None:
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
