"""Parquet files and Arrow files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from . import table as _table
from .ahead import ahead
from .table import Table


class Parquet(Table):
    """Each column has its own decoding thread, so no column waits for the slowest one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pa.parquet.ParquetFile(path) as file:
            self._metadata, self._schema = file.metadata, file.schema_arrow
        self.names: list[str] = self._schema.names

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        streams = [ahead(self._column(name)) for name in columns]
        arrays: list[Any] = [()] * len(columns)
        while True:
            arrays = [
                array if len(array) else next(stream, ())
                for array, stream in zip(arrays, streams, strict=True)
            ]
            # A dictionary column has batches of other lengths than the others.
            rows = min(map(len, arrays))
            if not rows:
                return
            yield [array[:rows] for array in arrays]
            arrays = [array[rows:] for array in arrays]

    def _column(self, name: str) -> Iterator[Any]:
        # A row group may be as large as the file; its pages are read when they are needed.
        with pa.parquet.ParquetFile(
            self._path, metadata=self._metadata, pre_buffer=False, buffer_size=1 << 20
        ) as file:
            for batch in file.iter_batches(
                batch_size=_table.ROWS, columns=[name], use_threads=False
            ):
                if len(batch):
                    yield batch.column(name)

    def kinds(self, columns: list[str]) -> list[Any]:
        return [self._schema.field(name).type for name in columns]

    def fraction(self, rows: int) -> float:
        return rows / max(1, int(self._metadata.num_rows))


class Arrow(Table):
    """The file format of Arrow, which Feather uses, too, or its stream format."""

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
        self.names: list[str] = self._schema.names

    def batches(self, columns: list[str]) -> Iterator[list[Any]]:
        for batch in self._pieces:
            yield [batch.column(name) for name in columns]

    def kinds(self, columns: list[str]) -> list[Any]:
        return [self._schema.field(name).type for name in columns]

    def fraction(self, rows: int) -> float:
        return int(self._source.tell()) / self._size
