"""Totals of losses over parts of the rows: files, or groups."""

from fractions import Fraction

import numpy as np

from ._losses import Loss
from ._rows import Piece
from ._totals import Totals, block_sums, divided, group_sums


class Parts:
    """Parts are numbered in the order of their first rows."""

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self._rows, self._weights = Totals(), Totals()
        self._sums = [Totals() for _ in losses]

    def add_to(self, part: int, piece: Piece) -> None:
        """All rows belong to one part: their sums are the library's."""
        self._rows.add_to(part, np.array([float(len(piece.inputs))]))
        if piece.weights is not None:
            everywhere = np.zeros(len(piece.inputs), np.intp)
            self._weights.add_to(part, group_sums(everywhere, piece.weights)[1])
        for loss, totals in zip(self._losses, self._sums, strict=True):
            totals.add_to(part, block_sums(loss, piece.inputs, piece.targets, piece.weights))

    def add(self, piece: Piece) -> None:
        """Each row belongs to its group."""
        assert piece.groups is not None
        self._rows.add(*group_sums(piece.groups, np.ones(len(piece.groups))))
        if piece.weights is not None:
            self._weights.add(*group_sums(piece.groups, piece.weights))
        for loss, totals in zip(self._losses, self._sums, strict=True):
            values = loss(piece.inputs, piece.targets, weights=piece.weights)
            totals.add(*group_sums(piece.groups, values))

    def rows(self, part: int) -> int:
        return int(self._rows.of(part))

    def reduced(self, reduction: str, parts: list[int]) -> dict[str, float]:
        """The reduction of each loss over these parts together."""
        divisor: Fraction | float = Fraction(1)
        if reduction != "sum":
            divisors = self._rows if reduction == "mean" else self._weights
            divisor = sum((divisors.of(part) for part in parts), Fraction(0))
        return {
            loss.name: divided(sum((totals.of(part) for part in parts), Fraction(0)), divisor)
            for loss, totals in zip(self._losses, self._sums, strict=True)
        }
