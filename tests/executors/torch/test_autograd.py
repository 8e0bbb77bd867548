"""PyTorch's autograd of eager calls: its own checks, higher orders, more than one pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lossless
from lossless.verification.formats import FLOAT32
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS, real
from lossless.verification.special import SpecialValues
from support.cases import REDUCTIONS, TORCH_JIT, Backend, Case, from_torch, to_torch
from support.checks import COMPOSED_SECOND, assert_same_bits, assert_ulp
from support.frameworks.cases import FUNCTIONS, arrays, assert_near, on_numpy
from support.frameworks.torch import IN_FLOAT32, IN_FLOAT64, gradient, leaf
from support.reference_calls import reference_call
from support.special_values import special_values, without_subnormal_arguments

# PyTorch's own checks


def checked(case: Case) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(5)
    weights = torch.rand(4, generator=generator, dtype=torch.float64) + 0.5
    mask = torch.tensor([[True], [False], [True]])
    delta = torch.rand(3, 1, generator=generator, dtype=torch.float64) + 0.5
    more = {"delta": delta.requires_grad_()} if case.loss.parameters else {}
    return [
        {},
        *({"reduction": reduction} for reduction in REDUCTIONS[1:]),
        {"reduction": "mean", "axis": 0, "where": mask},
        {"reduction": "weighted_mean", "weights": weights.requires_grad_(), "where": mask, **more},
        {"reduction": "sum", "weights": weights, "where": torch.tensor(True)},
        {"weights": weights, **more},
    ]


VIEWS: dict[str, Any] = {
    "plain": lambda x: x,
    "strided": lambda x: x.repeat_interleave(2, 1)[:, ::2].T.contiguous().T,
    "expanded": lambda x: x[:, :1].expand(3, 4),
    "empty": lambda x: x[:0],
    "number": lambda x: x[0, 0],
}


@IN_FLOAT64
@TORCH_JIT
@pytest.mark.parametrize("both", [False, True], ids=["inputs", "both"])
@pytest.mark.parametrize("view", VIEWS)
def test_gradcheck(case: Case, view: str, both: bool, rng: np.random.Generator) -> None:
    """Both orders, reverse and forward mode, batched; by inputs, targets, weights and delta."""
    x, t = (to_torch(array) for array in arrays(case, (3, 4), rng))
    x.requires_grad_()
    t.requires_grad_(both)
    for given in checked(case):
        if view == "empty" and ("delta" in given or given.get("reduction", "sum") != "sum"):
            continue  # a mean of nothing is NaN
        tracked = [name for name, x in given.items() if isinstance(x, Tensor) and x.requires_grad]
        rest = {name: x for name, x in given.items() if name not in tracked}

        def loss(x: Any, t: Any, *more: Any, tracked: Any = tracked, rest: Any = rest) -> Any:
            x, t = VIEWS[view](x), t[:0] if view == "empty" else t
            return case.function(x, t, **rest, **dict(zip(tracked, more, strict=True)))

        operands = (x, t, *(given[name] for name in tracked))
        check: dict[str, Any] = {"fast_mode": view != "plain"}
        assert torch.autograd.gradcheck(
            loss, operands, check_forward_ad=True, check_batched_grad=True, **check
        )
        assert torch.autograd.gradgradcheck(loss, operands, check_fwd_over_rev=True, **check)


def test_huber_like_torch_on_its_own_samples() -> None:
    """What PyTorch tests its huber_loss with; where the two differ, real numbers decide."""
    from torch.testing._internal.common_methods_invocations import op_db

    info: Any
    (info,) = [info for info in op_db if info.name == "nn.functional.huber_loss"]
    case = Case(LOSSES["huber"], Backend.TORCH, FLOAT32)
    seen = 0
    for sample in info.sample_inputs("cpu", torch.float32, requires_grad=True):
        (target,), keywords = sample.args, {"reduction": "mean", **sample.kwargs}
        if target.shape != sample.input.shape:  # which we do not broadcast
            continue
        ours = lossless.huber_loss(sample.input, target, **keywords)
        theirs = torch.nn.functional.huber_loss(sample.input, target, **keywords)
        assert (theirs.shape, theirs.dtype) == (ours.shape, ours.dtype)
        x, t = (from_torch(part) for part in (sample.input, target))
        expected = reference_call(case, x, t, **{"delta": 1.0, **keywords})
        assert_ulp(
            list(expected.value.flat), from_torch(ours), FLOAT32, 0.5 + 2.0**-20, str(keywords)
        )
        near = abs(from_torch(theirs) - from_torch(ours)) <= 2.0**-20 * abs(from_torch(ours))
        assert near.all(), f"{keywords}: {ours} {theirs}"
        for mine, other in zip(
            gradient(ours, sample.input, target),
            gradient(theirs, sample.input, target),
            strict=True,
        ):
            off = abs(from_torch(mine) - from_torch(other))
            assert (off <= 2.0**-22 * abs(from_torch(mine))).all(), f"{keywords}: {mine} {other}"
        seen += 1
    assert seen >= 5


# Derivatives of higher order, and gradients more than once


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_second_derivative_at_zero_is_one(function: Any, dtype: torch.dtype) -> None:
    for zero in (0.0, -0.0):
        x = torch.tensor(zero, dtype=dtype, requires_grad=True)
        for loss in (function(x, 0.0), function(x, torch.zeros_like(x), reduction="mean")):
            (slope,) = torch.autograd.grad(loss, x, create_graph=True)
            assert 0.0 == slope.item()
            assert 1.0 == torch.autograd.grad(slope, x)[0].item()


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.5, math.inf])
def test_huber_second_derivative_at_delta_is_one(delta: float) -> None:
    def second(r: float) -> Any:
        x = torch.tensor(r, requires_grad=True)
        (slope,) = torch.autograd.grad(lossless.huber_loss(x, 0.0, delta), x, create_graph=True)
        return torch.autograd.grad(slope, x)[0].item()

    if delta < math.inf:
        beyond = float(np.nextafter(np.float32(delta), np.float32(9)))
        assert [1, 1, 0, 0] == [second(r) for r in (delta, -delta, beyond, -beyond)]
    else:
        assert [1, 1, 1] == [second(r) for r in (1e-20, -3.0, 1e15)]


@IN_FLOAT32
def test_second_order_against_mpmath(case: Case, rng: np.random.Generator) -> None:
    """The gradient with a graph has the kernels' bits; differentiated again, the contract holds."""
    x = case.fmt.array(np.concatenate([rng.uniform(-4, 4, 300), rng.normal(0, 1e-6, 100)]))
    a = leaf(x)
    first = gradient(case.function(a, 0.0), a)
    loss = case.function(a, torch.zeros_like(a))
    (slope,) = torch.autograd.grad(loss.sum(), a, create_graph=True)
    assert_same_bits(from_torch(first), from_torch(slope), case.fmt, str(case))
    (second,) = torch.autograd.grad(slope.sum(), a)
    expected = [real(case.loss, "second_derivative", r, **case.loss.parameters) for r in x.tolist()]
    far = [COMPOSED_SECOND if abs(r) > 2 else 0 for r in x.tolist()]
    assert_ulp(expected, from_torch(second), case.fmt, 16, f"{case} second order", x, slack=far)


@IN_FLOAT64
def test_cotangent_that_depends_on_the_inputs(case: Case, rng: np.random.Generator) -> None:
    """Both ways to an input count once: the second derivative of loss**2 / 2 + loss."""
    x, t = (to_torch(array) for array in arrays(case, (5,), rng))
    x.requires_grad_()

    def total(x: Any) -> Any:
        loss = case.function(x, t, reduction="mean")
        return loss * loss / 2 + loss

    assert torch.autograd.gradgradcheck(total, (x,))
    hessian: Any = torch.autograd.functional.hessian
    native = hessian(total, x)
    with lossless.composed():
        composed = hessian(total, x)
    assert (abs(native - composed) <= 1e-13 * abs(composed) + 1e-15).all()


@IN_FLOAT32
def test_backward_twice(case: Case, rng: np.random.Generator) -> None:
    """With retain_graph the second pass finds what the first one found, whoever changed that."""
    x, t = arrays(case, (50,), rng)
    _, expected = on_numpy(case).value_and_grad(x, t, reduction="mean")
    a, b = leaf(x), leaf(t)
    for by, sign in ((a, 1), (b, -1)):
        loss = case.function(
            a if by is a else a.detach(), b if by is b else b.detach(), reduction="mean"
        )
        for keep in (True, True, False):
            (slope,) = torch.autograd.grad(loss, by, retain_graph=keep)
            assert_same_bits(expected, from_torch(sign * slope), case.fmt, f"{case} {keep}")
            slope.mul_(7)
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(loss, by)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_changed_inputs_are_noticed(function: Any, reduction: Any) -> None:
    """Instead of a gradient of other numbers, as PyTorch's own functions do."""
    for place in range(3):
        operands = [torch.tensor([0.5, 3.0]), torch.tensor([0.25, 1.0]), torch.ones(2)]
        a = operands[0].requires_grad_()
        loss = function(a * 1, *operands[1:2], weights=operands[2], reduction=reduction)
        if place:
            operands[place].add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.sum().backward()
        else:
            loss.sum().backward()


def test_gradient_is_written_along_and_not_copied() -> None:
    """Beside inputs and targets one array, and none where no gradient is asked for."""
    x = torch.randn(1000, requires_grad=True)
    t = torch.randn(1000)
    for function in FUNCTIONS:
        loss: Any = function(x, t, reduction="mean")
        saved = loss.grad_fn.saved_tensors[0]
        assert x.shape == saved.shape
        place = saved.data_ptr()
        del saved
        x.grad = None
        loss.backward()
        assert x.grad is not None
        assert place == x.grad.data_ptr()
        for quiet in (function(x, t, reduction="none"), function(x, t * 0 + x, reduction="none")):
            assert quiet.grad_fn.saved_tensors[0] is None
        with torch.no_grad():
            assert function(x, t, reduction="mean").grad_fn is None
        assert function(x.detach(), t, reduction="mean").grad_fn is None


def test_inference_mode() -> None:
    with torch.inference_mode():
        x = torch.tensor([0.5, -3.0])
        assert 2.625 == lossless.huber_loss(x, x * 0, reduction="sum").item()


@special_values([FLOAT32], [Backend.TORCH, Backend.TORCH_COMPOSED], held=True)
def test_special_values_under_autograd(case: Case, special: SpecialValues) -> None:
    """As in the calls that return derivatives, but for the sign of 0 and for subnormal numbers.

    And the second derivative of Huber at NaN is that of a piece.
    """
    columns = without_subnormal_arguments(special).columns(case.fmt)
    x, t = map(to_torch, columns[:2])
    x.requires_grad_()
    with case.backend.path():
        value = case.function(x, t, **special.parameters)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), x)
    found = value, slope, curvature
    for output, actual, expected in zip(OUTPUTS, found, columns[2:], strict=True):
        known = ~np.isnan(expected)
        result = from_torch(actual)
        assert_same_bits(expected[known] + 0, result[known] + 0, case.fmt, f"{case} {output}")
        if output != "second_derivative" or case.loss.name != "huber":
            assert np.isnan(result[~known]).all(), f"{case} {output}: {result}"


@pytest.mark.parametrize("backend", [Backend.TORCH, Backend.TORCH_COMPOSED])
def test_huber_delta_and_weights_are_differentiable(backend: Backend) -> None:
    """By delta: the excess |residual| - delta; by weights: the loss; masked: 0, NaN or not."""
    x = torch.tensor([0.5, -3.0, 2.0, math.nan])
    delta = torch.tensor([1.0, 1.0, 2.0, 0.5], requires_grad=True)
    weights = torch.tensor([2.0, 1.0, 4.0, 1.0], requires_grad=True)
    mask = torch.tensor([True, True, True, False])
    with backend.path():
        total = lossless.huber_loss(x, 0.0, delta, "sum", weights=weights, where=mask)
    by_delta, by_weights = gradient(total, delta, weights)
    assert 0.25 + 2.5 + 8.0 == total.item()
    assert [0.0, 2.0, 0.0, 0.0] == by_delta.tolist()
    assert [0.125, 2.5, 2.0, 0.0] == by_weights.tolist()


@IN_FLOAT32
def test_autograd_of_formulas_keeps_the_contract(case: Case, rng: np.random.Generator) -> None:
    """Inside composed() autograd goes through PyTorch's own operations, within the contract."""
    x, t = arrays(case, (4, 9), rng)
    for reduction in REDUCTIONS:
        expected = reference_call(
            Case(case.loss, Backend.TORCH_COMPOSED, case.fmt), x, t,
            reduction=reduction, **case.loss.parameters,
        )  # fmt: skip
        a = leaf(x)
        with lossless.composed():
            loss = case.function(a, to_torch(t), reduction=reduction)
            assert "_Value" not in type(loss.grad_fn).__name__
        assert_near(case, "value", expected.value, loss, reduction)
        assert_near(case, "gradient", expected.gradient, gradient(loss, a), reduction)
