"""Numbers for groups of rows, in the order in which their keys first appear."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from . import kinds as _kinds

Numbers = NDArray[np.int64]
# Names that are made in one step.
SOME = 1 << 14


class Groups:
    """The groups of all files, by one column or several. `kinds` hold the keys of all files."""

    def __init__(self, kinds: list[Any]) -> None:
        self._columns = [_Keys(kind) for kind in kinds]
        # The key of a group of two columns is the pair of their numbers, in 64 bits. The key for
        # three columns is the pair of this group's number and the third number, and so on.
        self._pairs = [_Keys(pa.int64()) for _ in kinds[1:]]

    def __len__(self) -> int:
        return len((self._pairs or self._columns)[-1])

    def of(self, arrays: list[Any]) -> Numbers:
        """The number of each row's group, -1 where one of its keys is missing."""
        first, *others = (keys.of(array) for keys, array in zip(self._columns, arrays, strict=True))
        for pairs, other in zip(self._pairs, others, strict=True):
            first = pairs.of(pa.array(first << 32 | other, mask=(first < 0) | (other < 0)))
        return first

    def missing(self, cells: dict[str, Any]) -> list[str]:
        """The columns in which a row has no key."""
        keys = zip(cells.items(), self._columns, strict=True)
        return [name for (name, cell), column in keys if column.of(cell)[0] < 0]

    def names(self) -> Iterator[tuple[Any, ...]]:
        """The names of each group, in the order of its number: one for each column."""
        for start in range(0, len(self), SOME):
            numbers = self._of_columns(np.arange(start, min(start + SOME, len(self))))
            keys = zip(self._columns, numbers, strict=True)
            yield from zip(*(column.names(own) for column, own in keys), strict=True)

    def keys(self, numbers: Numbers) -> list[Any]:
        """The columns of these groups' keys, as Arrow arrays."""
        keys = zip(self._columns, self._of_columns(numbers), strict=True)
        return [column.array(own) for column, own in keys]

    def _of_columns(self, numbers: Numbers) -> list[Numbers]:
        """The numbers of these groups' keys in each column."""
        parts = []
        for pairs in reversed(self._pairs):
            both = np.array(pairs.stored(numbers), np.int64)
            parts.append(both & 0xFFFFFFFF)
            numbers = both >> 32
        return [numbers, *reversed(parts)]


class _Keys:
    """The keys of one column. Equal numbers are one key, such as 0.0 and -0.0."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        # The counter numbers new keys. Missing keys have the number -1.
        missing = {None: -1, "": -1} if _kinds.is_text(kind) else {None: -1}
        self._numbers: dict[Any, int] = defaultdict(count().__next__, missing)
        self._missing = len(missing)
        self._keys: list[Any] = []

    def __len__(self) -> int:
        return len(self._numbers) - self._missing

    def of(self, array: Any) -> Numbers:
        array = _kinds.encoded(array)
        used = pc.unique(array.indices).drop_null()  # in order of appearance
        keys = _kinds.cast(array.dictionary.take(used), self._kind)
        if pa.types.is_floating(keys.type):
            keys = pc.if_else(pc.is_nan(keys), None, keys)
        numbers = np.full(len(array.dictionary) + 1, -1, np.int64)
        numbers[used.to_numpy()] = [self._numbers[key] for key in _hashed(keys)]
        codes = array.indices.fill_null(len(array.dictionary)).to_numpy(zero_copy_only=False)
        result: Numbers = numbers[codes]
        return result

    def stored(self, numbers: Numbers) -> list[Any]:
        """The keys as they are hashed."""
        if int(numbers.max(initial=-1)) >= len(self._keys):
            # In one step: another thread may add keys.
            self._keys = list(self._numbers)[self._missing :]
        return [self._keys[number] for number in numbers.tolist()]

    def array(self, numbers: Numbers) -> Any:
        return _kinds.restored(self.stored(numbers), self._kind)

    def names(self, numbers: Numbers) -> list[Any]:
        if pa.types.is_temporal(self._kind) or _kinds.is_binary(self._kind):
            return _kinds.names(self.array(numbers))
        return self.stored(numbers)


def _hashed(keys: Any) -> list[Any]:
    if not _kinds.is_text(keys.type):
        return list(_kinds.stored(keys).to_pylist())
    return _stripped(keys, "surrogateescape")


def values(array: Any) -> list[Any]:
    """The values of an array, also if they are bytes that are not text."""
    return _stripped(array, "replace") if _kinds.is_text(array.type) else list(array.to_pylist())


def _stripped(array: Any, errors: str) -> list[Any]:
    """The texts without the spaces around them."""
    try:
        cells = array.to_pylist()
    except UnicodeDecodeError:
        raw = array.cast(pa.large_binary()).to_pylist()
        cells = [cell and cell.decode("utf-8", errors) for cell in raw]
    return [cell and cell.strip() for cell in cells]
