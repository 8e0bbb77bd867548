"""Frameworks' own differentiation of the other element-wise losses, by each operand and option."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT32, FLOAT64, Array, Format
from lossless.verification.losses import LOSSES
from lossless.verification.reference import real
from support.cases import JAX, MLX, TORCH, Backend, Case
from support.checks import assert_ulp
from support.element_wise_points import OTHERS, is_near_kink, points
from support.frameworks.autodiff import differentiated

SIZE = 24


def in_frameworks(*formats: Format) -> pytest.MarkDecorator:
    cases = [
        Case(loss, backend, fmt)
        for loss in OTHERS.values()
        for backend in (*MLX, *TORCH, *JAX)
        for fmt in formats
    ]
    return pytest.mark.parametrize("case", cases, ids=str)


def function(case: Case, *names: str) -> Callable[..., Any]:
    """The weighted sum of the loss, of arrays by their position."""

    def weighted(x: Any, t: Any, *more: Any) -> Any:
        *others, weights = more
        options = dict(zip(names, others, strict=True)) | dict(case.loss.fixed)
        return case.function(x, t, **options, weights=weights, reduction="sum")

    return weighted


def problem(case: Case, rng: np.random.Generator) -> tuple[list[str], list[Array]]:
    """Operands, parameters and weights as arrays, away from kinks and from much cancellation."""
    x, t = points(case.loss, case.fmt, 40 * SIZE, rng)
    near = np.abs(x - t) if case.loss.uses_difference_only else np.abs(x)
    keep = (near > 0.05) & (near < 8)
    if case.loss.probabilities:
        keep = (x > 0.05) & (x < 0.95) & (t >= 0) & (t <= 1)
    x, t = x[keep], t[keep]
    smooth = [
        i
        for i, (a, b) in enumerate(zip(x, t, strict=True))
        if not is_near_kink(case.loss, float(a), float(b), **case.loss.parameters)
    ][:SIZE]
    names = [name for name in case.loss.parameters if name != "eps"]
    spread = [
        case.fmt.array(np.full(SIZE, case.loss.parameters[name]) * rng.uniform(1.1, 1.3, SIZE))
        if case.loss.parameters[name]
        else case.fmt.array(rng.uniform(0.01, 0.02, SIZE))
        for name in names
    ]
    return names, [x[smooth], t[smooth], *spread, case.fmt.array(rng.uniform(0.5, 2.0, SIZE))]


@in_frameworks(FLOAT32, FLOAT64)
@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning")
def test_gradients_with_respect_to_every_argument(case: Case, rng: np.random.Generator) -> None:
    """By inputs, targets, array parameters and weights: derivatives of the definition."""
    names, arrays = problem(case, rng)
    assert SIZE == len(arrays[0])
    found = differentiated(case, function(case, *names), arrays)
    fixed = {key: value for key, value in case.loss.parameters.items() if key not in names}
    columns = [[float(number) for number in array] for array in arrays]
    with mp.workdps(60):

        def loss(x: Any, t: Any, *more: Any) -> Any:
            *others, weight = more
            options = dict(zip(names, others, strict=True)) | fixed
            arguments = (x - t,) if case.loss.uses_difference_only else (x, t)
            return weight * case.loss.definition["value"](*arguments, **options)

        for place, actual in enumerate(found):
            order = tuple(int(place == k) for k in range(len(arrays)))
            rows = [tuple(map(mp.mpf, row)) for row in zip(*columns, strict=True)]
            true = [mp.diff(loss, row, order) for row in rows]
            # Terms of a derivative by another operand than inputs may cancel a little.
            slack = [mp.ldexp(abs(loss(*row)) + 1, 4 - case.fmt.precision) for row in rows]
            what = f"{case} by {(['inputs', 'targets', *names, 'weights'])[place]}"
            assert_ulp(true, actual, case.fmt, 16, what, *arrays[:2], slack=slack)


@in_frameworks(FLOAT64)
@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:DeprecationWarning")
def test_second_derivatives(case: Case, rng: np.random.Generator) -> None:
    """The gradient of the gradient, by inputs, where there is one."""
    names, arrays = problem(case, rng)
    weighted = function(case, *names)
    with case.backend.path():
        x, t, *more = (case.backend.array(array) for array in arrays)
        if case.backend in MLX:
            import mlx.core as mx

            with mx.stream(mx.cpu):
                slope = mx.grad(lambda x: weighted(x, t, *more))
                actual = mx.grad(lambda x: slope(x).sum())(x)
                mx.eval(actual)
        elif case.backend in JAX:
            import jax

            slope = jax.grad(lambda x: weighted(x, t, *more))
            actual = jax.grad(lambda x: slope(x).sum())(x)
        else:
            import torch

            x.requires_grad_()
            (first,) = torch.autograd.grad(weighted(x, t, *more), x, create_graph=True)
            actual = torch.zeros_like(x)
            if first.requires_grad:
                (actual,) = torch.autograd.grad(first.sum(), x, materialize_grads=True)
    fixed = {key: value for key, value in case.loss.parameters.items() if key not in names}
    columns = [[float(number) for number in array] for array in arrays]
    with mp.workdps(60):
        true = []
        for x, t, *others, weight in zip(*columns, strict=True):
            options = dict(zip(names, others, strict=True)) | fixed
            true.append(weight * real(case.loss, "second_derivative", x, t, **options))
    slack = [mp.ldexp(1, 6 - case.fmt.precision)] * len(true)
    assert_ulp(true, case.backend.numpy(actual), case.fmt, 32, f"{case}", slack=slack)


@pytest.mark.parametrize("backend", [*MLX, *TORCH, *JAX], ids=lambda backend: backend.value)
def test_smooth_l1_with_beta_0_has_the_gradient_of_l1(backend: Backend) -> None:
    """Also at 0, where the quotient by beta would be NaN."""
    case = Case(OTHERS["smooth_l1"], backend, FLOAT32)
    x, t, weights = (case.fmt.array(a) for a in ([0.5, 0, -3], [0.5, 1, 2], [1, 1, 1]))

    def weighted(x: Any, t: Any, weights: Any) -> Any:
        return lossless.smooth_l1_loss(x, t, 0.0, "sum", weights=weights)

    by_inputs, by_targets, _ = differentiated(case, weighted, [x, t, weights])
    assert [0, -1, -1] == by_inputs.tolist()
    assert [0, 1, 1] == by_targets.tolist()


@pytest.mark.parametrize("backend", [*MLX, *TORCH, *JAX], ids=lambda backend: backend.value)
def test_binary_cross_entropy_at_the_ends(backend: Backend) -> None:
    """Gradients at probabilities of 0 and 1, and at large logits, are finite and right."""
    case = Case(OTHERS["binary_cross_entropy"], backend, FLOAT32)
    ones = case.fmt.array([1, 1, 1, 1])
    logits, labels = case.fmt.array([1e4, -1e4, 1e4, 0]), case.fmt.array([1, 1, 0, 1])
    by_logits, *_ = differentiated(case, function(case), [logits, labels, ones])
    assert [0, -1, 1, -0.5] == by_logits.tolist()
    of_probabilities = Case(OTHERS["binary_cross_entropy_of_probabilities"], backend, FLOAT32)
    probabilities, labels = case.fmt.array([0, 1, 0, 1]), case.fmt.array([0, 1, 1, 0])
    by_inputs, *_ = differentiated(
        of_probabilities, function(of_probabilities), [probabilities, labels, ones]
    )
    assert [1, -1, 0, 0] == by_inputs.tolist()


FAR: dict[str, tuple[dict[str, Any], float]] = {
    "huber_loss": ({"delta": 0.75}, 0.75), "log_cosh_loss": ({}, 1.0), "l1_loss": ({}, 1.0),
    "smooth_l1_loss": ({"beta": 0.5}, 1.0), "mse_loss": ({}, float("inf")),
}  # fmt: skip


@pytest.mark.parametrize("backend", [*MLX, *TORCH, *JAX])
@pytest.mark.parametrize("name", FAR)
def test_slopes_at_infinite_residuals(backend: Backend, name: str) -> None:
    """Those that the losses tend to, beside one that is not touched."""
    options, slope = FAR[name]
    case = Case(LOSSES["huber"], backend, FLOAT32)
    x = FLOAT32.array([np.inf, -np.inf, 0.25, 2.0, 2.0])
    t = FLOAT32.array([1.0, 1.0, 0.25, np.inf, -np.inf])
    loss: Any = getattr(lossless, name)

    def total(x: Any, t: Any) -> Any:
        return loss(x, t, **options, reduction="sum")

    by_inputs, by_targets = differentiated(case, total, [x, t])
    assert [slope, -slope, 0.0, -slope, slope] == by_inputs.tolist()
    assert [-slope, slope, 0.0, slope, -slope] == by_targets.tolist()
