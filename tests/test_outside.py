"""Hard arguments that know nothing of the kernels: correctly rounded by exact fractions."""

from __future__ import annotations

import numpy as np
import outside
import pytest
from numpy.typing import NDArray

import lossless
from lossless.cli.oracle.formats import BFLOAT16, FLOAT16, FLOAT32, Format

pytestmark = pytest.mark.kernel
h = float.fromhex


@pytest.mark.parametrize("seed", [1, None])
@pytest.mark.parametrize("name", outside.LOSSES)
@pytest.mark.parametrize("fmt", [FLOAT16, BFLOAT16, FLOAT32], ids=lambda fmt: fmt.name)
def test_loss_of_hard_arguments_from_outside(name: str, fmt: Format, seed: int | None) -> None:
    seed = int(np.random.default_rng().integers(1 << 31)) if seed is None else seed
    given = outside.batch(name, fmt, 4000, np.random.default_rng(seed))
    failures = list(outside.wrong(name, fmt, given))
    assert not failures, f"seed {seed}: " + "\n".join(failures[:5])


def one(number: float, dtype: type = np.float32) -> NDArray[np.floating]:
    return np.array([number], dtype)


def test_margin_ranking_of_other_targets_than_signs() -> None:
    """The sum lies 1e-32 of itself below the middle of two numbers."""
    x1, x2 = one(h("0x1.a0b512p+23")), one(h("0x1.7b6078p-9"))
    y, margin = one(h("-0x1.8562d6p+23")), h("0x1.cd1289fffffffp-7")
    for given in (margin, one(margin, np.float64)):
        got = lossless.margin_ranking_loss(x1, x2, y, margin=given)
        assert float(got[0]).hex() == "0x1.3cea020000000p+47"


def test_smooth_l1_of_the_smallest_beta() -> None:
    x, t = one(h("-0x1.23457cp-1")), one(h("-0x1.ee2132p+1"))
    for given in (5e-324, one(5e-324, np.float64)):
        got = lossless.smooth_l1_loss(x, t, beta=given, reduction="none")
        assert float(got[0]).hex() == "0x1.a54fd20000000p+1"
        for dtype in (np.float16, np.float32, np.float64):
            same = one(0.25, dtype)
            slope, second = lossless.grad_and_hess(lossless.smooth_l1_loss)(same, same, beta=given)
            assert slope[0] == 0
            assert second[0] == np.inf


def test_binary_cross_entropy_next_to_a_probability_of_a_half() -> None:
    """x/4 lies in the middle of two numbers, the slope a hair nearer to 0."""
    slope = lossless.value_and_grad(lossless.binary_cross_entropy)
    for x, expected in (
        ("-0x1.ea26d6p-125", "-0x1.ea26d4p-127"),
        ("0x1.ef98p-135", "0x1.ef9p-137"),
    ):
        _, got = slope(one(h(x)), one(0.5), reduction="none")
        assert float(got[0]) == h(expected)


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
def test_loss_of_a_difference_that_overflows_may_be_finite(
    name: str,
    arguments: tuple[float, ...],
    options: dict[str, float],
    value: float,
    gradient: float,
) -> None:
    arrays = [one(x, np.float64) for x in arguments]
    loss = getattr(lossless, name)
    got, slope = lossless.value_and_grad(loss)(*arrays, reduction="none", **options)
    np.testing.assert_array_max_ulp(got, np.array([value]), 4)
    np.testing.assert_array_max_ulp(slope, np.array([gradient]), 2)
