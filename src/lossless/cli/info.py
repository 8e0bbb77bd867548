"""`lossless info`: which implementation calls use on this machine, and why."""

from importlib import metadata
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import lossless

from ..bench.machine import machine
from ..verification.frameworks import FRAMEWORKS
from ._console import print_json, progress, results

NATIVE = {"_core": "the kernels", "_mlx": "for MLX's graphs", "_xla": "for JAX's programs"}


def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show versions, native modules, threads, and who computes on the arrays of each framework.

    Kernels round correctly; formulas are operations of the framework itself. Every installed
    framework is imported and tested; this takes seconds.

        lossless info

        lossless info --json | jq .backends.torch
    """
    library = lossless.info()
    document: dict[str, Any] = {
        **machine(),
        "numpy": library["numpy"],
        "losses": library["losses"],
        "instruction_sets": library["instruction_sets"],
        "native_modules": {name: _file(name) for name in NATIVE},
        "backends": _backends(library["backends"]),
    }
    if as_json:
        print_json(document)
    else:
        _print(results(), document)


def _file(module: str) -> str | None:
    spec = find_spec(f"lossless.{module}")
    return spec.origin if spec else None


def _backends(expected: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with progress() as bar:
        task = bar.add_task("", total=len(expected))
        for name, entry in expected.items():
            bar.update(task, description=name)
            found[name] = {"version": None, **entry}
            kind = FRAMEWORKS.get(name)
            if kind and kind.is_installed():
                found[name]["version"] = metadata.version(name)
                try:
                    found[name] |= kind().entry()
                except Exception as error:  # whatever a broken installation raises
                    reason = (str(error) or type(error).__name__).splitlines()[0]
                    why = f"its test failed: {reason}"
                    found[name] |= {"executor": "none", "why": why, "executors": []}
            bar.advance(task)
    return found


def _print(console: Console, document: dict[str, Any]) -> None:
    native = (
        f"{name} ({use})" if document["native_modules"][name] else f"no {name}"
        for name, use in NATIVE.items()
    )
    sets = ", ".join(document["instruction_sets"])
    rows = {
        "lossless": f"{document['lossless']}, Python {document['python']}, "
        f"NumPy {document['numpy']}",
        "losses": ", ".join(document["losses"]),
        "machine": f"{document['processor']}, {document['memory_gib']} GiB, {document['system']}",
        "threads": f"{document['threads']} (processors: {document['processors']})",
        "instruction set": f"{document['instruction_set']} (this processor runs {sets})",
        "native modules": ", ".join(native),
    }
    grid = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        grid.add_row(f"[bold]{name}[/]", escape(text))
    console.print(grid)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("arrays of", "version", "executor", "why"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "why")
    executors = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("arrays of", "executor", "device", "refuses"):
        executors.add_column(heading, overflow="fold", no_wrap=heading != "refuses")
    for name, backend in document["backends"].items():
        cells = name, backend["version"] or "", backend["executor"], backend["why"]
        table.add_row(*map(escape, cells))
        for row in backend["executors"]:
            executors.add_row(*map(escape, (name, *row.values())))
    console.print(table, executors)
