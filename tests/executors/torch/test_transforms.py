"""Our losses under what PyTorch compiles, traces and transforms, and what eager calls notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

import lossless
from lossless.verification.formats import Array
from support.cases import REDUCTIONS, TORCH_JIT, Case, from_torch, to_torch
from support.checks import assert_same_bits
from support.frameworks.cases import arrays, assert_near, on_numpy
from support.frameworks.torch import IN_FLOAT32, gradient
from support.reference_calls import reference_call

SHAPE = (4, 6)


class Problem:
    """Inputs, targets and options of a call, and what is true of it."""

    def __init__(self, case: Case, rng: np.random.Generator, reduction: Any = "mean") -> None:
        self.case, self.reduction = case, reduction
        self.x, self.t = arrays(case, SHAPE, rng)
        self.w = rng.uniform(0.5, 2.0, SHAPE[1]).astype(np.float32)
        self.m = rng.random(SHAPE) < 0.7
        self.tensors = tuple(map(to_torch, (self.x, self.t, self.w, self.m)))

    def loss(self, x: Any, t: Any, w: Any, m: Any) -> Any:
        return self.case.function(x, t, reduction=self.reduction, weights=w, where=m)

    def another(self, rng: np.random.Generator) -> Problem:
        return Problem(self.case, rng, self.reduction)

    def assert_value(self, actual: Any, what: str) -> None:
        assert_near(self.case, "value", self._reference().value, actual, f"{self.reduction} {what}")

    def assert_gradient(self, actual: Any, what: str) -> None:
        expected = self._reference().gradient
        assert_near(self.case, "gradient", expected, actual, f"{self.reduction} {what}")

    def _reference(self) -> Any:
        return reference_call(
            self.case, self.x, self.t, reduction=self.reduction, weights=self.w, where=self.m,
            **self.case.loss.parameters,
        )  # fmt: skip


@pytest.fixture(params=REDUCTIONS)
def problem(case: Case, request: pytest.FixtureRequest, rng: np.random.Generator) -> Problem:
    return Problem(case, rng, request.param)


# Compilers and tracers: the second data tells what they kept from the first.


@IN_FLOAT32
@TORCH_JIT
def test_compiled_losses(problem: Problem, rng: np.random.Generator) -> None:
    """Without a break of the graph, with its backward pass, for other data and other sizes."""
    torch._dynamo.reset()
    step = torch.compile(problem.loss, fullgraph=True, backend="aot_eager", dynamic=True)
    for current in (problem, problem.another(rng)):
        x, *rest = current.tensors
        x.requires_grad_()
        value = step(x, *rest)
        current.assert_value(value, "compiled")
        current.assert_gradient(gradient(value, x), "compiled")
    x, t, w, m = problem.tensors
    cut = (x.detach()[:3], t[:3], w, m[:3])
    assert torch.allclose(step(*cut), problem.loss(*cut), rtol=2.0**-20, atol=0)


@IN_FLOAT32
@TORCH_JIT
def test_losses_compiled_by_inductor(case: Case, rng: np.random.Generator) -> None:
    """Machine code of its own, within the contract of the formulas."""
    torch._dynamo.reset()
    problem = Problem(case, rng)
    x, *rest = problem.tensors
    x.requires_grad_()
    value = torch.compile(problem.loss, fullgraph=True)(x, *rest)
    problem.assert_value(value, "inductor")
    problem.assert_gradient(gradient(value, x), "inductor")


@IN_FLOAT32
def test_explicit_derivatives_compiled(case: Case, rng: np.random.Generator) -> None:
    torch._dynamo.reset()
    problem = Problem(case, rng)

    def step(x: Any, t: Any, w: Any, m: Any) -> Any:
        pair = lossless.value_and_grad(case.function)
        return pair(x, t, reduction="mean", weights=w, where=m)

    value, slope = torch.compile(step, fullgraph=True, backend="aot_eager")(*problem.tensors)
    problem.assert_value(value, "compiled value_and_grad")
    problem.assert_gradient(slope, "compiled value_and_grad")


def test_huber_compiled_for_any_delta() -> None:
    """A number that changes from call to call is not kept; it rounds towards 0 as elsewhere."""
    torch._dynamo.reset()
    step = torch.compile(
        lambda x, delta: lossless.grad_and_hess(lossless.huber_loss)(x, 0.0, delta)[1],
        fullgraph=True,
        backend="aot_eager",
    )
    for delta in (0.3, 0.1, 0.7, 1 / 3):
        near = np.float32(delta)
        x = np.array([np.nextafter(near, np.float32(side)) for side in (0, 9)] + [near])
        expected = (x.astype(np.float64) <= delta).astype(np.float32)
        assert expected.tolist() == step(to_torch(x), delta).tolist(), delta


@IN_FLOAT32
@TORCH_JIT
def test_traced_losses(problem: Problem, rng: np.random.Generator) -> None:
    """No number of the first data is in the trace: not even how many there were."""
    traced = torch.jit.trace(problem.loss, problem.tensors)
    for current in (problem, problem.another(rng)):
        x, *rest = current.tensors
        x.requires_grad_()
        value = traced(x, *rest)
        current.assert_value(value, "traced")
        current.assert_gradient(gradient(value, x), "traced")
    x, t, w, m = problem.tensors
    cut = (x.detach()[:3], t[:3], w, m[:3])
    assert torch.allclose(traced(*cut), problem.loss(*cut), rtol=2.0**-20, atol=0)


@IN_FLOAT32
@pytest.mark.parametrize("strict", [False, True])
def test_exported_losses(case: Case, strict: bool, rng: np.random.Generator) -> None:
    """For any number of rows."""
    torch._dynamo.reset()

    class Model(torch.nn.Module):
        def forward(self, x: Any, t: Any) -> Any:
            return case.function(x, t, reduction="mean")

    rows = {0: torch.export.Dim("rows")}
    x, t = arrays(case, SHAPE, rng)
    exported = torch.export.export(
        Model(), (to_torch(x), to_torch(t)), dynamic_shapes=(rows, rows), strict=strict
    )
    for count in (4, 3):
        a, b = arrays(case, (count, SHAPE[1]), rng)
        expected = reference_call(case, a, b, reduction="mean", **case.loss.parameters).value
        actual = exported.module()(to_torch(a), to_torch(b))
        assert_near(case, "value", expected, actual, "exported")


@IN_FLOAT32
def test_losses_under_make_fx(problem: Problem, rng: np.random.Generator) -> None:
    graph = make_fx(lambda x, t, w, m: problem.loss(x, t, w, m))(*problem.tensors)
    current = problem.another(rng)
    current.assert_value(graph(*current.tensors), "make_fx")


# torch.func and forward mode


@IN_FLOAT32
@TORCH_JIT
def test_losses_under_torch_func(problem: Problem) -> None:
    """grad, vmap, jacrev, jvp and hessian, one inside the other."""
    x, *rest = problem.tensors
    func = torch.func

    def total(x: Any) -> Any:
        return problem.loss(x, *rest).sum()

    value, *_ = func.vjp(lambda x: problem.loss(x, *rest), x)
    problem.assert_value(value, "vjp")
    problem.assert_gradient(func.grad(total)(x), "grad")
    if problem.reduction == "none":
        rows = func.vmap(problem.loss, in_dims=(0, 0, None, 0))(*problem.tensors)
        problem.assert_value(rows, "vmap")
        one_by_one = func.vmap(func.vmap(func.grad(problem.loss)), in_dims=(0, 0, None, 0))
        problem.assert_gradient(one_by_one(*problem.tensors), "vmap of vmap of grad")
        jacobian = func.jacrev(lambda x: problem.loss(x, *rest))(x).reshape(24, 24)
        problem.assert_gradient(jacobian.diagonal().reshape(SHAPE), "jacrev")
        assert torch.equal(jacobian, jacobian.diagonal().diag())
    tangent = torch.ones_like(x)
    direction = func.jvp(total, (x,), (tangent,))[1]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, tangent)
        other = forward_ad.unpack_dual(problem.loss(dual, *rest)).tangent
    expected = func.grad(total)(x).double().sum()
    for actual in (direction, other.double().sum()):
        assert abs(actual - expected) <= 1e-5 * abs(expected)


@IN_FLOAT32
@TORCH_JIT
def test_hessian(case: Case, rng: np.random.Generator) -> None:
    """The diagonal is the second derivative, and 0 what is beside it."""
    x, t = arrays(case, (7,), rng)
    hessian = torch.func.hessian(lambda x: case.function(x, to_torch(t), reduction="sum"))
    actual = hessian(to_torch(x))
    expected = reference_call(case, x, t, **case.loss.parameters).second_derivative
    far = np.abs(x.astype(np.float64) - t) > 2
    result, true = from_torch(actual.diagonal()), expected.astype(np.float64)
    allowed = np.where(far, 2.0**-22, 16 * np.spacing(np.abs(true).astype(np.float32)))
    assert (np.abs(result - true) <= allowed).all(), f"{case}: {result} {true}"
    assert torch.equal(actual, actual.diagonal().diag())


@IN_FLOAT32
@pytest.mark.filterwarnings("ignore:There is a performance drop because we have not yet")
def test_batched_cotangents(problem: Problem) -> None:
    """is_grads_batched: the backward pass of an eager call, several at once."""
    x, *rest = problem.tensors
    x.requires_grad_()
    value = problem.loss(x, *rest)
    factors = torch.tensor([1.0, -2.0, 0.5])
    cotangents = factors.reshape(3, *[1] * value.ndim) * torch.ones_like(value)
    (slopes,) = torch.autograd.grad(value, x, cotangents, is_grads_batched=True)
    for factor, slope in zip(factors, slopes, strict=True):
        problem.assert_gradient(slope / factor, f"batched times {factor}")


# What eager calls must notice


class Doubled(torch.Tensor):
    """A subclass that means twice what is in its memory."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def meant(x: Any) -> Any:
            return 2 * x.as_subclass(torch.Tensor) if isinstance(x, Doubled) else x

        if "__get__" in getattr(func, "__name__", ""):
            return super().__torch_function__(func, types, args, kwargs or {})
        return func(*map(meant, args), **(kwargs or {}))


class Watching(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        return func(*args, **(kwargs or {}))


@IN_FLOAT32
def test_tensors_that_are_not_what_is_in_memory(case: Case, rng: np.random.Generator) -> None:
    x, t = arrays(case, SHAPE, rng)
    a, b = to_torch(x), to_torch(t)

    def near(actual: Any, inputs: Array, what: str) -> None:
        expected = reference_call(case, inputs, t, reduction="mean", **case.loss.parameters).value
        assert_near(case, "value", expected, actual, what)

    near(case.function(torch._neg_view(a), b, reduction="mean"), -x, "negative")
    near(case.function(a.as_subclass(Doubled), b, reduction="mean"), 2 * x, "subclass")
    zero = torch._efficientzerotensor(SHAPE)
    near(case.function(zero, b, reduction="mean"), 0 * x, "zero")
    with Watching() as mode:
        near(case.function(a, b, reduction="mean"), x, "watched")
    assert mode.seen > 5
    value = case.function(a.to("meta"), b.to("meta"), reduction="sum", axis=0)
    assert ("meta", (6,), torch.float32) == (value.device.type, value.shape, value.dtype)
    with pytest.raises(RuntimeError, match="device"):
        case.function(a, b.to("meta"))


@IN_FLOAT32
def test_losses_of_parameters_are_computed_by_kernels(case: Case, rng: np.random.Generator) -> None:
    x, t = arrays(case, SHAPE, rng)
    parameter = torch.nn.Parameter(to_torch(x))
    value, slope = on_numpy(case).value_and_grad(x, t, reduction="mean")
    loss = case.function(parameter, to_torch(t), reduction="mean")
    loss.backward()
    assert_same_bits(value, from_torch(loss), case.fmt, str(case))
    assert_same_bits(slope, from_torch(parameter.grad), case.fmt, str(case))
