"""float64 against mpmath: within the contract's ULP."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from lossless.verification.formats import FLOAT64, Array
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS, real
from support.cases import Case, cases
from support.checks import assert_ulp

pytestmark = pytest.mark.kernel

POINTS = 20_000


def residuals(rng: np.random.Generator) -> tuple[Array, Array]:
    """Where the losses bend, and everywhere between 1e-18 and 1e18; targets = 0."""
    spread = 10.0 ** rng.uniform(-18, 18, POINTS // 2)
    bend = np.exp2(rng.uniform(-12, 9.5, POINTS - POINTS // 2))
    x = np.concatenate([spread, bend]) * rng.choice([-1.0, 1.0], POINTS)
    return x, np.zeros(POINTS)


def pairs(rng: np.random.Generator) -> tuple[Array, Array]:
    """Of like size, nearly cancelling, and targets tiny against inputs."""
    n = POINTS // 10
    x = rng.standard_normal(3 * n) * np.exp2(rng.integers(-6, 6, 3 * n))
    near = x[:n] * (1 + rng.uniform(-1, 1, n) * 2.0**-8)
    tiny = x[n : 2 * n] * np.exp2(rng.uniform(-60, -20, n))
    return x, np.concatenate([near, tiny, rng.standard_normal(n)])


def extremes(_: np.random.Generator) -> tuple[Array, Array]:
    """Subnormal and largest numbers, values that underflow, both sides of branches."""
    points = [5e-324, 2.3e-308, 1.1e-154, 1.6e-162, 1.5e-154, 3e-155, 1e-9, 1.7e308, 1e300]
    points += [math.acosh(2), math.log(2), 0.5, 1.0, 2.0, 9.0, 19.0, 37.0, 40.0, 355.0, 372.5]
    points += [371.0, 709.0, 711.0, 745.0, 2.0**27, 2.0**52, 2.0**53, 2.0**54]
    near = [FLOAT64.neighbour(point, step) for point in points for step in (-1, 0, 1)]
    x = np.array([sign * number for number in near for sign in (1, -1)])
    return x, np.zeros(len(x))


@pytest.mark.parametrize("points", [residuals, pairs, extremes])
@pytest.mark.parametrize("case", cases([FLOAT64]))
def test_float64_keeps_the_contract(case: Case, points: Any, rng: np.random.Generator) -> None:
    x, t = points(rng)
    for index, parameters in enumerate(case.loss.settings):
        if index == 1:  # the default takes all points, the other parameters a tenth
            x, t = x[::10], t[::10]
        expected = defaultdict(list)
        with mp.workprec(160):
            for output in OUTPUTS:
                for number, target in zip(x.tolist(), t.tolist(), strict=True):
                    expected[output].append(real(case.loss, output, number, target, **parameters))
        for output, call, actual in case.element_wise(x, t, **parameters):
            bound = case.loss.ulp_float64[output]
            what = f"{case} {output} from {call} {parameters or ''}"
            assert_ulp(expected[output], actual, FLOAT64, bound, what, x, t)


@pytest.mark.parametrize("delta", [5e-324, 1e-310, 1e-300, 1e-154, 1e154, 1.7e308])
@pytest.mark.parametrize("case", cases([FLOAT64], [LOSSES["huber"]]))
def test_huber_float64_extreme_delta(case: Case, delta: Any, rng: np.random.Generator) -> None:
    near = min(delta, 0.75e308)
    x = np.concatenate([rng.normal(0.1, 3.0, 99), near * rng.uniform(-2, 2, 99)])
    x = np.concatenate([x, rng.uniform(-1, 1, 99) * 1e300])
    t = np.concatenate([rng.normal(0.5, 1.0, 99), near * rng.uniform(-0.3, 0.3, 198)])
    for output, call, actual in case.element_wise(x, t, delta=delta):
        expected = [
            real(case.loss, output, number, target, delta=delta)
            for number, target in zip(x.tolist(), t.tolist(), strict=True)
        ]
        bound = case.loss.ulp_float64[output]
        assert_ulp(expected, actual, FLOAT64, bound, f"{output} from {call} delta={delta}", x, t)
