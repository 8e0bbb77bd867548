"""Zeros, infinities and NaN in every argument at once, parameters and weights too."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FORMATS

INF, NAN = np.inf, np.nan
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, INF, -INF, NAN)
PATHS: dict[str, Any] = {"native": contextlib.nullcontext, "composed": lossless.composed}
# What takes arrays beside the first two arguments, and other options.
CALLS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "huber": ("huber_loss", ["delta"], {}),
    "log_cosh": ("log_cosh_loss", [], {}),
    "l1": ("l1_loss", [], {}),
    "mse": ("mse_loss", [], {}),
    "smooth_l1": ("smooth_l1_loss", ["beta"], {}),
    "hinge": ("hinge_loss", [], {}),
    "margin_ranking": ("margin_ranking_loss", ["targets", "margin"], {}),
    "gaussian_nll": ("gaussian_nll_loss", ["vars", "eps"], {"full": True}),
    "logits": ("binary_cross_entropy", [], {}),
    "probabilities": ("binary_cross_entropy", [], {"with_logits": False}),
}


def outputs(name: str, dtype: Any, weight: float | None) -> tuple[Any, list[Any]]:
    """All combinations of special arguments, and value and both derivatives of each, in float64."""
    function, others, options = CALLS[name]
    loss: Any = getattr(lossless, function)
    grid = np.array(list(itertools.product(SPECIAL, repeat=2 + len(others)))).T
    first, second, *rest = (x.astype(dtype) for x in grid)
    options = {**options, **dict(zip(others, rest, strict=True)), "reduction": "none"}
    if weight is not None:
        options["weights"] = np.full(first.shape, weight, dtype)
    value, gradient = lossless.value_and_grad(loss)(first, second, **options)
    _, curvature = lossless.grad_and_hess(loss)(first, second, **options)
    return grid.T, [np.asarray(x).astype(np.float64) for x in (value, gradient, curvature)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", CALLS)
def test_special_arguments_give_the_same_in_every_dtype(name: str, path: str) -> None:
    """As float64 says: all these numbers are in every dtype, none is lost in between."""
    with PATHS[path]():
        for weight in (None, 0.0, 2.0, INF):
            arguments, expected = outputs(name, np.float64, weight)
            for fmt in list(FORMATS.values()):
                _, found = outputs(name, fmt.dtype, weight)
                for what, actual, exact in zip("lgh", found, expected, strict=True):
                    close = np.isclose(actual, exact, rtol=2.0 ** (3 - fmt.precision), atol=0)
                    wrong = np.flatnonzero(~(close | np.isnan(actual) & np.isnan(exact)))
                    assert not wrong.size, (
                        f"{fmt.name}, weight {weight}: {what} of {arguments[wrong[0]]}: "
                        f"expected {exact[wrong[0]]}, got {actual[wrong[0]]} "
                        f"({wrong.size} of {actual.size} are wrong)"
                    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [fmt.dtype for fmt in FORMATS.values()], ids=list(FORMATS))
def test_infinite_margins_and_betas(dtype: Any, path: str) -> None:
    """By hand: an infinite margin is any other's limit, an infinite beta makes all losses 0."""
    x, y, t = (np.array(a).astype(dtype) for a in ([2.0, -2.0, 2.0, NAN], [1.0] * 4, [1.0] * 4))
    with PATHS[path]():
        loss = lossless.margin_ranking_loss(x, y, t, margin=INF, reduction="none")
        np.testing.assert_array_equal(loss.astype(np.float64), [INF, INF, INF, NAN])
        loss = lossless.margin_ranking_loss(x, y, t, margin=-INF, reduction="none")
        np.testing.assert_array_equal(loss.astype(np.float64), [0, 0, 0, NAN])
        loss = lossless.smooth_l1_loss(x, y, beta=INF, weights=INF, reduction="none")
        np.testing.assert_array_equal(loss.astype(np.float64), [NAN] * 4)
