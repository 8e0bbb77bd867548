"""The references of losses of rows: each from its definition, for one row, in mpmath.

`ROW_LOSSES` has one row per formula; tests read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp

from lossless.verification.formats import Array, Format, Mpf

Row = Sequence[Mpf]
PRECISION = 400  # of what does not say that it needs more


@dataclass(frozen=True, eq=False)
class RowLoss:
    """A row of the registry. `summands` and `slopes` take the arrays' rows and the parameters."""

    name: str  # of the formulas
    function: str  # the public one
    summands: Callable[..., list[Mpf]]  # whose sum is the value
    slopes: Callable[..., list[tuple[Mpf, Mpf]]]  # derivatives by the first row, sums of |terms|
    sample: Callable[[np.random.Generator, int, int], tuple[Array, ...]]  # rows, size
    settings: tuple[dict[str, Any], ...] = ({},)

    def value(self, *row: Any, **parameters: Any) -> tuple[Mpf, Mpf]:
        """The loss of a row, and the sum of its terms' magnitudes."""
        numbers = reals(row)
        with mp.workprec(precision(numbers)):
            terms = self.summands(*numbers, **parameters)
            value = mp.fsum(terms)
            if self.name == "triplet":
                value = max(value, mp.mpf(0))
            return value, mp.fsum(map(abs, terms))

    def gradient(self, *row: Any, **parameters: Any) -> list[tuple[Mpf, Mpf]]:
        """The same for the derivatives by each number of the first row."""
        numbers = reals(row)
        with mp.workprec(precision(numbers)):
            return self.slopes(*numbers, **parameters)

    def samples(self, fmt: Format, rows: int = 6, size: int = 5) -> tuple[Array, ...]:
        """Arrays of rows in this format, the same ones each time."""
        rng = np.random.default_rng(list(self.name.encode()))
        arrays = self.sample(rng, rows, size)
        return tuple(x if x.dtype.kind == "i" else fmt.array(x) for x in arrays)


def reals(row: Any) -> list[Any]:
    """A class index as it is, arrays as real numbers."""
    return [int(x) if np.ndim(x) == 0 else [mp.mpf(float(number)) for number in x] for x in row]


def precision(row: list[Any]) -> int:
    """Enough bits for 1 + e^-spread, the spread being that of the first row."""
    finite = [x for x in row[0] if mp.isfinite(x)] or [mp.mpf(0)]
    return PRECISION + int(2 * min(max(finite) - min(finite), 50_000))


def softmax(x: Row) -> Row:
    exponentials = [mp.exp(number) for number in x]
    return [number / mp.fsum(exponentials) for number in exponentials]


def shares(label: int, size: int, smoothing: float) -> Row:
    """The smoothed probabilities of a label."""
    s = mp.mpf(smoothing)
    return [(1 - s) * (j == label) + s / size for j in range(size)]


def cross_entropy(x: Row, label: int, label_smoothing: float = 0.0) -> list[Mpf]:
    pairs = zip(shares(label, len(x), label_smoothing), softmax(x), strict=True)
    return [-share * mp.log(p) for share, p in pairs if share]


def cross_entropy_slopes(x: Row, label: int, label_smoothing: float = 0.0) -> list[tuple[Mpf, Mpf]]:
    pairs = zip(softmax(x), shares(label, len(x), label_smoothing), strict=True)
    # A loss near 0 has small slopes that must be right, too: no terms but for the smoothing.
    return [(p - share, (p + share) * bool(label_smoothing)) for p, share in pairs]


def smoothed(t: Row, label_smoothing: float) -> Row:
    s = mp.mpf(label_smoothing)
    return [(1 - s) * p + s / len(t) for p in t]


def soft_cross_entropy(x: Row, t: Row, label_smoothing: float = 0.0) -> list[Mpf]:
    pairs = zip(smoothed(t, label_smoothing), softmax(x), strict=True)
    return [-share * mp.log(p) for share, p in pairs]


def soft_cross_entropy_slopes(
    x: Row, t: Row, label_smoothing: float = 0.0
) -> list[tuple[Mpf, Mpf]]:
    expected = smoothed(t, label_smoothing)
    pairs = [(mp.fsum(expected) * p, w) for p, w in zip(softmax(x), expected, strict=True)]
    return [(p - w, p + w) for p, w in pairs]


def kl_div(x: Row, t: Row) -> list[Mpf]:
    return [mp.exp(b) * (b - a) for a, b in zip(x, t, strict=True)]


def norm(x: Row, p: float = 2, eps: float = 0.0) -> Mpf:
    if p == math.inf:
        return max(map(abs, x))
    return (mp.fsum(abs(number) ** mp.mpf(p) for number in x) + mp.mpf(eps)) ** (1 / mp.mpf(p))


def cosine_similarity(x1: Row, x2: Row, eps: float = 1e-8) -> list[Mpf]:
    divisor = max(norm(x1) * norm(x2), mp.mpf(eps))
    return [a * b / divisor for a, b in zip(x1, x2, strict=True)]


def cosine_similarity_slopes(x1: Row, x2: Row, eps: float = 1e-8) -> list[tuple[Mpf, Mpf]]:
    divisor = max(norm(x1) * norm(x2), mp.mpf(eps))
    cosine = mp.fsum(cosine_similarity(x1, x2, eps))
    terms = [
        abs(b) / divisor + abs(cosine * a) / norm(x1) ** 2 for a, b in zip(x1, x2, strict=True)
    ]
    slopes = derivatives(cosine_similarity, x1, x2, eps=eps)
    return [(slope, term) for (slope, _), term in zip(slopes, terms, strict=True)]


def triplet(
    a: Row, positive: Row, negative: Row, p: float = 2, margin: float = 1.0, eps: float = 1e-6
) -> list[Mpf]:
    near, far = ([x - y for x, y in zip(a, other, strict=True)] for other in (positive, negative))
    return [norm(near, p, eps), -norm(far, p, eps), mp.mpf(margin)]


def triplet_slopes(*row: Any, **parameters: Any) -> list[tuple[Mpf, Mpf]]:
    if mp.fsum(triplet(*row, **parameters)) < 0:
        return [(mp.mpf(0), mp.mpf(0)) for _ in row[0]]
    return derivatives(triplet, *row, **parameters)


def derivatives(
    summands: Callable[..., list[Mpf]], x: Row, *others: Row, **parameters: Any
) -> list[tuple[Mpf, Mpf]]:
    """Of the sum by each number of x, numerically, and the sum of the magnitudes of all parts."""
    slopes = []
    for j in range(len(x)):
        parts = []
        for place in range(len(summands(x, *others, **parameters))):

            def part(number: Mpf, j: int = j, place: int = place) -> Mpf:
                moved = [*x[:j], number, *x[j + 1 :]]
                return summands(moved, *others, **parameters)[place]

            parts.append(mp.diff(part, x[j]))
        slopes.append((mp.fsum(parts), mp.fsum(map(abs, parts))))
    return slopes


def sample_logits(rng: np.random.Generator, rows: int, size: int) -> tuple[Array, Array]:
    """Also of labels that are all but certain, right and wrong."""
    x, labels = rng.normal(0.5, 2.0, (rows, size)), rng.integers(0, size, rows)
    x[0, labels[0]] += 17
    x[1, labels[1]] -= 13
    x[2, labels[2]] += 42
    return x, labels


def sample_probabilities(rng: np.random.Generator, rows: int, size: int) -> tuple[Array, Array]:
    """Half of them do not add up to 1."""
    scales = np.where(np.arange(rows) % 2, 1.0, 2.0 ** rng.uniform(-2, 2, rows))
    return sample_logits(rng, rows, size)[0], rng.dirichlet(np.ones(size), rows) * scales[:, None]


def sample_log_probabilities(rng: np.random.Generator, rows: int, size: int) -> tuple[Array, Array]:
    x, t = np.log(rng.dirichlet(np.ones(size), (2, rows)))
    return x, t


def sample_vectors(rng: np.random.Generator, rows: int, size: int) -> tuple[Array, Array]:
    scales = 10.0 ** rng.uniform(-2, 2, (2, rows, 1))
    x1, x2 = scales * rng.normal(0.25, 1.0, (2, rows, size))
    return x1, x2


def sample_triplets(rng: np.random.Generator, rows: int, size: int) -> tuple[Array, Array, Array]:
    a, positive, negative = rng.normal(0.25, 1.0, (3, rows, size))
    return a, positive, np.where(np.arange(rows)[:, None] % 3, negative, 8 * negative)


ROW_LOSSES = {
    row.name: row
    for row in (
        RowLoss(
            "cross_entropy", "cross_entropy", cross_entropy, cross_entropy_slopes, sample_logits,
            settings=({}, {"label_smoothing": 0.125}, {"label_smoothing": 0.9}),
        ),
        RowLoss(
            "soft_cross_entropy", "cross_entropy", soft_cross_entropy, soft_cross_entropy_slopes,
            sample_probabilities, settings=({}, {"label_smoothing": 0.3}),
        ),
        RowLoss(
            "nll", "nll_loss", lambda x, label: [-x[label]],
            lambda x, label: [(mp.mpf(-(j == label)), mp.mpf(0)) for j in range(len(x))],
            lambda rng, rows, size: (
                sample_log_probabilities(rng, rows, size)[0], rng.integers(0, size, rows)
            ),
        ),
        RowLoss(
            "kl_div", "kl_div_loss", kl_div, lambda *row: derivatives(kl_div, *row),
            sample_log_probabilities,
        ),
        RowLoss(
            "cosine_similarity", "cosine_similarity_loss", cosine_similarity,
            cosine_similarity_slopes, sample_vectors, settings=({}, {"eps": 0.0}, {"eps": 3.0}),
        ),
        RowLoss(
            "triplet", "triplet_loss", triplet, triplet_slopes, sample_triplets,
            settings=(
                {}, {"p": 1, "margin": 0.3}, {"p": 1.5, "eps": 0.0}, {"p": 3.0, "margin": 2},
                {"p": 40.0}, {"p": math.inf},
            ),
        ),
    )
}  # fmt: skip
