"""What `lossless verify` holds results to: the numbers of docs/numerics.md."""

from __future__ import annotations

from itertools import product

import pytest

from lossless.executors.executor import Promise
from lossless.verification.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, NARROW
from lossless.verification.frameworks import FRAMEWORKS
from lossless.verification.losses import LOSSES
from lossless.verification.promises import bounds, executors, promised
from lossless.verification.tasks import EXECUTORS


def promise(executor: str, framework: str) -> Promise:
    return executors(framework)[executor].promise


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_has_both_executors(framework: str) -> None:
    assert EXECUTORS == tuple(executors(framework))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_kernels_round_correctly_but_in_float64(framework: str) -> None:
    kernels = promise("kernels", framework)
    assert [None] * 3 == [bounds(kernels, LOSSES["huber"], fmt) for fmt in NARROW]
    expected = {"huber": "≤ 1, 1, 0 ULP", "log_cosh": "≤ 6, 6, 8 ULP"}
    assert expected == {name: promised(bounds(kernels, LOSSES[name], FLOAT64)) for name in expected}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_formulas_promise_a_few_ulp(framework: str) -> None:
    formulas = promise("formulas", framework)
    expected = "≤ 16 ULP" if framework == "jax" else "≤ 8, 8, 16 ULP"
    for fmt in (FLOAT32, FLOAT64):
        assert expected == promised(bounds(formulas, LOSSES["mse"], fmt))
    for fmt in (FLOAT16, BFLOAT16):
        assert "≤ 1 ULP" == promised(bounds(formulas, LOSSES["mse"], fmt))


def test_only_xla_may_take_subnormal_inputs_for_zero() -> None:
    for framework, fmt in product(FRAMEWORKS, (*NARROW, FLOAT64)):
        found = bounds(promise("formulas", framework), LOSSES["l1"], fmt)
        assert found is not None
        expected = 2.0**fmt.min_exponent if framework == "jax" and fmt is not FLOAT16 else 0.0
        assert {expected} == {bound.flushed for bound in found.values()}


def test_only_second_derivatives_of_huber_and_log_cosh_may_be_off_absolutely() -> None:
    found = set()
    for name, loss in LOSSES.items():
        of_loss = bounds(promise("formulas", "numpy"), loss, FLOAT32)
        assert of_loss is not None
        found |= {(name, output) for output, bound in of_loss.items() if bound.absolute_beyond_2}
    assert {("huber", "second_derivative"), ("log_cosh", "second_derivative")} == found
