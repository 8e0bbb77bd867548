"""The kernels in PyTorch's eager calls: NumPy's bits, with gradients; and what serves without."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

import lossless
from lossless.verification.formats import BFLOAT16, FLOAT32, NARROW
from lossless.verification.reference import real
from support.cases import Backend, Case, cases, from_torch, to_torch
from support.checks import assert_same_bits, assert_ulp
from support.frameworks.cases import SHAPE, arrays, combinations, on_numpy, printed
from support.frameworks.torch import IN_EVERY_DTYPE, gradient, leaf


@IN_EVERY_DTYPE
def test_explicit_results_require_no_gradient(case: Case, rng: np.random.Generator) -> None:
    """Also where the arguments do; the bits are NumPy's."""
    x, t = arrays(case, SHAPE, rng)
    twin = on_numpy(case)
    for given in combinations(case, rng):
        keywords = {name: Backend.TORCH.array(option) for name, option in given.items()}
        a, b = leaf(x), leaf(t)
        expected = [*twin.value_and_grad(x, t, **given)]
        explicit = [*lossless.value_and_grad(case.function)(a, b, **keywords)]
        if given["reduction"] == "none":
            expected += twin.grad_and_hess(x, t, **given)
            explicit += lossless.grad_and_hess(case.function)(a, b, **keywords)
        for part, actual in zip(expected, explicit, strict=True):
            assert not actual.requires_grad, f"{case} {given}"
            assert_same_bits(part, from_torch(actual), case.fmt, f"{case} {given}")


@IN_EVERY_DTYPE
def test_kernels_have_the_bits_of_numpy_in_other_views(
    case: Case, rng: np.random.Generator
) -> None:
    """Flipped and expanded views, beside those that MLX has, too."""
    x, t = arrays(case, (8, 9), rng)
    views: list[Any] = [
        lambda a: a[::-1, ::-2] if isinstance(a, np.ndarray) else a.flip(0, 1)[:, ::2],
        lambda a: np.broadcast_to(a[0], (3, 9)) if isinstance(a, np.ndarray) else a[0].expand(3, 9),
    ]
    for view in views:
        for reduction in ("none", "mean"):
            expected = on_numpy(case).value_and_grad(view(x), view(t), reduction=reduction)
            a, b = leaf(x), to_torch(t)
            actual = lossless.value_and_grad(case.function)(view(a), view(b), reduction=reduction)
            for mine, part in zip(actual, expected, strict=True):
                assert_same_bits(part, from_torch(mine), case.fmt, f"{case} {reduction}")
            part = view(a)
            slope = gradient(case.function(part, view(b), reduction=reduction), part)
            assert_same_bits(
                expected[1], from_torch(slope), case.fmt, f"{case} {reduction} autograd"
            )


@IN_EVERY_DTYPE
def test_dense_layouts_are_kept(case: Case, rng: np.random.Generator) -> None:
    """The element-wise loss of channels-last tensors is one, as in PyTorch."""
    x, t = arrays(case, (2, 3, 4, 5), rng)
    a, b = (to_torch(part).to(memory_format=torch.channels_last) for part in (x, t))
    actual = case.function(a, b)
    assert actual.is_contiguous(memory_format=torch.channels_last)
    assert_same_bits(on_numpy(case).value(x, t), from_torch(actual), case.fmt, str(case))


@pytest.mark.parametrize("case", cases(NARROW, backends=[Backend.TORCH]))
def test_cotangents_are_folded_in(case: Case, rng: np.random.Generator) -> None:
    """A factor after the loss comes before the one rounding: also in half precision."""
    x, t = arrays(case, (37, 11), rng)
    # A weight is what a cotangent amounts to; these are exact in every dtype.
    for factor in (0.75, -3.0, 1024.0):
        expected = on_numpy(case).value_and_grad(x, t, reduction="mean", weights=factor)[1]
        a, b = leaf(x), leaf(t)
        (factor * case.function(a, b, reduction="mean")).backward()
        assert_same_bits(expected, from_torch(a.grad), case.fmt, f"{case} times {factor}")
        assert_same_bits(expected, from_torch(-b.grad), case.fmt, f"{case} times {factor}, targets")
    each = case.fmt.array(rng.choice([0.5, -1.25, 3.0], x.shape))
    expected = on_numpy(case).value_and_grad(x, t, weights=each.astype(np.float64))[1]
    a = leaf(x)
    case.function(a, to_torch(t)).backward(to_torch(each))
    assert_same_bits(expected, from_torch(a.grad), case.fmt, f"{case} element by element")
    rows = case.fmt.array(rng.choice([0.5, -1.25, 3.0], 11))
    expected = on_numpy(case).value_and_grad(
        x, t, reduction="mean", axis=0, weights=rows.astype(np.float64)
    )[1]
    a = leaf(x)
    case.function(a, to_torch(t), reduction="mean", axis=0).backward(to_torch(rows))
    assert_same_bits(expected, from_torch(a.grad), case.fmt, f"{case} row by row")


@pytest.mark.parametrize("case", cases([BFLOAT16], backends=[Backend.TORCH]))
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_bfloat16_against_float32(case: Case, reduction: Any, rng: np.random.Generator) -> None:
    """The loss is float32; each gradient is rounded once, to the dtype of its tensor."""
    x = BFLOAT16.array(rng.normal(0.5, 2.0, 500))
    t = FLOAT32.array(rng.normal(-0.25, 1.0, 500))
    a, b = leaf(x), leaf(t)
    loss = case.function(a, b, reduction=reduction)
    wide = Case(case.loss, Backend.NUMPY, FLOAT32)
    value, slope = wide.value_and_grad(x.astype(np.float32), t, reduction=reduction)
    assert_same_bits(value, from_torch(loss), FLOAT32, str(case))
    by_inputs, by_targets = gradient(loss, a, b)
    assert_same_bits(slope, from_torch(-by_targets), FLOAT32, f"{case} by targets")
    scale = 1 if reduction == "none" else len(x)
    expected = [
        real(case.loss, "gradient", float(p), float(q), **case.loss.parameters) / scale
        for p, q in zip(x, t, strict=True)
    ]
    bound = 0.5 if scale == 1 else 0.5 + 2.0**-20
    assert_ulp(expected, from_torch(by_inputs), BFLOAT16, bound, f"{case} by inputs")


# What serves


def test_info_says_which_path_serves_torch() -> None:
    def path() -> dict[str, str]:
        found: dict[str, str] = lossless.info()["backends"]["torch"]
        return found

    lossless.huber_loss(torch.tensor(1.0), 0.5)
    assert "kernels" == path()["executor"]
    with lossless.composed():
        assert ("formulas", "inside lossless.composed()") == (path()["executor"], path()["why"])


OTHER_VERSION = """
import warnings
import torch, lossless
lossless._core.reads_tensors = lambda type: False
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        print(lossless.huber_loss(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0])).tolist())
for warning in caught:
    print(warning.category.__name__, warning.message)
print(lossless.info()["backends"]["torch"])
"""


def test_tensors_that_the_kernels_cannot_read_go_to_the_formulas_with_one_warning() -> None:
    *values, warning, info = printed(OTHER_VERSION)
    assert ["[0.125, 2.5]"] * 3 == values
    assert warning.startswith("RuntimeWarning lossless: formulas compute on PyTorch tensors")
    assert "'executor': 'formulas'" in info


THREADS = """
import os, torch, lossless
x, t = torch.randn(1 << 20, requires_grad=True), torch.zeros(1 << 20)
def threads():
    t.add_(0)  # starts those of PyTorch
    before = len(os.listdir("/proc/self/task"))
    lossless.huber_loss(x, t, reduction="mean").backward()
    return len(os.listdir("/proc/self/task")) - before
lossless.set_num_threads(3)
torch.set_num_threads(1)
print(threads(), lossless.info()["threads"])
torch.set_num_threads(3)
print(threads(), lossless.info()["threads"])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="counts threads in /proc")
def test_threads_of_torch_are_respected() -> None:
    """Not more than PyTorch may use; and NumPy calls keep their own number."""
    assert ["0 3", "2 3"] == printed(THREADS)
