"""The examples run, and show what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("name", ["jax_training.py", "mlx_training.py"])
def test_training(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    squared, huber = map(float, re.findall(r"mean error on new rows: ([\d.]+)", done.stdout))
    assert huber < 0.05 < 0.2 < squared


def test_every_example_is_tested() -> None:
    tests = Path(__file__).read_text()
    assert not [path.name for path in EXAMPLES.glob("*.py") if path.name not in tests]
