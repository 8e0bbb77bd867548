"""`lossless bench`: value and gradient, side by side with every installed framework."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from importlib import metadata
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

import lossless

from .._errors import UserError
from .._files import check_path, replacing
from ..bench.machine import machine
from ..bench.measure import DTYPES, KERNEL, MEMORY, Measured, Work, measure
from ..bench.timing import Timing, significant
from ..verification.frameworks import FRAMEWORKS
from . import _frameworks, _losses
from ._console import print_json, progress, results, strict
from ._frameworks import BackendOption
from ._losses import LossOption, with_parameters
from ._options import DigitsOption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")
FAIRNESS = (
    "Every case computes the mean and its gradient on the CPU. Eager and compiled (mx.compile, "
    "torch.compile, jax.jit) calls are warm and take turns. Each framework has its own process. "
    "The times are medians, and half the distance between the quartiles.",
    "The memory pass reads two arrays and writes one on the threads of lossless, into warm "
    "memory, and so does the kernel. All others return new arrays, except for the NumPy formula, "
    "which writes into arrays that were allocated beforehand.",
    "lossless uses the number of threads below, the others their default: MLX runs most CPU "
    "operations on one thread, NumPy on one, PyTorch and XLA on all.",
    "Not all compute the same: log-cosh of the other libraries has few or no correct digits near "
    "0, and MLX's float32 mean drifts (make claims). Under torch.compile, lossless uses its "
    "formulas, not its kernels. PyTorch has no log-cosh; the usual formula with softplus takes "
    "its place.",
)


@with_parameters
def bench(
    loss: LossOption = None,
    n: Annotated[
        int, typer.Option("--n", help="The number of elements.", min=1, metavar="N")
    ] = 16_000_000,
    dtype: Annotated[str, typer.Option(help=f"{', '.join(DTYPES)}.", metavar="NAME")] = "float32",
    backend: BackendOption = None,
    seconds: Annotated[
        float,
        typer.Option(
            help="Time to measure each loss; at least five rounds.", min=0, metavar="NUMBER"
        ),
    ] = 20.0,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Show numbers of --save FILE.json, do not measure."
        ),
    ] = None,
    save: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help=".json, or a chart (.png, .svg, .pdf); may be repeated."),
    ] = None,
    digits: DigitsOption = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **parameters: float | None,
) -> None:
    """Time value and gradient of a mean: lossless against every installed framework's own loss.

    The times are for eager and compiled calls, next to the time that a memory pass takes. Close
    other programs.

        lossless bench

        lossless bench --loss huber --n 1000000 --save speed.json --save speed.png

        lossless bench --from speed.json --save speed.svg
    """
    chosen = _losses.chosen(loss, parameters)
    if dtype not in DTYPES:
        raise UserError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype}")
    backends = _frameworks.chosen(backend)
    for path in save or []:
        check_path("--save", path, (".json", *PICTURES))
    if source is not None:
        document = _kept(source)
    else:
        work = [Work(one, n, dtype, lossless.info()["threads"]) for one in chosen]
        document = _document(_measured(work, backends, seconds), n, dtype, backends)
    for path in save or []:
        _save(document, path)
    if as_json:
        print_json(document)
    else:
        _print(document, digits)


def _measured(work: list[Work], backends: list[str], seconds: float) -> list[Measured]:
    found: list[Measured] = []
    with progress() as bar:
        task = bar.add_task("", total=len(work))
        for number, one in enumerate(work):

            def tell(doing: str, part: float, number: int = number) -> None:
                bar.update(task, description=doing, completed=number + part)

            found += measure(one, backends, seconds, tell)
    return found


def _kept(path: Path) -> dict[str, Any]:
    """The document that an earlier run saved."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--from {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"--from {path}: is not JSON: {error}") from None
    needed = {"machine", "versions", "elements", "dtype", "what", "rows"}
    if not isinstance(document, dict) or not needed <= document.keys():
        raise UserError(f"--from {path}: was not written by lossless bench --save")
    return document


def _document(
    found: list[Measured], elements: int, dtype: str, backends: list[str]
) -> dict[str, Any]:
    medians = {(x.loss.name, x.key): x.timing.median for x in found if x.timing}
    rows = []
    for case in found:
        backend, who, mode = case.key
        ratios: dict[str, float | None] = {"of_memory_pass": None, "of_lossless": None}
        if case.timing:
            name, median = case.loss.name, case.timing.median
            ours = medians.get((name, (backend, "lossless", mode)))
            ratios["of_memory_pass"] = median / medians[name, MEMORY]
            ratios["of_lossless"] = median / ours if ours and who != "lossless" else None
        rows.append(
            {
                "loss": case.loss.name,
                "parameters": dict(case.loss.parameters),
                "arrays": backend,
                "implementation": who,
                "mode": mode or None,
                "seconds": asdict(case.timing) if case.timing else None,
                **ratios,
                "failure": case.failure,
            }
        )
    packages = [*backends, *(["optax"] if "jax" in backends else [])]
    return {
        "machine": machine(),
        "versions": {name: _version(name) for name in packages if _version(name)},
        "elements": elements,
        "dtype": dtype,
        "what": "value (mean) and gradient",
        "fairness": list(FAIRNESS),
        "rows": rows,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _save(document: dict[str, Any], path: Path) -> None:
    if path.suffix.lower() == ".json":
        with replacing("--save", path) as name:
            Path(name).write_text(
                json.dumps(strict(document), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    else:
        from . import _plot_style

        _plot_style.save(_chart(document), "--save", path)


def _title(row: dict[str, Any]) -> str:
    arrays, who, mode = row["arrays"], row["implementation"], row["mode"]
    if (arrays, who) == MEMORY[:2]:
        return "memory pass"
    if arrays == KERNEL[0]:
        return "kernel"
    return f"{FRAMEWORKS[arrays].title}: {who}" + (f", {mode}" if mode == "compiled" else "")


def _conditions(document: dict[str, Any]) -> str:
    here = document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return (
        f"lossless {here['lossless']}, {versions}; Python {here['python']}; {here['processor']}, "
        f"{here['threads']} threads, {here['instruction_set']}, {here['memory_gib']} GiB, "
        f"{here['system']}"
    )


def _print(document: dict[str, Any], digits: int) -> None:
    console = results()
    terminal = console.is_terminal
    for loss in dict.fromkeys(row["loss"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["loss"] == loss]
        settings = (f"{name}={value:g}" for name, value in rows[0]["parameters"].items())
        console.print(
            f"[bold]{' '.join([loss, *settings])}[/], {document['dtype']}, "
            f"N = {document['elements']:,}: {document['what']}"
        )
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for heading in ("", "time", "÷ memory", "÷ lossless"):
            justify: Any = "right" if heading else "left"
            table.add_column(heading, justify=justify)
        for row in rows:
            if row["seconds"]:
                table.add_row(escape(_title(row)), *_numbers(row, digits))
        console.print(table)
        for row in rows:
            if not row["seconds"]:
                failure = escape(f"{_title(row)} fails: {row['failure']}")
                console.print(failure, soft_wrap=not terminal)
    for sentence in FAIRNESS:
        console.print(sentence, style="dim", soft_wrap=not terminal)
    console.print(escape(_conditions(document)), soft_wrap=not terminal)


def _numbers(row: dict[str, Any], digits: int) -> list[str]:
    ratios = (row["of_memory_pass"], row["of_lossless"])
    return [
        Timing(**row["seconds"]).text(digits),
        *("" if x is None else significant(x, digits) for x in ratios),
    ]


def _chart(document: dict[str, Any]) -> Figure:
    """Times as points, a panel for each loss, with a line at the time of the memory pass.

    On a logarithmic axis, the length of a bar would mean nothing.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from . import _plot_style

    rows = [row for row in document["rows"] if row["seconds"]]
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    most = max(sum(row["loss"] == loss for row in rows) for loss in losses)
    across = min(2, len(losses))
    down = math.ceil(len(losses) / across)
    with rc_context(_plot_style.SETTINGS):
        size = 5.5 * across, 0.4 + (1 + 0.27 * most) * down
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).flat
        for axes, loss in zip_longest(panels, losses):
            if loss is None:
                axes.set_axis_off()
                continue
            cases = [row for row in rows if row["loss"] == loss and row["arrays"] != MEMORY[0]]
            times = [1e3 * row["seconds"]["median"] for row in cases]
            ours = [row["implementation"] == "lossless" for row in cases]
            colours = [_plot_style.COLOURS[0] if own else _plot_style.COLOURS[1] for own in ours]
            places = range(len(cases))
            for place, time, colour, own in zip(places, times, colours, ours, strict=True):
                axes.plot(time, place, "o" if own else "D", color=colour, ms=7 if own else 5.5)
            axes.set_yticks(places, [_title(row) for row in cases])
            axes.set_ylim(len(cases) - 0.4, -0.6)
            _plot_style.grid(axes)
            for place, time in zip(places, times, strict=True):
                axes.annotate(
                    significant(time, 3), (time, place), (7, 0), textcoords="offset points",
                    va="center", fontsize=8,
                )  # fmt: skip
            limit = next(
                1e3 * row["seconds"]["median"]
                for row in rows
                if row["loss"] == loss and row["arrays"] == MEMORY[0]
            )
            axes.axvline(limit, color=_plot_style.INK, ls="--", lw=1.2)
            axes.set_xscale("log")
            lowest, highest = min(limit, *times), max(limit, *times)
            room = (highest / lowest) ** 0.2  # for the last number
            axes.set_xlim(lowest / 1.5, highest * max(2, room))
            axes.set_xlabel("ms (log scale); dashed: memory pass")
            axes.set_title(loss, loc="left")
        figure.suptitle(
            f"{document['what']}, {document['dtype']}, N = {document['elements']:,}; "
            f"{document['machine']['processor']}, {document['machine']['threads']} threads",
            fontsize=10,
        )
    return figure
