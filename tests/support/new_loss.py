"""Adds the loss of tests/project/new_loss to a copy of the project, in the steps of CONTRIBUTING.

python tests/support/new_loss.py FOLDER    copies the whole project there, and adds the loss
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

NAME = "pinball"
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "project" / "new_loss"
# The whole files, and where they go.
FORMULAS, REFERENCE, KERNEL = (
    f"losses/{NAME}.py",
    f"verification/losses/{NAME}.py",
    f"kernels/losses/{NAME}.h",
)
NOT_COPIED = (".*", "build", "dist", "__pycache__", "*.egg-info", "*.so")


def add_to_package(package: Path) -> None:
    """Two files, and two lines in a third one: the import, and the name in `__all__`."""
    for file in (FORMULAS, REFERENCE):
        shutil.copy(SOURCE / file, package / file)
    losses = package / "losses" / "__init__.py"
    _add_line(losses, f"from .{NAME} import {NAME}_loss", r"from \.\w+ import \w+")
    _add_line(losses, f'    "{NAME}_loss",', r'    "\w+",')


def add_executor(package: Path) -> None:
    """One file in the package of its framework, an import, and its place in the list."""
    folder = package / "executors" / "numpy"
    shutil.copy(SOURCE / "executors" / "float32_sums.py", folder)
    framework = folder / "__init__.py"
    _replace(framework, "from .arrays import ARRAYS\n", "from .float32_sums import Float32Sums\n")
    _replace(framework, "ARRAYS, (", "Float32Sums(_FORMULAS), ")


def add_to_project(root: Path) -> None:
    """All of it: the package, the kernel, a line of the changelog, the name in the README."""
    add_to_package(root / "src" / "lossless")
    shutil.copy(SOURCE / KERNEL, root / "src" / KERNEL)
    _replace(root / "CHANGELOG.md", "### Losses\n\n", f"- `{NAME}_loss`, of quantiles.\n")
    _replace(root / "README.md", "| `huber_loss`, ", f"`{NAME}_loss`, ")


def _add_line(file: Path, line: str, pattern: str) -> None:
    """Among the lines of the same pattern, in their order."""
    lines = file.read_text().splitlines()
    places = [i for i, other in enumerate(lines) if re.fullmatch(pattern, other)]
    after = next((i for i in places if lines[i] > line), places[-1] + 1)
    file.write_text("\n".join([*lines[:after], line, *lines[after:], ""]))


def _replace(file: Path, before: str, added: str) -> None:
    """Add a text behind another one, which is there once."""
    text = file.read_text()
    if 1 != text.count(before):
        raise ValueError(f"{file} has {before!r} {text.count(before)} times, expected once")
    file.write_text(text.replace(before, before + added))


def main() -> None:
    (folder,) = sys.argv[1:]
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    add_to_project(Path(folder))


if __name__ == "__main__":
    main()
