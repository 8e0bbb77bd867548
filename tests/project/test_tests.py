"""The rules for tests that CONTRIBUTING.md states, as far as a program can tell."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import TESTS

FILES = sorted(TESTS.rglob("*.py"))
# What tests share, and the programs behind make targets, is in these; all else is tests.
IMPORTED = {"support", "tables", "fuzz", "outside", "formula_errors"}
files = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))


def of_test_files(source: str) -> list[str]:
    """The imports of test files, by any of the names that they could have."""
    folders = {path.name for path in TESTS.iterdir() if path.is_dir()} - IMPORTED | {"tests"}
    return [
        name
        for name in imports(source)
        if name.split(".")[0] in folders or name.lstrip(".").startswith("test_")
    ]


def imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield "." * node.level + node.module
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + alias.name for alias in node.names)


@files
def test_no_test_file_is_imported(path: Path) -> None:
    assert [] == of_test_files(path.read_text())


def test_imports_of_test_files_are_seen() -> None:
    wrong = (
        "import test_a\nfrom rows.test_b import f\nfrom tests.rows import g\nfrom . import test_c"
    )
    right = "from support.rows.cases import f\nimport lossless.cli\nfrom .losses import LOSSES"
    assert ["test_a", "rows.test_b", "tests.rows", ".test_c"] == of_test_files(wrong)
    assert [] == of_test_files(right)


def test_folders_and_files_are_small() -> None:
    modules = Counter(path.parent for path in FILES)
    assert [] == [(folder.name, count) for folder, count in modules.items() if count > 15]
    lines = {path.name: len(path.read_text().splitlines()) for path in FILES}
    assert [] == [(name, count) for name, count in lines.items() if count > 400]


def is_constant(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return isinstance(node, ast.Name) and node.id.isupper()
    return True


def misplaced(source: str) -> list[str]:
    """Comparisons with a constant on their right, and functions that take `actual` first."""
    wrong: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            wrong += [part for part in asserted(node.test) if expects_on_the_right(part)]
        if isinstance(node, ast.FunctionDef):
            order = [x.arg for x in node.args.args if x.arg in ("expected", "actual")]
            wrong += [node.args] if order == ["actual", "expected"] else []
    return [ast.unparse(node) for node in wrong]


def asserted(test: ast.expr) -> Iterator[ast.expr]:
    """Not what is compared on the way, such as in a generator."""
    if isinstance(test, ast.BoolOp):
        for part in test.values:
            yield from asserted(part)
    else:
        yield test


def expects_on_the_right(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and all(isinstance(operator, ast.Eq) for operator in test.ops)
        and is_constant(test.comparators[-1])
        and not is_constant(test.left)
    )


@files
def test_what_is_expected_stands_on_the_left(path: Path) -> None:
    assert [] == misplaced(path.read_text())


def test_misplaced_expectations_are_seen() -> None:
    wrong = "assert f(x) == 1\nassert a or b == [-1, 'x']\nassert f(1) == NAMES\nassert a == b == 2"
    right = "assert 1 == f(x)\nassert all(x == 1 for x in y)\nassert x in y"
    assert 4 == len(misplaced(wrong))
    assert [] == misplaced(right)
    assert 1 == len(misplaced("def same(actual, expected, what): pass"))
    assert [] == misplaced("def same(expected, actual, what): pass")
