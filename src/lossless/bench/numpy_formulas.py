"""What a NumPy user writes without this library.

The functions are the formulas of text books and of other libraries. `InPlace` has the forms with
the fewest passes over memory, and writes every step into arrays that are allocated beforehand.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
LOG_2 = math.log(2)


def huber(inputs: Array, targets: Array, delta: float = 1.0) -> Array:
    residual = inputs - targets
    magnitude = np.abs(residual)
    return np.where(magnitude <= delta, 0.5 * residual**2, delta * (magnitude - 0.5 * delta))


def huber_value_and_grad(
    inputs: Array, targets: Array, delta: float = 1.0
) -> tuple[np.floating, Array]:
    residual = inputs - targets
    magnitude = np.abs(residual)
    value = np.where(magnitude <= delta, 0.5 * residual**2, delta * (magnitude - 0.5 * delta))
    return np.mean(value), np.clip(residual, -delta, delta) / residual.size


def log_cosh(inputs: Array, targets: Array) -> Array:
    residual = inputs - targets
    return np.logaddexp(residual, -residual) - LOG_2


def log_cosh_value_and_grad(inputs: Array, targets: Array) -> tuple[np.floating, Array]:
    residual = inputs - targets
    value = np.logaddexp(residual, -residual) - LOG_2
    return np.mean(value), np.tanh(residual) / residual.size


class InPlace:
    """The same in place, for inputs like these."""

    def __init__(self, like: Array) -> None:
        self.residual: Array = np.ones_like(like)
        self.value: Array = np.ones_like(like)
        self.gradient: Array = np.ones_like(like)

    def huber(self, inputs: Array, targets: Array, delta: float = 1.0) -> Array:
        """With the gradient g, the residual clipped to ±delta, the value is g (residual - g/2)."""
        np.subtract(inputs, targets, out=self.residual)
        np.clip(self.residual, -delta, delta, out=self.gradient)
        np.multiply(self.gradient, 0.5, out=self.value)
        np.subtract(self.residual, self.value, out=self.value)
        return np.multiply(self.value, self.gradient, out=self.value)

    def huber_value_and_grad(
        self, inputs: Array, targets: Array, delta: float = 1.0
    ) -> tuple[np.floating, Array]:
        value = np.mean(self.huber(inputs, targets, delta))
        return value, np.divide(self.gradient, self.gradient.size, out=self.gradient)

    def log_cosh(self, inputs: Array, targets: Array) -> Array:
        """|r| + log1p(exp(-2|r|)) - log 2: `logaddexp` is slower, and no more accurate."""
        np.subtract(inputs, targets, out=self.residual)
        np.abs(self.residual, out=self.value)
        np.multiply(self.value, -2.0, out=self.gradient)
        np.exp(self.gradient, out=self.gradient)
        np.log1p(self.gradient, out=self.gradient)
        np.add(self.value, self.gradient, out=self.value)
        return np.subtract(self.value, LOG_2, out=self.value)

    def log_cosh_value_and_grad(self, inputs: Array, targets: Array) -> tuple[np.floating, Array]:
        value = np.mean(self.log_cosh(inputs, targets))
        np.tanh(self.residual, out=self.gradient)
        return value, np.divide(self.gradient, self.gradient.size, out=self.gradient)
