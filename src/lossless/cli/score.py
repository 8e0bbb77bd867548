"""`lossless score`: the losses of files with predictions, of any size."""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from .. import _files
from .._errors import UserError
from ..scoring.readers.files import expand
from ..scoring.readers.table import TextFormat
from ..scoring.rows import Columns
from ..scoring.scores import Scores
from ..scoring.writer import FORMATS
from . import _losses
from ._console import print_json, progress, results
from ._losses import LossOption, with_parameters
from ._scores import Part, print_scores


class Reduction(StrEnum):
    """The reductions of the library."""

    mean = "mean"
    sum = "sum"
    weighted_mean = "weighted_mean"
    none = "none"


@with_parameters
def score(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Files, folders, patterns such as 'fold*.csv', or - (CSV)."
        ),
    ],
    inputs: Annotated[str, typer.Option(help="The column of the predictions.", metavar="COLUMN")],
    targets: Annotated[str, typer.Option(help="The column of the true values.", metavar="COLUMN")],
    loss: LossOption = None,
    weights: Annotated[
        str | None, typer.Option(help="A column of factors of the losses.", metavar="COLUMN")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="A column with the keys of groups; each group is scored. May be repeated.",
            metavar="COLUMN",
        ),
    ] = None,
    reduction: Annotated[
        Reduction,
        typer.Option(
            metavar="NAME",
            help="mean: the sum divided by the number of rows; weighted_mean: the sum divided by "
            "the sum of the weights; sum; none: the loss of each row, written to --output.",
        ),
    ] = Reduction.mean,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file for --reduction none: .csv or .parquet.",
        ),
    ] = None,
    digits: Annotated[
        int, typer.Option(min=1, max=17, metavar="N", help="Significant digits to print.")
    ] = 6,
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing", help="Skip rows with missing cells: empty, NaN, NA, null."),
    ] = False,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="The encoding of CSV files.  [default: UTF-8, or UTF-16 and UTF-32 with a mark]",
            metavar="NAME",
        ),
    ] = None,
    sep: Annotated[
        str | None, typer.Option(help="The separator of cells in CSV files.", metavar="CHAR")
    ] = None,
    decimal: Annotated[
        str, typer.Option(help="The decimal mark in CSV files: '.' or ','.", metavar="CHAR")
    ] = ".",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **parameters: list[float] | None,
) -> None:
    """Score predictions: compute the losses of two columns of a file.

    Reads CSV (also .csv.gz), Parquet, Arrow/Feather, NPY (also .npy.gz; columns are 0, 1, ...) and
    NPZ in pieces, so that files may be larger than the memory. The totals are those that the
    library returns for the whole columns. A cell that is not a number is an error that names the
    row. The names of folders such as city=Oslo are columns of the files inside.

        lossless score predictions.csv --inputs prediction --targets truth

        lossless score 'fold*.parquet' --inputs y_hat --targets y --loss huber --delta 0.5 --by city
    """
    columns = Columns(inputs, targets, weights, tuple(by or ()))
    losses = _losses.chosen(loss, parameters)
    _check(columns, reduction, output)
    form = TextFormat(encoding, "\t" if sep in ("\\t", "tab") else sep, decimal)
    paths = expand(files)
    scores = Scores(paths, columns, losses, form=form, skip_missing=skip_missing, output=output)
    with progress() as bar:
        task = bar.add_task("", total=len(paths))

        def advance(path: Path, done: float) -> None:
            bar.update(task, description=escape(path.name), completed=done)

        scores.read(advance)
    kept, skipped = (sum(column) for column in zip(*scores.counts, strict=True))
    one_by = columns.by[0] if len(columns.by) == 1 else list(columns.by) or None
    document: dict[str, Any] = {
        "inputs": inputs,
        "targets": targets,
        "weights": weights,
        "by": one_by,
        "reduction": reduction.value,
        "losses": [{"loss": x.name, "parameters": dict(x.parameters)} for x in losses],
        "files": [
            {"file": str(path), "rows": count, "skipped": missing}
            for path, (count, missing) in zip(paths, scores.counts, strict=True)
        ],
        "total": {"rows": kept, "skipped": skipped},
    }
    if output is not None:
        document["output"] = str(output)
    else:
        for number, row in enumerate(document["files"]):
            row["values"] = scores.of_files(reduction.value, [number])
        everything = list(range(len(paths)))
        document["total"]["values"] = scores.of_files(reduction.value, everything)

    def parts() -> Iterator[Part]:
        if by:
            return (Part(*group) for group in scores.of_groups(reduction.value))
        rows = document["files"]
        return (Part((row["file"],), row["rows"], row["values"]) for row in rows)

    def grouped() -> Iterator[dict[str, Any]]:
        one = len(columns.by) == 1
        for names, count, values in scores.of_groups(reduction.value):
            group = names[0] if one else dict(zip(columns.by, names, strict=True))
            yield {"group": group, "rows": count, "values": values}

    if as_json:
        print_json(document, **({"groups": grouped()} if by and output is None else {}))
        return
    console = results()
    total = document["total"]
    if output is not None:
        console.print(f"{kept:,} rows: [bold]{escape(str(output))}[/]", soft_wrap=True)
    else:
        title = f"{reduction.value} of the losses of {inputs} against {targets}"
        console.print(escape(title), soft_wrap=True)
        everything_else = [""] * (len(columns.by) - 1)
        whole = Part(("all", *everything_else), kept, total["values"])
        headings = list(columns.by) or ["file"]
        print_scores(console, reduction.value, headings, losses, parts, whole, digits)
    if skipped:
        console.print(f"{skipped:,} rows with missing cells were skipped", soft_wrap=True)


def _check(columns: Columns, reduction: Reduction, output: Path | None) -> None:
    for name, times in Counter(columns.by).items():
        if times > 1:
            raise UserError(f"--by {name} is given {times} times")
    if reduction is Reduction.weighted_mean and columns.weights is None:
        raise UserError("--reduction weighted_mean needs a column of weights: add --weights")
    if reduction is Reduction.none:
        if output is None:
            raise UserError("--reduction none writes the loss of each row: add --output FILE.csv")
        _files.check_path("--output", output, FORMATS)
    elif output is not None:
        raise UserError(f"--output {output}: holds the loss of each row: add --reduction none")
