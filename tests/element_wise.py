"""The truth of the other element-wise losses, from their definitions, in mpmath.

Huber and log-cosh, in reference.py, are proved residual by residual and stand for all losses where
a test is about a framework; these rows have what a test needs to judge a kernel and its formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp

from lossless.cli.oracle.formats import Array, Format, Mpf
from lossless.cli.oracle.reference import LOSSES, OUTPUTS, Loss

# Terms of a definition may cancel, by less than this for arguments of 53 bits.
GUARD = 300


@dataclass(frozen=True)
class ElementWise(Loss):
    """A row whose functions take inputs and targets where not only their difference counts."""

    # The sum of the magnitudes of the terms of the value and of the gradient, where they cancel.
    terms: tuple[Callable[..., Mpf], ...] = ()
    probabilities: bool = False  # whether inputs are from 0 to 1
    exponential: bool = False  # of inputs, which MLX and XLA in float32 know but to |x| ULP


def _sign(r: Mpf) -> Mpf:
    return mp.mpf((r > 0) - (r < 0))


def _zero(*_: Any, **__: Any) -> Mpf:
    return mp.mpf(0)


def _beta(r: Mpf, beta: float) -> Mpf:
    a, b = abs(r), mp.mpf(beta)
    return r * r / (2 * b) if a < b else a - b / 2


def _beta_gradient(r: Mpf, beta: float) -> Mpf:
    return r / mp.mpf(beta) if abs(r) < mp.mpf(beta) else _sign(r)


def _beta_second_derivative(r: Mpf, beta: float) -> Mpf:
    return 1 / mp.mpf(beta) if abs(r) < mp.mpf(beta) else mp.mpf(0)


def _rest(x: Mpf, t: Mpf) -> Mpf:
    return 1 - t * x


def _hinge(x: Mpf, t: Mpf) -> Mpf:
    return max(mp.mpf(0), _rest(x, t))


def _hinge_gradient(x: Mpf, t: Mpf) -> Mpf:
    return -t if _rest(x, t) > 0 else mp.mpf(0)


def _missing(r: Mpf, targets: float, margin: float) -> Mpf:
    return mp.mpf(margin) - mp.mpf(targets) * r


def _margin(r: Mpf, targets: float, margin: float) -> Mpf:
    return max(mp.mpf(0), _missing(r, targets, margin))


def _margin_gradient(r: Mpf, targets: float, margin: float) -> Mpf:
    return mp.mpf(-targets if _missing(r, targets, margin) > 0 else 0)


def _margin_terms(r: Mpf, targets: float, margin: float) -> Mpf:
    return abs(mp.mpf(margin)) + abs(mp.mpf(targets) * r)


def _variance(variances: float, eps: float) -> Mpf:
    return max(mp.mpf(variances), mp.mpf(eps))


def _gaussian(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002, as MLX calls it
    v = _variance(vars, eps)
    return (mp.log(v) + r * r / v) / 2


def _gaussian_terms(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    v = _variance(vars, eps)
    return abs(mp.log(v)) + r * r / v + 2


def _full_gaussian(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    v = _variance(vars, eps)
    return -mp.log(mp.exp(-r * r / (2 * v)) / mp.sqrt(2 * mp.pi * v))


def _gaussian_gradient(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    return r / _variance(vars, eps)


def _gaussian_second_derivative(r: Mpf, vars: float, eps: float) -> Mpf:  # noqa: A002
    return 1 / _variance(vars, eps)


# e^-FAR is below every number of every format; beyond it only its sign tells on which side of a
# midpoint a result is, and e^-x itself would take x bits to see.
FAR = 2000


def _sigmoid(x: Mpf) -> Mpf:
    return 1 / (1 + mp.exp(-max(-FAR, min(FAR, x))))


def _softplus(x: Mpf) -> Mpf:
    return mp.log1p(mp.exp(x)) if x < FAR else x + mp.log1p(mp.exp(-FAR))


def _cross_entropy(x: Mpf, t: Mpf) -> Mpf:
    return t * _softplus(max(-FAR, -x)) + (1 - t) * _softplus(max(-FAR, x))


def _cross_entropy_gradient(x: Mpf, t: Mpf) -> Mpf:
    return (1 - t) * _sigmoid(x) - t * _sigmoid(-x)


def _cross_entropy_second_derivative(x: Mpf, t: Mpf) -> Mpf:
    return _sigmoid(x) * _sigmoid(-x)


def _cross_entropy_terms(x: Mpf, t: Mpf) -> Mpf:
    return abs(t) * _softplus(-x) + abs(1 - t) * _softplus(x)


def _cross_entropy_gradient_terms(x: Mpf, t: Mpf) -> Mpf:
    return abs(1 - t) * _sigmoid(x) + abs(t) * _sigmoid(-x)


def _parts(p: Mpf) -> tuple[bool, bool]:
    """Which of log p and log(1 - p) are above -100."""
    least = mp.exp(-100)
    return p > least, 1 - p > least


def _of_probabilities(p: Mpf, t: Mpf) -> Mpf:
    one, zero = _parts(p)
    return -t * (mp.log(p) if one else -100) - (1 - t) * (mp.log1p(-p) if zero else -100)


def _of_probabilities_gradient(p: Mpf, t: Mpf) -> Mpf:
    one, zero = _parts(p)
    return (-t / p if one else 0) + ((1 - t) / (1 - p) if zero else mp.mpf(0))


def _of_probabilities_second_derivative(p: Mpf, t: Mpf) -> Mpf:
    one, zero = _parts(p)
    return (t / p**2 if one else 0) + ((1 - t) / (1 - p) ** 2 if zero else mp.mpf(0))


def _of_probabilities_terms(p: Mpf, t: Mpf) -> Mpf:
    one, zero = _parts(p)
    return (abs(t / p) if one else 0) + (abs((1 - t) / (1 - p)) if zero else mp.mpf(0))


def _row(name: str, *real: Callable[..., Mpf], ulp: tuple[float, ...], **more: Any) -> ElementWise:
    def guarded(function: Callable[..., Mpf]) -> Callable[..., Mpf]:
        def with_guard(*arguments: Any, **parameters: Any) -> Mpf:
            with mp.workprec(mp.prec + GUARD):
                return function(*arguments, **parameters)

        return with_guard

    return ElementWise(
        name,
        dict(zip(OUTPUTS, map(guarded, real), strict=True)),
        {},
        exact=False,
        ulp_float64=dict(zip(OUTPUTS, ulp, strict=True)),
        **({"algebraic": True} | more),
    )


_CLASSES: dict[str, Any] = {"of_residual": False}
_VARIANCES: dict[str, Any] = {
    "function": "gaussian_nll_loss",
    "parameters": {"vars": 1.0, "eps": 1e-6},
    "other_parameters": (
        {"vars": 0.0, "eps": 0.015625},
        {"vars": 0.7, "eps": 1e-6},
        {"vars": 123.5, "eps": 1e-6},
    ),
    "ulp": (4, 2, 1),
}
OTHERS = {
    row.name: row
    for row in (
        _row("l1", abs, _sign, _zero, ulp=(1, 0, 0)),
        _row("mse", lambda r: r * r, lambda r: 2 * r, lambda _: mp.mpf(2), ulp=(1, 1, 0)),
        _row(
            "smooth_l1", _beta, _beta_gradient, _beta_second_derivative,
            ulp=(3, 1, 1),
            parameters={"beta": 1.0},
            other_parameters=tuple({"beta": beta} for beta in (0.0, 0.1, 1 / 3, 2.5, 3e-5, 1e4)),
        ),
        _row("hinge", _hinge, _hinge_gradient, _zero, ulp=(1, 0, 0), **_CLASSES,
             terms=(lambda x, t: 1 + abs(x * t),)),
        _row(
            "margin_ranking", _margin, _margin_gradient, _zero,
            ulp=(1, 0, 0),
            parameters={"targets": 1.0, "margin": 0.0},
            other_parameters=(
                {"targets": -1.0, "margin": 0.5},
                {"targets": 1.0, "margin": 0.1},
                {"targets": 1.0, "margin": -2.0},
                {"targets": 0.75, "margin": 1 / 3},
            ),
            terms=(_margin_terms,),
        ),
        _row("gaussian_nll", _gaussian, _gaussian_gradient, _gaussian_second_derivative,
             terms=(_gaussian_terms,), **_VARIANCES),
        _row("full_gaussian_nll", _full_gaussian, _gaussian_gradient, _gaussian_second_derivative,
             terms=(_gaussian_terms,), fixed={"full": True}, **_VARIANCES),
        _row(
            "binary_cross_entropy",
            _cross_entropy, _cross_entropy_gradient, _cross_entropy_second_derivative,
            ulp=(4, 4, 4), **_CLASSES, function="binary_cross_entropy", algebraic=False,
            exponential=True,
            terms=(
                _cross_entropy_terms, _cross_entropy_gradient_terms,
                _cross_entropy_second_derivative,
            ),
        ),
        _row(
            "binary_cross_entropy_of_probabilities",
            _of_probabilities, _of_probabilities_gradient, _of_probabilities_second_derivative,
            ulp=(4, 4, 5), **_CLASSES, function="binary_cross_entropy",
            fixed={"with_logits": False}, probabilities=True,
            terms=(_zero, _of_probabilities_terms),
        ),
    )
}  # fmt: skip
ALL: dict[str, Loss] = LOSSES | OTHERS


def points(
    loss: ElementWise, fmt: Format, size: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Inputs and targets as they come, on grids where midpoints are, and where terms cancel."""
    sizes = np.exp2(rng.uniform(-14, 5, size))
    x = rng.normal(0, 1, size) * sizes
    t = rng.normal(0, 1, size) * np.where(rng.random(size) < 0.5, sizes, 1e-3 * sizes)
    grid = np.arange(size) % 4 == 1
    x[grid], t[grid] = (rng.integers(-900, 900, grid.sum()) / 128 for _ in range(2))
    if not loss.of_residual:
        t = np.where(rng.random(size) < 0.5, rng.integers(0, 2, size), rng.random(size))
        if loss.name == "hinge":
            x = np.where(x == 0, 0.5, x)
            t[1::3] = -t[1::3]
            t[::5] = 1 / x[::5] + rng.normal(0, 1e-3, x[::5].size)
        elif loss.probabilities:
            x = np.where(rng.random(size) < 0.5, rng.random(size) ** 9, 1 - rng.random(size) ** 9)
            x[grid] = rng.integers(0, 65, grid.sum()) / 64
            t[::5] = x[::5]
        else:
            t[::5] = 1 / (1 + np.exp(-x[::5]))
            beyond = (np.arange(size) % 7 == 3) & (x > 0.5)  # so that the value cancels
            t[beyond] = np.log1p(np.exp(x[beyond])) / x[beyond]
    return fmt.array(x), fmt.array(t)


def slacks(loss: Loss, x: Mpf, t: Mpf, unit: Mpf, **parameters: float) -> list[Mpf]:
    """What terms that are rounded to this unit may leave in value, gradient, second derivative."""
    found = [mp.mpf(0)] * len(OUTPUTS)
    terms = getattr(loss, "terms", ())
    arguments = (x - t,) if loss.of_residual else (x, t)
    if getattr(loss, "exponential", False) and unit > mp.ldexp(1, -40):
        unit *= 1 + abs(x)
    for place, sum_of in enumerate(terms):
        found[place] = unit * sum_of(*arguments, **parameters)
    return found


SMOOTH = [name for name in OTHERS if name not in ("l1", "hinge", "margin_ranking")]


def is_kink(loss: Loss, x: float, t: float, **parameters: Any) -> bool:
    """Whether the loss has no derivative there, or nearly none."""
    if loss.name in SMOOTH or math.isnan(x):
        return False
    distance = abs(x - t) if loss.name == "l1" else abs(1 - x * t)
    if loss.name == "margin_ranking":
        distance = abs(parameters["margin"] - parameters["targets"] * (x - t))
    return distance < 1e-3
