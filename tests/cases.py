"""What a test runs over: a loss of the registry, a backend, a dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
from formats import FORMATS, Array, Format
from reference import LOSSES, Loss

import lossless


class Backend(Enum):
    """The array libraries; tests compute in NumPy and hand over through these two."""

    NUMPY = "numpy"

    def array(self, numbers: Any) -> Any:
        return numbers

    def numpy(self, array: Any) -> Array:
        return np.asarray(array)


@dataclass(frozen=True)
class Case:
    """One loss on one backend in one dtype; NumPy arrays go in, NumPy arrays come out."""

    loss: Loss
    backend: Backend
    fmt: Format

    def __str__(self) -> str:
        return f"{self.loss.name}-{self.backend.value}-{self.fmt.name}"

    @property
    def function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(lossless, f"{self.loss.name}_loss")
        return function

    def value(self, inputs: Any, targets: Any, **options: Any) -> Array:
        return self._numpy(self._call(self.function, inputs, targets, options))

    def value_and_grad(self, inputs: Any, targets: Any, **options: Any) -> tuple[Array, Array]:
        value, gradient = self._call(
            lossless.value_and_grad(self.function), inputs, targets, options
        )
        return self._numpy(value), self._numpy(gradient)

    def grad_and_hess(self, inputs: Any, targets: Any, **options: Any) -> tuple[Array, Array]:
        first, second = self._call(lossless.grad_and_hess(self.function), inputs, targets, options)
        return self._numpy(first), self._numpy(second)

    def element_wise(
        self, inputs: Any, targets: Any, **options: Any
    ) -> Iterable[tuple[str, str, Array]]:
        """(output, the call that gave it, result) for every public way to an output."""
        yield "value", "loss", self.value(inputs, targets, **options)
        value, gradient = self.value_and_grad(inputs, targets, **options)
        yield "value", "value_and_grad", value
        yield "gradient", "value_and_grad", gradient
        first, second = self.grad_and_hess(inputs, targets, **options)
        yield "gradient", "grad_and_hess", first
        yield "second_derivative", "grad_and_hess", second

    def _call(
        self, function: Callable[..., Any], inputs: Any, targets: Any, options: dict[str, Any]
    ) -> Any:
        arrays = {
            name: self.backend.array(option) if isinstance(option, np.ndarray) else option
            for name, option in options.items()
        }
        return function(self.backend.array(inputs), self.backend.array(targets), **arrays)

    def _numpy(self, array: Any) -> Array:
        return self.backend.numpy(array)


def cases(
    formats: Iterable[Format] = FORMATS.values(), losses: Iterable[Loss] = LOSSES.values()
) -> list[Any]:
    """Parameters for the `case` fixture, with ids such as log_cosh-numpy-bfloat16."""
    formats = list(formats)
    return [
        pytest.param(case, id=str(case))
        for loss in losses
        for backend in Backend
        for case in (Case(loss, backend, fmt) for fmt in formats)
    ]
