"""Ranges that mathematics guarantees hold in floating point, too: in every dtype, on every path.

No loss that cannot be negative is, no cosine is beyond 1, no gradient beyond its bound. The data
are where rounding would break that: at the bounds and beside them, at both ends of the exponents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, Array, Format
from support.cases import JAX, Backend

SIZE = 1500
Rng = np.random.Generator
Make = Callable[[Rng, Format], tuple[Array, ...]]


def wide(rng: Rng, fmt: Format, *shape: int) -> Array:
    """Of both signs and all magnitudes whose squares are numbers, many of them near 1."""
    powers = rng.uniform(fmt.min_exponent / 2, fmt.max_exponent / 2, shape)
    powers = np.where(rng.random(shape) < 0.5, rng.uniform(-3, 3, shape), powers)
    return np.asarray(rng.choice([-1.0, 1.0], shape) * np.exp2(powers))


def beside(rng: Rng, fmt: Format, x: Array) -> Array:
    """These numbers, times 1 but for some units in the last place."""
    return np.asarray(x * (1 + rng.integers(-3, 4, x.shape) * 2.0**-fmt.precision))


def residuals(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    x = wide(rng, fmt, SIZE)
    return x, np.where(rng.random(SIZE) < 0.5, beside(rng, fmt, x), wide(rng, fmt, SIZE))


def signs(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    x = wide(rng, fmt, SIZE)
    t = np.where(rng.random(SIZE) < 0.5, beside(rng, fmt, 1 / x), rng.choice([-1.0, 1.0], SIZE))
    return x, t


def ranks(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    return *residuals(rng, fmt), rng.choice([-1.0, 1.0, 0.3], SIZE)


def shares(rng: Rng, fmt: Format) -> Array:
    """From 0 to 1, near both."""
    near = np.exp2(rng.uniform(fmt.min_exponent, 0, SIZE))
    return np.asarray(
        np.select(
            [rng.random(SIZE) < p for p in (0.3, 0.5, 0.7)],
            [rng.integers(0, 2, SIZE), near, 1 - near],
            rng.random(SIZE),
        )
    )


def logits(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    return wide(rng, fmt, SIZE), shares(rng, fmt)


def probabilities(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    x = shares(rng, fmt)
    return x, np.where(rng.random(SIZE) < 0.3, x, shares(rng, fmt))


def scores(rng: Rng, fmt: Format, classes: int = 5) -> Array:
    """Rows with equal and nearly equal scores, and some that dominate."""
    x = rng.normal(0, 3, (SIZE, classes)) + rng.integers(0, 3, (SIZE, classes)) * 12
    x[::3] = beside(rng, fmt, np.broadcast_to(x[::3, :1], x[::3].shape))
    x[::7, 1] = wide(rng, fmt, len(x[::7]))
    return x


def labels(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    x = scores(rng, fmt)
    best = fmt.array(x).astype(float).argmax(-1)
    return x, np.where(rng.random(SIZE) < 0.6, best, rng.integers(0, 5, SIZE))


def parts(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    """Multiples of 1/8 that add up to 1."""
    return scores(rng, fmt), rng.multinomial(8, np.full(5, 0.2), SIZE) / 8


def logarithms(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    x = -abs(wide(rng, fmt, SIZE, 5)) * rng.integers(0, 2, (SIZE, 5))
    return x, rng.integers(0, 5, SIZE)


def equal(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    x = -abs(wide(rng, fmt, SIZE, 5))
    return x, x


def directions(rng: Rng, fmt: Format, size: int = 3) -> tuple[Array, ...]:
    """Vectors that are parallel, or nearly."""
    x = rng.normal(0, 1, (SIZE, size)) * np.exp2(rng.integers(-3, 4, (SIZE, size)))
    factor = wide(rng, fmt, SIZE, 1)
    return x, np.where(rng.random((SIZE, 1)) < 0.5, x, beside(rng, fmt, x)) * factor


def points(rng: Rng, fmt: Format) -> tuple[Array, ...]:
    """Positives and negatives as far away as each other, and on two sides of an anchor."""
    a, b = directions(rng, fmt)
    c = np.where(rng.random((SIZE, 1)) < 0.3, beside(rng, fmt, b), 2 * a - b)
    a[::5], b[::5], c[::5] = 0.0, (60.0, 0.0, 0.0), (-40.0, 0.0, 0.0)
    return a, b, c


def magnitude(place: int) -> Callable[..., Any]:
    """The bound of a gradient that is the magnitude of an array."""
    return lambda *arrays: abs(arrays[place].astype(float))


@dataclass(frozen=True)
class Range:
    """Values lie in [low, high], gradients by the first array in [-slope, slope].

    And second derivatives in [0, curve].
    """

    function: str
    make: Make
    low: float = 0.0
    high: float = np.inf
    slope: Any = None  # or what gives it for the arrays
    curve: float | None = None
    options: dict[str, Any] = field(default_factory=dict)


RANGES = {
    "huber": Range("huber_loss", residuals, slope=0.3, curve=1.0, options={"delta": 0.3}),
    "log_cosh": Range("log_cosh_loss", residuals, slope=1.0, curve=1.0),
    "l1": Range("l1_loss", residuals, slope=1.0),
    "mse": Range("mse_loss", residuals, curve=2.0),
    "smooth_l1": Range(
        "smooth_l1_loss", residuals, slope=1.0, curve=1 / 0.7, options={"beta": 0.7}
    ),
    "hinge": Range("hinge_loss", signs, slope=magnitude(1)),
    "margin_ranking": Range(
        "margin_ranking_loss", ranks, slope=magnitude(2), options={"margin": 0.1}
    ),
    "logits": Range("binary_cross_entropy", logits, slope=1.0, curve=0.25),
    "probabilities": Range(
        "binary_cross_entropy", probabilities, high=100.0, options={"with_logits": False}
    ),
    "labels": Range("cross_entropy", labels, slope=1.0),
    "smoothed": Range("cross_entropy", labels, slope=1.0, options={"label_smoothing": 0.2}),
    "parts": Range("cross_entropy", parts, slope=1.0),
    "nll": Range("nll_loss", logarithms, slope=1.0),
    "kl_div": Range("kl_div_loss", equal, high=0.0, slope=1.0),
    "cosine": Range("cosine_similarity_loss", directions, low=-1.0, high=1.0),
    "triplet": Range("triplet_loss", points, slope=2.0, options={"margin": 0.0}),
    "triplet_3": Range("triplet_loss", points, slope=2.0, options={"p": 3, "margin": 0.0}),
    "triplet_1": Range("triplet_loss", points, slope=2.0, options={"p": 1, "margin": 0.0}),
    "triplet_inf": Range("triplet_loss", points, slope=2.0, options={"p": np.inf, "margin": 0.0}),
}
# JAX compiles each call, so it has one dtype for each path.
PATHS = [(backend, fmt) for backend in Backend if backend not in JAX for fmt in backend.formats]
PATHS += [(Backend.JAX, FLOAT64), (Backend.JAX_COMPOSED, FLOAT32)]


def within(what: str, actual: Array, low: Any, high: Any) -> None:
    wrong = ~((actual >= low) & (actual <= high))
    assert not wrong.any(), f"{what}: {wrong.sum()} of {wrong.size} beyond, {actual[wrong][:5]}"


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize(
    ("backend", "fmt"), PATHS, ids=[f"{backend.value}-{fmt.name}" for backend, fmt in PATHS]
)
def test_nothing_is_out_of_its_range(backend: Backend, fmt: Format, name: str, rng: Rng) -> None:
    bounds = RANGES[name]
    drawn = bounds.make(rng, fmt)
    arrays = [x if x.dtype.kind == "i" else fmt.array(x) for x in drawn]
    function: Any = getattr(lossless, bounds.function)
    slope = bounds.slope(*arrays) if callable(bounds.slope) else bounds.slope

    def numbers(result: Any) -> Array:
        return backend.numpy(result).astype(np.float64)

    with backend.path():
        given = [backend.array(x) for x in arrays]
        both = lossless.value_and_grad(function)(*given, reduction="none", **bounds.options)
        value, gradient = map(numbers, both)
        within("value", value, bounds.low, bounds.high)
        if slope is not None:
            most = fmt.array(np.asarray(slope)).astype(np.float64)
            within("gradient", gradient, -most, most)
        if bounds.curve is not None:
            _, second = lossless.grad_and_hess(function)(*given, **bounds.options)
            most = fmt.array(np.asarray(bounds.curve)).astype(np.float64)
            within("second derivative", numbers(second), 0.0, most)
        if np.isfinite(bounds.low + bounds.high):
            mean = function(*given, reduction="mean", **bounds.options)
            within("mean", numbers(mean), bounds.low, bounds.high)


def test_the_data_reach_the_bounds() -> None:
    """So that an error of one unit in the last place would be beyond."""
    for name, bounds in RANGES.items():
        rng = np.random.default_rng(3)
        arrays = [x if x.dtype.kind == "i" else FLOAT32.array(x) for x in bounds.make(rng, FLOAT32)]
        value, gradient = lossless.value_and_grad(getattr(lossless, bounds.function))(
            *arrays, reduction="none", **bounds.options
        )
        assert (value == bounds.low).any() or name in ("smoothed", "parts"), name
        if isinstance(bounds.slope, float) and name != "smoothed":
            assert (abs(gradient) >= np.float32(bounds.slope * (1 - 2.0**-22))).any(), name
