"""Un-jitted calls that run a compiled program at once, and those that are looked at in full."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lossless
from lossless._call import REDUCTIONS, Call
from lossless.executors import at_once
from support.cases import Case, from_jax
from support.checks import assert_same_bits
from support.frameworks.cases import arrays, on_numpy
from support.frameworks.jax import IN_EVERY_DTYPE

METHODS = ("value", "value_and_grad", "grad_and_hess")


def plain(**other: Any) -> Call:
    x = jnp.array([1.5, -2.0, 0.25], jnp.float32)
    lossless.huber_loss(x, x)  # the first array brings the shortcut along
    arguments: dict[str, Any] = {
        "operands": {"inputs": x, "targets": x[::-1]},
        "reduction": "mean",
        "parameters": {"delta": 1.0},
    } | dict.fromkeys(("weights", "where", "axis"))
    return Call(**arguments | other)


@IN_EVERY_DTYPE
def test_plain_calls_take_the_shortcut(case: Case, rng: np.random.Generator) -> None:
    """To NumPy's bits, whatever the reduction and the number of dimensions."""
    with case.backend.path():
        plain()
        x, t = arrays(case, (4, 5), rng)
        for some in (slice(None), 0, (1, 2)):
            operands = {"inputs": jnp.asarray(x[some]), "targets": jnp.asarray(t[some])}
            for reduction in REDUCTIONS:
                parameters = dict(case.loss.parameters)
                call = Call(operands, reduction, parameters, None, None, None)
                twin = on_numpy(case)
                for method in METHODS:
                    if method == "grad_and_hess" and reduction != "none":
                        continue
                    actual = at_once(method, case.loss.name, call)
                    assert actual is not None
                    expected = getattr(twin, method)(x[some], t[some], reduction=reduction)
                    if method == "value":
                        actual, expected = [actual], [expected]
                    for mine, part in zip(actual, expected, strict=True):
                        what = f"{case} {method} {reduction}"
                        assert_same_bits(part, from_jax(mine), case.fmt, what)


def test_other_calls_do_not_take_the_shortcut() -> None:
    """What is more than two plain arrays, or wrong, is looked at in full."""
    x = jnp.ones(3, jnp.float32)
    weak = jnp.asarray(1.0)
    assert all(at_once(method, "huber", plain(reduction="none")) for method in METHODS[1:])
    assert at_once("value", "huber", plain()) is not None
    pairs = [(x, 0.5), (x, np.ones(3)), (x, x[:2]), (x, x[0]), (x, x.astype(jnp.float16))]
    pairs += [(weak, weak), (jnp.arange(3), jnp.arange(3)), (x > 0, x > 0), (x + 1j, x + 1j)]
    others: list[dict[str, Any]] = [{"operands": {"inputs": a, "targets": b}} for a, b in pairs]
    others += [{"operands": {"inputs": x, "targets": x, "vars": x}}]
    others += [{"weights": 1.0}, {"where": x > 0}, {"axis": 0}]
    others += [{"reduction": reduction} for reduction in ("average", ["mean"], None)]
    others += [{"parameters": {"delta": x}} for x in (0.0, -1.0, float("nan"), 1, "mean", x)]
    for other in others:
        for method in METHODS:
            assert at_once(method, "huber", plain(**other)) is None, (method, other)
    with lossless.composed():
        assert at_once("value", "huber", plain()) is None


def test_what_jax_traces_does_not_take_the_shortcut() -> None:
    seen: list[bool] = []

    @jax.jit
    def traced(x: Any) -> Any:
        seen.append(at_once("value", "huber", plain(operands={"inputs": x, "targets": x})) is None)
        return x

    traced(jnp.ones(3))
    assert [True] == seen
