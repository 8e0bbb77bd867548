"""The rows of a file as numbers, in pieces of one size; cells that are none are told."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from . import _csv, _tables
from ._errors import UserError
from ._totals import BLOCK

# Rows that are scored at once: enough to share among threads, few enough for the caches.
PIECE = 4 * BLOCK


@dataclass(frozen=True)
class Columns:
    """The names of those that are read."""

    inputs: str
    targets: str
    weights: str | None = None
    by: str | None = None

    @property
    def names(self) -> list[str]:
        chosen = (self.inputs, self.targets, self.weights, self.by)
        return list(dict.fromkeys(name for name in chosen if name is not None))


@dataclass(frozen=True)
class Piece:
    """Some rows, in arrays of one length."""

    numbers: NDArray[np.int64] | None  # of the rows in the file
    inputs: NDArray[Any]
    targets: NDArray[Any]
    weights: NDArray[np.float64] | None
    groups: NDArray[np.intp] | None


class Rows:
    """The pieces of a file. New groups get the next number in `groups`."""

    def __init__(
        self,
        path: Path,
        columns: Columns,
        groups: dict[Any, int],
        *,
        skip_missing: bool,
        numbered: bool = False,
    ) -> None:
        self._path, self._columns, self._groups = path, columns, groups
        self._skip_missing, self._numbered = skip_missing, numbered
        self._read = self.skipped = 0
        self._table = _tables.open_table(path)
        for name in columns.names:
            self._check(name)

    def _check(self, name: str) -> None:
        names = self._table.names
        if names.count(name) > 1:
            raise UserError(f"{self._path}: {names.count(name)} columns have the name {name!r}")
        if name not in names:
            hint = ""
            if self._table.text and len(names) == 1:
                hint = " (cells must be separated by commas)"
            known = ", ".join(map(repr, names[:20])) + ", ..." * (len(names) > 20)
            raise UserError(f"{self._path}: there is no column {name!r}, only {known}{hint}")

    @property
    def count(self) -> int:
        """The rows that were read and not left out."""
        return self._read - self.skipped

    @property
    def fraction(self) -> float:
        """How much of the file has been read."""
        return self._table.fraction(self._read)

    def __iter__(self) -> Iterator[Piece]:
        """Pieces of one size, but for the last; the next is read while one is worked on."""
        pieces = self._pieces()
        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(next, pieces, None)
            while (piece := following.result()) is not None:
                following = reader.submit(next, pieces, None)
                yield piece

    def _pieces(self) -> Iterator[Piece]:
        waiting: list[tuple[Any, ...]] = []
        size = 0
        for batch in self._batches():
            waiting.append(batch)
            size += len(batch[1])
            while size >= PIECE:
                yield Piece(*_cut(waiting, PIECE))
                size -= PIECE
        if size:
            yield Piece(*_cut(waiting, size))

    def _batches(self) -> Iterator[tuple[Any, ...]]:
        names = self._columns.names
        batches = self._table.batches(names)
        while True:
            with _tables.reading(self._path, self._read):
                batch = next(batches, None)
                if batch is None:
                    return
                columns = dict(zip(names, batch, strict=True))
                piece = self._numbers(columns)
            self._read += len(batch[0])
            yield piece

    def _numbers(self, columns: dict[str, Any]) -> tuple[Any, ...]:
        own = self._columns
        arrays = {
            name: self._column(name, columns[name])
            for name in dict.fromkeys((own.inputs, own.targets, own.weights))
            if name is not None
        }
        inputs, targets = arrays[own.inputs], arrays[own.targets]
        weights = None if own.weights is None else arrays[own.weights].astype(np.float64)
        groups = None if own.by is None else self._codes(columns[own.by])
        first = self._read + 1
        numbers = np.arange(first, first + len(inputs)) if self._numbered else None
        piece = (numbers, inputs, targets, weights, groups)
        with np.errstate(invalid="ignore", over="ignore"):
            floats = np.result_type(inputs, targets, np.float16)
            good = np.isfinite(np.subtract(inputs, targets, dtype=floats))
        if weights is not None:
            good &= np.isfinite(weights)
        if groups is not None:
            good &= groups >= 0
        return piece if good.all() else self._without_missing(piece, columns)

    def _without_missing(self, piece: tuple[Any, ...], columns: dict[str, Any]) -> tuple[Any, ...]:
        """The rows that have all numbers, if the others may be left out."""
        own = self._columns
        _, inputs, targets, weights, groups = piece
        missing = {own.inputs: np.isnan(inputs), own.targets: np.isnan(targets)}
        if own.weights is not None:
            missing[own.weights] = np.isnan(weights)
        if own.by is not None:
            missing[own.by] = missing.get(own.by, False) | (groups < 0)
        left_out = np.logical_or.reduce(list(missing.values()))
        if left_out.any() and not self._skip_missing:
            index = int(left_out.argmax())
            name = next(name for name, where in missing.items() if where[index])
            problem = f"{_spelled(columns[name], index)} (--skip-missing leaves such rows out)"
            raise self._wrong(index, name, problem)
        if own.weights is not None and (endless := np.isinf(weights) & ~left_out).any():
            raise self._wrong(int(endless.argmax()), own.weights, "a weight must be finite")
        with np.errstate(invalid="ignore"):
            undefined = np.isinf(inputs) & (inputs == targets) & ~left_out
        if undefined.any():
            what = f"both it and column {own.targets!r} are infinite: there is no difference"
            raise self._wrong(int(undefined.argmax()), own.inputs, what)
        self.skipped += int(left_out.sum())
        return tuple(None if array is None else array[~left_out] for array in piece)

    def _column(self, name: str, array: Any) -> NDArray[Any]:
        """The numbers of a column, NaN where one is missing."""
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        kind = array.type
        if self._table.text:
            try:
                return _csv.numbers(array)
            except _csv.BadCellError as error:
                what = f"{_spelled(array, error.index)} is not a number"
                raise self._wrong(error.index, name, what) from None
        if pa.types.is_boolean(kind):
            array = array.cast(pa.uint8())
        elif pa.types.is_decimal(kind) or pa.types.is_null(kind):
            array = array.cast(pa.float64())
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise UserError(f"{self._path}, column {name!r}: must hold numbers, holds {kind}")
        numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return numbers

    def _codes(self, array: Any) -> NDArray[np.intp]:
        """The number of each row's group, -1 where it has none."""
        if not pa.types.is_dictionary(array.type):
            try:
                array = array.dictionary_encode()
            except pa.ArrowNotImplementedError:
                raise UserError(
                    f"{self._path}, column {self._columns.by!r}: cannot group by {array.type}"
                ) from None
        keys = _values(array.dictionary)
        numbers = np.full(len(keys) + 1, -1, np.intp)
        for code in pc.unique(array.indices).to_pylist():  # in order of appearance
            if code is not None:
                numbers[code] = self._number(keys[code])
        codes = array.indices.fill_null(len(keys)).to_numpy(zero_copy_only=False)
        result: NDArray[np.intp] = numbers[codes]
        return result

    def _number(self, key: Any) -> int:
        if key is None or key == "" or (isinstance(key, float) and math.isnan(key)):
            return -1
        return self._groups.setdefault(key, len(self._groups))

    def _wrong(self, index: int, column: str, what: str) -> UserError:
        where = self._table.where(self._read + index + 1)
        return UserError(f"{self._path}, {where}, column {column!r}: {what}")


def _values(array: Any) -> list[Any]:
    """What an array holds; bytes that are no text are shown all the same."""
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        large = pa.types.is_large_string(array.type)
        raw = array.cast(pa.large_binary() if large else pa.binary()).to_pylist()
        return [None if cell is None else cell.decode("utf-8", "replace").strip() for cell in raw]
    values: list[Any] = array.to_pylist()
    return values


def _spelled(array: Any, index: int) -> str:
    (value,) = _values(array[index : index + 1])
    if value is None or value == "":
        return "the cell is empty"
    return f"{value!r}" if isinstance(value, str) else f"is {value}"


def _cut(waiting: list[tuple[Any, ...]], size: int) -> tuple[Any, ...]:
    """The first rows of the batches that wait, which lose them."""
    taken = []
    while size:
        batch = waiting.pop(0)
        here = min(size, len(batch[1]))
        taken.append(tuple(None if array is None else array[:here] for array in batch))
        if here < len(batch[1]):
            waiting.insert(0, tuple(None if array is None else array[here:] for array in batch))
        size -= here
    if len(taken) == 1:
        return taken[0]
    return tuple(
        None if arrays[0] is None else np.concatenate(arrays) for arrays in zip(*taken, strict=True)
    )
