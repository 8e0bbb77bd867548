"""What the tests of JAX share."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64
from support.cases import Backend
from support.checks import assert_ulp
from support.frameworks.cases import FUNCTIONS, on

WITH_FLOAT64 = pytest.mark.usefixtures("jax_float64")
IN_EVERY_DTYPE = on(Backend.JAX)
IN_FLOAT32 = on(Backend.JAX, [FLOAT32])
LOSSES = pytest.mark.parametrize("loss", FUNCTIONS)
# On both sides of 1, Huber's delta, and of the branches of log-cosh.
POINTS = np.array([-2.5, -0.875, -1e-3, 3e-7, 0.25, 0.9375, 3.0, 17.0])


def reference(loss: Any, order: int, points: Any = POINTS) -> Any:
    """A derivative by the residual in real numbers; optax is exact enough for Huber."""
    if loss is lossless.huber_loss:
        if order == 0:
            return np.asarray(optax.huber_loss(jnp.asarray(points, jnp.float64)))
        return [np.clip(points, -1, 1), 1.0 * (np.abs(points) <= 1), 0 * points][order - 1]
    functions = [
        lambda r: mp.log(mp.cosh(r)),
        mp.tanh,
        lambda r: mp.sech(r) ** 2,
        lambda r: -2 * mp.tanh(r) * mp.sech(r) ** 2,
    ]
    with mp.workprec(200):
        return np.array([functions[order](mp.mpf(float(p))) for p in np.ravel(points)], object)


def assert_near_reference(
    loss: Any, order: int, actual: Any, what: str, points: Any = POINTS
) -> None:
    """float64 results, to a few units in the last place; the third derivative is composed."""
    bound = 8 if order < 2 else 16 if order < 3 else 64
    expected = list(np.ravel(reference(loss, order, points)))
    assert_ulp(expected, actual, FLOAT64, bound, what, points)
