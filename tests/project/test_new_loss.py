"""A loss that MLX lacks is added to a copy of the package, in the steps of CONTRIBUTING.

It has no kernel here, where nothing is compiled: `make new-loss` is the same with its kernel.
"""

from __future__ import annotations

import difflib
import filecmp
import json
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import lossless
from support import ROOT, TESTS
from support.new_loss import (
    FORMULAS,
    KERNEL,
    REFERENCE,
    add_executor,
    add_to_package,
    add_to_project,
)

PROGRAMS = TESTS / "project" / "new_loss"
PACKAGE = Path(lossless.__file__).parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and the new loss."""
    folder = copied(tmp_path_factory.mktemp("copy"))
    add_to_package(folder / "lossless")
    return folder


def copied(folder: Path) -> Path:
    """The folder, with the package and its native modules in it."""
    shutil.copytree(PACKAGE, folder / "lossless", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_core", "_mlx", "_xla"):
        module = native(name)
        shutil.copy(module, folder / "lossless" / module.name)
    return folder


def native(name: str) -> Path:
    """Where a native module is: an editable installation has it in a folder of its own."""
    folders = [PACKAGE, *(Path(path) / "lossless" for path in sys.path)]
    files = (folder / f"{name}{suffix}" for folder in folders for suffix in EXTENSION_SUFFIXES)
    return next(file for file in files if file.is_file())


def run(copy: Path, *arguments: str | Path) -> str:
    """What Python prints with the copy first on the path.

    Without `site` (-S), the finder of an editable installation is not there to come before it.
    """
    path = os.pathsep.join([str(copy), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, "LOSSLESS_NUM_THREADS": "2", "COLUMNS": "80"},
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("program", ["package", "arrays"])
def test_new_loss(copy: Path, program: str) -> None:
    assert f"{program}: as expected\n" == run(copy, PROGRAMS / f"{program}.py")


def test_new_loss_keeps_the_contract(copy: Path) -> None:
    """By `lossless verify`, on the arrays of each framework, in each dtype."""
    command = ["-m", "lossless", "verify", "--loss", "pinball", "--stride", "10000019", "--json"]
    found = json.loads(run(copy, *command))
    assert found["holds"]
    assert {"formulas"} == {row["executor"] for row in found["rows"]}
    assert 16 == len({(row["backend"], row["dtype"]) for row in found["rows"]})


def test_places_of_a_new_loss(copy: Path, tmp_path: Path) -> None:
    """Three files of one name, and a line or two in each of three lists."""
    shutil.copytree(PACKAGE.parent, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / file, tmp_path)
    add_to_project(tmp_path)
    new, changed = changes(ROOT, tmp_path)
    assert {f"src/lossless/{FORMULAS}", f"src/lossless/{REFERENCE}", f"src/{KERNEL}"} == new
    lists = {"src/lossless/losses/__init__.py": 2, "README.md": 1, "CHANGELOG.md": 1}
    assert lists == changed


def test_new_executor(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    add_executor(copy / "lossless")
    assert "executor: as expected\n" == run(copy, PROGRAMS / "executor.py")
    new, changed = changes(PACKAGE, copy / "lossless")
    assert {"executors/numpy/float32_sums.py"} == new
    assert {"executors/numpy/__init__.py": 2} == changed


def changes(before: Path, after: Path) -> tuple[set[str], dict[str, int]]:
    """The new files, and the number of new lines in each changed one."""
    new, changed = set(), {}
    for path in after.rglob("*.*"):
        name = path.relative_to(after).as_posix()
        if path.is_dir() or path.suffix in (".so", ".pyc"):
            continue
        if not (before / name).exists():
            new.add(name)
        elif lines := added(before / name, path):
            changed[name] = lines
    return new, changed


def added(before: Path, after: Path) -> int:
    if filecmp.cmp(before, after, shallow=False):
        return 0
    old, new = (path.read_text().splitlines() for path in (before, after))
    lines = difflib.ndiff(old, new)
    return sum(line.startswith("+ ") for line in lines)
