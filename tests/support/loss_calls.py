"""Arguments for each public loss, whatever its kind, of any number of rows and classes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

import lossless
from support.checks import assert_within

Arrays = tuple[Any, ...]
Make = Callable[[np.random.Generator, int, int], Arrays]


def _numbers(low: float, high: float, arrays: int) -> Make:
    def make(rng: np.random.Generator, rows: int, classes: int) -> Arrays:
        return tuple(rng.uniform(low, high, (arrays, rows, classes)).astype(np.float32))

    return make


def _logits_and_labels(rng: np.random.Generator, rows: int, classes: int) -> Arrays:
    logits = rng.normal(0, 3, (rows, classes)).astype(np.float32)
    return logits, rng.integers(0, classes, rows).astype(np.int32)


def _logits_and_probabilities(rng: np.random.Generator, rows: int, classes: int) -> Arrays:
    logits, other = rng.normal(0, 2, (2, rows, classes)).astype(np.float32)
    return logits, np.exp(_log_softmax(other))


def _log_probabilities(rng: np.random.Generator, rows: int, classes: int) -> Arrays:
    return tuple(_log_softmax(x) for x in rng.normal(0, 2, (2, rows, classes)).astype(np.float32))


def _log_softmax(x: Any) -> Any:
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def _signs(rng: np.random.Generator, rows: int, classes: int) -> Arrays:
    scores = rng.normal(0, 2, (2, rows, classes)).astype(np.float32)
    return (*scores, np.sign(scores[0] - 0.5 * scores[1]))


# By an id: the name of the function, what makes its arrays, and options.
CALLS: dict[str, tuple[str, Make, dict[str, Any]]] = {
    "huber": ("huber_loss", _numbers(-3, 3, 2), {}),
    "log_cosh": ("log_cosh_loss", _numbers(-3, 3, 2), {}),
    "l1": ("l1_loss", _numbers(-3, 3, 2), {}),
    "mse": ("mse_loss", _numbers(-3, 3, 2), {}),
    "smooth_l1": ("smooth_l1_loss", _numbers(-3, 3, 2), {}),
    "gaussian_nll": ("gaussian_nll_loss", _numbers(0.5, 3, 3), {}),
    "hinge": ("hinge_loss", _numbers(-2, 2, 2), {}),
    "margin_ranking": ("margin_ranking_loss", _signs, {"margin": 0.3}),
    "logits": ("binary_cross_entropy", _numbers(0.1, 0.9, 2), {}),
    "probabilities": (
        "binary_cross_entropy",
        _numbers(0.1, 0.9, 2),
        {"with_logits": False},
    ),
    "cross_entropy": ("cross_entropy", _logits_and_labels, {}),
    "smoothed": ("cross_entropy", _logits_and_labels, {"label_smoothing": 0.1}),
    "soft": ("cross_entropy", _logits_and_probabilities, {}),
    "nll": ("nll_loss", _logits_and_labels, {}),
    "kl_div": ("kl_div_loss", _log_probabilities, {}),
    "cosine": ("cosine_similarity_loss", _numbers(-2, 2, 2), {}),
    "triplet": ("triplet_loss", _numbers(-2, 2, 3), {}),
    "triplet_inf": ("triplet_loss", _numbers(-2, 2, 3), {"p": np.inf}),
}


def function(name: str) -> Any:
    return getattr(lossless, CALLS[name][0])


def arrays(name: str, rng: np.random.Generator, rows: int, classes: int) -> Arrays:
    return CALLS[name][1](rng, rows, classes)


def options(name: str, reduction: str) -> dict[str, Any]:
    return {**CALLS[name][2], "reduction": reduction}


def both(name: str, reduction: str) -> Callable[..., Any]:
    """The value and the gradient, as a function of the arrays."""
    loss = lossless.value_and_grad(function(name))
    given = options(name, reduction)
    return lambda *arrays: loss(*arrays, **given)


def path(formulas: bool) -> AbstractContextManager[None]:
    return lossless.composed() if formulas else nullcontext()


# Formulas have bounds of their own, up to 16 ULP; sums in float64 add nothing to it.
ULP = 32


def assert_as_numpy(expected: Any, actual: Any, what: str) -> None:
    """Float32 results within 32 ULP, or of half the largest where terms may cancel."""
    size = np.abs(expected)
    slack = ULP * np.spacing(np.maximum(size, size.max(initial=0.0) / 2), dtype=np.float32)
    assert_within(slack, expected, actual, what)
