"""Hard arguments that know nothing of the kernels: rounded once, or within the bounds in ULP."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

import lossless
from lossless.verification.formats import FLOAT64, FORMATS, NARROW, Format
from outside.judge import judge
from outside.losses import LOSSES
from outside.operands import batch

pytestmark = pytest.mark.kernel
h = float.fromhex
each_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.mark.parametrize(("seed", "count"), [(1, 2000), (None, 6000)])
@each_loss
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
def test_hard_arguments_from_outside(name: str, fmt: Format, seed: int | None, count: int) -> None:
    seed = int(np.random.default_rng().integers(1 << 31)) if seed is None else seed
    rng = np.random.default_rng(seed)
    for _ in range(2):  # parameters as arrays, and as numbers
        _, failures = judge(name, fmt, batch(name, fmt, count // 2, rng))
        assert not failures, f"seed {seed}: " + "\n".join(failures[:5])


@each_loss
@pytest.mark.parametrize("fmt", NARROW, ids=lambda fmt: fmt.name)
def test_judge_sees_each_result_that_is_a_neighbour_of_the_right_one(
    name: str, fmt: Format
) -> None:
    given = batch(name, fmt, 50, np.random.default_rng(2))
    actual = LOSSES[name](*given.arguments)
    for place, array in enumerate(actual):
        finite = np.flatnonzero(np.isfinite(array.astype(float)))
        changed = array.copy()
        for i in finite:
            changed[i] = fmt.neighbour(float(array[i]), 1 if i % 2 else -1)
        off = [*actual[:place], changed, *actual[place + 1 :]]
        tally, failures = judge(name, fmt, given, off)
        assert len(finite) == len(failures) == tally.wrong


@each_loss
def test_judge_sees_each_float64_that_is_beyond_its_bound(name: str) -> None:
    given = batch(name, FLOAT64, 50, np.random.default_rng(2))
    actual = LOSSES[name](*given.arguments)
    for place, output in ((1, 1), (3, 2)):  # of these no terms cancel, but for entropies
        steps = math.ceil(2 * LOSSES[name].ulp_float64[output]) + 2
        finite = np.flatnonzero(np.isfinite(actual[place]))
        changed = actual[place].copy()
        for i in finite:
            changed[i] = FLOAT64.neighbour(float(changed[i]), steps)
        off = [*actual[:place], changed, *actual[place + 1 :]]
        _, failures = judge(name, FLOAT64, given, off)
        assert len(failures) > len(finite) // 2


def one(number: float, dtype: type = np.float32) -> NDArray[np.floating]:
    return np.array([number], dtype)


def test_margin_ranking_of_other_targets_than_signs() -> None:
    """The sum lies 1e-32 of itself below the middle of two numbers."""
    x1, x2 = one(h("0x1.a0b512p+23")), one(h("0x1.7b6078p-9"))
    y, margin = one(h("-0x1.8562d6p+23")), h("0x1.cd1289fffffffp-7")
    for given in (margin, one(margin, np.float64)):
        actual = lossless.margin_ranking_loss(x1, x2, y, margin=given)
        assert "0x1.3cea020000000p+47" == float(actual[0]).hex()


def test_smooth_l1_of_the_smallest_beta() -> None:
    x, t = one(h("-0x1.23457cp-1")), one(h("-0x1.ee2132p+1"))
    for given in (5e-324, one(5e-324, np.float64)):
        actual = lossless.smooth_l1_loss(x, t, beta=given, reduction="none")
        assert "0x1.a54fd20000000p+1" == float(actual[0]).hex()
        for dtype in (np.float16, np.float32, np.float64):
            same = one(0.25, dtype)
            slope, second = lossless.grad_and_hess(lossless.smooth_l1_loss)(same, same, beta=given)
            assert 0 == slope[0]
            assert np.inf == second[0]


def test_binary_cross_entropy_next_to_a_probability_of_a_half() -> None:
    """x/4 lies in the middle of two numbers, the slope a hair nearer to 0."""
    slope = lossless.value_and_grad(lossless.binary_cross_entropy)
    for x, expected in (
        ("-0x1.ea26d6p-125", "-0x1.ea26d4p-127"),
        ("0x1.ef98p-135", "0x1.ef9p-137"),
    ):
        _, actual = slope(one(h(x)), one(0.5), reduction="none")
        assert h(expected) == float(actual[0])


@pytest.mark.parametrize(
    ("name", "arguments", "options", "value", "gradient"),
    [
        (
            "margin_ranking_loss",
            (-1.5651438474641174e308, 8.446517285716614e307, 0.3),
            {"margin": 1e-20},
            7.229386728107336e307,
            -0.3,
        ),
        (
            "smooth_l1_loss",
            (1.5311614413438274e308, -5.557519286989158e307),
            {"beta": 1.7e308},
            1.2369133700427432e308,
            1.0,
        ),
        # log v / 2 is nothing beside r^2 / (2 v), here with r = 2e308 and 1.7e308.
        ("gaussian_nll_loss", (1.5e308, -0.5e308, 1.79e308), {}, 1.11731843575419e308, 2 / 1.79),
        ("gaussian_nll_loss", (1.7e308, 0.0, 1e308), {}, 1.445e308, 1.7),
    ],
)  # fmt: skip
def test_differences_that_overflow_may_have_a_finite_loss(
    name: str,
    arguments: tuple[float, ...],
    options: dict[str, float],
    value: float,
    gradient: float,
) -> None:
    arrays = [one(x, np.float64) for x in arguments]
    loss = getattr(lossless, name)
    actual, slope = lossless.value_and_grad(loss)(*arrays, reduction="none", **options)
    np.testing.assert_array_max_ulp(actual, np.array([value]), 4)
    np.testing.assert_array_max_ulp(slope, np.array([gradient]), 2)


def test_cross_entropy_of_a_half_does_not_depend_on_the_target() -> None:
    """-t log(1/2) - (1 - t) log(1/2) is log 2, also where t has more digits than two doubles."""
    for target in ("0x1.5p0", "-0x1.8ep+123", "0x1.c4p+117", "0x1.94p+105"):
        for dtype in (np.float32, np.float64):
            actual = lossless.binary_cross_entropy(
                one(0.5, dtype), one(h(target), dtype), with_logits=False, reduction="none"
            )
            if dtype is np.float32 or target == "0x1.5p0":
                np.testing.assert_array_max_ulp(actual, np.array([math.log(2)], dtype), 0)


def test_second_derivative_of_cross_entropy_is_finite_where_its_terms_are_not() -> None:
    p, t = one(h("0x1.0000011e115ccp-1"), np.float64), one(h("0x1.427ab6d26346fp+1022"), np.float64)
    _, actual = lossless.grad_and_hess(lossless.binary_cross_entropy)(p, t, with_logits=False)
    assert abs(actual[0] / h("-0x1.685af73b24a21p+1002") - 1) < 2.0**-20  # 2^-50 of the terms


def test_gaussian_nll_of_the_smallest_variances() -> None:
    """Logarithms of subnormal numbers; a quotient r/v that overflows where r^2/v does not."""
    same, none = one(3.0), one(0.0)
    eps = h("0x0.01268a0d914a8p-1022")
    value = lossless.gaussian_nll_loss(same, same, none, eps=eps, reduction="none")
    assert h("-0x1.64e694p+8") == float(value[0])
    x, t = one(h("0x1.fbaa17ca1831bp-4"), np.float64), one(h("0x1.919b8b0b59bb1p-63"), np.float64)
    eps = h("0x0.012688b70e62bp-1022")
    value = lossless.gaussian_nll_loss(x, t, one(0.0, np.float64), eps=eps, reduction="none")
    np.testing.assert_array_max_ulp(value, np.array([h("0x1.b5828e4b5a469p+1022")]), 4)


def test_margin_ranking_of_a_product_that_vanishes() -> None:
    """It has a sign, which is all that there is beside a margin of 0."""
    x1, x2 = one(h("0x1.231e7p-758"), np.float64), one(h("0x1.231f1p-758"), np.float64)
    y = one(h("0x1.86e7p-782"), np.float64)
    for sign in (1, -1):
        value, slope = lossless.value_and_grad(lossless.margin_ranking_loss)(
            x1, x2, sign * y, margin=0.0, reduction="none"
        )
        assert 0 == value[0]
        assert (-y[0] if sign > 0 else 0) == slope[0]


def test_products_of_a_difference_that_overflows_are_rounded_once() -> None:
    x, t = (
        one(h("-0x1.e2714f2025ee2p+1022"), np.float64),
        one(h("0x1.51c529a63b28ep+1023"), np.float64),
    )
    value = lossless.huber_loss(x, t, delta=0.1, reduction="none")
    assert h("0x1.cf31742b71b33p+1020") == value[0]
    x, t = (
        one(h("-0x1.c60719f0f2fcep+1022"), np.float64),
        one(h("0x1.5f6be794e0c40p+1023"), np.float64),
    )
    y, margin = one(h("0x1.a58e91fc2b322p-696"), np.float64), h("0x1.10054550b972fp+0")
    value = lossless.margin_ranking_loss(x, t, y, margin=margin, reduction="none")
    assert h("0x1.dc41b72d02161p+328") == value[0]


def test_smooth_l1_float64_is_rounded_once_in_its_quadratic_piece() -> None:
    x, t, beta = h("-0x1.73c4a4cf36ab3p-1"), 0.5, h("0x1.9143eabd27eb5p+9")
    actual = lossless.smooth_l1_loss(one(x, np.float64), one(t, np.float64), beta=beta)
    np.testing.assert_array_max_ulp(actual, np.array(h("0x1.eb100c9388a8dp-11")), 1)
