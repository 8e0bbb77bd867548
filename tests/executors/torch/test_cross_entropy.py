"""Cross entropy on PyTorch tensors: NumPy's bits, autograd with and without the kernel."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, Format
from support.cases import from_torch, to_torch
from support.checks import assert_same_bits
from support.frameworks.torch import gradient, leaf
from support.rows.cross_entropy_cases import BOTH, CROSS_ENTROPY, FMT, SHAPE, SOFT, samples


def as_tensors(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: to_torch(option) if isinstance(option, np.ndarray) else option
        for name, option in given.items()
    }


@FMT
@SOFT
def test_cross_entropy_has_the_bits_of_numpy_along_any_axis(
    fmt: Format, soft: bool, rng: np.random.Generator
) -> None:
    x, targets = samples(fmt, soft, rng)
    value, slope = BOTH(x, targets, reduction="mean")
    for axis, order in itertools.product(range(3), itertools.permutations(range(3))):
        moved = to_torch(x).movedim(-1, axis)
        moved = moved.permute(order).contiguous().permute(np.argsort(order).tolist())
        y = moved.requires_grad_()
        p = to_torch(targets).movedim(-1, axis) if soft else to_torch(targets)
        loss = lossless.cross_entropy(y, p, axis=axis, reduction="mean")
        found = gradient(loss, y)
        assert y.stride() == found.stride()
        assert_same_bits(value, from_torch(loss), fmt, f"{fmt.name} {axis} {order}")
        found = found.movedim(axis, -1)
        assert_same_bits(slope, from_torch(found), fmt, f"{fmt.name} {axis} {order}")


@SOFT
def test_cross_entropy_gradients_by_others_are_those_of_the_formula(
    soft: bool, rng: np.random.Generator
) -> None:
    """By probabilities and weights; and by the logits what a batch of cotangents asks for."""
    x, targets = samples(FLOAT32, soft, rng)
    w = rng.uniform(0.5, 2.0, SHAPE[:-1]).astype(np.float32)
    operands = [leaf(x), leaf(targets) if soft else to_torch(targets), leaf(w)]
    by = [part for part in operands if part.requires_grad]
    loss = CROSS_ENTROPY(*operands, label_smoothing=0.1, reduction="mean")
    found = gradient(loss, *by)
    with lossless.composed():
        composed = CROSS_ENTROPY(*operands, label_smoothing=0.1, reduction="mean")
        expected = gradient(composed, *by)
    assert loss.grad_fn.name() != composed.grad_fn.name()
    for actual, part in zip(found[1:], expected[1:], strict=True):
        assert torch.equal(actual, part)
    torch.testing.assert_close(found[0], expected[0], rtol=5e-7, atol=0)
    cotangents = torch.tensor([1.0, -3.0])
    batch = torch.autograd.grad(
        CROSS_ENTROPY(*operands, reduction="sum"), by, cotangents, is_grads_batched=True
    )
    for part in batch:
        torch.testing.assert_close(part[1], -3 * part[0], rtol=5e-7, atol=1e-12)


@SOFT
@pytest.mark.parametrize("reduction", ["none", "weighted_mean"])
def test_cross_entropy_gradgradcheck(soft: bool, reduction: Any, rng: np.random.Generator) -> None:
    x, targets = samples(FLOAT64, False, rng)
    y, w = leaf(x[0, :, :6]), to_torch(rng.uniform(0.5, 2.0, SHAPE[1]))
    given = to_torch(targets[0] % 6)
    if soft:  # adding up to 1: where they do not, the largest logit counts as a constant
        given = to_torch(rng.dirichlet(np.ones(6), SHAPE[1]))

    def function(y: Any) -> Any:
        return lossless.cross_entropy(y, given, w, label_smoothing=0.1, reduction=reduction)

    assert torch.autograd.gradcheck(function, y)
    assert torch.autograd.gradgradcheck(function, y)


def test_cross_entropy_backward_twice(rng: np.random.Generator) -> None:
    x, targets = samples(FLOAT32, False, rng)
    _, expected = BOTH(x, targets, reduction="mean")
    y = leaf(x)
    loss = lossless.cross_entropy(y, to_torch(targets), reduction="mean")
    for keep in (True, True, False):
        (slope,) = torch.autograd.grad(loss, y, retain_graph=keep)
        assert_same_bits(expected, from_torch(slope), FLOAT32, f"{keep}")
        slope.mul_(7)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, y)


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_cross_entropy_notices_changed_operands(place: int, reduction: Any) -> None:
    operands = [leaf(np.eye(2)), torch.tensor([0, 0]), torch.tensor([0.5, 1.5])]
    loss = CROSS_ENTROPY(*operands, reduction=reduction)
    operands[place].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.sum().backward()


def test_cross_entropy_gradient_is_written_along_and_not_copied() -> None:
    x, t = torch.randn(30, 40, requires_grad=True), torch.arange(30)
    loss: Any = lossless.cross_entropy(x, t, reduction="mean")
    saved = loss.grad_fn.saved_tensors[0]
    assert x.shape == saved.shape
    place = saved.data_ptr()
    del saved
    loss.backward()
    assert x.grad is not None
    assert place == x.grad.data_ptr()
    quiet: Any = lossless.cross_entropy(x, t)
    assert quiet.grad_fn.saved_tensors[0] is None
    with torch.no_grad():
        assert lossless.cross_entropy(x, t, reduction="mean").grad_fn is None
    with torch.inference_mode():
        value = lossless.cross_entropy(torch.zeros(2, 4), torch.tensor([1, 3]), reduction="sum")
        assert np.float32(2 * np.log(4)) == value.item()


def test_cross_entropy_of_classes_that_do_not_exist() -> None:
    with pytest.raises(IndexError, match=r"cross_entropy: targets .* got 3 at \(1,\)"):
        lossless.cross_entropy(torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 3]))
