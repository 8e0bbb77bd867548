"""`lossless verify`: test the numerical contract on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from .._errors import UserError
from .._spec import LOSSES as SPECS
from .._spec import RowLossSpec
from ..bench.machine import machine
from ..verification.frameworks import FRAMEWORKS
from . import _frameworks, _losses
from ._console import print_json, progress, results
from ._frameworks import BackendOption
from ._losses import with_parameters
from ._options import DigitsOption

if TYPE_CHECKING:
    from ..verification.judge import Tallies
    from ..verification.tasks import Setting, Task

NAMES = tuple(sorted(n for n, spec in SPECS.items() if not isinstance(spec, RowLossSpec)))
DTYPES = ("float16", "bfloat16", "float32", "float64")
# Loss, parameters, dtype, framework, executor.
Key = tuple[str, tuple[tuple[str, float], ...], str, str, str]


@with_parameters
def verify(
    loss: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(NAMES)}; may be repeated.  [default: all]",
            show_default=False,
        ),
    ] = None,
    backend: BackendOption = None,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="kernels or formulas.  [default: both]",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(DTYPES)}; may be repeated.  [default: all]",
            show_default=False,
        ),
    ] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Test every float32 input, which takes hours.")
    ] = False,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Test every N-th float32 input.  [default: 16411; with --exhaustive 1]",
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    digits: DigitsOption = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **parameters: float | None,
) -> None:
    """Compare the element-wise losses with a reference, and report whether they meet the contract.

    The reference is the definition of the loss, in long double with an error bound, and in mpmath
    wherever this bound does not decide the rounding. The inputs are all float16 and bfloat16
    numbers, float32 numbers at equal steps of their bits, random float64 numbers, and special
    values. The targets are 0, or labels for losses of labels. The kernels are also tested with
    random pairs of inputs and targets, and with pairs that are hard to round. The exit code is 1
    if a result breaks the contract (docs/numerics.md).

        lossless verify

        lossless verify --loss huber --delta 0.1 --backend torch --dtype float32 --exhaustive
    """
    from ..verification.formats import FORMATS
    from ..verification.tasks import EXECUTORS, tasks

    settings = _settings(loss, parameters, stride, exhaustive=exhaustive)
    backends = tuple(_frameworks.chosen(backend))
    if executor not in (None, *EXECUTORS):
        raise UserError(f"--executor must be one of {', '.join(EXECUTORS)}, got {executor}")
    for name in dtype or []:
        if name not in FORMATS:
            raise UserError(f"--dtype must be one of {', '.join(DTYPES)}, got {name}")
    formats = [fmt for name, fmt in FORMATS.items() if name in (dtype or DTYPES)]
    chosen = EXECUTORS if executor is None else (executor,)
    every_task = list(tasks(settings, formats, backends, chosen, exhaustive=exhaustive))
    start = time.perf_counter()
    found = _run(every_task, spread=exhaustive or len(settings) > 1)
    document = _document(found, time.perf_counter() - start, exhaustive)
    if as_json:
        print_json(document)
    elif markdown:
        _print_markdown(document, digits)
    else:
        _print(document, digits)
    if not document["holds"]:
        raise typer.Exit(1)


def _settings(
    names: list[str] | None,
    parameters: Mapping[str, float | None],
    stride: int | None,
    *,
    exhaustive: bool,
) -> list[Setting]:
    """The losses with the given parameters; without any, `exhaustive` adds other parameters."""
    from ..verification import tasks as _tasks
    from ..verification.losses import LOSSES

    chosen = list(dict.fromkeys(_losses.known(name, NAMES) for name in names or LOSSES))
    given = {name: value for name, value in parameters.items() if value is not None}
    for parameter in given:
        if not any(parameter in LOSSES[name].parameters for name in chosen):
            raise UserError(f"--{parameter}: {', '.join(chosen)} has no such parameter")
    own = {one.name: one.parameters for one in _losses.chosen(None, parameters)}
    stride = stride or (1 if exhaustive else _tasks.STRIDE)
    settings = [(name, dict(own.get(name, LOSSES[name].parameters)), stride) for name in chosen]
    if exhaustive and not given:
        for name in chosen:
            others = LOSSES[name].settings[1:2]
            settings += [(name, other, max(stride, _tasks.OTHER_STRIDE)) for other in others]
    return settings


def _run(every_task: list[Task], *, spread: bool) -> dict[Key, Tallies]:
    from ..verification.judge import tallies
    from ..verification.pool import finished

    # In this order, whichever task finishes first.
    found: dict[Key, Tallies] = {
        (task.loss, task.parameters, task.fmt, framework, executor): tallies()
        for task in every_task
        for framework, executors in task.executors
        for executor in executors
    }
    with progress() as bar, finished(every_task, spread=spread) as every_result:
        judging = bar.add_task("", total=sum(task.size for task in every_task))
        for task, parts in every_result:
            described = " ".join([task.loss, task.fmt, task.kind])
            bar.update(judging, description=described, advance=task.size)
            for (framework, executor), judged in parts.items():
                into = found[task.loss, task.parameters, task.fmt, framework, executor]
                for output, tally in judged.items():
                    into[output].add(tally)
    return {key: judged for key, judged in found.items() if judged["value"].results}


def _document(found: dict[Key, Tallies], seconds: float, exhaustive: bool) -> dict[str, Any]:
    from ..verification.formats import FORMATS
    from ..verification.losses import LOSSES
    from ..verification.promises import bounds, executors, promised

    rows: list[dict[str, Any]] = [
        {
            "loss": loss,
            "parameters": dict(parameters),
            "dtype": dtype,
            "backend": framework,
            "executor": executor,
            "contract": promised(
                bounds(executors(framework)[executor].promise, LOSSES[loss], FORMATS[dtype])
            ),
            "outputs": {
                output: {
                    "results": tally.results,
                    "not_correctly_rounded": tally.wrong,
                    "beyond_contract": tally.broken,
                    "worst_ulp": tally.worst,
                }
                for output, tally in judged.items()
            },
            "examples": [example for t in judged.values() for example in t.examples if t.broken],
        }
        for (loss, parameters, dtype, framework, executor), judged in found.items()
    ]
    broken = sum(out["beyond_contract"] for row in rows for out in row["outputs"].values())
    backends = dict.fromkeys(row["backend"] for row in rows)
    return {
        "machine": machine(),
        "versions": {name: metadata.version(name) for name in backends},
        "exhaustive": exhaustive,
        "seconds": round(seconds, 1),
        "results": sum(out["results"] for row in rows for out in row["outputs"].values()),
        "beyond_contract": broken,
        "holds": not broken,
        "rows": rows,
    }


HEADINGS = (
    "loss", "dtype", "executor", "arrays of", "results", "not correctly rounded",
    "worst ULP: value", "gradient", "second derivative", "contract", "verdict",
)  # fmt: skip
# In Markdown, such a column is a line above the table if its cells are equal.
CONDITIONS = ("dtype", "executor", "arrays of", "contract", "verdict")


def _cells(document: dict[str, Any], digits: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table: frameworks with the same numbers share one."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for row in document["rows"]:
        outputs = row["outputs"].values()
        parameters = (f"{name}={value:g}" for name, value in row["parameters"].items())
        total, wrong, broken = (
            sum(output[count] for output in outputs)
            for count in ("results", "not_correctly_rounded", "beyond_contract")
        )
        worst = (_ulp(output["worst_ulp"], digits) for output in outputs)
        key = (
            " ".join([row["loss"], *parameters]), row["dtype"], row["executor"],
            f"{total:,}", f"{wrong:,}", *worst, row["contract"],
            f"BROKEN by {broken:,}" if broken else "met",
        )  # fmt: skip
        shared.setdefault(key, []).append(FRAMEWORKS[row["backend"]].title)
    for key, titles in shared.items():
        yield (*key[:3], ", ".join(titles), *key[3:])


def _ulp(x: float, digits: int) -> str:
    """One digit before the point, so that decimals are aligned."""
    return f"{x:.{max(digits - 1, 1)}f}" if x < 1000 else f"{x:.{digits}g}"


def _conditions(document: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    here = document["machine"]
    return (
        f"lossless {here['lossless']}, {versions}; Python {here['python']}; {here['processor']}, "
        f"{here['instruction_set']}, {here['system']}"
    )


def _print(document: dict[str, Any], digits: int) -> None:
    """A block for each dtype, executor, contract and set of frameworks; all fit 80 columns."""
    console = results()
    blocks: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for loss, dtype, executor, arrays, *numbers, contract, verdict in _cells(document, digits):
        blocks.setdefault((dtype, executor, arrays, contract), []).append((loss, *numbers, verdict))
    for (dtype, executor, arrays, contract), rows in sorted(blocks.items(), key=_order):
        heading = f"[bold]{dtype}, {executor}[/]: {escape(arrays)}; {escape(contract)}"
        console.print(heading, soft_wrap=not console.is_terminal)
        console.print(_block(rows))
        console.print()
    terminal = console.is_terminal
    console.print("value, grad, hess: largest error in ULP (hess: of the second derivative)")
    for row in document["rows"]:
        for example in row["examples"]:
            console.print(escape(example), style="red", soft_wrap=not terminal)
    console.print(escape(_conditions(document)), soft_wrap=not terminal)
    verdict = "[green]met[/]" if document["holds"] else "[bold red]broken[/]"
    console.print(
        f"{document['results']:,} results in {document['seconds']:.0f} s: the contract is {verdict}"
    )


def _order(block: tuple[tuple[str, ...], Any]) -> tuple[int, bool]:
    (dtype, executor, *_), _ = block
    return DTYPES.index(dtype), executor != "kernels"


def _block(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("loss", overflow="fold")
    for heading in ("results", "misrounded", "value", "grad", "hess"):
        table.add_column(heading, justify="right", no_wrap=True)
    for *cells, verdict in rows:
        table.add_row(*map(escape, cells), style="" if verdict == "met" else "red")
        if verdict != "met":
            table.add_row(f"  {verdict}", style="bold red")
    return table


def _print_markdown(document: dict[str, Any], digits: int) -> None:
    rows = [HEADINGS, *_cells(document, digits)]
    shared = {
        heading: cells[0]
        for heading, *cells in zip(*rows, strict=True)
        if heading in CONDITIONS and len(set(cells)) == 1
    }
    columns = [number for number, heading in enumerate(HEADINGS) if heading not in shared]
    heading, *lines = ["| " + " | ".join(row[number] for number in columns) + " |" for row in rows]
    above = "; ".join(f"{name}: {cell}" for name, cell in shared.items())
    rule = "|---" * len(columns) + "|"
    print("\n".join([above, "", heading, rule, *lines, "", _conditions(document)]))
