"""Run with a package to which the loss has been added: on the arrays of each framework."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import array_api_strict
import jax
import mlx.core as mx
import numpy as np
import torch

lossless: Any = import_module("lossless")
pinball = lossless.pinball_loss
value_and_grad, grad_and_hess = (
    getattr(lossless, name)(pinball) for name in ("value_and_grad", "grad_and_hess")
)
FRAMEWORKS = {
    name: kind()
    for name, kind in import_module("lossless.verification.frameworks").FRAMEWORKS.items()
}
X, T = np.array([[3.0, 1.0], [2.0, -2.0]]), np.array([[1.0, 3.0], [2.0, 2.0]])  # r = 2, -2, 0, -4
LOSSES, SLOPES = [[1.5, 0.5], [0.0, 1.0]], [[0.75, -0.25], [0.0, -0.25]]  # the quantile is 0.25
WEIGHTS, WHERE = np.array([[1.0], [2.0]]), np.array([[True, False], [True, True]])


def numbers(result: Any) -> Any:
    """As lists, which have no dtype."""
    if isinstance(result, tuple | list):
        return [numbers(x) for x in result]
    return np.asarray(result, np.float64).tolist()


def check(array: Callable[[Any], Any]) -> None:
    """Values and derivatives, reductions, options, parameters that are arrays."""
    for dtype in (np.float32, np.float64):
        x, t = (array(a.astype(dtype)) for a in (X, T))
        assert LOSSES == numbers(pinball(x, t, 0.25))
        assert [LOSSES, SLOPES] == numbers(value_and_grad(x, t, 0.25, reduction="none"))
        assert [SLOPES, [[0.0] * 2] * 2] == numbers(grad_and_hess(x, t, 0.25))
        assert 3.0 == numbers(pinball(x, t, 0.25, "sum"))
        mean, gradient = value_and_grad(x, t, 0.25, reduction="mean")
        assert [0.75, (np.array(SLOPES) / 4).tolist()] == numbers([mean, gradient])
        weights, where = array(WEIGHTS.astype(dtype)), array(WHERE)
        assert [2.0, 2.0] == numbers(pinball(x, t, 0.25, "sum", weights=weights, axis=1))
        masked = value_and_grad(x, t, 0.25, "sum", weights=weights, where=where)
        assert [3.5, [[0.75, 0.0], [0.0, -0.5]]] == numbers(masked)
        assert [0.75] * 2 == numbers(pinball(x, t, 0.25, "weighted_mean", weights=1.0, axis=0))
        each = array(np.array([[0.25, 0.5], [0.5, 0.75]], dtype))
        assert [[1.5, 1.0], [0.0, 3.0]] == numbers(pinball(x, t, each))
        outside = numbers(value_and_grad(x, t, array(np.array([0.25, 1.0], dtype)), "none"))
        assert [[True, False]] * 2 == np.isfinite(outside[0]).tolist()
        assert [[True, False]] * 2 == np.isfinite(outside[1]).tolist()


def check_errors(x: Any, t: Any, where: Any) -> None:
    """The range of the parameter on each path; both bounds are excluded."""
    for function in (pinball, value_and_grad, grad_and_hess):
        for wrong in (0.0, 1.0, -0.5, 2, float("nan")):
            for options in ({}, {"where": where}):
                expect = f"pinball_loss: quantile must be in (0, 1), got {wrong!r}"
                assert expect == message(partial(function, x, t, wrong, **options))
    assert "pinball_loss: quantile must be a number or an array, got 'mean' (did you mean " in (
        message(lambda: pinball(x, t, "mean"), TypeError)
    )


def message(call: Callable[[], Any], kind: type[Exception] = ValueError) -> str:
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError("no error")


def check_executors(name: str, x: Any, t: Any) -> None:
    """The kernels say that they have none; the formulas, which refuse nothing, give the result."""
    framework = import_module(f"lossless.executors.{name}").FRAMEWORK
    call = import_module("lossless._problem").Call(pinball_spec(), (x, t), (0.25,), "none")
    check = import_module("lossless._check")
    problem = check.problem_of("pinball_loss", call, framework.arrays, ("value", "gradient"))
    *others, formulas = framework.executors
    assert ["pinball has no kernel"] == [other.refuses(problem) for other in others]
    assert formulas.refuses(problem) is None
    assert [LOSSES, SLOPES] == numbers(formulas.run(problem))
    with lossless.composed():
        assert [LOSSES, SLOPES] == numbers(value_and_grad(x, t, 0.25, reduction="none"))


def pinball_spec() -> Any:
    return import_module("lossless._spec").LOSSES["pinball"]


def check_compiled(name: str, x: Any, t: Any) -> None:
    """What frameworks make of the formulas; a wrong number is an error there, too."""

    def function(a: Any, b: Any) -> Any:
        return pinball(a, b, 0.25, "sum")

    def wrong(a: Any, b: Any) -> Any:
        return pinball(a, b, 1.0)

    if name == "jax":
        assert 3.0 == numbers(jax.jit(function)(x, t))
        assert SLOPES == numbers(jax.jit(jax.grad(function))(x, t))
        assert [2.0, 1.0] == numbers(jax.vmap(function)(x, t))
        assert "in (0, 1)" in message(lambda: jax.jit(wrong)(x, t))
    elif name == "mlx":
        assert 3.0 == numbers(mx.compile(function)(x, t))
        assert SLOPES == numbers(mx.compile(mx.grad(function))(x, t))
        assert [2.0, 1.0] == numbers(mx.vmap(function)(x, t))
        assert "in (0, 1)" in message(lambda: mx.compile(wrong)(x, t))
    elif name == "torch":
        assert SLOPES == numbers(torch.func.grad(function)(x, t))
        assert [2.0, 1.0] == numbers(torch.func.vmap(function)(x, t))
        assert 3.0 == numbers(torch.compile(function, backend="eager", fullgraph=True)(x, t))
        assert "in (0, 1)" in message(lambda: torch.func.vmap(wrong)(x, t))


for name, framework in FRAMEWORKS.items():
    with framework.setting():
        check(framework.array)
        x, t, where = (framework.array(a) for a in (X, T, WHERE))
        check_errors(x, t, where)
        check_executors(name, x, t)
        check_compiled(name, x, t)
        if (gradient := framework.gradient(lambda a, b=t: pinball(a, b, 0.25, "sum"))) is not None:
            assert SLOPES == numbers(gradient(x))
        by_quantile = framework.gradient(lambda q, a=x, b=t: pinball(a, b, q, "sum"))
        if by_quantile is not None:
            each = framework.array(np.full((2, 2), 0.25))
            assert [[-2.0, 2.0], [0.0, 4.0]] == numbers(by_quantile(each))
check(array_api_strict.asarray)
check_errors(*map(array_api_strict.asarray, (X, T, WHERE)))

print("arrays: as expected")
