"""Totals of losses over parts of the rows: files, or groups."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pyarrow as pa

from .losses import ChosenLoss
from .rows import RowBatch
from .totals import Totals, block_sums, divided, group_sums, quotients

# Parts that are reduced in one step.
SOME = 1 << 14


class ScoreTotals:
    """The totals of each part. Parts are numbered in the order of their first rows."""

    def __init__(self, losses: list[ChosenLoss]) -> None:
        self._losses = losses
        self._rows, self._weights = Totals(), Totals()
        self._sums = [Totals() for _ in losses]

    def add_to(self, part: int, batch: RowBatch) -> None:
        """Add rows that all belong to one part; their sums are the library's."""
        self._rows.add_to(part, np.array([float(len(batch.inputs))]))
        if batch.weights is not None:
            everywhere = np.zeros(len(batch.inputs), np.intp)
            for sums in group_sums(everywhere, batch.weights):
                self._weights.add_to(part, sums)
        for loss, totals in zip(self._losses, self._sums, strict=True):
            totals.add_to(part, block_sums(loss, batch.inputs, batch.targets, batch.weights))

    def add(self, batch: RowBatch) -> None:
        """Add rows that each belong to a group."""
        # However many groups there are, a batch has few enough for the caches.
        found = pa.array(batch.groups).dictionary_encode()
        parts, groups = found.dictionary.to_numpy(), found.indices.to_numpy()
        self._rows.add(parts, np.bincount(groups).astype(np.float64))
        if batch.weights is not None:
            self._weights.add(parts, *group_sums(groups, batch.weights))
        inputs, targets = (x.astype(np.float64) for x in (batch.inputs, batch.targets))
        for loss, totals in zip(self._losses, self._sums, strict=True):
            values = loss(inputs, targets, weights=batch.weights)
            totals.add(parts, *group_sums(groups, values))

    def reduced(self, reduction: str, parts: list[int]) -> dict[str, float]:
        """The reduction of each loss over these parts together."""
        divisor: Fraction | float = Fraction(1)
        if reduction != "sum":
            divisors = self._rows if reduction == "mean" else self._weights
            divisor = sum((divisors.of(part) for part in parts), Fraction(0))
        return {
            loss.key: divided(sum((totals.of(part) for part in parts), Fraction(0)), divisor)
            for loss, totals in zip(self._losses, self._sums, strict=True)
        }

    def each(self, reduction: str, parts: int) -> Iterator[tuple[int, dict[str, float]]]:
        """The number of rows, maybe 0, and the reductions of each of the first `parts` parts."""
        names = [loss.key for loss in self._losses]
        for first in range(0, parts, SOME):
            end = min(parts, first + SOME)
            rows = self._rows.between(first, end)
            divisors = rows if reduction == "mean" else self._weights.between(first, end)
            if reduction == "sum":
                divisors = np.ones(end - first), np.zeros(end - first)
            values = [
                quotients(totals.between(first, end), divisors).tolist() for totals in self._sums
            ]
            counts = rows[0].astype(np.int64).tolist()
            for count, *own in zip(counts, *values, strict=True):
                yield count, dict(zip(names, own, strict=True))
