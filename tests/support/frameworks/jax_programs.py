"""The text of JAX's compiled programs."""

from __future__ import annotations

import re
from typing import Any

import jax


def text(function: Any, *arguments: Any) -> str:
    compiled = str(jax.jit(function).lower(*arguments).compile().as_text())
    return compiled[compiled.index("ENTRY") :]


def collectives(program: Any, *arguments: Any) -> dict[str, int]:
    """How many there are in the compiled text."""
    text = program.lower(*arguments).compile().as_text()
    names = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
    found = {name: len(re.findall(rf"{name}(?:-start)?\(", text)) for name in names}
    return {name: count for name, count in found.items() if count}
