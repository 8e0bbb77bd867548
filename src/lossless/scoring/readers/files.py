"""The files to read, and the reader of each, chosen by the end of its name."""

import atexit
import functools
import glob
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..._errors import UserError
from .arrow import Arrow, Parquet
from .csv import Csv
from .npy import Npy, Npz
from .partitions import Partitioned, keys_of
from .table import Table, TextFormat, reading

ARROW = (".parquet", ".arrow", ".feather")
ZIPPED = (".csv", ".tsv", ".npy")
KNOWN = (*ZIPPED, *(f"{suffix}.gz" for suffix in ZIPPED), ".npz", *ARROW)
_KNOWN_NAMES = ".csv, .tsv, .npy (these also with .gz), .npz, .parquet, .arrow or .feather"


def expand(patterns: list[str]) -> list[Path]:
    """The files of these names, patterns and folders, each once; `-` is the standard input."""
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
    """A copy of the standard input as CSV; it is read again to find the line of a bad cell."""
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
    """The files of a data set. Names that begin with a dot or an underscore are not data.

    `pyarrow.dataset` does not list them correctly: it follows circular links and so counts a file
    many times, fails at names that are not UTF-8, and accepts files of one format only.
    """
    with reading(folder):
        paths = sorted(
            path
            for path in folder.rglob("*")
            if path.name.lower().endswith(KNOWN)
            and not any(part[0] in "._" for part in path.relative_to(folder).parts)
        )
    if not paths:
        raise UserError(f"{folder}: is a folder without readable files ({_KNOWN_NAMES})")
    return paths


def open_table(path: Path, form: TextFormat) -> Table:
    """The file, with a column for each `key=value` part of its path."""
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
            raise UserError(f"{path}: is not a file")
        if not path.stat().st_size:
            raise UserError(f"{path}: the file is empty")
        if kind in (".csv", ".tsv"):
            return Csv(path, "\t" if kind == ".tsv" else ",", form)
        if kind == ".npy":
            return Npy(path)
        if compressed and kind in (".npz", *ARROW):
            raise UserError(f"{path}: decompress it first: gzip is supported for CSV and NPY only")
        if kind == ".npz":
            return Npz(path)
        if kind in ARROW:
            return Parquet(path) if kind == ".parquet" else Arrow(path)
    raise UserError(f"{path}: the name must end with {_KNOWN_NAMES}")
