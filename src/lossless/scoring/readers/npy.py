"""NumPy's files, read from beginning to end, also in archives and compressed."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..._errors import UserError
from . import table as _table
from .table import Table, decompressed


@dataclass(frozen=True)
class Header:
    """The header of a file."""

    path: Path
    shape: tuple[int, ...]
    by_columns: bool  # the order of the numbers
    dtype: np.dtype[Any]
    bytes: int  # of the header

    @classmethod
    def of(cls, path: Path, file: Any) -> "Header":
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        if version >= (3, 0) and dtype.names:  # the header is UTF-8, but was read as Latin-1
            dtype.names = tuple(name.encode("latin-1").decode("utf-8") for name in dtype.names)
        if dtype.hasobject:
            raise UserError(f"{path}: holds Python objects, not numbers")
        return cls(path, shape, by_columns and len(shape) == 2, dtype, file.tell())

    def rows(self, file: Any, record: np.dtype[Any]) -> Iterator[NDArray[Any]]:
        """The records of the file, in pieces."""
        total = self.shape[0]
        for start in range(0, total, _table.ROWS):
            wanted = min(_table.ROWS, total - start)
            content = file.read(wanted * record.itemsize)
            if len(content) < wanted * record.itemsize:
                have = start + len(content) // record.itemsize
                raise UserError(f"{self.path}: is truncated: has {have:,} of {total:,} rows")
            yield np.frombuffer(content, record)


class Npy(Table):
    """An array of rows and columns (named 0, 1, ...), or of records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            self._header = header = Header.of(path, file)
        self._record = header.dtype
        if len(header.shape) not in (1, 2) or (header.dtype.names and len(header.shape) == 2):
            raise UserError(
                f"{path}: must have rows and columns, got {header.dtype} in the shape "
                f"{header.shape}"
            )
        if not header.dtype.names:
            columns = range(math.prod(header.shape[1:]))
            self._record = np.dtype([(str(column), header.dtype) for column in columns])
        self.names: list[str] = list(self._record.names or ())

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self._path.open("rb") as source, decompressed(source, self._path) as file:
            yield file

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        header = self._header
        with ExitStack() as files:
            if header.by_columns:
                pieces = []
                for name in columns:
                    file = files.enter_context(self._open())
                    size = header.shape[0] * header.dtype.itemsize
                    file.seek(header.bytes + int(name) * size)
                    pieces.append(header.rows(file, header.dtype))
                yield from _together(self._path, columns, pieces)
            else:
                file = files.enter_context(self._open())
                file.seek(header.bytes)
                for rows in header.rows(file, self._record):
                    yield [_arrow(self._path, name, rows[name]) for name in columns]

    def kinds(self, columns: list[str]) -> list[Any]:
        return [_kind(self._path, name, self._record[name]) for name in columns]

    def fraction(self, rows: int) -> float:
        return rows / max(1, self._header.shape[0])


class Npz(Table):
    """An archive of one-dimensional arrays, which are the columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive = zipfile.ZipFile(path)
        members = [name for name in self._archive.namelist() if name.endswith(".npy")]
        self.names: list[str] = [name.removesuffix(".npy") for name in members]
        self._total = 1

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        with ExitStack() as stack:
            files: list[Any] = [
                stack.enter_context(self._archive.open(f"{name}.npy")) for name in columns
            ]
            headers = [Header.of(self._path, file) for file in files]
            for name, header in zip(columns, headers, strict=True):
                if len(header.shape) != 1 or header.shape != headers[0].shape:
                    raise UserError(
                        f"{self._path}, column {name!r}: all columns must have one dimension and "
                        f"the same length, got the shape {header.shape}, and that of "
                        f"{columns[0]!r} is {headers[0].shape}"
                    )
            self._total = headers[0].shape[0]
            pairs = zip(files, headers, strict=True)
            pieces = [header.rows(file, header.dtype) for file, header in pairs]
            yield from _together(self._path, columns, pieces)

    def kinds(self, columns: list[str]) -> list[Any]:
        found = []
        for name in columns:
            with self._archive.open(f"{name}.npy") as file:
                found.append(_kind(self._path, name, Header.of(self._path, file).dtype))
        return found

    def fraction(self, rows: int) -> float:
        return rows / max(1, self._total)


def _kind(path: Path, name: str, dtype: np.dtype[Any]) -> Any:
    return _arrow(path, name, np.empty(0, dtype)).type


def _together(
    path: Path, columns: list[str], pieces: list[Iterator[NDArray[Any]]]
) -> Iterator[list[Any]]:
    for arrays in zip(*pieces, strict=True):
        yield [_arrow(path, name, array) for name, array in zip(columns, arrays, strict=True)]


def _arrow(path: Path, name: str, numbers: NDArray[Any]) -> Any:
    native = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)
    try:
        return pa.array(np.ascontiguousarray(native))
    except pa.ArrowException:
        held = str(native.dtype)
        if native.ndim > 1:
            held = f"an array of shape {native.shape[1:]} in each row"
        raise UserError(f"{path}, column {name!r}: must hold numbers, got {held}") from None
