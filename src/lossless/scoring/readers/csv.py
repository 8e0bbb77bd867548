"""CSV files. Errors name row, line and column."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from ..._errors import UserError
from .table import Table, TextFormat, decompressed

# The bytes that are read in one step, which is also the largest size of a row.
BLOCK = 1 << 22
# The texts of a missing number, apart from NaN.
MISSING = ("", "na", "n/a", "#n/a", "null", "none")
# The byte-order marks of encodings other than UTF-8; UTF-32 first, because it begins like UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UTF_8 = "utf-8-sig"  # with or without a mark
# The letters that Python decodes invalid bytes to.
UNDECODED = re.compile("[\udc80-\udcff]")


class Csv(Table):
    """A file whose first line names the columns."""

    text: bool = True

    def __init__(self, path: Path, separator: str, form: TextFormat) -> None:
        self._path, self._separator = path, form.separator or separator
        self.decimal: str = form.decimal
        if self.decimal == self._separator:
            raise UserError(
                f"{path}: --decimal {self.decimal!r} is also the separator of cells: add another, "
                "as in --sep ';'"
            )
        self._size = path.stat().st_size
        self._position = 0
        with path.open("rb") as source, decompressed(source, path) as file:
            start = file.read(4)
        marked = (encoding for mark, encoding in MARKS.items() if start.startswith(mark))
        self._encoding = form.encoding or next(marked, UTF_8)
        with self._records() as records:
            self._header = next(records, (0, []))[1]
        if not any(self._header):
            raise UserError(f"{path}: the first line must name the columns, and it is empty")
        self.names: list[str] = [name.strip() for name in self._header]
        if any(map(UNDECODED.search, self.names)):
            self.hint: str = f" (the first line is not {self._named_encoding()})"
        elif len(self.names) == 1:
            self.hint = (
                f" (cells must be separated by {self._separator!r}, or by the character of --sep)"
            )

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        wanted = [self._header[self.names.index(name)] for name in columns]
        with self._path.open("rb") as source, decompressed(source, self._path) as file:
            content = _Quotes(self._as_utf_8(file))
            try:
                for piece in self._pieces(content, wanted):
                    self._position = source.tell()
                    yield piece
            except (pa.ArrowInvalid, csv.Error, UnicodeError):
                with self._records() as rows:
                    if next(rows, None) and not next(rows, None):
                        return  # Arrow rejects a header alone, without a newline
                self._blame_bytes()
                self._blame_a_record()
                raise
            if content.quotes % 2:
                self._blame_a_record()

    def _as_utf_8(self, file: Any) -> Any:
        if self._encoding == UTF_8:
            return file
        return pa.transcoding_input_stream(pa.PythonFile(file, "r"), self._encoding, "utf-8")

    def _pieces(self, content: "_Quotes", columns: list[str]) -> Iterator[list[Any]]:
        reader = pa.csv.open_csv(
            pa.PythonFile(content, "r"),
            read_options=pa.csv.ReadOptions(block_size=BLOCK),
            parse_options=pa.csv.ParseOptions(delimiter=self._separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            yield [batch.column(name) for name in columns]

    def _blame_a_record(self) -> None:
        """Report the row with the wrong number of cells, or the open quote; Arrow does not."""
        row = 0
        with self._records(strict=True) as records:
            try:
                for row, (line, cells) in enumerate(records):
                    if len(cells) != len(self._header):
                        raise UserError(
                            f"{self._path}, row {row:,} (line {line:,}): must have "
                            f"{len(self._header)} cells, got {len(cells)}"
                        )
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise UserError(
                        f"{self._path}, row {row + 1:,}: the file ends within a quoted cell"
                    ) from None

    def _blame_bytes(self) -> None:
        """Report the line with bytes that are not text; Arrow does not."""
        with self._text() as text:
            for number, line in enumerate(text, 1):
                if UNDECODED.search(line):
                    raise UserError(
                        f"{self._path}, line {number:,}: is not {self._named_encoding()}"
                    )

    def _named_encoding(self) -> str:
        name = "UTF-8" if self._encoding == UTF_8 else self._encoding
        return f"{name}: name the encoding, as in --encoding latin-1"

    @contextmanager
    def _text(self) -> Iterator[Any]:
        """The text of the file, including bytes that are not text."""
        with self._path.open("rb") as source, decompressed(source, self._path) as file:
            yield io.TextIOWrapper(file, self._encoding, "surrogateescape", newline="")

    @contextmanager
    def _records(self, *, strict: bool = False) -> Iterator[Iterator[tuple[int, list[str]]]]:
        """The records that are not empty, as Arrow reads them; the header is number 0."""
        with self._text() as text:
            every = records(text, self._separator, strict=strict)
            yield ((line, cells) for line, cells in every if cells)

    def kinds(self, columns: list[str]) -> list[Any]:
        return [pa.string()] * len(columns)

    def fraction(self, rows: int) -> float:
        return self._position / self._size

    def where(self, row: int) -> str:
        with self._records() as records:
            line = next((line for n, (line, _) in enumerate(records) if n == row), row + 1)
        return f"row {row:,} (line {line:,})"


class _Quotes(io.RawIOBase):
    """A file that counts its quotes: with an odd number, the end may be missing."""

    def __init__(self, file: Any) -> None:
        self._file, self.quotes = file, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._file.read(size)
        self.quotes += content.count(b'"')
        return content


def records(
    text: Any, separator: str = ",", *, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """For each row, the line on which it begins and its cells."""
    limit = csv.field_size_limit(BLOCK)  # no row that Arrow reads has more
    try:
        rows = csv.reader(text, delimiter=separator, strict=strict)
        line = 1
        for row in rows:
            yield line, row
            line = rows.line_num + 1
    finally:
        csv.field_size_limit(limit)


def numbers(cells: Any, decimal: str = ".") -> NDArray[np.float64]:
    """The numbers in text, NaN for missing ones; BadCellError for anything else."""
    if decimal != ".":
        cells = pc.replace_substring(cells, ".", "?")  # so that it is not a decimal mark
        cells = pc.replace_substring(cells, decimal, ".")
    try:
        return _cast(cells)
    except pa.ArrowInvalid:
        pass
    unknown = pc.is_in(pc.ascii_lower(pc.ascii_trim_whitespace(cells)), pa.array(MISSING))
    known = pc.if_else(unknown, None, cells)
    try:
        return _cast(known)
    except pa.ArrowInvalid:
        raise BadCellError(_first_bad(known)) from None


class BadCellError(Exception):
    """A cell is not a number; `index` is its position."""

    def __init__(self, index: int) -> None:
        self.index = index


def _cast(cells: Any) -> NDArray[np.float64]:
    trimmed = pc.ascii_trim_whitespace(cells)
    result: NDArray[np.float64] = pc.cast(trimmed, pa.float64()).to_numpy(zero_copy_only=False)
    return result


def _first_bad(cells: Any) -> int:
    """The index of the first cell that is not a number; there is one."""
    good, bad = 0, len(cells)  # all cells before `good` are numbers, not all before `bad`
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            _cast(cells[good:middle])
            good = middle
        except pa.ArrowInvalid:
            bad = middle
    return good
