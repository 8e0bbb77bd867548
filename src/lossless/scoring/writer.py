"""The losses of each row, written to a file."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from .._errors import UserError
from .._files import replacing
from . import kinds as _kinds
from .groups import Groups
from .losses import ChosenLoss
from .rows import RowBatch

FORMATS = (".csv", ".parquet")


class Writer:
    """Rows with their number, their file if there are several, their keys, and the losses.

    The types of the keys and of the losses hold the values of all files. They are known before the
    first row is written.
    """

    def __init__(
        self,
        path: Path,
        losses: list[ChosenLoss],
        keys: dict[str, Any],
        dtype: Any,
        *,
        several: bool,
    ) -> None:
        self._losses, self._several, self._path = losses, several, path
        self._csv = path.suffix.lower() == ".csv"
        if self._csv:
            keys = {name: _kinds.of_csv(kind) for name, kind in keys.items()}
        self._keys = keys
        loss = pa.from_numpy_dtype(dtype)
        fields = [("file", pa.string())] * several + [("row", pa.int64()), *keys.items()]
        names = [name for name, _ in fields]
        for key in keys:
            if names.count(key) > 1 or key in {loss.key for loss in losses}:
                raise UserError(f"--by {key}: --output has another column of this name")
        self._schema = pa.schema(fields + [(one.key, loss) for one in losses])
        self._file: Any = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Write the whole file or nothing."""
        with replacing("--output", self._path) as name:
            kind = pa.csv.CSVWriter if self._csv else pa.parquet.ParquetWriter
            self._file = kind(name, self._schema)
            try:
                yield
            except BaseException:
                with suppress(OSError, pa.ArrowException):  # the first error is the one to report
                    self._file.close()
                raise
            self._file.close()

    def write(self, path: Path, batch: RowBatch, groups: Groups) -> None:
        rows = len(batch.inputs)
        columns: list[Any] = [pa.repeat(_kinds.escaped(str(path)), rows)] * self._several
        columns.append(batch.numbers)
        if self._keys:
            found = pa.array(batch.groups).dictionary_encode()
            keys = zip(self._keys.items(), groups.keys(found.dictionary.to_numpy()), strict=True)
            columns += [self._as(*field, array.take(found.indices)) for field, array in keys]
        for loss in self._losses:
            columns.append(loss(batch.inputs, batch.targets, weights=batch.weights))
        arrays = [
            pa.array(column).cast(kind)
            for column, kind in zip(columns, self._schema.types, strict=True)
        ]
        self._file.write(pa.Table.from_arrays(arrays, schema=self._schema))

    def _as(self, name: str, kind: Any, keys: Any) -> Any:
        try:
            return _kinds.written(keys, kind)
        except UnicodeDecodeError:
            raise UserError(
                f"--by {name}: has bytes that are not text: --output must be a .parquet file"
            ) from None
