"""The losses of files: totals for each file and each group of rows, or the losses of each row."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import UserError
from . import kinds as _kinds
from .groups import Groups
from .losses import ChosenLoss
from .readers.table import AS_IT_SEEMS, TextFormat
from .rows import Columns, Rows
from .score_totals import ScoreTotals
from .writer import Writer


class Scores:
    """The scores of files, whose columns are known from the beginning; `read` reads their rows.

    With `output`, the losses of each row are written there, and there are no totals.
    """

    def __init__(
        self,
        paths: list[Path],
        columns: Columns,
        losses: list[ChosenLoss],
        *,
        form: TextFormat = AS_IT_SEEMS,
        skip_missing: bool = False,
        output: Path | None = None,
    ) -> None:
        self._paths, self._columns = paths, columns
        self._form, self._skip_missing = form, skip_missing
        tables = [Rows(path, columns, form=form) for path in paths]
        kinds = _kinds_of_keys(paths, tables, columns.by)
        self._groups = Groups([_kinds.common(found) for found in kinds.values()])
        self._writer: Writer | None = None
        if output is not None:
            keys = {name: _kinds.own(found) for name, found in kinds.items()}
            dtype = np.result_type(*(table.dtype for table in tables))
            self._writer = Writer(output, losses, keys, dtype, several=len(paths) > 1)
        self._by_file, self._by_group = ScoreTotals(losses), ScoreTotals(losses)
        self.counts: list[tuple[int, int]] = []  # of each file: rows that count, rows left out

    def read(self, advance: Callable[[Path, float], None]) -> None:
        """Read all rows; `advance` is told the file, and the number of files that are done."""
        with self._writer.opened() if self._writer else nullcontext():
            for number, path in enumerate(self._paths):
                advance(path, number)
                rows = Rows(
                    path,
                    self._columns,
                    self._groups if self._columns.by else None,
                    skip_missing=self._skip_missing,
                    numbered=self._writer is not None,
                    form=self._form,
                )
                for batch in rows:
                    if self._writer:
                        self._writer.write(path, batch, self._groups)
                    else:
                        self._by_file.add_to(number, batch)
                        if self._columns.by:
                            self._by_group.add(batch)
                    advance(path, number + rows.fraction)
                if not rows.count:
                    why = f" ({rows.skipped:,} with missing cells)" if rows.skipped else ""
                    raise UserError(f"{path}: has no rows to score{why}")
                self.counts.append((rows.count, rows.skipped))

    def of_files(self, reduction: str, numbers: list[int]) -> dict[str, float]:
        """The reduction of each loss over the rows of these files together."""
        return self._by_file.reduced(reduction, numbers)

    def of_groups(self, reduction: str) -> Iterator[tuple[tuple[Any, ...], int, dict[str, float]]]:
        """The names of each group, its number of rows, and the reduction of each loss."""
        totals = self._by_group.each(reduction, len(self._groups))
        for names, (count, values) in zip(self._groups.names(), totals, strict=True):
            if count:
                yield names, count, values


def _kinds_of_keys(paths: list[Path], tables: list[Rows], names: tuple[str, ...]) -> dict[str, Any]:
    """The types of the columns with the keys of groups, in all files."""
    kinds: dict[str, Any] = {}
    for name in names:
        kinds[name] = [table.kinds[name] for table in tables]
        for path, kind in zip(paths, kinds[name], strict=True):
            try:
                _kinds.plain(kind)
            except _kinds.NoKeyError as error:
                raise UserError(f"{path}, column {name!r}: {error}") from None
    return kinds
