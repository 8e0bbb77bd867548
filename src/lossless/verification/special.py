"""Results at special numbers: zeros, infinities, NaN, and where losses change their form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .formats import Array, Format

Entry = float | str  # a number, or the name of one that depends on the format
# (inputs, targets), (value, gradient, second derivative)
Row = tuple[tuple[Entry, Entry], tuple[Entry, Entry, Entry]]

INF, NAN = math.inf, math.nan
UNKNOWN = (NAN, NAN, NAN)
# Of losses of the difference of inputs and targets.
OF_UNKNOWN_RESIDUALS: tuple[Row, ...] = (
    ((INF, INF), UNKNOWN),
    ((NAN, 1.0), UNKNOWN),
    ((1.0, NAN), UNKNOWN),
    ((INF, NAN), UNKNOWN),
)


@dataclass(frozen=True)
class SpecialValues:
    """A loss with these parameters at special numbers, known without computing it."""

    parameters: Mapping[str, float]
    rows: tuple[Row, ...]

    def columns(self, fmt: Format) -> tuple[Array, ...]:
        """Inputs, targets, values, gradients and second derivatives, rounded to the format."""
        rows = [(*arguments, *results) for arguments, results in self.rows]
        columns = zip(*rows, strict=True)
        return tuple(fmt.array([_number(entry, fmt) for entry in column]) for column in columns)


def _number(entry: Entry, fmt: Format) -> float:
    if not isinstance(entry, str):
        return entry
    if entry.startswith("-"):
        return -_number(entry[1:], fmt)
    below, above = fmt.neighbour(1.0, -1), fmt.neighbour(1.0, 1)
    return {
        "smallest": fmt.smallest,
        "normal": math.ldexp(1.0, fmt.min_exponent),
        "largest": fmt.largest,
        "below one": below,
        "above one": above,
        "above half": 0.5 + (above - 1),
        "half below": below * below / 2,
    }[entry]
