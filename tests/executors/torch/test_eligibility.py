"""Which tensors the kernels read, and which calls take the shortcut to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

import lossless
from lossless._check import is_simple
from lossless._dispatch import run_simple
from lossless._problem import REDUCTIONS, VALUE, Call
from lossless._spec import LOSSES
from lossless.executors.torch import FRAMEWORK
from lossless.executors.torch.eligibility import TENSORS
from support.cases import TORCH_JIT, Case, from_torch, to_torch
from support.checks import assert_same_bits
from support.frameworks.cases import arrays, on_numpy
from support.frameworks.torch import IN_EVERY_DTYPE

_X = torch.rand(3) + 1
PLAIN: dict[str, Any] = {
    "loss": LOSSES["huber"],
    "operands": (_X, torch.rand(3)),
    "reduction": "mean",
    "parameters": (1.0,),
}


def at_once(call: Call[Any], outputs: tuple[str, ...]) -> Any:
    """As the dispatch asks the fast path; None: the call is looked at in full."""
    return run_simple(FRAMEWORK, call, outputs) if is_simple(call) else None


class Subclass(Tensor):
    """It may mean anything by its memory."""


def without_plain_memory() -> dict[str, Any]:
    """Tensors that mean something else than what is in their memory, or have none."""
    freed = torch.rand(3)
    freed.untyped_storage().resize_(0)
    escaped: dict[str, Tensor] = {}

    def escape(x: Tensor, name: str) -> Tensor:
        escaped[name] = x
        return x.sum()

    torch.func.vmap(escape, in_dims=(0, None))(torch.rand(2, 3), "batched")
    torch.func.grad(escape)(_X, "tracked")
    torch.func.functionalize(escape)(_X, "functionalized")
    with FakeTensorMode():
        fake = torch.rand(3)
    return {
        **escaped,
        "fake": fake,
        "freed": freed,
        "functional": torch._to_functional_tensor(_X),
        "meta": _X.to("meta"),
        "mkldnn": _X.to_mkldnn(),
        "negative": torch._neg_view(_X),
        "nested": torch.nested.nested_tensor([_X, _X]),
        "quantized": torch.quantize_per_tensor(_X, 0.1, 0, torch.quint8),
        "rows": torch.rand(2, 2).to_sparse_csr(),
        "sparse": _X.to_sparse(),
        "subclass": _X.as_subclass(Subclass),
        "zero": torch._efficientzerotensor((3,)),
    }


@pytest.mark.filterwarnings("ignore:.*(beta|prototype|deprecated).*")
def test_kernels_read_plain_memory_only() -> None:
    with torch.inference_mode():
        inference = torch.rand(3)
    for x in (_X, _X[::2], _X[:0], _X[0], torch.nn.Parameter(_X), inference, _X > 0, _X.long()):
        assert TENSORS.has_plain_memory(x)
    for what, x in without_plain_memory().items():
        assert not TENSORS.has_plain_memory(x), what


@IN_EVERY_DTYPE
def test_plain_calls_take_the_shortcut(case: Case, rng: np.random.Generator) -> None:
    """Whatever the layout, to NumPy's bits and to PyTorch's own strides."""
    x, t = arrays(case, (8, 9), rng)
    views: list[Any] = [lambda a: a, lambda a: a[::2, 1:7], lambda a: a.T, lambda a: a[3, 4]]
    for view in (*views, lambda a: a[:0]):
        for reduction in REDUCTIONS:
            a, b = view(to_torch(x)), view(to_torch(t))
            parameters = tuple(case.loss.parameters.values())
            call: Call[Any] = Call(LOSSES[case.loss.name], (a, b), parameters, reduction)
            found = at_once(call, VALUE)
            assert found is not None
            (value,) = found
            assert (torch.empty_like(a).stride() if reduction == "none" else ()) == value.stride()
            expected = on_numpy(case).value(view(x), view(t), reduction=reduction)
            assert_same_bits(expected, from_torch(value), case.fmt, f"{case} {reduction}")


@pytest.mark.filterwarnings("ignore:.*(beta|prototype|deprecated).*")
def test_other_calls_do_not_take_the_shortcut() -> None:
    """What is more than two plain tensors, or wrong, is looked at in full."""
    x, t = PLAIN["operands"]
    tracked = x.clone().requires_grad_()
    pairs = [(tracked, t), (t, tracked), (x, t.double()), (x, t[:2]), (x, t[0]), (x, 0.5)]
    pairs += [(x.long(), t.long()), (x > 0, t > 0), (x.bfloat16(), t.half())]
    for strange in without_plain_memory().values():
        pairs += [(strange, strange), (x, strange)]
    others: list[dict[str, Any]] = [{"operands": (a, b)} for a, b in pairs]
    others += [{"operands": (x, t, t)}]
    others += [{"weights": 1.0}, {"where": x > 0}, {"axis": 0}]
    others += [{"reduction": reduction} for reduction in ("average", ["mean"], None)]
    others += [{"parameters": (x,)} for x in (0.0, -1.0, float("nan"), 1, "mean", x)]
    for other in others:
        assert at_once(Call(**PLAIN | other), VALUE) is None, other


@TORCH_JIT
def test_nothing_takes_the_shortcut_where_somebody_looks_on() -> None:
    def is_taken() -> bool:
        return at_once(Call(**PLAIN), VALUE) is not None

    assert is_taken()
    with lossless.composed():
        assert not is_taken()
    with torch.autograd.forward_ad.dual_level():
        assert not is_taken()
    with FakeTensorMode():
        assert not is_taken()
    with torch.device("cpu"):  # a mode that sees every function
        assert not is_taken()
    seen: list[bool] = []

    def look(row: Tensor) -> Tensor:
        seen.append(is_taken())
        return row + 1

    torch.func.vmap(look)(torch.rand(2, 3))
    torch.jit.trace(look, torch.rand(3), check_trace=False)  # type: ignore[no-untyped-call]
    assert seen
    assert not any(seen)
