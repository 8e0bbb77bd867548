"""What a test runs over: a loss of the registry, a backend, a dtype."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import array_api_strict
import numpy as np
import pytest

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, FORMATS, Array, Format
from lossless.verification.frameworks import FRAMEWORKS, Framework
from lossless.verification.losses import LOSSES
from lossless.verification.reference import Loss

# These stand for all losses where a test is about a framework, or calls with options.
REPRESENTATIVES = {name: LOSSES[name] for name in ("huber", "log_cosh")}
REDUCTIONS = ("none", "sum", "mean", "weighted_mean")


class Backend(Enum):
    """The array libraries; tests compute in NumPy and hand over through `array` and `numpy`."""

    NUMPY = "numpy"
    NUMPY_COMPOSED = "numpy_composed"
    ARRAY_API_STRICT = "array_api_strict"
    MLX = "mlx"
    MLX_COMPOSED = "mlx_composed"
    TORCH = "torch"
    TORCH_COMPOSED = "torch_composed"
    JAX = "jax"
    JAX_COMPOSED = "jax_composed"

    @property
    def native(self) -> bool:
        """Whether kernels serve it: correctly rounded, the same bits in any order."""
        return self in (Backend.NUMPY, Backend.MLX, Backend.TORCH, Backend.JAX)

    @property
    def flushes(self) -> bool:
        """Whether subnormal numbers may count as zeros."""
        return self is Backend.JAX_COMPOSED

    @property
    def formats(self) -> tuple[Format, ...]:
        if self is Backend.ARRAY_API_STRICT:
            return FLOAT32, FLOAT64
        return tuple(FORMATS.values())

    @contextmanager
    def path(self) -> Iterator[None]:
        """The context in which calls take the path of this backend."""
        composed = lossless.composed() if self.value.endswith("_composed") else nullcontext()
        with composed, with_float64() if self in JAX else nullcontext():
            yield

    def array(self, numbers: Any) -> Any:
        """NumPy arrays of numbers in this library; anything else as it is."""
        if not isinstance(numbers, np.ndarray) or numbers.dtype.kind in "OU":
            return numbers
        if self is Backend.ARRAY_API_STRICT:
            wide = numbers.astype(np.float32) if numbers.dtype == np.float16 else numbers
            return array_api_strict.asarray(wide)
        return self.framework.array(numbers)

    def numpy(self, array: Any) -> Array:
        if self is Backend.ARRAY_API_STRICT:
            return np.asarray(array)
        return self.framework.numpy(array)

    @property
    def framework(self) -> Framework:
        return framework(self.value.removesuffix("_composed"))


MLX = (Backend.MLX, Backend.MLX_COMPOSED)
TORCH = (Backend.TORCH, Backend.TORCH_COMPOSED)
JAX = (Backend.JAX, Backend.JAX_COMPOSED)
# PyTorch's forward mode loads what is written with torch.jit.script, which warns of itself.
TORCH_JIT = pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning")


@cache
def framework(name: str) -> Framework:
    """The framework's arrays. It is imported by the first call: sanitizers run tests without."""
    return FRAMEWORKS[name]()


def to_mlx(array: Array) -> Any:
    return framework("mlx").array(array)


def from_mlx(array: Any) -> Array:
    return framework("mlx").numpy(array)


def to_torch(array: Array) -> Any:
    return framework("torch").array(array)


def from_torch(tensor: Any) -> Array:
    return framework("torch").numpy(tensor)


def to_jax(array: Array) -> Any:
    return framework("jax").array(array)


def from_jax(array: Any) -> Array:
    return framework("jax").numpy(array)


def with_float64() -> AbstractContextManager[None]:
    import jax

    context: AbstractContextManager[None] = jax.enable_x64(True)
    return context


@dataclass(frozen=True)
class Case:
    """One loss on one backend in one dtype; NumPy arrays go in, NumPy arrays come out."""

    loss: Loss
    backend: Backend
    fmt: Format

    def __str__(self) -> str:
        return f"{self.loss.name}-{self.backend.value}-{self.fmt.name}"

    @property
    def function(self) -> Any:
        function: Any = getattr(lossless, self.loss.public)
        return function

    def value(self, *arguments: Any, **options: Any) -> Array:
        return self._numpy(self.call(self.function, *arguments, **self._reduced(options)))

    def value_and_grad(self, *arguments: Any, **options: Any) -> tuple[Array, Array]:
        function = lossless.value_and_grad(self.function)
        value, gradient = self.call(function, *arguments, **self._reduced(options))
        return self._numpy(value), self._numpy(gradient)

    def grad_and_hess(self, *arguments: Any, **options: Any) -> tuple[Array, Array]:
        function = lossless.grad_and_hess(self.function)
        first, second = self.call(function, *arguments, **self.loss.fixed, **options)
        return self._numpy(first), self._numpy(second)

    def element_wise(
        self, inputs: Any, targets: Any, /, **options: Any
    ) -> Iterable[tuple[str, str, Array]]:
        """(output, the call that gave it, result) for every public way to an output."""
        yield "value", "loss", self.value(inputs, targets, **options)
        value, gradient = self.value_and_grad(inputs, targets, **options)
        yield "value", "value_and_grad", value
        yield "gradient", "value_and_grad", gradient
        first, second = self.grad_and_hess(inputs, targets, **options)
        yield "gradient", "grad_and_hess", first
        yield "second_derivative", "grad_and_hess", second

    def call(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        """The function on these arguments, NumPy arrays among them handed over."""
        array = self.backend.array
        with self.backend.path():
            return function(
                *map(array, arguments), **{name: array(option) for name, option in options.items()}
            )

    def _reduced(self, options: dict[str, Any]) -> dict[str, Any]:
        """Element by element, unless it is said otherwise: the defaults of losses differ."""
        return {"reduction": "none", **self.loss.fixed, **options}

    def _numpy(self, array: Any) -> Array:
        return self.backend.numpy(array)


def cases(
    formats: Iterable[Format] = FORMATS.values(),
    losses: Iterable[Loss] = REPRESENTATIVES.values(),
    backends: Iterable[Backend] = (Backend.NUMPY,),
) -> list[Any]:
    """Parameters for the `case` fixture, with ids such as log_cosh-numpy-bfloat16."""
    formats, backends = list(formats), list(backends)
    return [
        pytest.param(case, id=str(case))
        for loss in losses
        for backend in backends
        for case in (Case(loss, backend, fmt) for fmt in formats if fmt in backend.formats)
    ]


# For tests of what holds on every backend. Without this mark, a test is about the kernels.
EVERYWHERE = pytest.mark.parametrize("case", cases(backends=Backend))
# JAX compiles each new call, for some 50 ms: tests/executors/jax says the same in fewer programs.
EVERYWHERE_BUT_JAX = pytest.mark.parametrize(
    "case", cases(backends=[backend for backend in Backend if backend not in JAX])
)
COMPOSED = [backend for backend in Backend if not backend.native]
