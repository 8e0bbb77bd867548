"""Runs programs, and says what was wrong in a way that can be run again."""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuzz import data, libraries
from fuzz.judge import complaint
from fuzz.programs import Program, draw
from fuzz.reference import expected

# (library, compiler): the share of all calls, and how many calls a program gets, since to compile
# takes seconds.
SHARES = {
    ("numpy", ""): (240, 12),
    ("numpy_composed", ""): (100, 12),
    ("strict", ""): (80, 12),
    ("mlx", ""): (180, 12),
    ("mlx_composed", ""): (100, 12),
    ("torch", ""): (120, 12),
    ("torch_composed", ""): (80, 12),
    ("mlx", "compile"): (5, 500),
    ("mlx", "shapeless"): (10, 500),
    ("mlx_composed", "compile"): (5, 500),
    ("mlx_composed", "shapeless"): (15, 500),
    ("torch", "compile"): (5, 800),
    ("torch", "dynamic"): (10, 800),
    ("torch_composed", "dynamic"): (5, 800),
    ("jax", "jit"): (20, 200),
    ("jax", ""): (1, 30),
    ("jax_composed", "jit"): (10, 200),
    ("jax32", "jit"): (10, 200),
    ("jax32_composed", "jit"): (5, 200),
}


@dataclass(frozen=True)
class Failure:
    """A call that was wrong."""

    program: Program
    number: int
    text: str

    @property
    def kind(self) -> str:
        drawn = self.program
        last = self.text.strip().splitlines()[-1].partition(" in ")[0]
        return (
            f"{drawn.spec.name} {drawn.library.name} {drawn.compiler or 'eager'} {drawn.base}"
            f"{' vmap' * drawn.mapped}: {last[:60]}"
        )

    def __str__(self) -> str:
        seed, index = self.program.seed
        return (
            f"{self.text}\n  {self.program}\n  call {self.number}, sizes of {self.program.sizes}\n"
            f"  again: make fuzz ARGS='--replay {seed}:{index}'"
        )


def chosen(seed: int, index: int) -> tuple[str, str, int]:
    """Library, compiler and number of calls of a program."""
    kinds = list(SHARES)
    rates = np.array([share / calls for share, calls in SHARES.values()])
    rng = np.random.default_rng([seed, index, 7])
    library, compiler = kinds[int(rng.choice(len(kinds), p=rates / rates.sum()))]
    return library, compiler, SHARES[library, compiler][1]


def program(seed: int, index: int) -> tuple[Program, int]:
    library, compiler, calls = chosen(seed, index)
    return draw(seed, index, library, compiler), calls


def failures(program: Program, calls: int) -> Iterator[Failure]:
    """The first wrong call of a program, if there is one."""
    warnings.simplefilter("ignore")
    with libraries.path(program):
        try:
            function = libraries.function(program)
        except Exception:
            yield Failure(program, -1, traceback.format_exc(limit=-3))
            return
        for number in range(calls):
            text = _once(program, function, number)
            if text:
                yield Failure(program, number, text)
                return


def _once(program: Program, function: libraries.Function, number: int) -> str:
    arrays = data.arrays(program, number)
    right = expected(program, arrays)
    given = [
        libraries.array(program, leaf, x) for leaf, x in zip(program.leaves, arrays, strict=True)
    ]
    try:
        results = function(*given)
        actual = [libraries.backend(program).numpy(x) for x in results]
    except Exception:
        return traceback.format_exc(limit=-4)
    if len(right) != len(actual):
        return f"expected {len(right)} results, got {len(actual)}"
    for one, result in zip(right, actual, strict=True):
        text = complaint(program, one, result)
        if text:
            return text
    return ""


def work(sender: Any, seed: int, index: int, calls: int, only: frozenset[str]) -> None:
    """A child process: tells of each program when it begins, and how it ended."""
    uses: Counter[str] = Counter()
    while calls > 0:
        if only and chosen(seed, index)[0] not in only:
            index += 1
            continue
        sender.send((index,))
        drawn, count = program(seed, index)
        found = next(failures(drawn, count), None)
        sender.send((index, count, found.kind if found else "", str(found or "")))
        calls -= count
        index += 1
        name = drawn.library.name.partition("_")[0].removesuffix("32")
        uses[name] += 1
        if (name == "torch" and drawn.compiler) or (name == "jax" and uses[name] % 20 == 0):
            libraries.forget(name)
    sender.send(None)
