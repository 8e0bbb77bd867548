"""Losses and derivatives of single elements or rows, in float64, and what they add up.

The losses and the derivatives by the first argument are NumPy's, those by others definitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import lossless
from fuzz.programs import Program

Slope = tuple[Any, Any, Any]  # itself, the magnitudes of its terms, how far it may jump
# Their derivatives by inputs and targets are clear at infinite residuals.
CLEAR = ("huber_loss", "log_cosh_loss", "l1_loss", "mse_loss", "smooth_l1_loss")
NEAR = 2.0**-16  # of a kink: there a rounded argument may be on the other side


@dataclass
class Parts:
    """Of each element: the loss, its derivatives, and the sums of the magnitudes of their terms."""

    value: Any
    value_terms: Any
    by: dict[str, Slope]
    second: Slope
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    finite: Any = True  # whether all arguments of an element, or of a row, are
    finite_slope: Any = True


def parts(program: Program, given: dict[str, Any], dtype: str) -> Parts:
    """Of one call without its weights, mask and reduction."""
    spec = program.spec
    shapes = {leaf.name: np.shape(given.get(leaf.name, 0)) for leaf in program.leaves}
    names = [name for name, _ in (*spec.operands, *spec.parameters)]
    arguments = {name: given[name] for name in names if name in given}
    fixed: dict[str, Any] = {n: given[n] for n in ("full", "with_logits") if n in given}
    function = getattr(lossless, spec.name)
    wide = {name: _wide(x, name in _indices(spec)) for name, x in arguments.items()}
    if spec.of_rows:
        fixed["axis"] = program.axis
    else:
        operands = [name for name, _ in spec.operands]
        full = np.broadcast_shapes(*(np.shape(wide[name]) for name in operands))
        for name in operands:
            wide[name] = np.broadcast_to(wide[name], full)
    value, gradient = lossless.value_and_grad(function)(**wide, **fixed, reduction="none")
    second: Any = np.zeros(())
    if program.base == "grad_and_hess":
        _, second = lossless.grad_and_hess(function)(**wide, **fixed)
    value = np.asarray(value, np.longdouble)
    gradient = np.asarray(gradient, np.longdouble)
    defaults = {"delta": 1.0, "beta": 1.0, "eps": 1e-6, "margin": 0.0, "label_smoothing": 0.0}
    if spec.name == "cosine_similarity_loss":
        defaults["eps"] = 1e-8
    if spec.name == "triplet_loss":
        defaults |= {"margin": 1.0, "p": 2}
    arrays = [np.asarray(wide[name], np.longdouble) for name, _ in spec.operands]
    values = {**defaults, **{n: wide[n] for n in wide if n not in dict(spec.operands)}}
    numbers = [np.asarray(values[name], np.longdouble) for name, _ in spec.parameters]
    definition = _ROWS[spec.name] if spec.of_rows else _ELEMENTS[spec.name]
    found = definition(
        _Call(program, value, gradient, np.asarray(second), fixed), *arrays, *numbers
    )
    found.shapes = shapes
    finite: Any = np.ones(value.shape, bool)
    for x in (*arrays, *(() if spec.of_rows else numbers)):
        is_number = any(x is number for number in numbers)
        is_finite = ~np.isnan(x) if spec.name in CLEAR and not is_number else np.isfinite(x)
        if is_finite.ndim > value.ndim:
            is_finite = is_finite.all(program.axis)
        finite = finite & is_finite
    is_steep = ~np.isfinite(gradient)
    found.finite_slope = ~(is_steep.any(program.axis) if spec.of_rows else is_steep)
    found.finite = finite & (~np.isnan(value) if spec.name in CLEAR else np.isfinite(value))
    value_terms = np.maximum(abs(value), found.value_terms)
    found.value_terms = np.broadcast_to(value_terms, value.shape)
    for name, (slope, terms, jump) in found.by.items():
        target = gradient.shape if spec.of_rows else value.shape
        found.by[name] = (
            np.broadcast_to(slope, target),
            np.broadcast_to(np.maximum(abs(slope), terms), target),
            np.broadcast_to(np.nan_to_num(jump, nan=0.0), target),
        )
    return found


def _indices(spec: Any) -> set[str]:
    return {name for name, role in spec.operands if role == "label"}


def _wide(x: Any, is_index: bool) -> Any:
    if is_index:
        return np.asarray(x).astype(np.int64)
    return np.asarray(x).astype(np.float64) if isinstance(x, np.ndarray) else x


@dataclass
class _Call:
    program: Program
    value: Any
    gradient: Any
    second: Any
    fixed: dict[str, Any]

    def parts(
        self, terms: Any, second_terms: Any = 0.0, second_jump: Any = 0.0, **by: Slope
    ) -> Parts:
        second = (self.second, np.maximum(abs(self.second), second_terms), second_jump)
        return Parts(self.value, terms, by, second)


def _near(distance: Any, terms: Any, jump: Any) -> Any:
    """The jump where so small a distance may as well have the other sign."""
    return np.where(abs(distance) <= NEAR * terms, jump, 0.0)


def _huber(call: _Call, x: Any, t: Any, delta: Any) -> Parts:
    r, g = x - t, call.gradient
    good = np.where(delta > 0, 1.0, np.nan)
    by_delta = good * np.where(abs(r) > delta, abs(r) - delta, 0.0 * r)
    return call.parts(
        0.0, second_jump=_near(abs(r) - delta, delta, 1.0),
        inputs=(g, 0.0, 0.0), targets=(-g, 0.0, 0.0),
        delta=(by_delta, abs(r) + np.where(np.isfinite(delta), delta, 0.0), 0.0),
    )  # fmt: skip


def _plain(first: str) -> Callable[..., Parts]:
    def of(call: _Call, x: Any, t: Any) -> Parts:
        g = call.gradient
        return call.parts(0.0, **{first: (g, 0.0, 0.0), "targets": (-g, 0.0, 0.0)})

    return of


def _smooth_l1(call: _Call, x: Any, t: Any, beta: Any) -> Parts:
    r, g = x - t, call.gradient
    good = np.where(beta >= 0, 1.0, np.nan)
    by_beta = good * np.where(abs(r) < beta, -0.5 * (r / beta) ** 2, np.where(np.isnan(r), r, -0.5))
    return call.parts(
        0.0, second_jump=_near(abs(r) - beta, beta, 1.0 / beta),
        predictions=(g, 0.0, 0.0), targets=(-g, 0.0, 0.0), beta=(by_beta, 0.0, 0.0),
    )  # fmt: skip


def _gaussian(call: _Call, x: Any, t: Any, variances: Any, eps: Any) -> Parts:
    r, g = x - t, call.gradient
    good = np.where(eps > 0, 1.0, np.nan)
    low = variances < eps
    v = np.where(low, eps, variances)
    half, square = 0.5 / v, 0.5 * (r / v) ** 2
    terms = 0.5 * abs(np.log(v)) + 0.5 * r * r / v + 1.0
    slope, size = good * (half - square), half + square
    kept = 0.0 * slope
    return call.parts(
        terms, inputs=(g, 0.0, 0.0), targets=(-g, 0.0, 0.0),
        vars=(np.where(low, kept, slope), size, 0.0), eps=(np.where(low, slope, kept), size, 0.0),
    )  # fmt: skip


def _hinge(call: _Call, x: Any, t: Any) -> Parts:
    terms = 1.0 + abs(t * x)
    margin = 1.0 - t * x
    by_targets = np.where(margin <= 0, 0.0, -x + 0.0 * margin)
    return call.parts(
        terms,
        inputs=(call.gradient, 0.0, _near(margin, terms, abs(t))),
        targets=(by_targets, 0.0, _near(margin, terms, abs(x))),
    )


def _margin_ranking(call: _Call, x1: Any, x2: Any, y: Any, margin: Any) -> Parts:
    r, g = x1 - x2, call.gradient
    rest, terms = margin - y * r, abs(margin) + abs(y * r)
    off = rest <= 0
    jump = _near(rest, terms, 1.0)
    nan = 0.0 * rest
    return call.parts(
        terms,
        inputs1=(g, 0.0, jump * abs(y)),
        inputs2=(-g, 0.0, jump * abs(y)),
        targets=(np.where(off, 0.0, -r + nan), 0.0, jump * abs(r)),
        margin=(np.where(off, 0.0, 1.0 + nan), 0.0, jump),
    )


def _binary(call: _Call, x: Any, t: Any) -> Parts:
    if not call.fixed.get("with_logits", True):
        log, other = np.maximum(np.log(x), -100.0), np.maximum(np.log1p(-x), -100.0)
        log, other = (np.where((x < 0) | (x > 1), np.nan, y) for y in (log, other))
        inside = x * (1 - x)
        slopes = np.where(inside > 0, (x + t) / inside, 1.0 / np.maximum(x, 1 - x))
        seconds = np.where(inside > 0, t / x / x + (1 - t) / (1 - x) ** 2, 0.0)
        return call.parts(
            t * abs(log) + (1 - t) * abs(other), second_terms=seconds,
            inputs=(call.gradient, slopes, 0.0),
            targets=(other - log, abs(log) + abs(other), 0.0),
        )  # fmt: skip
    q = np.exp(-abs(x))
    share = q / (1 + q) * (1 + np.where(np.isfinite(x), abs(x), 0.0))
    u = np.where(x > 0, 1 - t, t)
    product = np.where(u == 0, 0.0, abs(x * u))
    return call.parts(
        product + np.log1p(q) * (1 + np.where(np.isfinite(x), abs(x), 0.0)), second_terms=share,
        inputs=(call.gradient, share + u, 0.0), targets=(-x + 0.0 * t, 0.0, 0.0),
    )  # fmt: skip


_ELEMENTS: dict[str, Callable[..., Parts]] = {
    "huber_loss": _huber,
    "log_cosh_loss": _plain("inputs"),
    "l1_loss": _plain("predictions"),
    "mse_loss": _plain("predictions"),
    "smooth_l1_loss": _smooth_l1,
    "gaussian_nll_loss": _gaussian,
    "hinge_loss": _hinge,
    "margin_ranking_loss": _margin_ranking,
    "binary_cross_entropy": _binary,
}


def _cross_entropy(call: _Call, x: Any, targets: Any, smoothing: Any) -> Parts:
    axis = call.program.axis
    largest = x.max(axis, keepdims=True)
    below = largest - x
    is_first = np.expand_dims(x.argmax(axis), axis) == _places(x, axis)
    log_sum = np.log1p(np.where(is_first, 0.0, np.exp(-below)).sum(axis, keepdims=True))
    log_sum = np.where(np.isnan(below).any(axis, keepdims=True), np.nan, log_sum)
    softmax = np.exp(-below - log_sum)
    finite = np.where(np.isfinite(below), below, 0.0)
    # To frameworks, the share of the largest logit is 1 less those of all others.
    rest = is_first * (call.program.base == "grad" and call.program.by_formulas)
    if targets.ndim < x.ndim:
        terms = smoothing * (finite.mean(axis) + log_sum.squeeze(axis))
        terms = terms + (softmax * finite).sum(axis)  # the distances are rounded
        slopes = softmax * (1 + finite) + (smoothing > 0) + rest
        return call.parts(terms, logits=(call.gradient, slopes, 0.0))
    every = abs(targets).sum(axis, keepdims=True) + 1
    terms = (abs(targets) * finite).sum(axis) + (every * log_sum).squeeze(axis) + finite.mean(axis)
    slopes, rounded = softmax * (1 + finite) + rest, (softmax * finite).sum(axis, keepdims=True)
    by_targets = np.where((targets == 0) & (below == np.inf), 0.0, below + log_sum)
    return call.parts(
        terms,
        logits=(call.gradient, every * slopes + abs(targets) + smoothing, 0.0),
        targets=((1 - smoothing) * by_targets + 0.0 * targets, rounded, 0.0),
    )


def _places(x: Any, axis: int) -> Any:
    return np.arange(x.shape[axis]).reshape([-1 if a == axis else 1 for a in range(x.ndim)])


def _nll(call: _Call, x: Any, labels: Any) -> Parts:
    return call.parts(0.0, inputs=(call.gradient, 0.0, 0.0))


def _kl(call: _Call, x: Any, t: Any) -> Parts:
    axis, p = call.program.axis, np.exp(t)
    sizes = np.where(p == 0, 0.0, p * (abs(t) + abs(x) + 1))
    by_targets = np.where((t == -np.inf) & ~np.isnan(x), 0.0, p * (t - x + 1))
    return call.parts(
        sizes.sum(axis), inputs=(call.gradient, p * abs(t), 0.0), targets=(by_targets, sizes, 0.0)
    )


def _cosine(call: _Call, x1: Any, x2: Any, eps: Any) -> Parts:
    axis = call.program.axis

    def norm(x: Any) -> Any:
        return np.sqrt((x * x).sum(axis, keepdims=True))

    first, second = norm(x1), norm(x2)
    divisor = np.maximum(first * second, eps)
    sizes = (abs(x1 * x2) / divisor).sum(axis, keepdims=True)
    # Beside it eps counts alone, but for what rounding decides.
    counts = first * second >= eps * (1 - NEAR)
    function = lossless.value_and_grad(lossless.cosine_similarity_loss)
    swapped = function(x2.astype(float), x1.astype(float), axis=axis, eps=float(eps))[1]
    jump = _near(first * second - eps, eps, 1.0)
    terms1 = abs(x2) / divisor + np.where(counts, sizes * abs(x1) / first**2, 0.0)
    terms2 = abs(x1) / divisor + np.where(counts, sizes * abs(x2) / second**2, 0.0)
    terms1, terms2 = (np.where(np.isfinite(x), x, np.inf) for x in (terms1, terms2))
    return call.parts(
        sizes.squeeze(axis),
        x1=(call.gradient, terms1, jump * terms1), x2=(swapped, terms2, jump * terms2),
    )  # fmt: skip


def _triplet(call: _Call, a: Any, p: Any, n: Any, norm: Any, margin: Any, eps: Any) -> Parts:
    axis = call.program.axis
    both = lossless.value_and_grad(lossless.triplet_loss)
    anchors, positives, negatives = (x.astype(float) for x in (a, p, n))
    options: dict[str, Any] = {"axis": axis, "p": float(norm), "eps": float(eps)}

    def of(other: Any) -> tuple[Any, Any]:
        """The distance to another point and its slope: that to itself has none."""
        value, slope = both(anchors, other, anchors, margin=1.0, **options)
        return np.expand_dims(np.asarray(value, np.longdouble), axis), slope

    (near, slope), (far, other_slope) = of(positives), of(negatives)
    root = float(eps) ** (1 / float(norm)) if np.isfinite(norm) else 0.0
    near, far = near - 1 + root, far - 1 + root
    terms = near + far + abs(margin)
    jump = _near(near - far + margin, terms, 2.0)
    if norm == math.inf:
        jump = np.maximum(jump, np.maximum(*(_ties(d, axis) for d in (a - p, a - n))))
    on = np.expand_dims(call.value, axis) != 0
    return call.parts(
        terms.squeeze(axis),
        anchors=(call.gradient, 2.0, jump),
        positives=(np.where(on, -slope, 0.0), 1.0, jump),
        negatives=(np.where(on, other_slope, 0.0), 1.0, jump),
    )


def _ties(x: Any, axis: int) -> Any:
    """2 where it is unclear which is the largest magnitude."""
    sizes = np.sort(abs(x), axis)
    if x.shape[axis] == 1:
        return np.zeros(sizes.shape)
    top, next_ = sizes.take([-1], axis), sizes.take([-2], axis)
    return np.where(top - next_ <= NEAR * top, 2.0, 0.0)


_ROWS: dict[str, Callable[..., Parts]] = {
    "cross_entropy": _cross_entropy,
    "nll_loss": _nll,
    "kl_div_loss": _kl,
    "cosine_similarity_loss": _cosine,
    "triplet_loss": _triplet,
}
