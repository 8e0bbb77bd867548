"""A short run of what `make fuzz` does at length, and that it would notice."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from fuzz import libraries
from fuzz.programs import draw
from fuzz.run import failures

SEED = int(os.environ.get("LOSSLESS_FUZZ_SEED", "17"))
# (library, compiler): programs, and calls of each.
SHORT = {
    ("numpy", ""): (120, 6),
    ("numpy_composed", ""): (60, 6),
    ("strict", ""): (60, 6),
    ("mlx", ""): (100, 6),
    ("mlx_composed", ""): (80, 6),
    ("torch", ""): (100, 6),
    ("torch_composed", ""): (50, 6),
    ("torch", "dynamic"): (2, 20),
    ("jax", "jit"): (4, 20),
    ("jax32", "jit"): (3, 20),
}


@pytest.mark.parametrize(("library", "compiler"), SHORT)
def test_any_call_is_the_loop_over_numpy(library: str, compiler: str) -> None:
    programs, calls = SHORT[library, compiler]
    found = [
        str(failure)
        for index in range(programs)
        for failure in failures(draw(SEED, index, library, compiler), calls)
    ]
    assert not found, "\n".join([*found[:3], f"{len(found)} of {programs} programs are wrong"])


@pytest.mark.parametrize("library", ["numpy", "torch", "torch_composed"])
@pytest.mark.parametrize("ulp", [20, 1e9])
def test_a_wrong_result_is_noticed(
    library: str, ulp: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values that are off, by little and by much, in nearly every program."""
    function = libraries.function

    def wrong(program: Any) -> Any:
        called = function(program)

        def call(*arrays: Any) -> Any:
            result, *others = called(*arrays)
            return (result * (1 + ulp * 2.0**-24 * (result == result.max())), *others)

        return call

    def noticed(index: int) -> bool:
        program = draw(SEED, index, library)
        return bool(list(failures(program, 12)))

    monkeypatch.setattr(libraries, "function", wrong)
    assert np.mean([noticed(index) for index in range(12)]) > 0.5


def test_an_error_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    program = draw(SEED, 0, "numpy")
    monkeypatch.setattr(libraries, "function", lambda _: broken)
    (failure,) = failures(program, 1)
    assert "broken" in str(failure)
    assert "--replay" in str(failure)
