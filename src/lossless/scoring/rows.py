"""The rows of a file as numbers, in batches; a cell that is no number is an error."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from .._errors import UserError
from . import decimals as _decimals
from . import totals as _totals
from .groups import Groups, values
from .kinds import escaped
from .readers import csv as _csv
from .readers.ahead import ahead
from .readers.files import open_table
from .readers.table import AS_IT_SEEMS, TextFormat, reading

# The most rows that are scored in one step: enough for all threads, few enough for the caches.
MOST_ROWS = 4 * _totals.BLOCK
NUMBERS = (
    pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal,
    pa.types.is_null,
)  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read."""

    inputs: str
    targets: str
    weights: str | None = None
    by: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        chosen = (self.inputs, self.targets, self.weights, *self.by)
        return list(dict.fromkeys(name for name in chosen if name is not None))


class RowBatch(NamedTuple):
    """Some rows, in arrays of one length."""

    numbers: NDArray[np.int64] | None  # of the rows in the file
    inputs: NDArray[Any]
    targets: NDArray[Any]
    weights: NDArray[np.float64] | None
    groups: NDArray[np.int64] | None

    def of(self, rows: Any) -> "RowBatch":
        """The rows that a slice or a mask selects."""
        arrays: list[Any] = [None if array is None else array[rows] for array in self]
        return RowBatch(*arrays)

    def room(self, rows: int) -> "RowBatch":
        """Memory for this number of rows of the same types."""
        arrays: list[Any] = [None if x is None else np.empty(rows, x.dtype) for x in self]
        return RowBatch(*arrays)


class Rows:
    """The batches of a file."""

    def __init__(
        self,
        path: Path,
        columns: Columns,
        groups: Groups | None = None,
        *,
        skip_missing: bool = False,
        numbered: bool = False,
        form: TextFormat = AS_IT_SEEMS,
    ) -> None:
        self._path, self._columns, self._groups = path, columns, groups
        self._skip_missing, self._numbered = skip_missing, numbered
        self._read = 0
        self.skipped: int = 0
        self._table = open_table(path, form)
        for name in columns.names:
            self._check(name)
        with reading(path):
            kinds = self._table.kinds(columns.names)
        self.kinds: dict[str, Any] = dict(zip(columns.names, kinds, strict=True))

    @property
    def dtype(self) -> Any:
        """The dtype of the losses: the wider of two floating-point columns, or else float64."""
        columns = (self.kinds[self._columns.inputs], self.kinds[self._columns.targets])
        return np.result_type(*map(_dtype, columns))

    def _check(self, name: str) -> None:
        names = self._table.names
        if names.count(name) > 1:
            raise UserError(f"{self._path}: {names.count(name)} columns have the name {name!r}")
        if name not in names:
            shown = (repr(escaped(known)).replace(r"\\x", r"\x") for known in names[:20])
            known = ", ".join(shown) + ", ..." * (len(names) > 20)
            hint = self._table.hint
            raise UserError(f"{self._path}: there is no column {name!r}, only {known}{hint}")

    @property
    def count(self) -> int:
        """The number of rows that were read and not skipped."""
        return self._read - self.skipped

    @property
    def fraction(self) -> float:
        """How much of the file has been read."""
        return self._table.fraction(self._read)

    def __iter__(self) -> Iterator[RowBatch]:
        """Batches, while a thread reads the next ones.

        With the numbers of the rows, they are those of the file, in the dtypes of its columns.
        Without, each has whole blocks of the library's sums, in the dtype that the library
        computes with. Only the last block may be short. The next batch may reuse the memory.
        """
        batches = ahead(self._batches())
        return batches if self._numbered else _of_whole_blocks(batches)

    def _batches(self) -> Iterator[RowBatch]:
        names = self._columns.names
        batches = self._table.batches(names)
        while True:
            with reading(self._path, self._read):
                arrays = next(batches, None)
                if arrays is None:
                    return
                columns = dict(zip(names, arrays, strict=True))
                self._validate(columns)
                batch = self._numbers(columns)
            self._read += len(arrays[0])
            yield batch

    def _validate(self, columns: dict[str, Any]) -> None:
        """Check offsets and indices: a damaged file may have wrong ones, and Arrow trusts them."""
        if self._table.text:  # parsed by Arrow itself
            return
        for name, array in columns.items():
            try:
                array.validate(full=True)
            except pa.ArrowInvalid as error:
                raise UserError(f"{self._path}, column {name!r}: is damaged: {error}") from None

    def _numbers(self, columns: dict[str, Any]) -> RowBatch:
        own = self._columns
        arrays = {
            name: self._column(name, columns[name])
            for name in dict.fromkeys((own.inputs, own.targets, own.weights))
            if name is not None
        }
        inputs, targets = arrays[own.inputs], arrays[own.targets]
        weights = None if own.weights is None else np.asarray(arrays[own.weights], np.float64)
        groups = None if self._groups is None else self._keyed(columns, self._groups)
        first = self._read + 1
        numbers = np.arange(first, first + len(inputs)) if self._numbered else None
        if numbers is None:
            kinds = (x.dtype if x.dtype.kind == "f" else np.float64 for x in (inputs, targets))
            dtype = np.result_type(*kinds)
            inputs, targets = (np.asarray(x, dtype) for x in (inputs, targets))
        batch = RowBatch(numbers, inputs, targets, weights, groups)
        finite = all(
            array.dtype.kind != "f" or np.isfinite(array).all() for array in arrays.values()
        )
        grouped = groups is None or groups.min(initial=0) >= 0
        return batch if finite and grouped else self._without_missing(batch, columns)

    def _keyed(self, columns: dict[str, Any], groups: Groups) -> Any:
        try:
            return groups.of([columns[name] for name in self._columns.by])
        except pa.ArrowInvalid as error:
            names = ", ".join(map(repr, self._columns.by))
            raise UserError(
                f"{self._path}, column {names}: does not fit the common type of all files: {error}"
            ) from None

    def _without_missing(self, batch: Any, columns: dict[str, Any]) -> RowBatch:
        """The rows that have all numbers, if the others may be skipped."""
        own = self._columns
        _, inputs, targets, weights, groups = batch
        missing = {own.inputs: np.isnan(inputs), own.targets: np.isnan(targets)}
        if own.weights is not None:
            missing[own.weights] = np.isnan(weights)
        left_out = np.logical_or.reduce(list(missing.values()))
        if groups is not None:
            left_out |= groups < 0
        if left_out.any() and not self._skip_missing:
            index = int(left_out.argmax())
            names = [name for name, where in missing.items() if where[index]]
            if self._groups is not None:
                names += self._groups.missing(
                    {key: columns[key][index : index + 1] for key in own.by}
                )
            name = names[0]
            problem = f"{_spelled(columns[name], index)} (--skip-missing skips such rows)"
            raise self._wrong(index, name, problem)
        if own.weights is not None and (endless := np.isinf(weights) & ~left_out).any():
            raise self._wrong(int(endless.argmax()), own.weights, "a weight must be finite")
        with np.errstate(invalid="ignore"):
            undefined = np.isinf(inputs) & (inputs == targets) & ~left_out
        if undefined.any():
            what = f"both it and column {own.targets!r} are infinite: the difference is undefined"
            raise self._wrong(int(undefined.argmax()), own.inputs, what)
        self.skipped += int(left_out.sum())
        kept: RowBatch = batch.of(~left_out)
        return kept

    def _column(self, name: str, array: Any) -> NDArray[Any]:
        """The numbers of a column; missing ones are NaN."""
        kind = _of_values(array.type)
        if self._table.text:
            try:
                return _csv.numbers(array, self._table.decimal)
            except _csv.BadCellError as error:
                what = f"{_spelled(array, error.index)} is not a number"
                raise self._wrong(error.index, name, what) from None
        # Arrow does not unpack every type that is not a number, such as views of strings.
        if not any(is_kind(kind) for is_kind in NUMBERS):
            raise UserError(f"{self._path}, column {name!r}: must hold numbers, got {kind}")
        array = _unpacked(array)
        if pa.types.is_boolean(kind):
            array = array.cast(pa.uint8())
        elif pa.types.is_decimal(kind):
            return _decimals.numbers(array)
        elif pa.types.is_null(kind):
            array = array.cast(pa.float64())
        numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return numbers

    def _wrong(self, index: int, column: str, what: str) -> UserError:
        where = self._table.where(self._read + index + 1)
        return UserError(f"{self._path}, {where}, column {column!r}: {what}")


def _spelled(array: Any, index: int) -> str:
    (value,) = values(array[index : index + 1])
    if value is None or value == "":
        return "the cell is empty"
    return f"{value!r}" if isinstance(value, str) else f"is {value}"


def _of_values(kind: Any) -> Any:
    """The type of a column's values, without the types that pack them."""
    if isinstance(kind, pa.BaseExtensionType):
        return _of_values(kind.storage_type)
    packed = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return _of_values(kind.value_type) if packed else kind


def _unpacked(array: Any) -> Any:
    if isinstance(array, pa.ExtensionArray):
        return _unpacked(array.storage)
    if pa.types.is_dictionary(array.type):
        return _unpacked(array.dictionary_decode())
    if pa.types.is_run_end_encoded(array.type):
        return _unpacked(compute.run_end_decode(array))
    return array


def _dtype(kind: Any) -> Any:
    kind = _of_values(kind)
    return kind.to_pandas_dtype() if pa.types.is_floating(kind) else np.float64


def _of_whole_blocks(batches: Iterator[RowBatch]) -> Iterator[RowBatch]:
    """The rows of the batches; only blocks that span two batches are copied."""
    block = _totals.BLOCK
    room: Any = None
    filled = 0
    for batch in batches:
        taken, rows = 0, len(batch.inputs)
        while taken < rows:
            left = rows - taken
            if not filled and left >= block:
                more = min(MOST_ROWS, left // block * block)
                yield batch.of(slice(taken, taken + more))
            else:
                more = min(block - filled, left)
                room = room or batch.room(block)
                for array, to in zip(batch, room, strict=True):
                    if array is not None:
                        to[filled : filled + more] = array[taken : taken + more]
                filled += more
                if filled == block:
                    yield room
                    filled = 0
            taken += more
    if filled:
        yield room.of(slice(filled))
