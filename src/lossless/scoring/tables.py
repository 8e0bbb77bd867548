"""Files with columns, read a piece at a time, so that no file is too large.

Columns come as Arrow arrays. Rows are counted from 1; what is wrong is told by file, row, column.
"""

import atexit
import csv
import functools
import glob
import gzip
import os
import shutil
import struct
import sys
import tempfile
import tokenize
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from .._errors import UserError

# Rows that are read at once, where the format lets us choose.
ROWS = 1 << 18
ARROW = (".parquet", ".arrow", ".feather")
ZIPPED = (".csv", ".tsv", ".npy")
KNOWN = (*ZIPPED, *(f"{suffix}.gz" for suffix in ZIPPED), ".npz", *ARROW)
_KNOWN_NAMES = ".csv, .tsv, .npy (these also with .gz), .npz, .parquet, .arrow or .feather"
GZIP = b"\x1f\x8b"
# Those of libraries, of files that are damaged: NumPy's of a header that is no Python literal, and
# those of archives that are encrypted or of a later version, among them.
PROBLEMS = (
    *(pa.ArrowException, OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile),
    *(csv.Error, tokenize.TokenError, RuntimeError, MemoryError, struct.error),
)

Item = TypeVar("Item")


@dataclass(frozen=True)
class TextFormat:
    """How text files are written, where that is not what their names and first bytes say."""

    encoding: str | None = None
    separator: str | None = None
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError:
                raise UserError(
                    f"--encoding {self.encoding}: there is no such encoding of text"
                ) from None
        if self.separator is not None and (
            len(self.separator) != 1 or not self.separator.isascii() or self.separator in '"\r\n'
        ):
            raise UserError(f"--sep {self.separator!r}: must be one ASCII character, such as ';'")
        if self.decimal not in (".", ","):
            raise UserError(f"--decimal {self.decimal!r}: must be '.' or ','")


AS_IT_SEEMS = TextFormat()


class Table(ABC):
    """An open file."""

    names: list[str]
    text = False  # whether all cells are text, as in CSV
    decimal = "."  # in the numbers of text
    hint = ""  # why a column may not be found

    @abstractmethod
    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        """The columns, piece by piece, as Arrow arrays."""

    @abstractmethod
    def kinds(self, columns: list[str]) -> list[Any]:
        """The Arrow types of the columns, known before the first piece is read."""

    @abstractmethod
    def fraction(self, rows: int) -> float:
        """How much of the file has been read with so many rows."""

    def where(self, row: int) -> str:
        """What helps to find the row."""
        return f"row {row:,}"


class Parquet(Table):
    """Each column is decoded by a thread of its own: none waits for the slowest after a batch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pa.parquet.ParquetFile(path) as file:
            self._metadata, self._schema = file.metadata, file.schema_arrow
        self.names = self._schema.names

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        streams = [ahead(self._column(name)) for name in columns]
        arrays: list[Any] = [()] * len(columns)
        while True:
            arrays = [
                array if len(array) else next(stream, ())
                for array, stream in zip(arrays, streams, strict=True)
            ]
            # A column that is read as a dictionary has batches of its own lengths.
            rows = min(map(len, arrays))
            if not rows:
                return
            yield [array[:rows] for array in arrays]
            arrays = [array[rows:] for array in arrays]

    def _column(self, name: str) -> Iterator[Any]:
        # A row group may be as large as the file: its pages are read as they are needed.
        with pa.parquet.ParquetFile(
            self._path, metadata=self._metadata, pre_buffer=False, buffer_size=1 << 20
        ) as file:
            for batch in file.iter_batches(batch_size=ROWS, columns=[name], use_threads=False):
                if len(batch):
                    yield batch.column(name)

    def kinds(self, columns: list[str]) -> list[Any]:
        return [self._schema.field(name).type for name in columns]

    def fraction(self, rows: int) -> float:
        return rows / max(1, int(self._metadata.num_rows))


class Arrow(Table):
    """The file format of Arrow, which is Feather's too, or its stream."""

    def __init__(self, path: Path) -> None:
        self._size = path.stat().st_size
        self._source = pa.OSFile(str(path))
        try:
            file = pa.ipc.open_file(self._source)
            self._pieces = map(file.get_batch, range(file.num_record_batches))
            self._schema = file.schema
        except pa.ArrowInvalid:
            self._source.seek(0)
            stream = pa.ipc.open_stream(self._source)
            self._pieces = iter(stream)
            self._schema = stream.schema
        self.names = self._schema.names

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        for batch in self._pieces:
            yield [batch.column(name) for name in columns]

    def kinds(self, columns: list[str]) -> list[Any]:
        return [self._schema.field(name).type for name in columns]

    def fraction(self, rows: int) -> float:
        return int(self._source.tell()) / self._size


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, of which a thread makes the next two while one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, items, None) for _ in range(2))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, items, None))
            yield item


def expand(patterns: list[str]) -> list[Path]:
    """The files of these names, patterns and folders, each once; - is the standard input."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        if pattern == "-":
            found[_standard_input()] = None
            continue
        if os.path.lexists(pattern) or not glob.has_magic(pattern):
            names = [pattern]
        else:
            names = sorted(glob.glob(pattern, recursive=True))
        if not names:
            raise UserError(f"{pattern}: matches no file")
        for path in map(Path, names):
            found |= dict.fromkeys(_inside(path) if path.is_dir() else [path])
    return list(found)


@functools.cache
def _standard_input() -> Path:
    """A copy of it, CSV, which can be read again to tell the line of a bad cell."""
    if sys.stdin is None:
        raise UserError("-: the standard input is closed")
    handle, name = tempfile.mkstemp(".csv", "standard-input-")
    atexit.register(os.unlink, name)
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        raise UserError(f"-: cannot be copied to {name}: {error.strerror}") from None
    return Path(name)


def _inside(folder: Path) -> list[Path]:
    """The files of a data set; names that begin with a dot or an underscore are notes beside it.

    Not listed by `pyarrow.dataset`: it follows links in circles, which counts a file many times,
    fails at names that are not UTF-8, and takes files of one format only.
    """
    with reading(folder):
        paths = sorted(
            path
            for path in folder.rglob("*")
            if path.name.lower().endswith(KNOWN)
            and not any(part[0] in "._" for part in path.relative_to(folder).parts)
        )
    if not paths:
        raise UserError(f"{folder}: is a folder without a file that can be read ({_KNOWN_NAMES})")
    return paths


def open_table(path: Path, form: TextFormat) -> Table:
    """The file, with columns for the parts of its path that are key=value."""
    from .partitions import Partitioned, keys_of

    table = _open_file(path, form)
    with reading(path):
        keys = keys_of(path)
    return Partitioned(table, keys) if keys else table


def _open_file(path: Path, form: TextFormat) -> Table:
    name = path.name.lower()
    compressed = name.endswith(".gz")
    kind = Path(name.removesuffix(".gz")).suffix
    with reading(path):
        if not path.is_file():
            path.open("rb").close()
            raise UserError(f"{path}: is no file")
        if not path.stat().st_size:
            raise UserError(f"{path}: the file is empty")
        if kind in (".csv", ".tsv"):
            from .csv import Csv

            return Csv(path, "\t" if kind == ".tsv" else ",", form)
        if kind == ".npy":
            from .npy import Npy

            return Npy(path)
        if compressed and kind in (".npz", *ARROW):
            raise UserError(f"{path}: decompress it first: only CSV and NPY are read through gzip")
        if kind == ".npz":
            from .npy import Npz

            return Npz(path)
        if kind in ARROW:
            return Parquet(path) if kind == ".parquet" else Arrow(path)
    raise UserError(f"{path}: the name must end with {_KNOWN_NAMES}")


@contextmanager
def decompressed(source: Any, path: Path) -> Iterator[Any]:
    """The content of an open file; its name or its first bytes say whether it is compressed."""
    compressed = path.suffix.lower() == ".gz" or source.read(len(GZIP)) == GZIP
    source.seek(0)
    if not compressed:
        yield source
        return
    with gzip.open(source) as file:
        yield file


@contextmanager
def reading(path: Path, rows: int | None = None) -> Iterator[None]:
    """Tell in one line what keeps the file from being read."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except PROBLEMS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = reason.strip().splitlines()[0].rstrip(".")
        after = f" after row {rows}" if rows else ""
        raise UserError(f"{path}: cannot be read{after}: {reason}") from None
