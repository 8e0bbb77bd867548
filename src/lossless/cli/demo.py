"""`lossless demo`: a linear model, trained with three losses, on data with outliers."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from .._errors import UserError
from .._files import check_path
from ..demo.datasets import Dataset, belgian_calls, from_file
from ..verification.frameworks import FRAMEWORKS, Framework
from . import _frameworks
from ._console import results

if TYPE_CHECKING:
    from ..demo.fits import Fit, Regression

Vector = NDArray[np.float64]
# MLX first, whose losses these replace; then frameworks with automatic differentiation.
PREFERRED = ("mlx", "torch", "jax", "numpy")
# A residual of the Huber fit is "far" if it exceeds the median residual by this factor: three
# standard deviations, if the residuals were normal.
FAR = 4.5


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Your CSV file, with a header.", metavar="FILE.csv")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(help="A column to predict from; may be repeated.", metavar="COLUMN"),
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="The column to predict.", metavar="COLUMN")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="The distance from the fit at which a residual counts as large, in the units of "
            "the targets.  [default: the median distance from the Huber fit]",
            show_default=False,
        ),
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(PREFERRED)}.  [default: the first that is installed]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The picture: .png, .svg or .pdf."),
    ] = Path("lossless-demo.png"),
) -> None:
    """Train a linear model with squared error, Huber and log-cosh, and show what outliers do.

    Without options, the data are the international telephone calls from Belgium, 1950 to 1973,
    where some years count minutes instead of calls. To use your own file:

        lossless demo --data houses.csv --inputs area --inputs rooms --targets price
    """
    from ..demo import fits as _fits
    from ..demo import plot as demo_plot

    if delta is not None and not 0 < delta < np.inf:
        raise UserError(f"--delta must be a finite number > 0, got {delta:g}")
    check_path("--output", output, demo_plot.FORMATS)
    if data is not None:
        chosen = from_file(data, inputs or [], targets)
    elif inputs or targets:
        raise UserError("--inputs and --targets name columns of a file: add --data FILE.csv")
    else:
        chosen = belgian_calls()
    problem = _fits.Regression(chosen.inputs, chosen.targets, chosen.names)
    trainer = _framework(framework)
    console = results()
    used, origin = (delta, "") if delta is not None else problem.default_delta()
    _introduce(console, chosen, used, origin, trainer)
    fits = _train(console, problem, used, trainer)

    far = _far(chosen, fits[1])
    console.print(_table(chosen, fits))
    _conclude(console, chosen, far)
    if chosen.clean is None:
        marked, meaning = far, ("data", "far from the Huber fit")
    else:
        marked, meaning = ~chosen.clean, ("calls", "counted in minutes, at least in part")
    figure = demo_plot.draw(
        fits,
        chosen.inputs,
        chosen.targets,
        marked,
        labels=chosen.labels,
        meaning=meaning,
        title=chosen.title,
    )
    demo_plot.save(figure, output)
    console.print(f"Picture: [bold]{escape(str(output))}[/]", soft_wrap=True)


def _framework(name: str | None) -> Framework:
    if name is not None:
        _frameworks.check("--framework", name, PREFERRED)
    chosen = name or next(name for name in PREFERRED if FRAMEWORKS[name].is_installed())
    try:
        trainer = FRAMEWORKS[chosen]()
        trainer.entry()
    except Exception as error:  # whatever a broken installation, or an old version, raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{FRAMEWORKS[chosen].title} cannot be used: {reason}") from None
    return trainer


def _introduce(
    console: Console, data: Dataset, delta: float, origin: str, trainer: Framework
) -> None:
    formula = escape(
        f"{data.target} ≈ intercept + {' + '.join(f'slope · {n}' for n in data.names)}"
    )
    console.print(f"\n[bold]{escape(data.title)}[/], {len(data.targets):,} rows")
    console.print(f"Model: {formula}")
    console.print(f"Trained in float64 with {trainer.title} {trainer.version}")
    console.print(f"delta = {delta:g}{origin and ', ' + origin}\n")


def _train(
    console: Console, problem: "Regression", delta: float, trainer: Framework
) -> "list[Fit]":
    from ..demo.fits import FITTED

    columns = (
        TextColumn("training with {task.description:13}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[steps]}"),
    )
    fits = []
    with Progress(*columns, console=console) as progress:
        for loss in FITTED:
            task = progress.add_task(loss, total=1.0, steps="")
            fit = problem.train(loss, delta, trainer, partial(_advance, progress, task))
            progress.update(task, steps=_count(fit.steps, "step"))
            fits.append(fit)
    return fits


def _advance(progress: Progress, task: TaskID, part: float) -> None:
    progress.update(task, completed=part)


def _table(data: Dataset, fits: "list[Fit]") -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", overflow="fold")
    for fit in fits:
        table.add_column(fit.loss, justify="right")
    for k, name in enumerate(data.names):
        table.add_row(f"slope of {escape(name)}", *(_digits(fit.slopes[k]) for fit in fits))
    table.add_row("intercept", *(_digits(fit.intercept) for fit in fits))
    errors = [_distance(data, fit) for fit in fits]
    table.add_row("mean |error|", *(_digits(error.mean()) for error in errors))
    table.add_row("median |error|", *(_digits(np.median(error)) for error in errors))
    if data.clean is not None:
        clean = [f"[bold]{_digits(error[data.clean].mean())}[/]" for error in errors]
        table.add_row("[bold]mean |error|, clean years[/]", *clean)
    return table


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _distance(data: Dataset, fit: "Fit") -> Vector:
    """The distances of the rows from the fit, 0 if they are below its uncertainty."""
    distance = np.abs(data.targets - fit(data.inputs))
    return np.where(distance > fit.noise, distance, 0.0)


def _digits(x: float) -> str:
    """Four digits, or all that are before the point."""
    x = float(f"{x:.3e}") if abs(x) < 1e3 else x  # 0.99999 has as many digits as 1
    if x == 0 or not 1e-4 <= abs(x) < 1e12:
        return f"{x:.3e}" if x else "0"
    return f"{x:,.{max(0, 3 - math.floor(math.log10(abs(x))))}f}"


def _far(data: Dataset, fit: "Fit") -> NDArray[np.bool_]:
    distance = _distance(data, fit)
    return distance > FAR * float(np.median(distance))


def _conclude(console: Console, data: Dataset, far: NDArray[np.bool_]) -> None:
    if data.clean is None:
        console.print(
            f"{_count(int(far.sum()), 'row')} at more than {FAR:g} times the median distance from "
            "the Huber fit: outliers, if the model is correct.\n"
        )
        return
    design = np.column_stack([np.ones(data.clean.sum()), data.inputs[data.clean]])
    (_, slope), *_ = np.linalg.lstsq(design, data.targets[data.clean])
    console.print(
        "The years 1963 to 1970 count minutes, at least in part; the losses do not know this. "
        f"Least squares on the other {data.clean.sum()} years finds a growth of {slope:.3g} "
        "million calls a year.\n"
    )
