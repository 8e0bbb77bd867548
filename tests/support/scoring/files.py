"""Files for the tests of `lossless score`."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, feather, ipc, parquet

GOOD = "x,y,w,g\n1,1.5,2,b\n2,2,1,a\n10,3,4,b\n"
COLUMNS = ("--inputs", "x", "--targets", "y")

Columns = dict[str, NDArray[Any]]


def _csv_file(path: str, columns: Columns) -> None:
    csv.write_csv(pa.table(columns), path)


def _gzipped_csv(path: str, columns: Columns) -> None:
    content = io.BytesIO()
    csv.write_csv(pa.table(columns), content)
    half = len(content.getvalue()) // 2  # gzip files may be put behind each other
    parts = content.getvalue()[:half], content.getvalue()[half:]
    Path(path).write_bytes(b"".join(map(gzip.compress, parts)))


def _parquet(path: str, columns: Columns) -> None:
    parquet.write_table(pa.table(columns), path, row_group_size=70_001)


def _arrow_file(path: str, columns: Columns) -> None:
    table = pa.table(columns)
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=70_001)


def _arrow_stream(path: str, columns: Columns) -> None:
    table = pa.table(columns)
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=70_001)


def _feather(path: str, columns: Columns) -> None:
    feather.write_feather(pa.table(columns), path)


def _records(path: str, columns: Columns) -> None:
    kinds = [(name, column.dtype) for name, column in columns.items()]
    records = np.empty(len(columns["x"]), kinds)
    for name, column in columns.items():
        records[name] = column
    np.save(path, records)


def _npz(path: str, columns: Columns) -> None:
    arrays: dict[str, Any] = dict(columns)
    np.savez_compressed(path, **arrays)


WRITERS: dict[str, tuple[str, Callable[[str, Columns], None]]] = {
    "csv": ("data.csv", _csv_file),
    "gzip": ("data.csv.gz", _gzipped_csv),
    "parquet": ("data.parquet", _parquet),
    "arrow": ("data.arrow", _arrow_file),
    "stream": ("data.arrow", _arrow_stream),
    "feather": ("data.feather", _feather),
    "records": ("data.npy", _records),
    "npz": ("data.npz", _npz),
}
