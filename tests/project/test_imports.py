"""Which part of the package may import which: read from the source, imports in functions too."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lossless

SOURCE = Path(lossless.__file__).parent
# The parts that may be imported by each part, besides itself, what is public, and the leaves.
ROOMS: dict[str, set[str]] = {
    "verification": set(),
    "scoring": set(),
    "bench": {"scoring", "verification"},
    "demo": {"scoring", "verification"},
}
FOR_TERMINALS = {"typer", "rich"}
NATIVE = {"lossless._core", "lossless._mlx", "lossless._xla"}
# From the bottom: a module imports those of its own layer and of the layers below, and no circle.
LAYERS = (
    {
        "_composed",
        "_docstrings",
        "_errors",
        "_files",
        "_problem",
        "_processes",
        "_threads",
        "_types",
        "_version",
    },
    {"_spec"},
    {"executors"},
    {"_check"},
    {"_dispatch"},
    {"_public"},
    {"losses"},
    {"_info", "lossless"},
    {"torch", "scoring", "verification"},
    {"bench", "demo"},
    {"cli"},
    {"__main__"},
)


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {name_of(path): path for path in SOURCE.rglob("*.py")}


@cache
def imports(module: str) -> set[str]:
    """The modules, of this package and others, that this one imports."""
    path = modules()[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: 1 - node.level or None] if node.level else []
            source = ".".join([*parts, *filter(None, [node.module])])
            names = {f"{source}.{alias.name}" for alias in node.names}
            submodules = names & (modules().keys() | NATIVE)
            found |= submodules | ({source} if len(submodules) < len(names) else set())
    return found


def test_imports_are_found() -> None:
    assert "lossless.bench.timing" in imports("lossless.bench.measure")
    assert "lossless.verification.formats" in imports("lossless.cli.verify")  # within a function
    assert "lossless.scoring.readers.csv" in imports("lossless.demo.csv")
    assert "numpy" in imports("lossless.scoring.totals")


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_nothing_from_above(room: str) -> None:
    others = {"cli", *ROOMS} - ROOMS[room] - {room}
    for module in modules():
        if module.split(".")[1:2] == [room]:
            parts = {name.split(".")[1] for name in imports(module) if name.startswith("lossless.")}
            assert not parts & others, f"{module} imports {parts & others}"
            packages = {name.split(".")[0] for name in imports(module)}
            assert not packages & FOR_TERMINALS, f"{module} imports {packages & FOR_TERMINALS}"


def layer(module: str) -> int:
    part = module.split(".")[1] if "." in module else module
    (found,) = (i for i, layer in enumerate(LAYERS) if part in layer)
    return found


def test_modules_import_from_below() -> None:
    for module in modules():
        own = {x for x in imports(module) if x.split(".")[0] == "lossless"} - NATIVE
        above = {name for name in own if layer(name) > layer(module)}
        assert not above, f"{module} imports {above}"


def test_package_has_no_circle_of_imports() -> None:
    graph = {module: imports(module) & modules().keys() for module in modules()}
    TopologicalSorter(graph).prepare()
