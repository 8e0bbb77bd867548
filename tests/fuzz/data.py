"""The arrays of a fuzzed call: numbers of a role, in NumPy, laid out anyhow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fuzz.programs import Leaf, Program, Rng
from lossless.verification.formats import FORMATS, Array

BATCH = 3


def arrays(program: Program, number: int) -> list[Array]:
    """Those of one call."""
    rng = np.random.default_rng([*program.seed, number])
    first = number == 0
    sizes = program.sizes[0 if first else int(rng.integers(len(program.sizes)))]
    return [np.asarray(_array(program, leaf, sizes, rng)) for leaf in program.leaves]


def _array(program: Program, leaf: Leaf, sizes: tuple[int, ...], rng: Rng) -> Array:
    shape = [1 if d is None else sizes[d] for d in leaf.dims]
    if leaf.batch is not None:
        shape.insert(leaf.batch, BATCH)
    axis = None
    if program.spec.of_rows and len(leaf.dims) == len(sizes):
        axis = program.axis + (leaf.batch is not None and leaf.batch <= program.axis)
    classes = sizes[program.axis] if sizes else 1
    if leaf.role == "mask":
        return np.asarray(rng.random(shape) < rng.choice([0.7, 0.3, 1.0]))
    if leaf.role == "label":
        largest = min(classes, np.iinfo(leaf.dtype).max)
        return rng.integers(0, largest, shape).astype(leaf.dtype)
    numbers: Array = np.asarray(_numbers(leaf.role, tuple(shape), rng, axis, program.special))
    if "int" in leaf.dtype:
        numbers = np.rint(numbers)
        numbers = np.maximum(abs(numbers), 1) if leaf.role not in ("real", "sign") else numbers
        return numbers.astype(leaf.dtype)
    if program.special:
        numbers = _with_specials(program, leaf, numbers, rng)
    return FORMATS[leaf.dtype].array(numbers)


def _numbers(role: str, shape: tuple[int, ...], rng: Rng, axis: int | None, special: bool) -> Any:
    """Of moderate size; nothing that would enlarge what is subnormal beside special ones."""
    if role in ("real", "margin"):
        if rng.random() < 0.3:  # where losses bend
            return rng.integers(-24, 25, shape) / 8.0
        return rng.normal(0.3, 1.0, shape) * np.exp2(rng.integers(-8, 6))
    if role == "sign":
        signs = np.where(rng.random(shape) < 0.5, 1.0, -1.0)
        return signs if rng.random() < 0.7 else signs * rng.uniform(0.1, 3, shape)
    if role == "probability":
        if rng.random() < 0.4:
            return rng.integers(0, 9, shape) / 8.0
        return rng.random(shape)
    if role in ("positive", "variance", "weight", "eps"):
        return rng.uniform(0.25, 3.0, shape)
    if role == "logit":
        return rng.normal(0.5, 2.0, shape) * rng.choice([0.1, 1.0, 4.0])
    if role == "share":
        shares = rng.uniform(0.01, 1.0, shape)
        # Which need not add up to 1.
        return shares / shares.sum(axis, keepdims=True) * rng.choice([1.0, 1.0, 0.75])
    if role == "logarithm":
        numbers = rng.normal(0.0, 2.0, shape)
        return numbers - np.logaddexp.reduce(numbers, axis, keepdims=True)
    if role == "cotangent":
        return rng.choice([1.0, -0.5, 3.0, 0.3, 1.0 if special else 4096.0], shape)
    raise ValueError(role)


def _with_specials(program: Program, leaf: Leaf, numbers: Array, rng: Rng) -> Array:
    """Some of these in the place of others."""
    fmt = FORMATS[leaf.dtype]
    # Squares of these stay in the range of formulas, which compute half types in float32.
    composed = program.by_formulas or program.base == "grad"  # by some arguments at least
    huge = 2.0 ** (fmt.max_exponent // 4 if composed else fmt.max_exponent - 1)
    if leaf.dtype == "float64":  # whose sums have no wider dtype
        huge *= 2.0**-60
    tiny = [2.0**fmt.min_exponent, fmt.smallest, 3 * fmt.smallest]
    # Of formulas a subnormal difference, half of it, or a product may be 0, and of XLA a number
    # that it converts.
    mixed = program.library.xla and len({leaf.dtype for leaf in program.leaves}) > 1
    if composed or mixed:
        tiny = [2.0 ** (fmt.min_exponent + 12)]
    if program.spec.of_rows:  # vectors whose squares and quotients underflow lose digits
        tiny = [2.0 ** (fmt.min_exponent // 4)]
    tables = {
        "real": [0.0, -0.0, math.inf, -math.inf, math.nan, huge, -huge, 1.0, -1.0, *tiny],
        "margin": [0.0, -0.0, math.inf, math.nan, -2.0],
        "sign": [0.0, -0.0, math.nan, math.inf, -1.0],
        "probability": [0.0, -0.0, 1.0, math.nan, *([2.0**-40] if composed else tiny)],
        "positive": [math.inf, 0.0, -1.0, math.nan],
        "eps": [0.0, -1.0, math.nan],
        "variance": [0.0, -1.0, math.inf, math.nan],
        "weight": [0.0, -1.0, 0.0],
        "logit": [-math.inf, math.inf, math.nan, 100.0, -100.0, 0.0, -0.0],
        "share": [0.0, 1.0, math.nan],
        "logarithm": [-math.inf, 0.0, -0.0, math.nan, -200.0],
        "cotangent": [0.0],
    }
    table = np.array(tables[leaf.role])
    if rng.random() < 0.5:
        table = table[:1]
    return np.where(rng.random(numbers.shape) < 0.2, rng.choice(table, numbers.shape), numbers)
