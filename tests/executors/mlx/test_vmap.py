"""mx.vmap over every choice of batched operands is the loop, by kernels and by formulas.

MLX 0.32.4 computes `&` and `|` of a batched array and one that is not beyond the latter's end.
"""

from __future__ import annotations

import ast
import functools
import itertools
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from support import ROOT
from support.cases import from_mlx, to_mlx
from support.loss_calls import CALLS, arrays, assert_as_numpy, both, function, options, path

BATCH = 3
FORMULAS = sorted((ROOT / "src/lossless/losses").glob("*.py"))
REDUCED = [(0, 1), (0, 2), (1, 2), 1]
ELEMENT_WISE = ("huber", "log_cosh", "mse", "smooth_l1", "gaussian_nll", "margin_ranking", "logits")


def choices(operands: int) -> list[tuple[int | None, ...]]:
    """Each in_axes with at least one operand that is batched."""
    every = itertools.product((0, None), repeat=operands)
    return [axes for axes in every if 0 in axes]


@pytest.mark.parametrize("formula", [False, True], ids=["kernels", "formulas"])
@pytest.mark.parametrize("name", CALLS)
def test_vmap_over_any_operands_is_the_loop(
    name: str, formula: bool, rng: np.random.Generator
) -> None:
    batches = [arrays(name, rng, 2, 4) for _ in range(BATCH)]
    for reduction, in_axes in itertools.product(("none", "mean"), choices(len(batches[0]))):
        call, given = both(name, reduction), options(name, reduction)
        rows = [
            [x if axis == 0 else first for x, first, axis in zip(*columns, in_axes, strict=True)]
            for columns in ((batch, batches[0]) for batch in batches)
        ]
        operands = [
            mx.stack([to_mlx(row[i]) for row in rows]) if axis == 0 else to_mlx(rows[0][i])
            for i, axis in enumerate(in_axes)
        ]
        mapped = [i for i, axis in enumerate(in_axes) if axis == 0]
        closed = functools.partial(_closed, call, mapped, operands)
        slope = functools.partial(_slope, function(name), given)
        with path(formula):
            results = {
                "vmap": mx.vmap(call, in_axes)(*operands),
                "vmap of a closure": mx.vmap(closed)(*(operands[i] for i in mapped)),
                "vmap of grad": (None, mx.vmap(slope, in_axes)(*operands)),
            }
        looped = [call(*row) for row in rows]
        for what, outputs in results.items():
            for output, actual in enumerate(outputs):
                if actual is not None:
                    expected = np.stack([pair[output] for pair in looped])
                    assert_as_numpy(expected, from_mlx(actual), f"{name} {in_axes} {what} {output}")


@pytest.mark.parametrize("formula", [False, True], ids=["kernels", "formulas"])
@pytest.mark.parametrize("option", ["where", "weights"])
@pytest.mark.parametrize("name", ELEMENT_WISE)
def test_vmap_over_any_axis_where_some_are_reduced(
    name: str, option: str, formula: bool, rng: np.random.Generator
) -> None:
    """First and second derivatives, with a mask or a weight for each of the batch.

    MLX 0.32.4 maps the expansion of several axes wrongly, which is in the derivative of a sum.
    """
    operands = [to_mlx(x.reshape(BATCH, 2, 4, 3)) for x in arrays(name, rng, 2 * BATCH, 12)]
    choice = mx.array([True] * BATCH if option == "where" else [0.5, 2.0, 3.0])
    by_place = to_mlx(rng.uniform(0.5, 2.0, (2, 4, 3)).astype(np.float32))
    for reduction, axes in itertools.product(("mean", "weighted_mean", "sum"), REDUCED):
        given = {**options(name, reduction), "axis": axes}

        def slopes(choice: Any, x: Any, *others: Any, given: Any = given) -> Any:
            def value(x: Any) -> Any:
                losses = function(name)(x, *others, **given, **{option: choice})
                return mx.sum(losses * losses)

            return mx.grad(value)(x), mx.grad(lambda x: mx.sum(by_place * mx.grad(value)(x)))(x)

        with path(formula):
            rows = zip(choice, *operands, strict=True)
            expected = [
                mx.stack(list(x)) for x in zip(*(slopes(*row) for row in rows), strict=True)
            ]
            for place in range(4):
                moved = [mx.moveaxis(x, 0, place) for x in operands]
                actual = mx.vmap(slopes, (0, *[place] * len(moved)))(choice, *moved)
                for order, (mine, looped) in enumerate(zip(actual, expected, strict=True)):
                    what = f"{name} {reduction} {axes}, batch at {place}, order {order + 1}"
                    assert_as_numpy(from_mlx(looped), from_mlx(mine), what)


def _closed(call: Any, mapped: list[int], operands: list[Any], *given: Any) -> Any:
    """Operands that are not batched are not arguments, either."""
    places = dict(zip(mapped, given, strict=True))
    return call(*(places.get(i, x) for i, x in enumerate(operands)))


def _slope(loss: Any, given: dict[str, Any], *operands: Any) -> Any:
    return mx.grad(lambda x: loss(x, *operands[1:], **given).sum())(operands[0])


@pytest.mark.parametrize("path", FORMULAS, ids=lambda path: path.stem)
def test_formulas_have_no_bitwise_operators(path: Path) -> None:
    tree = ast.parse(path.read_text())
    wrong = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.Invert)
    code = (node for top in tree.body if isinstance(top, ast.FunctionDef) for node in top.body)
    found = [x for node in code for x in ast.walk(node) if isinstance(x, wrong)]
    assert not found
