"""What tests of losses of rows run over, and their bounds."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, FORMATS, Array, Format
from support.cases import JAX, Backend
from support.checks import assert_ulp, assert_within
from support.rows.reference import ROW_LOSSES, RowLoss


@dataclass(frozen=True)
class Bound:
    """So many ULP, and so much of the sum of the terms' magnitudes."""

    ulp: float
    terms: float


# The contract: float32 is computed in float64, half types in float32, where the sums of up to 32
# terms in the tests have an error of 32 of its ULP.
BOUNDS = {FLOAT32: Bound(2, 2.0**-40), FLOAT64: Bound(8, 2.0**-48)}
HALF = Bound(1, 2.0**-19)
WITHOUT_FLOAT64 = Bound(16, 2.0**-19)  # float32 in JAX, which does not have float64 by default
XLA_FLOAT64 = Bound(16, 2.0**-48)


def bound(backend: Backend, fmt: Format) -> Bound:
    if backend in JAX and fmt is FLOAT64:
        return XLA_FLOAT64
    return BOUNDS.get(fmt, HALF)


@dataclass(frozen=True, repr=False)
class RowCase:
    """One loss of rows on one backend in one dtype; NumPy arrays go in and come out."""

    loss: RowLoss
    backend: Backend
    fmt: Format

    def __repr__(self) -> str:
        return f"{self.loss.name}-{self.backend.value}-{self.fmt.name}"

    @property
    def function(self) -> Any:
        function: Any = getattr(lossless, self.loss.function)
        return function

    def value(self, *arrays: Any, **options: Any) -> Array:
        return self.backend.numpy(self.call(self.function, *arrays, **options))

    def value_and_grad(self, *arrays: Any, **options: Any) -> tuple[Array, Array]:
        both = self.call(lossless.value_and_grad(self.function), *arrays, **options)
        value, gradient = map(self.backend.numpy, both)
        return value, gradient

    def call(self, function: Any, /, *arrays: Any, **options: Any) -> Any:
        array = self.backend.array
        with self.backend.path():
            return function(
                *map(array, arrays), **{name: array(option) for name, option in options.items()}
            )


def row_params(
    losses: Iterable[str] = ROW_LOSSES,
    formats: Iterable[Format] = FORMATS.values(),
    backends: Iterable[Backend] = Backend,
) -> list[Any]:
    """Parameters for these, with ids such as kl_div-torch-float16."""
    formats, backends = list(formats), list(backends)
    return [
        pytest.param(case, id=str(case))
        for name in losses
        for backend in backends
        for case in (RowCase(ROW_LOSSES[name], backend, fmt) for fmt in formats)
        if case.fmt in backend.formats
    ]


def row_cases(
    losses: Iterable[str] = ROW_LOSSES,
    formats: Iterable[Format] = FORMATS.values(),
    backends: Iterable[Backend] = Backend,
) -> pytest.MarkDecorator:
    """A mark that runs a test over these."""
    return pytest.mark.parametrize("case", row_params(losses, formats, backends))


BUT_JAX = [backend for backend in Backend if backend not in JAX]


def everywhere(*losses: str, formats: Iterable[Format] = FORMATS.values()) -> pytest.MarkDecorator:
    """Every backend and dtype, but of JAX only float32: it compiles each call, for 0.1 s."""
    names = losses or tuple(ROW_LOSSES)
    on_jax = row_params(names, [FLOAT32], [Backend.JAX])
    return pytest.mark.parametrize("case", row_params(names, formats, BUT_JAX) + on_jax)


@functools.cache
def reference_rows(
    loss: RowLoss, fmt: Format, setting: int, rows: int, size: int
) -> tuple[list[Any], list[Any]]:
    """(value, terms) of each row of the samples, and the same of all slopes in order."""
    samples = loss.samples(fmt, rows, size)
    parameters = loss.settings[setting]
    values = [loss.value(*row, **parameters) for row in zip(*samples, strict=True)]
    slopes = [
        pair for row in zip(*samples, strict=True) for pair in loss.gradient(*row, **parameters)
    ]
    return values, slopes


def assert_near(
    true: Iterable[tuple[Any, Any]], actual: Any, fmt: Format, bound: Bound, what: str
) -> None:
    """Results against (real number, sum of terms' magnitudes)."""
    pairs = list(true)
    slack = [mp.mpf(bound.terms) * terms for _, terms in pairs]
    numbers = [number for number, _ in pairs]
    assert_ulp(numbers, np.asarray(actual), fmt, bound.ulp, what, slack=slack)


def assert_close(
    case: RowCase, expected: Array, actual: Array, terms: Any = 0.0, what: str = ""
) -> None:
    """Twice the contract of float32 and wider, as both are rounded."""
    unit = 2.0**-39 if case.fmt is not FLOAT64 else 2.0**-46
    allowed = 4 * case.fmt.spacing(expected) + unit * terms
    assert_within(allowed, expected, actual, f"{case} {what}")
