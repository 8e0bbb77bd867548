"""What `lossless verify` holds results to: the numbers of docs/numerics.md."""

from __future__ import annotations

from itertools import product

import pytest

from lossless.executors.executor import FORMULAS, KERNELS
from lossless.verification.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, NARROW
from lossless.verification.frameworks import FRAMEWORKS
from lossless.verification.losses import LOSSES
from lossless.verification.promises import PROMISES, promised
from lossless.verification.tasks import EXECUTORS


def test_every_executor_has_a_promise_on_the_arrays_of_every_framework() -> None:
    assert {FORMULAS, KERNELS} == set(EXECUTORS)
    assert set(product(EXECUTORS, FRAMEWORKS)) == PROMISES.keys()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_kernels_round_correctly_but_in_float64(framework: str) -> None:
    promise = PROMISES["kernels", framework]
    assert [None] * 3 == [promise.bounds(LOSSES["huber"], fmt) for fmt in NARROW]
    expected = {"huber": "≤ 1, 1, 0 ULP", "log_cosh": "≤ 6, 6, 8 ULP"}
    found = {name: promised(promise.bounds(LOSSES[name], FLOAT64)) for name in expected}
    assert expected == found


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_formulas_promise_a_few_ulp(framework: str) -> None:
    promise = PROMISES["formulas", framework]
    expected = "≤ 16 ULP" if framework == "jax" else "≤ 8, 8, 16 ULP"
    for fmt in (FLOAT32, FLOAT64):
        assert expected == promised(promise.bounds(LOSSES["mse"], fmt))
    for fmt in (FLOAT16, BFLOAT16):
        assert "≤ 1 ULP" == promised(promise.bounds(LOSSES["mse"], fmt))


def test_only_xla_may_take_subnormal_inputs_for_zero() -> None:
    for framework, fmt in product(FRAMEWORKS, (*NARROW, FLOAT64)):
        bounds = PROMISES["formulas", framework].bounds(LOSSES["l1"], fmt)
        assert bounds is not None
        flushed = {bound.flushed for bound in bounds.values()}
        expected = 2.0**fmt.min_exponent if framework == "jax" and fmt is not FLOAT16 else 0.0
        assert {expected} == flushed


def test_only_second_derivatives_of_huber_and_log_cosh_may_be_off_absolutely() -> None:
    found = set()
    for name, loss in LOSSES.items():
        bounds = PROMISES["formulas", "numpy"].bounds(loss, FLOAT32)
        assert bounds is not None
        found |= {(name, output) for output, bound in bounds.items() if bound.absolute_beyond_2}
    assert {("huber", "second_derivative"), ("log_cosh", "second_derivative")} == found
