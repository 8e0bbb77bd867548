"""The losses of each row, written to a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ._errors import UserError
from ._files import replacing
from ._groups import Groups
from ._losses import Loss
from ._rows import Piece

FORMATS = (".csv", ".parquet")


class Writer:
    """Rows with their number, their file if there are several, their group, and the losses."""

    def __init__(self, name: str, losses: list[Loss], by: str | None, *, several: bool) -> None:
        self._name, self._losses, self._by, self._several = name, losses, by, several
        self._writer: Any = None
        self._schema: Any = None

    @classmethod
    @contextmanager
    def opened(
        cls, path: Path | None, losses: list[Loss], by: str | None, *, several: bool
    ) -> Iterator["Writer | None"]:
        """Writes the whole file, or nothing."""
        if path is None:
            yield None
            return
        if by in {"row", "file", *(loss.key for loss in losses)}:
            raise UserError(f"--by {by}: --output has another column of this name")
        with replacing("--output", path) as name:
            writer = cls(name, losses, by, several=several)
            try:
                yield writer
            finally:
                if writer._writer:
                    writer._writer.close()

    def write(self, path: Path, piece: Piece, groups: Groups) -> None:
        columns: dict[str, Any] = {}
        if self._several:
            columns["file"] = pa.array([str(path)]).take(pa.array(np.zeros_like(piece.numbers)))
        columns["row"] = piece.numbers
        if self._by is not None:
            found, keys = pa.array(piece.groups).dictionary_encode(), groups.keys()
            names = pa.array([keys[group] for group in found.dictionary.to_pylist()])
            columns[self._by] = names.take(found.indices)
        for loss in self._losses:
            columns[loss.key] = loss(piece.inputs, piece.targets, weights=piece.weights)
        batch = pa.RecordBatch.from_pydict(columns)
        if self._writer is None:
            csv = Path(self._name).suffix.lower() == ".csv"
            kind = pa.csv.CSVWriter if csv else pa.parquet.ParquetWriter
            self._schema, self._writer = batch.schema, kind(self._name, batch.schema)
        self._writer.write(pa.Table.from_batches([batch]).cast(self._schema))
