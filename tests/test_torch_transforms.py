"""Our losses under what PyTorch compiles, traces and transforms, and in its training loops."""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from brute import truth
from cases import TORCH_JIT, Backend, Case, cases, from_torch, to_torch
from checks import assert_same_bits
from torch import multiprocessing
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch_cases import IN_FLOAT32, REDUCTIONS, arrays, assert_near, gradient, leaf, on_numpy

import lossless
import lossless.torch
from lossless.cli.oracle.formats import FLOAT16, Array

SHAPE = (4, 6)


class Problem:
    """Inputs, targets and options of a call, and what is true of it."""

    def __init__(self, case: Case, rng: np.random.Generator, reduction: str = "mean") -> None:
        self.case, self.reduction = case, reduction
        self.x, self.t = arrays(case, SHAPE, rng)
        self.w = rng.uniform(0.5, 2.0, SHAPE[1]).astype(np.float32)
        self.m = rng.random(SHAPE) < 0.7
        self.tensors = tuple(map(to_torch, (self.x, self.t, self.w, self.m)))

    def loss(self, x: Any, t: Any, w: Any, m: Any) -> Any:
        return self.case.function(x, t, reduction=self.reduction, weights=w, where=m)

    def another(self, rng: np.random.Generator) -> Problem:
        return Problem(self.case, rng, self.reduction)

    def assert_value(self, got: Any, what: str) -> None:
        assert_near(self.case, "value", got, self._truth().value, f"{self.reduction} {what}")

    def assert_gradient(self, got: Any, what: str) -> None:
        assert_near(self.case, "gradient", got, self._truth().gradient, f"{self.reduction} {what}")

    def _truth(self) -> Any:
        return truth(
            self.case, self.x, self.t, reduction=self.reduction, weights=self.w, where=self.m,
            **self.case.loss.parameters,
        )  # fmt: skip


@pytest.fixture(params=REDUCTIONS)
def problem(case: Case, request: pytest.FixtureRequest, rng: np.random.Generator) -> Problem:
    return Problem(case, rng, request.param)


# Compilers and tracers: the second data tells what they kept from the first.


@IN_FLOAT32
@TORCH_JIT
def test_loss_compiled(problem: Problem, rng: np.random.Generator) -> None:
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
def test_loss_compiled_by_inductor(case: Case, rng: np.random.Generator) -> None:
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
        wanted = (x.astype(np.float64) <= delta).astype(np.float32)
        assert step(to_torch(x), delta).tolist() == wanted.tolist(), delta


@IN_FLOAT32
@TORCH_JIT
def test_loss_jit_trace(problem: Problem, rng: np.random.Generator) -> None:
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
def test_loss_exported(case: Case, strict: bool, rng: np.random.Generator) -> None:
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
        wanted = truth(case, a, b, reduction="mean", **case.loss.parameters).value
        assert_near(case, "value", exported.module()(to_torch(a), to_torch(b)), wanted, "exported")


@IN_FLOAT32
def test_loss_make_fx(problem: Problem, rng: np.random.Generator) -> None:
    graph = make_fx(lambda x, t, w, m: problem.loss(x, t, w, m))(*problem.tensors)
    current = problem.another(rng)
    current.assert_value(graph(*current.tensors), "make_fx")


# torch.func and forward mode


@IN_FLOAT32
@TORCH_JIT
def test_loss_under_torch_func(problem: Problem) -> None:
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
    wanted = func.grad(total)(x).double().sum()
    for got in (direction, other.double().sum()):
        assert abs(got - wanted) <= 1e-5 * abs(wanted)


@IN_FLOAT32
@TORCH_JIT
def test_loss_hessian(case: Case, rng: np.random.Generator) -> None:
    """The diagonal is the second derivative, and 0 what is beside it."""
    x, t = arrays(case, (7,), rng)
    hessian = torch.func.hessian(lambda x: case.function(x, to_torch(t), reduction="sum"))
    got = hessian(to_torch(x))
    wanted = truth(case, x, t, **case.loss.parameters).second_derivative
    far = np.abs(x.astype(np.float64) - t) > 2
    result, true = from_torch(got.diagonal()), wanted.astype(np.float64)
    allowed = np.where(far, 2.0**-22, 16 * np.spacing(np.abs(true).astype(np.float32)))
    assert (np.abs(result - true) <= allowed).all(), f"{case}: {result} {true}"
    assert torch.equal(got, got.diagonal().diag())


@IN_FLOAT32
@pytest.mark.filterwarnings("ignore:There is a performance drop because we have not yet")
def test_loss_batched_cotangents(problem: Problem) -> None:
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
def test_loss_of_tensors_that_are_not_what_is_in_memory(
    case: Case, rng: np.random.Generator
) -> None:
    x, t = arrays(case, SHAPE, rng)
    a, b = to_torch(x), to_torch(t)

    def near(got: Any, inputs: Array, what: str) -> None:
        wanted = truth(case, inputs, t, reduction="mean", **case.loss.parameters).value
        assert_near(case, "value", got, wanted, what)

    near(case.function(torch._neg_view(a), b, reduction="mean"), -x, "negative")
    near(case.function(a.as_subclass(Doubled), b, reduction="mean"), 2 * x, "subclass")
    zero = torch._efficientzerotensor(SHAPE)
    near(case.function(zero, b, reduction="mean"), 0 * x, "zero")
    with Watching() as mode:
        near(case.function(a, b, reduction="mean"), x, "watched")
    assert mode.seen > 5
    value = case.function(a.to("meta"), b.to("meta"), reduction="sum", axis=0)
    assert (value.device.type, value.shape, value.dtype) == ("meta", (6,), torch.float32)
    with pytest.raises(RuntimeError, match="device"):
        case.function(a, b.to("meta"))


@IN_FLOAT32
def test_loss_of_parameters_is_native(case: Case, rng: np.random.Generator) -> None:
    x, t = arrays(case, SHAPE, rng)
    parameter = torch.nn.Parameter(to_torch(x))
    value, slope = on_numpy(case).value_and_grad(x, t, reduction="mean")
    loss = case.function(parameter, to_torch(t), reduction="mean")
    loss.backward()
    assert_same_bits(from_torch(loss), value, case.fmt, str(case))
    assert_same_bits(from_torch(parameter.grad), slope, case.fmt, str(case))


# Training


@IN_FLOAT32
@pytest.mark.parametrize("reentrant", [False, True])
def test_loss_checkpoint(case: Case, reentrant: bool, rng: np.random.Generator) -> None:
    """Computed again in the backward pass: the same bits."""
    x, t = arrays(case, SHAPE, rng)
    value, slope = on_numpy(case).value_and_grad(x, t, reduction="mean")
    a = leaf(x)
    loss: Any = checkpoint(
        lambda x, t: case.function(x, t, reduction="mean"), a, to_torch(t), use_reentrant=reentrant
    )
    assert_same_bits(from_torch(loss), value, case.fmt, str(case))
    assert_same_bits(from_torch(gradient_by_backward(loss, a)), slope, case.fmt, str(case))


def gradient_by_backward(loss: Any, x: Any) -> Any:
    loss.backward()
    return x.grad


@pytest.mark.parametrize("name", ["huber", "log_cosh"])
def test_loss_autocast(name: str) -> None:
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
    assert (predictions.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    wide = predictions.detach().float().numpy()
    value, slope = lossless.value_and_grad(function)(wide, targets.numpy(), reduction="mean")
    assert loss.item() == value
    assert predictions.grad is not None
    assert predictions.grad.dtype == torch.bfloat16
    assert np.abs(predictions.grad.float().numpy() / slope - 1).max() <= 2.0**-8
    assert linear.weight.grad is not None
    by_hand = (predictions.grad.float()[:, None] * data).sum(0)
    assert (abs(linear.weight.grad - by_hand) <= 0.02 * abs(by_hand).max()).all()


@pytest.mark.parametrize("case", cases([FLOAT16], backends=[Backend.TORCH]))
def test_loss_scaled_against_underflow(case: Case, rng: np.random.Generator) -> None:
    """As GradScaler does: gradients below float16's range come back, rounded once."""
    n = 1 << 16
    x = case.fmt.array(rng.normal(0, 1e-3, n))
    t = np.zeros_like(x)
    scale = 1024.0
    _, lost = on_numpy(case).value_and_grad(x, t, reduction="mean")
    _, wanted = on_numpy(case).value_and_grad(x, t, reduction="mean", weights=scale)
    a = leaf(x)
    (case.function(a, to_torch(t), reduction="mean") * torch.tensor(scale)).backward()
    assert_same_bits(from_torch(a.grad), wanted, case.fmt, str(case))
    assert np.count_nonzero(lost) < 0.5 * np.count_nonzero(wanted)


class Losses(torch.utils.data.Dataset[Any]):
    """A loss computed in each worker process."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        x = torch.linspace(-3, 3, 200_001, requires_grad=True)
        loss = lossless.huber_loss(x, float(index), reduction="mean")
        loss.backward()
        return loss.detach(), x.grad


def test_loss_in_forked_workers() -> None:
    """In a process of its own: no other library of this one, such as JAX, minds being forked."""
    program = "import test_torch_transforms as tests; tests.compare_with_forked_workers()"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parent)


def compare_with_forked_workers() -> None:
    """Also after the parent process has used its threads."""
    here = [Losses()[index] for index in range(4)]
    loader = torch.utils.data.DataLoader(
        Losses(), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    for (value, slope), (wanted, slope_wanted) in zip(loader, here, strict=True):
        assert torch.equal(value, wanted)
        assert torch.equal(slope, slope_wanted)


def train_in_parallel(rank: int, port: int, queue: Any) -> None:
    warnings.simplefilter("ignore")  # of PyTorch about itself
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 1))
    data, targets = batch(rank)
    loss = lossless.log_cosh_loss(model(data).squeeze(-1), targets, reduction="mean")
    loss.backward()
    queue.put((rank, [np.asarray(part.grad).tolist() for part in model.parameters()]))
    torch.distributed.destroy_process_group()


def batch(rank: int) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(16, 3, generator=generator), torch.randn(16, generator=generator)


def test_loss_distributed() -> None:
    """Two processes: the mean of their gradients, the same in both."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = [
        context.Process(target=train_in_parallel, args=(rank, port, queue)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    results = dict(queue.get() for _ in processes)
    for process in processes:
        process.join()  # its exit code says little: gloo's threads at times abort at the very end
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    for rank in range(2):
        data, targets = batch(rank)
        loss = lossless.log_cosh_loss(model(data).squeeze(-1), targets, reduction="mean")
        (loss / 2).backward()
    assert results[0] == results[1]
    for got, part in zip(results[0], model.parameters(), strict=True):
        assert part.grad is not None
        assert (abs(torch.tensor(got) - part.grad) <= 1e-6 * abs(part.grad).max()).all()


# Modules


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_huber_module_takes_the_place_of_torchs(reduction: str) -> None:
    torch.manual_seed(1)
    x, t = torch.randn(50, requires_grad=True), torch.randn(50)
    choices: list[dict[str, Any]] = [{}, {"reduction": reduction, "delta": 0.5}]
    for options in choices:
        ours: Callable[..., Any] = lossless.torch.HuberLoss(**options)
        theirs: Callable[..., Any] = torch.nn.HuberLoss(**options)
        value, wanted = ours(x, t), theirs(input=x, target=t)
        assert value.shape == wanted.shape
        assert torch.equal(value, ours(input=x, target=t))
        assert (abs(value - wanted) <= 2.0**-20 * abs(wanted)).all()
        slope, other = gradient(value.sum(), x), gradient(wanted.sum(), x)
        assert (abs(slope - other) <= 2.0**-22 * abs(other)).all()


def test_modules_pass_their_options_on() -> None:
    x, t = torch.tensor([0.5, 3.0, -2.0]), torch.tensor([0.25, 1.0, 1.0])
    weights, mask = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, True, False])
    huber: Any = functools.partial(lossless.huber_loss, delta=0.75)
    for module, function in (
        (lossless.torch.HuberLoss("weighted_mean", 0.75), huber),
        (lossless.torch.LogCoshLoss("weighted_mean"), lossless.log_cosh_loss),
    ):
        got = module(x, t, weights=weights, where=mask)
        assert torch.equal(
            got, function(x, t, reduction="weighted_mean", weights=weights, where=mask)
        )
    assert lossless.torch.LogCoshLoss()(x, t).shape == ()
    assert repr(lossless.torch.LogCoshLoss("sum")) == "LogCoshLoss(reduction='sum')"
    model = torch.nn.Sequential(lossless.torch.LogCoshLoss())
    assert "(0): LogCoshLoss(reduction='mean')" in repr(model)


@pytest.mark.parametrize("module", [lossless.torch.HuberLoss, lossless.torch.LogCoshLoss])
def test_modules_name_what_is_wrong(module: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{module.__name__}: reduction must be .*'batchmean'"):
        module(reduction="batchmean")
    with pytest.raises(ValueError, match=r"_loss: targets must have the shape of inputs \(4, 1\)"):
        module()(torch.ones(4, 1), torch.ones(4))
