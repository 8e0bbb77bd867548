"""Our losses in PyTorch's training: checkpoints, autocast, workers, several processes, modules."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import lossless
import lossless.torch
from lossless.verification.formats import FLOAT16
from support import TESTS
from support.cases import Backend, Case, cases, from_torch, to_torch
from support.checks import assert_same_bits
from support.frameworks.cases import arrays, on_numpy
from support.frameworks.torch import IN_FLOAT32, in_two_processes, leaf

SHAPE = (4, 6)


@IN_FLOAT32
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_losses(case: Case, reentrant: bool, rng: np.random.Generator) -> None:
    """Computed again in the backward pass: the same bits."""
    x, t = arrays(case, SHAPE, rng)
    value, slope = on_numpy(case).value_and_grad(x, t, reduction="mean")
    a = leaf(x)
    loss: Any = checkpoint(
        lambda x, t: case.function(x, t, reduction="mean"), a, to_torch(t), use_reentrant=reentrant
    )
    assert_same_bits(value, from_torch(loss), case.fmt, str(case))
    assert_same_bits(slope, from_torch(gradient_by_backward(loss, a)), case.fmt, str(case))


def gradient_by_backward(loss: Any, x: Any) -> Any:
    loss.backward()
    return x.grad


@pytest.mark.parametrize("name", ["huber", "log_cosh"])
def test_losses_under_autocast(name: str) -> None:
    """bfloat16 predictions against float32 targets: a float32 loss, gradients in both dtypes."""
    torch.manual_seed(3)
    function = getattr(lossless, f"{name}_loss")
    linear = torch.nn.Linear(8, 1)
    data, targets = torch.randn(64, 8), torch.randn(64)
    with torch.autocast("cpu", torch.bfloat16):
        predictions = linear(data).squeeze(-1)
        loss = function(predictions, targets, reduction="mean")
    predictions.retain_grad()
    loss.backward()
    assert (torch.bfloat16, torch.float32) == (predictions.dtype, loss.dtype)
    wide = predictions.detach().float().numpy()
    value, slope = lossless.value_and_grad(function)(wide, targets.numpy(), reduction="mean")
    assert value == loss.item()
    assert predictions.grad is not None
    assert torch.bfloat16 == predictions.grad.dtype
    assert np.abs(predictions.grad.float().numpy() / slope - 1).max() <= 2.0**-8
    assert linear.weight.grad is not None
    by_hand = (predictions.grad.float()[:, None] * data).sum(0)
    assert (abs(linear.weight.grad - by_hand) <= 0.02 * abs(by_hand).max()).all()


@pytest.mark.parametrize("case", cases([FLOAT16], backends=[Backend.TORCH]))
def test_scaling_keeps_gradients_from_underflow(case: Case, rng: np.random.Generator) -> None:
    """As GradScaler does: gradients below float16's range come back, rounded once."""
    n = 1 << 16
    x = case.fmt.array(rng.normal(0, 1e-3, n))
    t = np.zeros_like(x)
    scale = 1024.0
    _, lost = on_numpy(case).value_and_grad(x, t, reduction="mean")
    _, expected = on_numpy(case).value_and_grad(x, t, reduction="mean", weights=scale)
    a = leaf(x)
    (case.function(a, to_torch(t), reduction="mean") * torch.tensor(scale)).backward()
    assert_same_bits(expected, from_torch(a.grad), case.fmt, str(case))
    assert np.count_nonzero(lost) < 0.5 * np.count_nonzero(expected)


class Losses(torch.utils.data.Dataset[Any]):
    """A loss computed in each worker process."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        x = torch.linspace(-3, 3, 200_001, requires_grad=True)
        loss = lossless.huber_loss(x, float(index), reduction="mean")
        loss.backward()
        return loss.detach(), x.grad


def test_losses_in_forked_workers() -> None:
    """In a process of its own: no other library of this one, such as JAX, minds being forked."""
    program = f"import runpy; runpy.run_path({__file__!r})['compare_with_forked_workers']()"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=TESTS)


def compare_with_forked_workers() -> None:
    """Also after the parent process has used its threads."""
    here = [Losses()[index] for index in range(4)]
    loader = torch.utils.data.DataLoader(
        Losses(), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    for (value, slope), (expected, expected_slope) in zip(loader, here, strict=True):
        assert torch.equal(value, expected)
        assert torch.equal(slope, expected_slope)


def train_in_parallel(rank: int) -> list[Any]:
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 1))
    data, targets = batch(rank)
    loss = lossless.log_cosh_loss(model(data).squeeze(-1), targets, reduction="mean")
    loss.backward()
    return [np.asarray(part.grad).tolist() for part in model.parameters()]


def batch(rank: int) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(16, 3, generator=generator), torch.randn(16, generator=generator)


def test_losses_in_two_processes_of_distributed_training() -> None:
    """Two processes: the mean of their gradients, the same in both."""
    results = in_two_processes(train_in_parallel)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    for rank in range(2):
        data, targets = batch(rank)
        loss = lossless.log_cosh_loss(model(data).squeeze(-1), targets, reduction="mean")
        (loss / 2).backward()
    assert results[0] == results[1]
    for actual, part in zip(results[0], model.parameters(), strict=True):
        assert part.grad is not None
        assert (abs(torch.tensor(actual) - part.grad) <= 1e-6 * abs(part.grad).max()).all()
