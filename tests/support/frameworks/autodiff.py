"""Frameworks' own differentiation of calls on their arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lossless.verification.formats import Array
from support.cases import JAX, MLX, TORCH, Backend, Case


def differentiated(case: Case, weighted: Callable[..., Any], arrays: list[Array]) -> list[Array]:
    """The gradients by all arrays."""
    with case.backend.path():
        given = [case.backend.array(array) for array in arrays]
        if case.backend in MLX:
            import mlx.core as mx

            with mx.stream(mx.cpu):
                found = mx.grad(weighted, argnums=tuple(range(len(given))))(*given)
                mx.eval(found)
        elif case.backend in JAX:
            import jax

            found = jax.grad(weighted, argnums=tuple(range(len(given))))(*given)
        else:
            for tensor in given:
                tensor.requires_grad_()
            weighted(*given).backward()
            found = [tensor.grad for tensor in given]
        return [case.backend.numpy(array) for array in found]


def by_autodiff(backend: Backend, function: Any, x: Any, *others: Any, **options: Any) -> Any:
    """The gradient of a sum by the framework."""
    if backend in MLX:
        import mlx.core as mx

        return mx.grad(lambda x: mx.sum(function(x, *others, **options)))(x)
    if backend in JAX:
        import jax
        import jax.numpy as jnp

        return jax.jit(jax.grad(lambda x: jnp.sum(function(x, *others, **options))))(x)
    import torch

    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(function(x, *others, **options).sum(), x)
    return gradient


def with_gradients(
    backend: Backend, function: Callable[..., Any], *arrays: Array, cotangent: Any = None
) -> tuple[Array, list[Array]]:
    """The result, and its gradients by all arrays: times a cotangent, unless it is a number."""
    given = [backend.array(array) for array in arrays]
    found: list[Any]
    if backend in MLX:
        import mlx.core as mx

        if cotangent is not None:
            (value,), found = mx.vjp(
                lambda *arrays: [function(*arrays)], given, [backend.array(cotangent)]
            )
        else:
            value, found = mx.value_and_grad(function, argnums=list(range(len(given))))(*given)
            found = [found] if len(given) == 1 else found
    else:
        import torch

        assert backend in TORCH, f"expected MLX or PyTorch, got {backend}"
        for tensor in given:
            tensor.requires_grad_()
        value = function(*given)
        tangents = None if cotangent is None else [backend.array(cotangent)]
        found = list(torch.autograd.grad([value], given, tangents))
    results = [backend.numpy(array) for array in found]
    return backend.numpy(value), results
