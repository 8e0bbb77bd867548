"""Losses of rows by blocks of them, where PyTorch's tensors meet no kernel."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import lossless
from lossless.executors.torch import blocks as torch_blocks
from lossless.verification.formats import FLOAT16, FLOAT32, FLOAT64, Format
from support.cases import from_torch, to_torch
from support.frameworks.torch import gradient

# A shape and the axis of the classes; blocks are cut along the largest of the other dimensions.
LAYOUTS = [((7, 5), -1), ((5, 7), 0), ((2, 5, 9), 1), ((3, 4, 2, 5), -1), ((6,), 0), ((0, 3), 1)]


@pytest.fixture(params=[1, 20, 1 << 17])
def blocks(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one row, of a few that do not divide the rows, of all."""
    monkeypatch.setattr(torch_blocks, "ON_CPU", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("fmt", [FLOAT16, FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
def test_cross_entropy_by_blocks(
    shape: tuple[int, ...], axis: int, fmt: Format, rng: np.random.Generator
) -> None:
    """The kernel's values and gradients, within the bounds of formulas for either."""
    classes = shape[axis]
    rows = shape[:axis] + shape[axis:][1:] if axis >= 0 else shape[:-1]
    for smoothing, masked, weighted, reduction in itertools.product(
        (0.0, 0.25), (False, True), (False, True), ("none", "mean", "weighted_mean")
    ):
        x = to_torch(fmt.array(rng.normal(0, 4, shape)))
        labels = torch.as_tensor(rng.integers(0, classes, rows))
        options: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
        options |= {"axis": axis}
        if masked:
            options["where"] = torch.as_tensor(rng.random(rows) < 0.6)
        if weighted:
            options["weights"] = torch.as_tensor(rng.uniform(0.5, 2, rows)).float()
        results: list[list[Any]] = []
        for way in (lossless.composed, torch.enable_grad):
            a = x.clone().requires_grad_()
            with way():
                value = lossless.cross_entropy(a, labels, **options)
                both = lossless.value_and_grad(lossless.cross_entropy)(x, labels, **options)
            factors = torch.linspace(1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
            results.append([value.detach(), gradient(value, a, cotangent=factors), *both])
        for actual, right in zip(*results, strict=True):
            assert actual.dtype is right.dtype is x.dtype
            a, b = from_torch(actual).astype(np.float64), from_torch(right).astype(np.float64)
            assert (np.isnan(a) == np.isnan(b)).all()
            ulps = 8 if fmt is FLOAT64 else 2
            spacing = np.maximum(np.abs(b) * torch.finfo(x.dtype).eps, torch.finfo(x.dtype).tiny)
            terms = {FLOAT16: 2.0**-20, FLOAT32: 2.0**-38, FLOAT64: 2.0**-48}[fmt]
            off = np.nan_to_num(np.abs(a - b))
            assert (off <= np.nan_to_num(ulps * spacing) + terms).all(), (options, x, actual, right)


def test_cross_entropy_by_blocks_where_one_class_is_all_but_certain() -> None:
    """Beside 1, what the others add is lost in a sum; classes that tie with the largest are not."""
    x = torch.tensor([[0.0, 60.0, 3.0], [0.0, -40.0, -50.0], [2.0, 2.0, 2.0], [0.0, 1e-30, -1e-9]])
    labels = torch.tensor([1, 0, 2, 0])
    wide = x.double()
    with lossless.composed():
        value = lossless.cross_entropy(x.requires_grad_(), labels)
        slope = gradient(value, x)
    others = (wide[0, 2] - 60).exp() + (wide[0, 0] - 60).exp(), wide[1, 1:].exp().sum()
    right = [others[0].log1p(), others[1].log1p(), np.log(3.0), np.log(3.0)]
    for actual, expected in zip(value.tolist(), right, strict=True):
        assert abs(actual - expected) <= 2.0**-22 * expected
    assert abs(slope[0, 1] + others[0]) <= 2.0**-22 * others[0]
    assert abs(slope[1, 0] + others[1]) <= 2.0**-22 * others[1]
    assert abs(slope[2, 2] + 2 / 3) <= 2.0**-23


@pytest.mark.parametrize("special", [torch.inf, -torch.inf, torch.nan])
def test_cross_entropy_by_blocks_special_values(special: float) -> None:
    """As the kernel has them, in value and gradient."""
    x = torch.tensor([[1.0, special, 0.5], [1.0, 0.5, special], [special] * 3, [0.25, 1.0, 2.0]])
    labels, mask = torch.tensor([1, 1, 0, 2]), torch.tensor([True, True, False, True])
    choices: list[dict[str, Any]] = [{}, {"where": mask}]
    for options in choices:
        found = []
        for way in (lossless.composed, torch.enable_grad):
            a = x.clone().requires_grad_()
            with way():
                value = lossless.cross_entropy(a, labels, **options)
            found.append((value.detach(), gradient(value, a)))
        for actual, right in zip(*found, strict=True):
            assert torch.allclose(actual, right, rtol=2.0**-22, atol=0, equal_nan=True)


def test_cross_entropy_by_blocks_saves_no_array_beside_the_logits() -> None:
    kept: list[Any] = []

    def keep(x: Any) -> Any:
        kept.append(x)
        return x

    x, labels = torch.randn(40, 1000, requires_grad=True), torch.arange(40)
    with (
        lossless.composed(),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
    ):
        value = lossless.cross_entropy(x, labels, reduction="mean")
    large = {x.data_ptr() for x in kept if x.numel() > 1000}
    assert {x.data_ptr()} == large
    assert x.shape == gradient(value, x).shape


def test_cross_entropy_by_blocks_on_another_device() -> None:
    """No value is looked at: it works where there is none."""
    x = torch.empty(4, 3, device="meta", requires_grad=True)
    labels = torch.empty(4, dtype=torch.int64, device="meta")
    value = lossless.cross_entropy(x, labels, reduction="mean", label_smoothing=0.1)
    slope = gradient(value, x)
    assert ((), (4, 3), "meta") == (value.shape, slope.shape, slope.device.type)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.25])
def test_cross_entropy_by_blocks_has_two_derivatives(label_smoothing: float) -> None:
    torch.manual_seed(5)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 3, 0])

    def loss(x: Any) -> Any:
        with lossless.composed():
            return lossless.cross_entropy(x, labels, label_smoothing=label_smoothing)

    assert torch.autograd.gradcheck(loss, x, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(loss, x)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
@pytest.mark.parametrize("name", ["soft", "kl_div"])
def test_distributions_by_blocks(
    name: str, shape: tuple[int, ...], axis: int, rng: np.random.Generator
) -> None:
    """PyTorch's own losses in float64, which lose a small part of terms of up to 50."""
    rows = shape[:axis] + shape[axis:][1:] if axis >= 0 else shape[:-1]
    x, t = (torch.as_tensor(rng.normal(0, 3, shape)).log_softmax(axis).float() for _ in range(2))
    t = t.exp() * 1.5 if name == "soft" else t
    mask = torch.as_tensor(rng.random(rows) < 0.7)
    function = lossless.cross_entropy if name == "soft" else lossless.kl_div_loss
    wide = x.double().requires_grad_()
    terms = -t.double() * wide.log_softmax(axis)
    if name == "kl_div":
        terms = torch.nn.functional.kl_div(wide, t.double(), reduction="none", log_target=True)
    for where, reduction in itertools.product((None, mask), ("none", "sum", "mean")):
        right = terms.sum(axis)
        right = right if where is None else torch.where(where, right, 0.0)
        if reduction != "none":
            count = right.numel() if where is None else int(where.sum())
            right = right.sum() / (count if reduction == "mean" else 1)
        a = x.clone().requires_grad_()
        with lossless.composed():
            value = function(a, t, axis=axis, where=where, reduction=reduction)  # type: ignore[arg-type]
            both = lossless.value_and_grad(function)(
                x,
                t,
                axis=axis,
                where=where,
                reduction=reduction,  # type: ignore[arg-type]
            )
        slope = torch.autograd.grad(right.sum(), wide, retain_graph=True)[0]
        for actual, expected in (
            (value, right),
            (gradient(value, a), slope),
            *zip(both, (right, slope), strict=True),
        ):
            assert (expected.shape, torch.float32) == (actual.shape, actual.dtype)
            assert torch.equal(actual.isnan(), expected.isnan())
            off = (actual.double() - expected).abs().nan_to_num()
            assert (off <= (2.0**-23 * expected.abs()).nan_to_num() + 2.0**-44).all(), (
                actual,
                expected,
            )


@pytest.mark.parametrize("name", ["soft", "kl_div"])
@pytest.mark.parametrize("shape", [(3, 4), (4,)])
def test_distributions_by_blocks_have_two_derivatives(name: str, shape: tuple[int, ...]) -> None:
    """By both of their arrays."""
    torch.manual_seed(7)
    x, t = torch.randn(2, *shape, dtype=torch.float64).log_softmax(-1)
    t = t.exp() if name == "soft" else t
    function = lossless.cross_entropy if name == "soft" else lossless.kl_div_loss

    def loss(x: Any, t: Any) -> Any:
        with lossless.composed():
            return function(x, t)

    for by_targets in (False, True):
        arrays = x.requires_grad_(), t.requires_grad_(by_targets)
        assert torch.autograd.gradcheck(loss, arrays, check_batched_grad=True)
        if name == "soft" or by_targets:
            assert torch.autograd.gradgradcheck(loss, arrays)


@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_compiled_is_one_loop(soft: bool) -> None:
    """No gather, for which a compiler keeps the row, and a gradient of it, in float64."""
    operations: list[str] = []

    def keep(graph: Any, _: Any) -> Any:
        operations.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    torch.manual_seed(6)
    x = torch.randn(5, 70, requires_grad=True)
    t = torch.rand(5, 70) if soft else torch.arange(5)
    options: dict[str, Any] = {"reduction": "mean", "label_smoothing": 0.1}
    compiled = torch.compile(
        lambda x, t: lossless.cross_entropy(x, t, **options), backend=keep, fullgraph=True
    )
    value, expected = compiled(x, t), lossless.cross_entropy(x, t, **options)
    assert abs(value - expected) <= 2.0**-22 * expected
    slope, right = gradient(value, x), gradient(expected, x)
    assert (abs(slope - right) <= 2.0**-22 * abs(right) + 2.0**-38).all()
    assert any("exp" in operation for operation in operations)
    assert not [operation for operation in operations if "gather" in operation]
