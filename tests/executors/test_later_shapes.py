"""What a trace keeps of a shape is right for every later shape, whoever traces.

MLX compiles for any shape, PyTorch compiles, exports and traces with symbolic sizes, and JAX
exports with symbolic dimensions. Each traces a loss and its gradient at one shape and is then
called with others: other rows, other classes, both, one of each. NumPy's kernels are the judge.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import lossless
from support.cases import from_jax, from_mlx, from_torch, to_jax, to_mlx, to_torch
from support.loss_calls import CALLS, arrays, assert_as_numpy, both, function, options, path

TRACED = (3, 4)
LATER = [(5, 4), (2, 7), (7, 2), (1, 3), (4, 4)]
REDUCTIONS = ("mean", "none")

each = pytest.mark.parametrize("name", CALLS)
either = pytest.mark.parametrize("composed", [False, True], ids=["kernels", "formulas"])


def assert_both(name: str, reduction: str, actual: Any, given: tuple[Any, ...]) -> None:
    expected = both(name, reduction)(*given)
    for output, one, other in zip(("value", "gradient"), actual, expected, strict=True):
        assert_as_numpy(other, one, f"{name} {reduction} {output} at {given[0].shape}")


@each
@either
def test_mlx_compiles_for_any_shape(name: str, composed: bool, rng: np.random.Generator) -> None:
    """By our gradients and by MLX's. (MLX maps nothing right there: x * 2.0 is wrong, too.)"""
    import mlx.core as mx

    def automatic(*given: Any) -> Any:
        def total(x: Any, *others: Any) -> Any:
            losses = function(name)(x, *others, **options(name, "none"))
            return losses.sum(), losses

        (_, losses), gradient = mx.value_and_grad(total)(*given)
        return losses, gradient

    # MLX calls a C++ compiler for each graph, so not all ways are tried by all reductions.
    for reduction, call in (("mean", both(name, "mean")), ("none", automatic)):
        with path(composed):
            compiled = mx.compile(call, shapeless=True)
            for rows, classes in (TRACED, *LATER):
                given = arrays(name, rng, rows, classes)
                actual = [from_mlx(r) for r in compiled(*map(to_mlx, given))]
                assert_both(name, reduction, actual, given)


@each
def test_torch_compiles_one_graph(name: str, rng: np.random.Generator) -> None:
    import torch

    torch.compiler.reset()
    compiled = torch.compile(both(name, "mean"), backend="eager", dynamic=True, fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for rows, classes in (TRACED, *LATER[:3], (9, 8), (8, 9), (6, 5)):
            given = arrays(name, rng, rows, classes)
            actual = [from_torch(r) for r in compiled(*map(to_torch, given))]
            assert_both(name, "mean", actual, given)
            # What is computed in between by others is no reason to compile again.
            both(name, "mean")(*given)


@each
def test_torch_exports_with_dynamic_shapes(name: str, rng: np.random.Generator) -> None:
    import torch
    from torch.export import Dim

    for strict, reduction in ((False, "mean"), (True, "none")):
        call = both(name, reduction)

        class Module(torch.nn.Module):
            def forward(self, *given: Any, call: Any = call) -> Any:
                return call(*given)

        given = arrays(name, rng, *TRACED)
        rows, classes = Dim("rows", min=2), Dim("classes", min=2)
        shapes = tuple({0: rows, 1: classes} if x.ndim == 2 else {0: rows} for x in given)
        program = torch.export.export(
            Module(), tuple(map(to_torch, given)), dynamic_shapes=(shapes,), strict=strict
        )
        for later in LATER[:3]:
            given = arrays(name, rng, *later)
            actual = [from_torch(r) for r in program.module()(*map(to_torch, given))]
            assert_both(name, reduction, actual, given)


@each
def test_torch_traces_symbolically(name: str, rng: np.random.Generator) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    given = arrays(name, rng, *TRACED)
    graph = make_fx(both(name, "mean"), tracing_mode="symbolic")(*map(to_torch, given))
    for later in LATER[:3]:
        given = arrays(name, rng, *later)
        actual = [from_torch(r) for r in graph(*map(to_torch, given))]
        assert_both(name, "mean", actual, given)


@each
def test_jax_says_how_to_export_a_kernel(name: str, rng: np.random.Generator) -> None:
    """Losses without a kernel need no advice."""
    import jax
    from jax import export

    without_kernel = name in ("nll", "kl_div", "cosine", "triplet", "triplet_inf")
    given = [to_jax(x) for x in arrays(name, rng, *TRACED)]
    advice = pytest.raises(ValueError, match=r"to_export_use_lossless\.composed\(\)")
    for call in (both(name, "mean"), both(name, "none")):
        with nullcontext() if without_kernel else advice:
            export.export(jax.jit(call))(*given)


@each
def test_jax_exports_with_symbolic_dimensions(name: str, rng: np.random.Generator) -> None:
    import jax
    from jax import export

    for reduction in REDUCTIONS:
        given = arrays(name, rng, *TRACED)
        rows, classes = export.symbolic_shape("rows, classes")
        types = [jax.ShapeDtypeStruct((rows, classes)[: x.ndim], x.dtype) for x in given]
        with lossless.composed():
            program = export.export(jax.jit(both(name, reduction)))(*types)
        for later in LATER:
            given = arrays(name, rng, *later)
            actual = [from_jax(r) for r in program.call(*map(to_jax, given))]
            assert_both(name, reduction, actual, given)
