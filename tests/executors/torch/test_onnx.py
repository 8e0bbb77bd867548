"""Losses as ONNX programs, which another program runs: ONNX's own reference implementation."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator

import lossless
from lossless.executors.torch import arrays as torch_arrays
from support.loss_calls import CALLS, arrays, function

# What else is a number in the program; delta and beta are thresholds.
OPTIONS: dict[str, dict[str, Any]] = {
    "huber_loss": {"delta": 0.7},
    "smooth_l1_loss": {"beta": 0.7},
    "gaussian_nll_loss": {"full": True},
}
# Of their values terms of both signs may cancel; none is larger.
LARGEST_TERM = {"gaussian_nll_loss": 8.0, "margin_ranking_loss": 8.0, "hinge_loss": 8.0}
RESIDUALS = np.array([1e-6, 1e-3, 0.03, 0.7, 3.0, 40.0], np.float32)
# By their functions: the targets, and the definition there.
SMALL: dict[str, tuple[float, Any]] = {
    "log_cosh_loss": (0.0, lambda x: mpmath.log(mpmath.cosh(x))),
    "binary_cross_entropy": (1.0, lambda x: mpmath.log(1 + mpmath.exp(-x))),
}


class Call(NamedTuple):
    function: Any
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    reductions: tuple[str, ...] = ("none",)

    @classmethod
    def of_small_values(cls, name: str) -> Call:
        inputs = RESIDUALS, np.full_like(RESIDUALS, SMALL[name][0])
        return cls(getattr(lossless, name), inputs, {})


class Losses(torch.nn.Module):
    """All of them, since PyTorch takes a second for a program, however short it is."""

    def __init__(self, calls: list[Call]) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, *inputs: Any) -> Any:
        given, results = iter(inputs), []
        for call in self.calls:
            arguments = [next(given) for _ in call.inputs]
            results += [
                call.function(*arguments, reduction=reduction, **call.options)
                for reduction in call.reductions
            ]
        return tuple(results)


@pytest.fixture
def quiet() -> Iterator[None]:
    """The exporter reports its progress."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def run(calls: list[Call]) -> list[Any]:
    """What the exported program gives."""
    inputs = [x for call in calls for x in call.inputs]
    tensors = tuple(map(torch.from_numpy, inputs))
    with lossless.composed():
        program: Any = torch.onnx.export(Losses(calls).eval(), tensors, dynamo=True, verbose=False)
    model = program.model_proto
    feed = {given.name: x for given, x in zip(model.graph.input, inputs, strict=True)}
    results: Any = ReferenceEvaluator(model).run(None, feed)
    return list(results)


@pytest.mark.usefixtures("quiet")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_programs_of_losses(rng: np.random.Generator) -> None:
    """As the kernels have them, but for what docs/numerics.md leaves to formulas.

    ONNX has no nextafter, and no log1p: log(1 + x) of a small x would be 0.
    """
    calls = []
    for name, (public, _, options) in CALLS.items():
        options = {**options, **OPTIONS.get(public, {})}
        calls.append(Call(function(name), arrays(name, rng, 7, 5), options, ("none", "mean")))
    results = iter(run([*calls, *map(Call.of_small_values, SMALL)]))
    for call in calls:
        for reduction in call.reductions:
            result = next(results)
            expected = call.function(*call.inputs, reduction=reduction, **call.options)
            assert (np.shape(expected), np.float32) == (result.shape, result.dtype)
            terms = LARGEST_TERM.get(call.function.__name__, 0.0)
            bound = 8 * np.spacing(np.abs(expected)) + 2.0**-21 * terms
            off = np.abs(result.astype(np.float64) - expected)
            assert (off <= bound).all(), (call, reduction, result, expected)
    for name, (_, definition) in SMALL.items():
        for x, actual in zip(RESIDUALS, next(results), strict=True):
            with mpmath.workprec(200):
                right = definition(mpmath.mpf(float(x)))
            assert abs(float(actual) - right) <= 8 * np.spacing(np.float32(right)), (
                name,
                x,
                actual,
            )


def test_the_number_beside_another_one() -> None:
    """Without nextafter: sampled bits, all powers of two, both ends, with their neighbours."""
    bits = [np.arange(1, 0x7F800000, 99_991), np.arange(1, 99)]
    bits += [np.arange((e << 23) - 3, (e << 23) + 4) for e in range(1, 255)]
    x = np.concatenate([*bits, [0x7F7FFFFF]]).astype(np.uint32).view(np.float32)
    for up, side in ((True, math.inf), (False, 0.0)):
        with np.errstate(over="ignore"):
            expected = np.nextafter(x, np.float32(side))
        wide = torch.from_numpy(x).double()
        assert np.array_equal(torch_arrays._beside(wide, up).float().numpy(), expected)
    assert 2.0**-149 == torch_arrays._beside(torch.tensor(0.0, dtype=torch.float64), True).item()
