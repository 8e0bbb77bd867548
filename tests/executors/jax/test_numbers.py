"""Python's numbers on JAX arrays: another number is the same program, and counts in full."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lossless
from lossless._composed import is_composed
from lossless.executors.jax import FRAMEWORK
from lossless.executors.jax.programs import Programs
from lossless.verification.formats import FLOAT32
from support import loss_calls
from support.checks import XLA_ULP, assert_same_bits, assert_within
from support.frameworks.cases import ON_EVERY_PATH
from support.frameworks.jax import LOSSES

pytestmark = ON_EVERY_PATH

# How a loss is called, from the loss, inputs, and what calls it with its other arguments.
WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "value": lambda loss, x, call: call(loss, x),
    "value_and_grad": lambda loss, x, call: call(lossless.value_and_grad(loss), x),
    "grad": lambda loss, x, call: jax.grad(lambda x: call(loss, x).sum())(x),
    "jvp of grad": lambda loss, x, call: jax.jvp(
        jax.grad(lambda x: call(loss, x).sum()), (x,), (jnp.ones_like(x),)
    ),
    "vmap": lambda loss, x, call: jax.vmap(lambda x: call(loss, x))(jnp.stack([x, x])),
}
# These decide on the program.
STRUCTURE = ("p", "eps")


def numbers_of(name: str) -> list[str]:
    """The arguments of a call that may be numbers, all but the first."""
    arguments = inspect.signature(loss_calls.function(name)).parameters
    found = [key for key, x in arguments.items() if isinstance(x.default, float)]
    found += [key for key in ("vars", "weights") if key in arguments]
    is_row_wise = "full" not in arguments and "eps" in arguments
    return [key for key in found if not (is_row_wise and key in STRUCTURE)]


@contextmanager
def compilations() -> Iterator[list[str]]:
    found: list[str] = []

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if "backend_compile" in event:
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "number"), [(name, x) for name in loss_calls.CALLS for x in numbers_of(name)]
)
def test_other_numbers_compile_nothing(name: str, number: str, way: str) -> None:
    rng = np.random.default_rng(7)
    first, *others = loss_calls.arrays(name, rng, 3, 4)
    loss, options = loss_calls.function(name), dict(loss_calls.CALLS[name][2])
    if number == "vars":
        del others[1]
    x = jnp.asarray(first)
    others = [jnp.asarray(other) for other in others]

    def result(value: float) -> Any:
        given = options | {number: value}
        return WAYS[way](loss, x, lambda f, x: f(x, *others, **given))

    for value in (0.3, 0.3):  # the first array of all brings the shortcut along
        result(value)
    with compilations() as known:
        actual = {value: result(value) for value in (0.4, 0.7, 0.123456789, 1e-3)}
    assert not known, f"{len(known)} programs were compiled"
    if way not in ("value", "value_and_grad"):
        return
    function = loss if way == "value" else lossless.value_and_grad(loss)
    on_numpy = [np.asarray(other) for other in others]
    for value, results in actual.items():
        expected = function(first, *on_numpy, **options | {number: value})
        for mine, theirs in zip(*map(jax.tree.leaves, (results, expected)), strict=True):
            if is_composed.get() or name.startswith("triplet"):
                np.testing.assert_allclose(mine, theirs, rtol=1e-5)
            else:
                assert_same_bits(theirs, mine, FLOAT32, f"{value}")


@LOSSES
def test_numbers_count_in_full_without_float64(loss: Any) -> None:
    """As they do where JAX has it; also if it had none when the program was made."""
    x = jnp.array([0.1, 1.1, -3.0], jnp.float32)
    for weights in (0.1, 1e-320, 1e300, -0.0, np.nan, np.inf):
        narrow = loss(x * 1e-8, 0 * x, weights=weights)
        with jax.enable_x64(True):
            wide = loss(x * 1e-8, 0 * x, weights=weights)
            assert jnp.float32 == wide.dtype
        on_numpy = loss(np.asarray(x * 1e-8), np.zeros(3, np.float32), weights=weights)
        for actual in (narrow, wide):
            if is_composed.get():
                # NumPy's are rounded once; XLA takes subnormal numbers for zeros.
                allowed = (XLA_ULP + 0.5) * FLOAT32.spacing(on_numpy) + 2.0**-126
                assert_within(allowed, on_numpy, actual, f"{weights}")
            else:
                assert_same_bits(on_numpy, actual, FLOAT32, f"{weights}")


def test_numbers_that_decide_on_programs_keep_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for programs in cast("tuple[Programs, ...]", FRAMEWORK.executors):
        few = functools.lru_cache(4)(programs._jitted_rows)
        monkeypatch.setattr(programs, "_program_of_rows", few)
    x = jnp.ones((3, 4))
    client = jax.devices()[0].client
    lossless.cosine_similarity_loss(x, x, eps=0.5)
    before = len(client.live_executables())
    for i in range(12):
        lossless.cosine_similarity_loss(x, x, eps=0.1 + i)
    assert len(client.live_executables()) - before <= 4


def test_numbers_of_batches_of_branches() -> None:
    """Where a condition is batched, JAX gives the operands of its branches a batch, too."""

    def chosen(x: Any, which: Any) -> Any:
        branches = [
            lambda x, delta=delta: lossless.huber_loss(x, 0.0 * x, delta=delta, reduction="mean")
            for delta in (0.1, 0.7)
        ]
        return jax.lax.switch(which, branches, x)

    x, which = jnp.linspace(-2, 2, 12).reshape(4, 3), jnp.array([0, 1, 1, 0])
    expected = [
        lossless.huber_loss(x[i], 0 * x[i], delta=(0.1, 0.7)[int(k)], reduction="mean")
        for i, k in enumerate(which)
    ]
    slopes = [jax.grad(lambda x, k=k: chosen(x, k))(x[i]) for i, k in enumerate(which)]
    for function in (lambda f: f, jax.jit):
        np.testing.assert_array_equal(function(jax.vmap(chosen))(x, which), jnp.stack(expected))
        actual = function(jax.vmap(jax.grad(chosen)))(x, which)
        np.testing.assert_array_equal(actual, jnp.stack(slopes))
