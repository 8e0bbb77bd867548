"""A computation but for its arrays: what names a program, and a custom call in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..._problem import Array
from ..._spec import LossSpec
from .numbers import NUMBERS, Number, unpacked


@dataclass(frozen=True, slots=True)
class Plan:
    """One of the arrays may hold Python's numbers."""

    loss: LossSpec
    outputs: tuple[str, ...]  # some of value, gradient, second_derivative
    reduction: str
    axes: tuple[int, ...]
    dtype: Any  # of the results
    numbers: tuple[str, ...]  # which parameters are numbers, and "weights" if they are one
    arrays: tuple[str, ...]  # their names, in order

    def given(self, arrays: Sequence[Array]) -> tuple[dict[str, Array], dict[str, Number]]:
        """The arrays and the numbers by their names."""
        named = dict(zip(self.arrays, arrays, strict=True))
        return named, unpacked(self.numbers, named.pop(NUMBERS, None))
