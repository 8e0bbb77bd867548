"""Columns in the path of a file, as in city=Oslo/part-0.parquet (Hive's layout)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from .table import Table


def keys_of(path: Path) -> dict[str, str | None]:
    """The keys in the names of the folders, outermost first, as text; None if one is missing."""
    names = {part.partition("=")[0]: pa.string() for part in path.parent.parts if "=" in part}
    if not names:
        return {}
    from pyarrow import dataset  # the import takes a while

    layout = dataset.HivePartitioning(pa.schema(names))
    values = dataset.get_partition_keys(layout.parse(path.as_posix()))
    return {unquote(name): values[name] for name in names}


class Partitioned(Table):
    """A file and the keys of its path. A column of the file takes precedence."""

    def __init__(self, table: Table, keys: dict[str, str | None]) -> None:
        self._table = table
        self._keys = {key: value for key, value in keys.items() if key not in table.names}
        self.names: list[str] = [*table.names, *self._keys]
        self.text: bool = table.text
        self.decimal: str = table.decimal
        self.hint: str = table.hint

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        own = [name for name in columns if name not in self._keys]
        for arrays in self._table.batches(own):
            found = dict(zip(own, arrays, strict=True))
            rows = len(arrays[0])
            yield [found[name] if name in found else self._column(name, rows) for name in columns]

    def _column(self, name: str, rows: int) -> Any:
        """The same value in each row, stored once."""
        value, kind = self._keys[name], self._kind(name)
        if value is None:
            return pa.nulls(rows, kind)
        number = int(value) if pa.types.is_integer(kind) else value
        return pa.repeat(pa.scalar(number, kind), rows)

    def _kind(self, name: str) -> Any:
        """A whole number if it is written as one, but text in text files, like all cells."""
        value = self._keys[name]
        if value is None:
            return pa.string() if self.text else pa.null()
        is_number = value.isascii() and value.isdigit() and str(int(value)) == value
        return pa.int64() if is_number and not self.text and len(value) < 19 else pa.string()

    def kinds(self, columns: list[str]) -> list[Any]:
        own = [name for name in columns if name not in self._keys]
        found = dict(zip(own, self._table.kinds(own), strict=True))
        return [found[name] if name in found else self._kind(name) for name in columns]

    def fraction(self, rows: int) -> float:
        return self._table.fraction(rows)

    def where(self, row: int) -> str:
        return self._table.where(row)
