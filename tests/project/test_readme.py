"""The README: its order, its examples, its table of other libraries."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import Any

import pytest

from support import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_give_what_they_say(block: str) -> None:
    """An expression with a comment behind it has the value that the comment shows."""
    names: dict[str, Any] = {}
    lines = block.splitlines()
    shown = 0
    for statement in ast.parse(block).body:
        source = "\n".join(lines[statement.lineno - 1 : statement.end_lineno])
        if not isinstance(statement, ast.Expr) or "# " not in source:
            exec(compile(source, "README.md", "exec"), names)
            continue
        value = eval(compile(source.strip(), "README.md", "eval"), names)
        assert squeezed(source.partition("# ")[2]) == squeezed(repr(value))
        shown += 1
    assert shown


def test_sections_are_in_the_order_of_a_first_reading() -> None:
    """What it is, how to install it, a call for each framework; the evidence comes last."""
    expected = [
        "pip install", "import lossless as losses", "import lossless.torch", "import numpy",
        "make demo", "## Accuracy", "## What to know", "## The losses", "## Evidence", "## Links",
    ]  # fmt: skip
    assert expected == sorted(expected, key=README.index)
    first_screen = "\n".join(README.splitlines()[:40])
    assert "losses.huber_loss(predictions, targets)" in first_screen


def test_table_of_claims_has_the_rows_of_the_command() -> None:
    code = "import claims; print(*(claim.title for claim in claims.CLAIMS), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=ROOT / "benchmarks",
    )  # fmt: skip
    titles = re.findall(r"^\| ([^|]+) \| .*\| .* \|$", README, re.MULTILINE)
    table = titles[titles.index(done.stdout.splitlines()[0]) :]
    assert table == done.stdout.splitlines()
