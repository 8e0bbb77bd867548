"""Losses of DTensors, over two processes: every loss, however its arrays are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import lossless
from support.frameworks.torch import in_two_processes
from support.loss_calls import CALLS, arrays, assert_as_numpy, both, function, options

ROWS, CLASSES = 6, 4


def given(name: str) -> tuple[Any, ...]:
    return arrays(name, np.random.default_rng(7), ROWS, CLASSES)


def compute(rank: int) -> dict[str, Any]:
    """In each process: values and gradients of every loss, put together again."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (2,))
    results = {}
    for name in CALLS:
        for placement in (Shard(0), Shard(1), Replicate()):
            operands = []
            for x in given(name):
                own = placement if x.ndim == 2 or placement != Shard(1) else Replicate()
                operands.append(distribute_tensor(torch.from_numpy(np.array(x)), mesh, [own]))
            value, slope = both(name, "mean")(*operands)
            first = operands[0].requires_grad_()
            loss = function(name)(first, *operands[1:], **options(name, "mean"))
            loss.backward()
            parts: Any = (value, slope, loss.detach(), first.grad)
            results[f"{name} {placement}"] = [part.full_tensor().numpy() for part in parts]
    x = distribute_tensor(torch.from_numpy(given("cross_entropy")[0]), mesh, [Shard(0)])
    labels, weights, where = (
        distribute_tensor(torch.tensor(numbers), mesh, [Shard(0)]) for numbers in OPTIONS
    )
    masked = lossless.cross_entropy(x, labels, weights, reduction="weighted_mean", where=where)
    results["options"] = [masked.full_tensor().numpy()]
    return results


OPTIONS: tuple[list[Any], ...] = (
    [0, 3, 1, 2, 0, 1],
    [0.5, 1.0, 2.0, 1.5, 0.25, 3.0],
    [True, True, False, True, False, True],
)


def test_dtensors_have_the_value_of_the_whole() -> None:
    for results in in_two_processes(compute):
        x, (labels, weights, where) = given("cross_entropy")[0], map(np.array, OPTIONS)
        masked = lossless.cross_entropy(
            x, labels, weights.astype(np.float32), reduction="weighted_mean", where=where
        )
        assert_as_numpy(masked, results.pop("options")[0], "with options")
        assert 3 * len(CALLS) == len(results)
        for what, outputs in results.items():
            value, slope = both(what.split()[0], "mean")(*given(what.split()[0]))
            for actual, expected in zip(outputs, (value, slope) * 2, strict=True):
                assert_as_numpy(expected, actual, what)
