"""The base of all readers: a table of columns, the form of its text, and its errors.

Columns are Arrow arrays. Rows are counted from 1. Errors name file, row and column.
"""

import csv
import gzip
import struct
import tokenize
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..._errors import UserError

# Rows that are read in one step, if the format lets us choose.
ROWS = 1 << 18
GZIP = b"\x1f\x8b"
# Errors of libraries for damaged files. NumPy raises some for a header that is not a Python
# literal, zipfile for archives that are encrypted or of a later version.
PROBLEMS = (
    *(pa.ArrowException, OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile),
    *(csv.Error, tokenize.TokenError, RuntimeError, MemoryError, struct.error),
)


@dataclass(frozen=True)
class TextFormat:
    """The form of text files, if their names and first bytes do not show it."""

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
    text: bool = False  # whether all cells are text, as in CSV
    decimal: str = "."  # the decimal mark of numbers in text
    hint: str = ""  # a reason why a column may not be found

    @abstractmethod
    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        """The columns in pieces, as Arrow arrays."""

    @abstractmethod
    def kinds(self, columns: list[str]) -> list[Any]:
        """The Arrow types of the columns, known before the first piece is read."""

    @abstractmethod
    def fraction(self, rows: int) -> float:
        """The fraction of the file that this number of rows takes."""

    def where(self, row: int) -> str:
        """A description that helps to find the row."""
        return f"row {row:,}"


@contextmanager
def decompressed(source: Any, path: Path) -> Iterator[Any]:
    """The content of an open file; its name or its first bytes show whether it is compressed."""
    compressed = path.suffix.lower() == ".gz" or source.read(len(GZIP)) == GZIP
    source.seek(0)
    if not compressed:
        yield source
        return
    with gzip.open(source) as file:
        yield file


@contextmanager
def reading(path: Path, rows: int | None = None) -> Iterator[None]:
    """Report in one line why the file cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except PROBLEMS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = reason.strip().splitlines()[0].rstrip(".")
        after = f" after row {rows}" if rows else ""
        raise UserError(f"{path}: cannot be read{after}: {reason}") from None
