"""Where losses are tried: all numbers of a format, and pairs of inputs and targets at random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .formats import Array, Format
from .reference import Loss

BATCH = 1 << 16  # numbers judged at once; their long doubles stay in the cache
Pairs = tuple[Array, Array]  # inputs and targets


def bit_patterns(fmt: Format, largest: float = np.inf) -> int:
    """How many non-negative numbers there are up to this one, infinity included."""
    return int(fmt.bits(fmt.array(largest))) + 1


def batches_of_inputs(fmt: Format, start: int, stop: int, stride: int) -> Iterator[Array]:
    """The non-negative numbers with bits in range(start, stop, stride), not too many at once."""
    for first in range(start, stop, BATCH * stride):
        yield fmt.from_bits(np.arange(first, min(first + BATCH * stride, stop), stride))


def random_pairs(loss: Loss, fmt: Format, count: int, rng: np.random.Generator) -> Iterator[Pairs]:
    """Up to four times as many: of any bits, of like size, and where terms cancel."""
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        if loss.uses_difference_only:
            yield from _of_residuals(fmt, n, rng)
        else:
            yield from _of_labels(loss, fmt, n, rng)


def _any_bits(fmt: Format, count: int, rng: np.random.Generator) -> Array:
    numbers = fmt.from_bits(rng.integers(0, bit_patterns(fmt), count))
    signed: Array = numbers * fmt.array(rng.choice([-1.0, 1.0], count))
    return signed


def _of_residuals(fmt: Format, count: int, rng: np.random.Generator) -> Iterator[Pairs]:
    """Pairs of any bits, of like size, that nearly cancel, and with targets tiny against inputs."""
    yield _any_bits(fmt, count, rng), np.abs(_any_bits(fmt, count, rng))
    x, t = (
        fmt.array(rng.standard_normal(count) * np.exp2(rng.integers(-9, 9, count))) for _ in "xt"
    )
    yield x, t
    yield x, fmt.array(x.astype(np.float64) * (1 + rng.uniform(-1, 1, count) * 2.0**-6))
    tiny = rng.standard_normal(count) * np.exp2(rng.uniform(-fmt.precision * 4.0, 0, count))
    yield x, fmt.array(x.astype(np.float64) * tiny)


def some_inputs(loss: Loss, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Probabilities, many next to 0 or 1, or numbers of either sign from 2**-8 to 2**4."""
    if loss.probabilities:
        beside: NDArray[np.float64] = rng.random(count) ** rng.integers(1, 9, count)
        return np.where(rng.random(count) < 0.5, beside, 1 - beside)
    x: NDArray[np.float64] = rng.choice([-1.0, 1.0], count) * np.exp2(rng.uniform(-8, 4, count))
    return x


def _of_labels(loss: Loss, fmt: Format, count: int, rng: np.random.Generator) -> Iterator[Pairs]:
    """Inputs of any bits with labels, and others with probabilities, with targets that balance
    them, and with numbers beyond these."""
    least, largest = loss.labels
    labels = fmt.array(rng.integers(least, largest + 1, count))
    any_bits = _any_bits(fmt, count, rng)
    yield np.abs(any_bits) if loss.probabilities else any_bits, labels
    x = fmt.array(some_inputs(loss, count, rng))
    yield x, fmt.array(rng.random(count))
    if loss.balanced_targets is not None:
        balanced = loss.balanced_targets(x.astype(np.float64))
        near = rng.standard_normal(count) * np.exp2(rng.uniform(-fmt.precision * 1.5, 0, count))
        yield x, fmt.array(balanced * (1 + near))
    tiny = rng.standard_normal(count) * np.exp2(rng.uniform(-fmt.precision * 2.0, 6, count))
    yield x, fmt.array(tiny)
