"""`lossless score`: the losses of files with predictions, however large."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from . import _files, _losses, _tables
from ._console import print_json, print_rows, progress, results
from ._errors import UserError
from ._groups import Groups
from ._losses import Loss, LossOption, with_parameters
from ._parts import Parts
from ._rows import Columns, Rows
from ._writer import FORMATS, Writer


class Reduction(StrEnum):
    """The library's."""

    mean = "mean"
    sum = "sum"
    weighted_mean = "weighted_mean"
    none = "none"


@with_parameters
def score(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files, or patterns such as 'fold*.csv'.")
    ],
    inputs: Annotated[str, typer.Option(help="The column of the predictions.", metavar="COLUMN")],
    targets: Annotated[str, typer.Option(help="The column of the true values.", metavar="COLUMN")],
    loss: LossOption = None,
    weights: Annotated[
        str | None, typer.Option(help="A column of factors of the losses.", metavar="COLUMN")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="A column that names groups: each is scored.", metavar="COLUMN"),
    ] = None,
    reduction: Annotated[
        Reduction,
        typer.Option(
            help="mean: the sum divided by the number of rows; weighted_mean: by the sum of the "
            "weights; none: a loss for each row, into --output."
        ),
    ] = Reduction.mean,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Of --reduction none: .csv or .parquet."
        ),
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out rows with empty or NaN cells.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **parameters: list[float] | None,
) -> None:
    """Score predictions: the losses of two columns of a file.

    CSV (also .csv.gz), Parquet, Arrow/Feather, NPY (also .npy.gz; columns are 0, 1, ...) and NPZ,
    read piece by piece, so that they may be larger than the memory. The totals are the library's
    on the whole columns. A cell that is no number is an error which names its row.

        lossless score predictions.csv --inputs prediction --targets truth

        lossless score 'fold*.parquet' --inputs y_hat --targets y --loss huber --delta 0.5 --by city
    """
    columns = Columns(inputs, targets, weights, by)
    losses = _losses.chosen(loss, parameters)
    _check(reduction, weights, output)
    paths = _tables.expand(files)
    groups = Groups()
    by_file, by_group = Parts(losses), Parts(losses)
    counts: list[tuple[int, int]] = []
    with Writer.opened(output, losses, by, several=len(paths) > 1) as writer, progress() as bar:
        task = bar.add_task("", total=len(paths))
        for number, path in enumerate(paths):
            bar.update(task, description=escape(path.name))
            rows = Rows(
                path, columns, groups, skip_missing=skip_missing, numbered=writer is not None
            )
            for piece in rows:
                if writer:
                    writer.write(path, piece, groups)
                else:
                    by_file.add_to(number, piece)
                    if by is not None:
                        by_group.add(piece)
                bar.update(task, completed=number + rows.fraction)
            if not rows.count:
                why = f" ({rows.skipped:,} with missing cells)" if rows.skipped else ""
                raise UserError(f"{path}: has no rows to score{why}")
            counts.append((rows.count, rows.skipped))
    kept, skipped = (sum(column) for column in zip(*counts, strict=True))
    document: dict[str, Any] = {
        **dict(zip(("inputs", "targets", "weights", "by"), vars(columns).values(), strict=True)),
        "reduction": reduction.value,
        "losses": [{"loss": x.name, "parameters": dict(x.parameters)} for x in losses],
        "files": [
            {"file": str(path), "rows": count, "skipped": missing}
            for path, (count, missing) in zip(paths, counts, strict=True)
        ],
        "total": {"rows": kept, "skipped": skipped},
    }
    if output is not None:
        document["output"] = str(output)
    else:
        for number, row in enumerate(document["files"]):
            row["values"] = by_file.reduced(reduction.value, [number])
        everything = list(range(len(paths)))
        document["total"]["values"] = by_file.reduced(reduction.value, everything)
    names = groups.keys()

    def grouped() -> Iterator[dict[str, Any]]:
        for group, count, values in by_group.each(reduction.value, len(names)):
            yield {"group": names[group], "rows": count, "values": values}

    if as_json:
        print_json(document, **({} if by is None or output else {"groups": grouped()}))
    else:
        _print(document, losses, grouped)


def _check(reduction: Reduction, weights: str | None, output: Path | None) -> None:
    if reduction is Reduction.weighted_mean and weights is None:
        raise UserError("--reduction weighted_mean needs the column of weights: say --weights")
    if reduction is Reduction.none:
        if output is None:
            raise UserError("--reduction none gives a loss for each row: say --output FILE.csv")
        _files.check_path("--output", output, FORMATS)
    elif output is not None:
        raise UserError(f"--output {output}: is for the losses of each row: say --reduction none")


def _print(
    document: dict[str, Any], losses: list[Loss], grouped: Callable[[], Iterator[dict[str, Any]]]
) -> None:
    console = results()
    total, by = document["total"], document["by"]
    if "output" in document:
        console.print(f"{total['rows']:,} rows: [bold]{escape(document['output'])}[/]")
    else:
        part = "file" if by is None else "group"

        def rows() -> Iterator[list[str]]:
            count = 0
            for row in document["files"] if by is None else grouped():
                count += 1
                yield [_printable(str(row[part])), *_cells(row)]
            if count > 1:
                yield from ([], ["all", *_cells(total)])

        names = (escape(document[name]) for name in ("inputs", "targets"))
        console.print(f"{document['reduction']} of the losses of {' against '.join(names)}")
        headings = [_printable(by or part), "rows", *(loss.title for loss in losses)]
        print_rows(console, headings, rows)
    if total["skipped"]:
        console.print(f"{total['skipped']:,} rows with missing cells were left out")


def _cells(row: dict[str, Any]) -> list[str]:
    return [f"{row['rows']:,}", *map(repr, row["values"].values())]


def _printable(name: str) -> str:
    """On one line."""
    if name.isprintable():
        return name
    return "".join(x if x.isprintable() else repr(x)[1:-1] for x in name)
