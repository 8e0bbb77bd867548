"""Un-jitted calls that run a compiled program at once, and those that are looked at in full."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lossless
from lossless._check import is_simple
from lossless._dispatch import run_simple
from lossless._problem import (
    GRADIENT_AND_SECOND_DERIVATIVE,
    REDUCTIONS,
    VALUE,
    VALUE_AND_GRADIENT,
    Call,
)
from lossless._spec import LOSSES
from lossless.executors.jax import FRAMEWORK
from support.cases import Case, from_jax
from support.checks import assert_same_bits
from support.frameworks.cases import arrays, on_numpy
from support.frameworks.jax import IN_EVERY_DTYPE

METHODS = {
    "value": VALUE,
    "value_and_grad": VALUE_AND_GRADIENT,
    "grad_and_hess": GRADIENT_AND_SECOND_DERIVATIVE,
}


def at_once(call: Call[Any], outputs: tuple[str, ...]) -> Any:
    """As the dispatch asks the fast path; None: the call is looked at in full."""
    return run_simple(FRAMEWORK, call, outputs) if is_simple(call) else None


def plain(**other: Any) -> Call[Any]:
    x = jnp.array([1.5, -2.0, 0.25], jnp.float32)
    arguments: dict[str, Any] = {
        "loss": LOSSES["huber"],
        "operands": (x, x[::-1]),
        "reduction": "mean",
        "parameters": (1.0,),
    }
    return Call(**arguments | other)


@IN_EVERY_DTYPE
def test_plain_calls_take_the_shortcut(case: Case, rng: np.random.Generator) -> None:
    """To NumPy's bits, whatever the reduction and the number of dimensions."""
    with case.backend.path():
        plain()
        x, t = arrays(case, (4, 5), rng)
        for some in (slice(None), 0, (1, 2)):
            operands = jnp.asarray(x[some]), jnp.asarray(t[some])
            for reduction in REDUCTIONS:
                parameters = tuple(case.loss.parameters.values())
                call: Call[Any] = Call(LOSSES[case.loss.name], operands, parameters, reduction)
                twin = on_numpy(case)
                for method, outputs in METHODS.items():
                    if method == "grad_and_hess" and reduction != "none":
                        continue
                    actual: Any = at_once(call, outputs)
                    assert actual is not None
                    expected = getattr(twin, method)(x[some], t[some], reduction=reduction)
                    if method == "value":
                        expected = [expected]
                    for mine, part in zip(actual, expected, strict=True):
                        what = f"{case} {method} {reduction}"
                        assert_same_bits(part, from_jax(mine), case.fmt, what)


def test_other_calls_do_not_take_the_shortcut() -> None:
    """What is more than two plain arrays, or wrong, is looked at in full."""
    x = jnp.ones(3, jnp.float32)
    weak = jnp.asarray(1.0)
    assert all(
        at_once(plain(reduction="none"), outputs)
        for outputs in (VALUE_AND_GRADIENT, GRADIENT_AND_SECOND_DERIVATIVE)
    )
    assert at_once(plain(), VALUE) is not None
    pairs = [(x, 0.5), (x, np.ones(3)), (x, x[:2]), (x, x[0]), (x, x.astype(jnp.float16))]
    pairs += [(weak, weak), (jnp.arange(3), jnp.arange(3)), (x > 0, x > 0), (x + 1j, x + 1j)]
    others: list[dict[str, Any]] = [{"operands": (a, b)} for a, b in pairs]
    others += [{"operands": (x, x, x)}]
    others += [{"weights": 1.0}, {"where": x > 0}, {"axis": 0}]
    others += [{"reduction": reduction} for reduction in ("average", ["mean"], None)]
    others += [{"parameters": (x,)} for x in (0.0, -1.0, float("nan"), 1, "mean", x)]
    for other in others:
        for outputs in METHODS.values():
            assert at_once(plain(**other), outputs) is None, (outputs, other)
    with lossless.composed():
        assert at_once(plain(), VALUE) is None


def test_what_jax_traces_does_not_take_the_shortcut() -> None:
    seen: list[bool] = []

    @jax.jit
    def traced(x: Any) -> Any:
        seen.append(at_once(plain(operands=(x, x)), VALUE) is None)
        return x

    traced(jnp.ones(3))
    assert [True] == seen
