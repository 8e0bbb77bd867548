"""Value (a mean) and gradient of a loss, by this library and by its competitors.

The loss of a framework is found by its name. If there is none, the formula in common use takes its
place. Competitors run at their best: also compiled, and without an unnecessary pass over memory.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

from numpy.typing import NDArray

import lossless

from ..scoring.losses import ChosenLoss
from ..verification.frameworks import JAX, MLX, Framework, NumPy, Torch
from .numpy_formulas import InPlace
from .timing import Call

LOG_2 = math.log(2)
Mean = Callable[[Any, Any], Any]
# The library, the mode, and the call.
Case = tuple[str, str, Call]


def cases(
    framework: Framework, loss: ChosenLoss, inputs: NDArray[Any], targets: NDArray[Any]
) -> Iterator[Case]:
    """Each call waits for its results."""
    makers: dict[type[Framework], Callable[..., Iterator[Case]]] = {
        NumPy: _numpy, MLX: _mlx, Torch: _torch, JAX: _jax,
    }  # fmt: skip
    x, t = framework.array(inputs), framework.array(targets)
    return makers[type(framework)](framework, loss, x, t)


def _ours(loss: ChosenLoss) -> Mean:
    return partial(loss, reduction="mean")


def _finished(framework: Framework, step: Callable[..., Any], x: Any, t: Any) -> Any:
    return framework.finish(step(x, t))


def _numpy(_: NumPy, loss: ChosenLoss, x: Any, t: Any) -> Iterator[Case]:
    both = lossless.value_and_grad(loss.function)
    yield "lossless", "eager", lambda: both(x, t, **loss.parameters, reduction="mean")
    formula = getattr(InPlace(x), f"{loss.name}_value_and_grad", None)
    if formula:
        yield "formula", "eager", lambda: formula(x, t, **loss.parameters)


def _named(module: Any, loss: ChosenLoss) -> Callable[..., Any] | None:
    """The loss of this name in another library, with the same parameters."""
    for name in (f"{loss.name}_loss", loss.name):
        function = getattr(module, name, None)
        if function and set(loss.parameters) <= set(inspect.signature(function).parameters):
            return partial(function, **loss.parameters)
    return None


def _mlx(framework: MLX, loss: ChosenLoss, x: Any, t: Any) -> Iterator[Case]:
    mx = framework.mx
    theirs = _named(importlib.import_module("mlx.nn").losses, loss)
    means = {"lossless": _ours(loss)}
    if theirs:
        means["mlx.nn.losses"] = partial(theirs, reduction="mean")
    for who, mean in means.items():
        step = mx.value_and_grad(mean)
        compiled = mx.compile(step)
        yield who, "eager", partial(_finished, framework, step, x, t)
        yield who, "compiled", partial(_finished, framework, compiled, x, t)


def _torch(framework: Torch, loss: ChosenLoss, x: Any, t: Any) -> Iterator[Case]:
    torch = framework.torch
    functional = torch.nn.functional
    leaf = x.requires_grad_()

    def softplus(x: Any, t: Any) -> Any:
        residual = x - t
        return (residual + functional.softplus(-2.0 * residual) - LOG_2).mean()

    def step(mean: Mean) -> Any:
        return torch.autograd.grad(mean(leaf, t), leaf)

    means = {"lossless": _ours(loss)}
    theirs = _named(functional, loss)
    if theirs:
        means["torch.nn.functional"] = theirs
    elif loss.name == "log_cosh":
        means["softplus formula"] = softplus
    # Without processes that compile ahead: Ctrl-C would interrupt them.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    for who, mean in means.items():
        yield who, "eager", partial(step, mean)
        yield who, "compiled", partial(step, compiled_by_torch(mean))


def compiled_by_torch(function: Any, backend: str = "inductor") -> Any:
    """The function, compiled by torch.compile for fixed shapes. It never falls back silently.

    With `fullgraph`, a graph break is an error. So is the ninth program of a function in a process
    (or since `torch.compiler.reset()`), from which on PyTorch would be eager.
    """
    import torch

    return torch.compile(function, dynamic=False, fullgraph=True, backend=backend)


def _jax(framework: JAX, loss: ChosenLoss, x: Any, t: Any) -> Iterator[Case]:
    jax = framework.jax
    means = {"lossless": _ours(loss)}
    theirs = _named(importlib.import_module("optax"), loss) if find_spec("optax") else None
    formula = getattr(_InJax(framework.jnp), loss.name, None)
    if theirs:
        means["optax"] = lambda x, t: theirs(x, t).mean()
    elif formula:
        means["formula"] = lambda x, t: formula(x - t, **loss.parameters).mean()
    for who, mean in means.items():
        step = jax.value_and_grad(mean)
        compiled = jax.jit(step)
        yield who, "eager", partial(_finished, framework, step, x, t)
        yield who, "compiled", partial(_finished, framework, compiled, x, t)


class _InJax:
    """The losses of optax."""

    def __init__(self, jnp: Any) -> None:
        self._jnp = jnp

    def huber(self, r: Any, delta: float) -> Any:
        quadratic = self._jnp.minimum(self._jnp.abs(r), delta)
        return 0.5 * quadratic**2 + delta * (self._jnp.abs(r) - quadratic)

    def log_cosh(self, r: Any) -> Any:
        return self._jnp.logaddexp(r, -r) - LOG_2
