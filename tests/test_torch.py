"""PyTorch tensors in eager calls: NumPy's bits, PyTorch's autograd, dtypes and errors.

What compiles, traces and transforms calls is in test_torch_transforms.
"""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from brute import truth
from cases import TORCH_JIT, Backend, Case, cases, from_torch, to_torch
from checks import COMPOSED_SECOND, assert_same_bits, assert_ulp
from test_special_values import TABLES, number
from torch import Tensor
from torch_cases import (
    FUNCTIONS,
    IN_EVERY_DTYPE,
    IN_FLOAT32,
    IN_FLOAT64,
    REDUCTIONS,
    arrays,
    assert_near,
    gradient,
    leaf,
    on_numpy,
)

import lossless
from lossless.cli.oracle.formats import BFLOAT16, FLOAT32, NARROW
from lossless.cli.oracle.reference import LOSSES, OUTPUTS, real

SHAPE = (6, 5, 4)


def options(case: Case, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Every combination of reduction, axis, weights, mask and delta."""
    weights = (None, 1.5, rng.uniform(0.5, 2.0, SHAPE[1:]).astype(np.float32))
    masks = (None, rng.random((SHAPE[0], 1, SHAPE[2])) < 0.7)
    parameters: list[dict[str, Any]] = [{}]
    if case.loss.parameters:
        parameters = [{"delta": 0.1}, {"delta": rng.uniform(0.5, 2.0, SHAPE[2])}]
    reductions = [("none", None), *itertools.product(REDUCTIONS[1:], (None, 1, (0, 2)))]
    return [
        {"reduction": reduction, "axis": axis, "weights": weight, "where": mask, **more}
        for (reduction, axis), weight, mask, more in itertools.product(
            reductions, weights, masks, parameters
        )
    ]


# The bits of NumPy


@IN_EVERY_DTYPE
def test_loss_has_the_bits_of_numpy(case: Case, rng: np.random.Generator) -> None:
    """Explicitly and under autograd, by inputs, by targets and by both, whatever the options."""
    x, t = arrays(case, SHAPE, rng)
    for given in options(case, rng):
        twin = on_numpy(case)
        value, slope = twin.value_and_grad(x, t, **given)
        keywords = {name: Backend.TORCH.array(option) for name, option in given.items()}
        a, b = leaf(x), leaf(t)
        loss = case.function(a, b, **keywords)
        by_inputs, by_targets = gradient(loss, a, b)
        results = [
            ("value", case.function(to_torch(x), to_torch(t), **keywords), value),
            ("value with gradients", loss, value),
            ("by inputs", by_inputs, slope),
            ("by targets", -by_targets, slope),
            ("by inputs alone", gradient(case.function(a, to_torch(t), **keywords), a), slope),
            ("by targets alone", -gradient(case.function(to_torch(x), b, **keywords), b), slope),
        ]
        explicit = lossless.value_and_grad(case.function)(a, b, **keywords)
        results += zip(("value", "gradient"), explicit, (value, slope), strict=True)
        if given["reduction"] == "none":
            derivatives = lossless.grad_and_hess(case.function)(a, b, **keywords)
            results += zip(OUTPUTS[1:], derivatives, twin.grad_and_hess(x, t, **given), strict=True)
        for name, got, wanted in results:
            assert_same_bits(from_torch(got), wanted, case.fmt, f"{case} {given} {name}")
        assert not any(part.requires_grad for part in explicit)


@IN_EVERY_DTYPE
def test_loss_has_the_bits_of_numpy_in_any_layout(case: Case, rng: np.random.Generator) -> None:
    """Slices, transposed and expanded views, empty tensors, tensors of no dimensions."""
    x, t = arrays(case, (8, 9), rng)
    views: list[Any] = [
        lambda a: a[::2, 1:7],
        lambda a: a.T,
        lambda a: a[3],
        lambda a: a[:0],
        lambda a: a[2, 3],
        lambda a: a[::-1, ::-2] if isinstance(a, np.ndarray) else a.flip(0, 1)[:, ::2],
        lambda a: np.broadcast_to(a[0], (3, 9)) if isinstance(a, np.ndarray) else a[0].expand(3, 9),
    ]
    for view in views:
        for reduction in ("none", "mean"):
            wanted = on_numpy(case).value_and_grad(view(x), view(t), reduction=reduction)
            a, b = leaf(x), to_torch(t)
            got = lossless.value_and_grad(case.function)(view(a), view(b), reduction=reduction)
            for mine, part in zip(got, wanted, strict=True):
                assert_same_bits(from_torch(mine), part, case.fmt, f"{case} {reduction}")
            part = view(a)
            slope = gradient(case.function(part, view(b), reduction=reduction), part)
            assert_same_bits(from_torch(slope), wanted[1], case.fmt, f"{case} {reduction} autograd")


@IN_EVERY_DTYPE
def test_loss_keeps_dense_layouts(case: Case, rng: np.random.Generator) -> None:
    """The element-wise loss of channels-last tensors is one, as in PyTorch."""
    x, t = arrays(case, (2, 3, 4, 5), rng)
    a, b = (to_torch(part).to(memory_format=torch.channels_last) for part in (x, t))
    got = case.function(a, b)
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert_same_bits(from_torch(got), on_numpy(case).value(x, t), case.fmt, str(case))


@pytest.mark.parametrize("case", cases(NARROW, backends=[Backend.TORCH]))
def test_loss_cotangents_are_folded_in(case: Case, rng: np.random.Generator) -> None:
    """A factor after the loss comes before the one rounding: also in half precision."""
    x, t = arrays(case, (37, 11), rng)
    # A weight is what a cotangent amounts to; these are exact in every dtype.
    for factor in (0.75, -3.0, 1024.0):
        wanted = on_numpy(case).value_and_grad(x, t, reduction="mean", weights=factor)[1]
        a, b = leaf(x), leaf(t)
        (factor * case.function(a, b, reduction="mean")).backward()
        assert_same_bits(from_torch(a.grad), wanted, case.fmt, f"{case} times {factor}")
        assert_same_bits(from_torch(-b.grad), wanted, case.fmt, f"{case} times {factor}, targets")
    each = case.fmt.array(rng.choice([0.5, -1.25, 3.0], x.shape))
    wanted = on_numpy(case).value_and_grad(x, t, weights=each.astype(np.float64))[1]
    a = leaf(x)
    case.function(a, to_torch(t)).backward(to_torch(each))
    assert_same_bits(from_torch(a.grad), wanted, case.fmt, f"{case} element by element")
    rows = case.fmt.array(rng.choice([0.5, -1.25, 3.0], 11))
    wanted = on_numpy(case).value_and_grad(
        x, t, reduction="mean", axis=0, weights=rows.astype(np.float64)
    )[1]
    a = leaf(x)
    case.function(a, to_torch(t), reduction="mean", axis=0).backward(to_torch(rows))
    assert_same_bits(from_torch(a.grad), wanted, case.fmt, f"{case} row by row")


@pytest.mark.parametrize("case", cases([BFLOAT16], backends=[Backend.TORCH]))
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_loss_bfloat16_against_float32(
    case: Case, reduction: str, rng: np.random.Generator
) -> None:
    """The loss is float32; each gradient is rounded once, to the dtype of its tensor."""
    x = BFLOAT16.array(rng.normal(0.5, 2.0, 500))
    t = FLOAT32.array(rng.normal(-0.25, 1.0, 500))
    a, b = leaf(x), leaf(t)
    loss = case.function(a, b, reduction=reduction)
    wide = Case(case.loss, Backend.NUMPY, FLOAT32)
    value, slope = wide.value_and_grad(x.astype(np.float32), t, reduction=reduction)
    assert_same_bits(from_torch(loss), value, FLOAT32, str(case))
    by_inputs, by_targets = gradient(loss, a, b)
    assert_same_bits(from_torch(-by_targets), slope, FLOAT32, f"{case} by targets")
    scale = 1 if reduction == "none" else len(x)
    wanted = [
        real(case.loss, "gradient", float(p), float(q), **case.loss.parameters) / scale
        for p, q in zip(x, t, strict=True)
    ]
    bound = 0.5 if scale == 1 else 0.5 + 2.0**-20
    assert_ulp(from_torch(by_inputs), wanted, BFLOAT16, bound, f"{case} by inputs")


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
def test_loss_gradcheck(case: Case, view: str, both: bool, rng: np.random.Generator) -> None:
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
        assert torch.autograd.gradgradcheck(loss, operands, **check)


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
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        x, t = (from_torch(part) for part in (sample.input, target))
        wanted = truth(case, x, t, **{"delta": 1.0, **keywords})
        assert_ulp(
            from_torch(ours), list(wanted.value.flat), FLOAT32, 0.5 + 2.0**-20, str(keywords)
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
def test_loss_second_derivative_at_zero_is_one(function: Any, dtype: torch.dtype) -> None:
    for zero in (0.0, -0.0):
        x = torch.tensor(zero, dtype=dtype, requires_grad=True)
        for loss in (function(x, 0.0), function(x, torch.zeros_like(x), reduction="mean")):
            (slope,) = torch.autograd.grad(loss, x, create_graph=True)
            assert slope.item() == 0.0
            assert torch.autograd.grad(slope, x)[0].item() == 1.0


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.5, math.inf])
def test_huber_second_derivative_at_delta_is_one(delta: float) -> None:
    def second(r: float) -> Any:
        x = torch.tensor(r, requires_grad=True)
        (slope,) = torch.autograd.grad(lossless.huber_loss(x, 0.0, delta), x, create_graph=True)
        return torch.autograd.grad(slope, x)[0].item()

    if delta < math.inf:
        beyond = float(np.nextafter(np.float32(delta), np.float32(9)))
        assert [second(r) for r in (delta, -delta, beyond, -beyond)] == [1, 1, 0, 0]
    else:
        assert [second(r) for r in (1e-20, -3.0, 1e15)] == [1, 1, 1]


@IN_FLOAT32
def test_loss_second_order_against_mpmath(case: Case, rng: np.random.Generator) -> None:
    """The gradient with a graph has the kernels' bits; differentiated again, the contract holds."""
    x = case.fmt.array(np.concatenate([rng.uniform(-4, 4, 300), rng.normal(0, 1e-6, 100)]))
    a = leaf(x)
    first = gradient(case.function(a, 0.0), a)
    loss = case.function(a, torch.zeros_like(a))
    (slope,) = torch.autograd.grad(loss.sum(), a, create_graph=True)
    assert_same_bits(from_torch(slope), from_torch(first), case.fmt, str(case))
    (second,) = torch.autograd.grad(slope.sum(), a)
    wanted = [real(case.loss, "second_derivative", r, **case.loss.parameters) for r in x.tolist()]
    far = [COMPOSED_SECOND if abs(r) > 2 else 0 for r in x.tolist()]
    assert_ulp(from_torch(second), wanted, case.fmt, 16, f"{case} second order", x, slack=far)


@IN_FLOAT64
def test_loss_whose_cotangent_depends_on_the_inputs(case: Case, rng: np.random.Generator) -> None:
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
def test_loss_backward_twice(case: Case, rng: np.random.Generator) -> None:
    """With retain_graph the second pass finds what the first one found, whoever changed that."""
    x, t = arrays(case, (50,), rng)
    _, wanted = on_numpy(case).value_and_grad(x, t, reduction="mean")
    a, b = leaf(x), leaf(t)
    for by, sign in ((a, 1), (b, -1)):
        loss = case.function(
            a if by is a else a.detach(), b if by is b else b.detach(), reduction="mean"
        )
        for keep in (True, True, False):
            (slope,) = torch.autograd.grad(loss, by, retain_graph=keep)
            assert_same_bits(from_torch(sign * slope), wanted, case.fmt, f"{case} {keep}")
            slope.mul_(7)
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(loss, by)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_loss_notices_changed_inputs(function: Any, reduction: str) -> None:
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
        assert saved.shape == x.shape
        place = saved.data_ptr()
        del saved
        x.grad = None
        loss.backward()
        assert x.grad is not None
        assert x.grad.data_ptr() == place
        for quiet in (function(x, t, reduction="none"), function(x, t * 0 + x, reduction="none")):
            assert quiet.grad_fn.saved_tensors[0] is None
        with torch.no_grad():
            assert function(x, t, reduction="mean").grad_fn is None
        assert function(x.detach(), t, reduction="mean").grad_fn is None


def test_inference_mode() -> None:
    with torch.inference_mode():
        x = torch.tensor([0.5, -3.0])
        assert lossless.huber_loss(x, x * 0, reduction="sum").item() == 2.625


@pytest.mark.parametrize(
    ("case", "parameters", "table"),
    [
        pytest.param(*case.values, parameters, table, id=f"{case.id}{parameters or ''}")
        for name, parameters, table in TABLES
        for case in cases([FLOAT32], [LOSSES[name]], [Backend.TORCH, Backend.TORCH_COMPOSED])
        if parameters.get("delta") not in (1e300, 2.0**-1060)
    ],
)
def test_loss_special_values_under_autograd(case: Case, parameters: Any, table: Any) -> None:
    """As in the calls that return derivatives, but for the sign of 0 and for subnormal numbers.

    And the second derivative of Huber at NaN is that of a piece.
    """
    table = [row for row in table if not {"smallest", "-smallest"} & set(row[0])]
    x, t = (
        to_torch(case.fmt.array([number(pair[i], case, parameters) for pair, _ in table]))
        for i in (0, 1)
    )
    x.requires_grad_()
    with case.backend.path():
        value = case.function(x, t, **parameters)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), x)
    for output, got in zip(OUTPUTS, (value, slope, curvature), strict=True):
        place = OUTPUTS.index(output)
        wanted = case.fmt.array([number(results[place], case, parameters) for _, results in table])
        known = ~np.isnan(wanted)
        result = from_torch(got)
        assert_same_bits(result[known] + 0, wanted[known] + 0, case.fmt, f"{case} {output}")
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
    assert total.item() == 0.25 + 2.5 + 8.0
    assert by_delta.tolist() == [0.0, 2.0, 0.0, 0.0]
    assert by_weights.tolist() == [0.125, 2.5, 2.0, 0.0]


@IN_FLOAT32
def test_loss_second_path_of_composed(case: Case, rng: np.random.Generator) -> None:
    """Inside composed() autograd goes through PyTorch's own operations, within the contract."""
    x, t = arrays(case, (4, 9), rng)
    for reduction in REDUCTIONS:
        wanted = truth(
            Case(case.loss, Backend.TORCH_COMPOSED, case.fmt), x, t,
            reduction=reduction, **case.loss.parameters,
        )  # fmt: skip
        a = leaf(x)
        with lossless.composed():
            loss = case.function(a, to_torch(t), reduction=reduction)
            assert "_Value" not in type(loss.grad_fn).__name__
        assert_near(case, "value", loss, wanted.value, reduction)
        assert_near(case, "gradient", gradient(loss, a), wanted.gradient, reduction)


# dtypes and numbers


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ("uint8", "uint8", "float32"),
        ("bool", "int32", "float32"),
        ("uint16", "uint64", "float32"),
        ("int64", "float16", "float32"),
        ("int64", "float64", "float64"),
        ("float16", "bfloat16", "float32"),
        ("float16", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_loss_mixed_dtypes(function: Any, first: str, second: str, wanted: str) -> None:
    x, t = (
        torch.tensor(numbers, dtype=getattr(torch, name))
        for numbers, name in (([1, 0], first), ([0, 1], second))
    )
    for a, b in ((x, t), (t, x)):
        got = function(a, b)
        assert got.dtype == getattr(torch, wanted)
        assert torch.equal(got, function(a.to(got.dtype), b.to(got.dtype)))
        for part in lossless.value_and_grad(function)(a, b, reduction="mean"):
            assert part.dtype == got.dtype


def test_huber_default_dtype_is_that_of_torch() -> None:
    x = torch.tensor([0, 3], dtype=torch.uint8)
    assert lossless.huber_loss(x, x.flip(0)).tolist() == [2.5, 2.5]
    torch.set_default_dtype(torch.float64)
    try:
        assert lossless.huber_loss(x, 1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_loss_tensors_of_no_dimensions_promote_as_in_torch(function: Any) -> None:
    """A float64 number as a tensor does not widen a float32 tensor; it becomes float32 first."""
    x = torch.tensor([0.3, -1.7], requires_grad=True)
    scalar = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    got = function(x, scalar)
    assert got.dtype == torch.float32
    assert torch.equal(got, function(x, 0.1))
    slope, total = gradient(got, x, scalar)
    assert (slope.dtype, total.dtype) == (torch.float32, torch.float64)
    _, exact = lossless.value_and_grad(function)(x.double(), scalar.float().double())
    assert total.item() == np.float32(-exact.sum().item())
    assert function(scalar, torch.tensor(0.5)).dtype == torch.float64


@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float32(2), np.float64(2), np.int8(2)])
def test_loss_numbers_are_weak(scalar: Any) -> None:
    """NumPy's scalars count as numbers: they change no dtype and are no foreign arrays."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.tensor([0.5, 3.0], dtype=dtype)
        for got in (
            lossless.huber_loss(x, scalar),
            lossless.huber_loss(scalar, x),
            lossless.huber_loss(x, x, delta=scalar, weights=scalar),
            lossless.log_cosh_loss(x, scalar, reduction="mean"),
        ):
            assert got.dtype == dtype


def test_huber_delta_is_exact_in_the_kernels() -> None:
    """As a number it keeps float64's digits: 0.1 is not float32's 0.1."""
    x = np.array([0.1, 3.0], np.float32)
    wanted = lossless.huber_loss(x, np.zeros_like(x), 0.1)
    assert lossless.huber_loss(torch.from_numpy(x), 0.0, 0.1).tolist() == wanted.tolist()


# Errors, beside those that test_errors has for every backend


@pytest.mark.parametrize("argument", ["inputs", "targets", "delta", "weights", "where"])
@pytest.mark.parametrize(
    ("foreign", "named"), [(np.array([0.5, 1.0], np.float32), "NumPy"), ([0.5, 1.0], "list")]
)
def test_huber_one_framework_in_a_call(foreign: Any, named: str, argument: str) -> None:
    x = torch.tensor([0.5, 1.0])
    with pytest.raises(TypeError, match=rf"^huber_loss: {argument} .*PyTorch.*{named}.*convert"):
        lossless.huber_loss(**{"inputs": x, "targets": x, argument: foreign})


@pytest.mark.parametrize(
    "bad",
    [
        torch.tensor([1j, 2.0]),
        torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
    ],
    ids=lambda bad: str(bad.dtype),
)
def test_huber_takes_real_tensors_only(bad: Any) -> None:
    x = torch.tensor([0.5, 1.0])
    for name in ("inputs", "targets", "weights", "delta"):
        with pytest.raises(TypeError, match=rf"^huber_loss: {name} must be real .*{bad.dtype}"):
            lossless.huber_loss(**{"inputs": x, "targets": x, name: bad})
    with pytest.raises(TypeError, match=r"^huber_loss: where must be boolean, got dtype"):
        lossless.huber_loss(x, x, where=x)


# What serves


def test_info_says_which_path_serves_torch() -> None:
    def path() -> dict[str, str]:
        found: dict[str, str] = lossless.info()["backends"]["torch"]
        return found

    lossless.huber_loss(torch.tensor(1.0), 0.5)
    assert path()["path"] == "native"
    with lossless.composed():
        assert path() == {"path": "composed", "why": "inside lossless.composed()"}


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


def run(program: str) -> list[str]:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_tensors_that_the_kernels_cannot_read_go_to_the_formulas_with_one_warning() -> None:
    *values, warning, info = run(OTHER_VERSION)
    assert values == ["[0.125, 2.5]"] * 3
    assert warning.startswith("RuntimeWarning lossless: PyTorch tensors are served by composed")
    assert "'path': 'composed'" in info


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
    assert run(THREADS) == ["0 3", "2 3"]
