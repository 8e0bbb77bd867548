"""The losses of several libraries behind one set of names, as each library's users call them.

Nothing here mends what a library does: where one broadcasts, overflows or raises, so does the call.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import lossless
from lossless.bench.peers import compiled_by_torch

Loss = Any
Run = Callable[[], object]
LOG_2 = math.log(2)


class Library(ABC):
    """Losses of arrays that `array` made; `name` heads a column, `packages` must be installed."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    @classmethod
    def missing(cls) -> list[str]:
        def is_missing(package: str) -> bool:
            try:
                version(package)
            except ImportError:
                return True
            return False

        return [package for package in cls.packages if is_missing(package)]

    @abstractmethod
    def array(self, values: Any, dtype: str) -> Any: ...

    def numbers(self, x: Any) -> NDArray[np.float64]:
        return np.asarray(x, np.float64)

    @abstractmethod
    def huber(self, inputs: Any, targets: Any, delta: float = 1.0) -> Any:
        """Element by element."""

    @abstractmethod
    def log_cosh(self, inputs: Any, targets: Any) -> Any:
        """Element by element."""

    @abstractmethod
    def mean(self, loss: Loss, inputs: Any, targets: Any) -> Any: ...

    @abstractmethod
    def gradient(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        """Of the sum of the losses."""

    @abstractmethod
    def masked_gradient(self, loss: Loss, inputs: Any, targets: Any, mask: Any) -> Any:
        """Of the sum of the losses where the mask is true."""

    @abstractmethod
    def timed(self, loss: Loss, inputs: Any, targets: Any) -> dict[str, Run]:
        """Ways to compute the mean and its gradient, by name."""


class LosslessNumPy(Library):
    name, packages = "lossless, NumPy", ("lossless", "numpy")
    huber = staticmethod(lossless.huber_loss)
    log_cosh = staticmethod(lossless.log_cosh_loss)

    def array(self, values: Any, dtype: str) -> Any:
        return np.asarray(values).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)

    def mean(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return loss(inputs, targets, reduction="mean")

    def gradient(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return lossless.value_and_grad(loss)(inputs, targets)[1]

    def masked_gradient(self, loss: Loss, inputs: Any, targets: Any, mask: Any) -> Any:
        return lossless.value_and_grad(loss)(inputs, targets, where=mask)[1]

    def timed(self, loss: Loss, inputs: Any, targets: Any) -> dict[str, Run]:
        both: Any = lossless.value_and_grad(loss)
        return {"": lambda: both(inputs, targets, reduction="mean")}


class MLX(Library):
    name: ClassVar[str] = "MLX"
    packages: ClassVar[tuple[str, ...]] = ("mlx",)

    def __init__(self) -> None:
        self.mx: Any = import_module("mlx.core")
        self.losses: Any = import_module("mlx.nn").losses

    def array(self, values: Any, dtype: str) -> Any:
        return self.mx.array(np.asarray(values)).astype(getattr(self.mx, dtype))

    def numbers(self, x: Any) -> NDArray[np.float64]:
        return np.array(x.astype(self.mx.float32), np.float64)

    def huber(self, inputs: Any, targets: Any, delta: float = 1.0) -> Any:
        return self.losses.huber_loss(inputs, targets, delta)

    def log_cosh(self, inputs: Any, targets: Any) -> Any:
        return self.losses.log_cosh_loss(inputs, targets)

    def mean(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return loss(inputs, targets).mean()

    def gradient(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return self.mx.grad(lambda x: loss(x, targets).sum())(inputs)

    def masked_gradient(self, loss: Loss, inputs: Any, targets: Any, mask: Any) -> Any:
        where = self.mx.array(mask)
        return self.mx.grad(lambda x: self.mx.where(where, loss(x, targets), 0).sum())(inputs)

    def timed(self, loss: Loss, inputs: Any, targets: Any) -> dict[str, Run]:
        eager = self.mx.value_and_grad(partial(self.mean, loss))
        compiled = self.mx.compile(eager)
        return {
            "eager": lambda: self.mx.eval(eager(inputs, targets)),
            "compiled": lambda: self.mx.eval(compiled(inputs, targets)),
        }


class LosslessMLX(MLX):
    name, packages = "lossless, MLX", ("lossless", "mlx")
    huber = staticmethod(lossless.huber_loss)
    log_cosh = staticmethod(lossless.log_cosh_loss)

    def mean(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return loss(inputs, targets, reduction="mean")

    def masked_gradient(self, loss: Loss, inputs: Any, targets: Any, mask: Any) -> Any:
        where = self.mx.array(mask)
        return self.mx.grad(lambda x: loss(x, targets, where=where, reduction="sum"))(inputs)


class Optax(Library):
    name, packages = "optax", ("optax", "jax")

    def __init__(self) -> None:
        self.jax: Any = import_module("jax")
        self.jnp: Any = import_module("jax.numpy")
        self.optax: Any = import_module("optax")

    def array(self, values: Any, dtype: str) -> Any:
        return self.jnp.asarray(values, dtype)

    def huber(self, inputs: Any, targets: Any, delta: float = 1.0) -> Any:
        return self.optax.huber_loss(inputs, targets, delta=delta)

    def log_cosh(self, inputs: Any, targets: Any) -> Any:
        return self.optax.log_cosh(inputs, targets)

    def mean(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return loss(inputs, targets).mean()

    def gradient(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return self.jax.grad(lambda x: loss(x, targets).sum())(inputs)

    def masked_gradient(self, loss: Loss, inputs: Any, targets: Any, mask: Any) -> Any:
        return self.jax.grad(lambda x: self.jnp.where(mask, loss(x, targets), 0).sum())(inputs)

    def timed(self, loss: Loss, inputs: Any, targets: Any) -> dict[str, Run]:
        jitted = self.jax.jit(self.jax.value_and_grad(partial(self.mean, loss)))
        return {"jit": lambda: self.jax.block_until_ready(jitted(inputs, targets))}


class Keras(Optax):
    """With JAX inside; Keras means the last axis away, so the elements get one of length 1."""

    name, packages = "Keras", ("keras", "jax")

    def __init__(self) -> None:
        os.environ.setdefault("KERAS_BACKEND", "jax")
        self.jax = import_module("jax")
        self.jnp = import_module("jax.numpy")
        self.keras: Any = import_module("keras")

    def huber(self, inputs: Any, targets: Any, delta: float = 1.0) -> Any:
        return self.keras.losses.huber(targets[..., None], inputs[..., None], delta)

    def log_cosh(self, inputs: Any, targets: Any) -> Any:
        return self.keras.losses.log_cosh(targets[..., None], inputs[..., None])


class Torch(Library):
    """PyTorch has no log-cosh: this is the form that its users pass on."""

    name, packages = "PyTorch", ("torch",)

    def __init__(self) -> None:
        self.torch: Any = import_module("torch")

    def array(self, values: Any, dtype: str) -> Any:
        return self.torch.tensor(np.asarray(values)).to(getattr(self.torch, dtype))

    def numbers(self, x: Any) -> NDArray[np.float64]:
        return np.asarray(x.detach().double())

    def huber(self, inputs: Any, targets: Any, delta: float = 1.0) -> Any:
        huber = self.torch.nn.functional.huber_loss
        return huber(inputs, targets, reduction="none", delta=delta)

    def log_cosh(self, inputs: Any, targets: Any) -> Any:
        residual = inputs - targets
        return residual + self.torch.nn.functional.softplus(-2.0 * residual) - LOG_2

    def mean(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        return loss(inputs, targets).mean()

    def gradient(self, loss: Loss, inputs: Any, targets: Any) -> Any:
        leaf = inputs.detach().requires_grad_()
        return self.torch.autograd.grad(loss(leaf, targets).sum(), leaf)[0]

    def masked_gradient(self, loss: Loss, inputs: Any, targets: Any, mask: Any) -> Any:
        leaf, where = inputs.detach().requires_grad_(), self.torch.tensor(mask)
        total = self.torch.where(where, loss(leaf, targets), 0).sum()
        return self.torch.autograd.grad(total, leaf)[0]

    def timed(self, loss: Loss, inputs: Any, targets: Any) -> dict[str, Run]:
        leaf = inputs.detach().requires_grad_()
        eager = partial(self.mean, loss)
        if loss == self.huber:  # without the array of losses that `mean` would read again
            eager = self.torch.nn.functional.huber_loss
        compiled = compiled_by_torch(eager)

        def run(mean: Loss) -> None:
            leaf.grad = None
            mean(leaf, targets).backward()

        return {"eager": partial(run, eager), "compiled": partial(run, compiled)}


LIBRARIES: tuple[type[Library], ...] = (LosslessNumPy, LosslessMLX, MLX, Optax, Keras, Torch)
