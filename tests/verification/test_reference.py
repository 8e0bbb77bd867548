"""The oracle itself: rounding, the two references against each other, and values known by hand."""

from __future__ import annotations

import decimal
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from lossless.verification.extended import Residual
from lossless.verification.formats import (
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    NARROW,
    Array,
    Format,
    round_extended,
    round_real,
    ulp_error,
)
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS, Loss, real, rounded, screen
from support.cases import REPRESENTATIVES
from support.element_wise_points import OTHERS, points
from tables import read

FORMAT_IDS = pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
NARROW_IDS = pytest.mark.parametrize("fmt", NARROW, ids=lambda fmt: fmt.name)


def near_every_boundary(fmt: Format, rng: np.random.Generator) -> Array:
    """Numbers, midpoints, and doubles beside midpoints, from below subnormal to above largest."""
    numbers = fmt.from_bits(rng.integers(0, int(fmt.bits(fmt.array(np.inf))), 3000))
    numbers = np.append(numbers.astype(np.float64), [fmt.largest, fmt.smallest, 0.0])
    middles = numbers + fmt.spacing(fmt.array(numbers)) / 2
    beside = [np.nextafter(middles, np.inf), np.nextafter(middles, 0)]
    return np.concatenate([numbers, middles, *beside])


@NARROW_IDS
def test_two_ways_to_round_agree(fmt: Format, rng: np.random.Generator) -> None:
    x = near_every_boundary(fmt, rng)
    by_real = fmt.bits(fmt.array([round_real(mp.mpf(number), fmt) for number in x]))
    np.testing.assert_array_equal(fmt.bits(fmt.array(x)), by_real)
    np.testing.assert_array_equal(fmt.bits(round_extended(x.astype(np.longdouble), fmt)), by_real)
    if fmt.name != "bfloat16":  # whose cast rounds twice
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(fmt.bits(x.astype(fmt.dtype)), by_real)


def test_rounding_sees_below_float64() -> None:
    """A hair beyond a midpoint that float64 would lose, in both directions."""
    with mp.workprec(300):
        hair = mp.ldexp(1, -200)
        middle = mp.mpf(1) + mp.ldexp(1, -24)
        assert 1.0 == round_real(middle, FLOAT32)
        assert 1.0 + 2.0**-23 == round_real(middle + hair, FLOAT32)
        assert 1.0 == round_real(middle - hair, FLOAT32)
        assert 0.0 == round_real(mp.mpf(2.0**-150), FLOAT32)
        assert 2.0**-149 == round_real(mp.mpf(2.0**-150) + hair, FLOAT32)
        assert math.inf == round_real(mp.mpf(65520), FLOAT16)
        assert 65504.0 == round_real(65520 - hair, FLOAT16)
        assert -1 == math.copysign(1, round_real(-hair, FLOAT16))


@FORMAT_IDS
def test_neighbours_and_spacing(fmt: Format) -> None:
    assert 2.0 ** (1 - fmt.precision) == fmt.neighbour(1.0, 1) - 1 == fmt.spacing(1.0)
    assert 2.0**-fmt.precision == 1 - fmt.neighbour(1.0, -1) == fmt.spacing(0.75)
    assert fmt.smallest == fmt.neighbour(0.0, 1) == fmt.spacing(fmt.smallest)
    assert -fmt.smallest == fmt.neighbour(fmt.smallest, -2)
    assert math.inf == fmt.neighbour(fmt.largest, 1)
    assert fmt.largest == float(fmt.array(fmt.largest))


def test_ulp_error_is_measured_at_the_truth() -> None:
    with mp.workprec(200):
        true = mp.mpf(1) + mp.ldexp(3, -25)
        assert 0.75 == ulp_error(1.0, true, FLOAT32)
        assert 0.25 == ulp_error(1.0 + 2.0**-23, true, FLOAT32)
        assert 0.5 == ulp_error(1.0, 1 - mp.ldexp(1, -25), FLOAT32)
        assert 0.75 == ulp_error(0.0, mp.ldexp(3, -1076), FLOAT64)
        assert math.inf == ulp_error(math.inf, mp.mpf(3), FLOAT64)
        assert 0 == ulp_error(math.inf, mp.ldexp(1, 1024), FLOAT64)
        assert 0 == ulp_error(math.nan, mp.nan, FLOAT64)
        assert math.inf == ulp_error(math.nan, mp.mpf(1), FLOAT64)


@pytest.mark.parametrize(
    ("x", "t", "delta", "expected"),
    [
        (3.0, 1.0, 2.5, (2, 2, 1)),
        (3.0, -1.0, 2.5, (6.875, 2.5, 0)),
        (-2.5, 0.0, 2.5, (3.125, -2.5, 1)),
        (-3.0, 1.0, math.inf, (8, -4, 1)),
    ],
)
def test_huber_reference_by_hand(x: float, t: float, delta: Any, expected: Any) -> None:
    actual = [real(LOSSES["huber"], output, x, t, delta=delta) for output in OUTPUTS]
    assert expected == tuple(actual)


@pytest.mark.parametrize("r", ["1", "-0.001", "0.35", "-17.25", "2.5e-9"])
def test_log_cosh_reference_by_another_arithmetic(r: str) -> None:
    """Python's decimal numbers, at 80 digits."""
    with decimal.localcontext(decimal.Context(prec=80)), mp.workprec(120):
        x = decimal.Decimal(float(r))
        rising, falling = x.exp(), (-x).exp()
        cosh = (rising + falling) / 2
        expected = cosh.ln(), (rising - falling) / 2 / cosh, 1 / cosh**2
        for output, number in zip(OUTPUTS, expected, strict=True):
            actual = real(LOSSES["log_cosh"], output, float(r))
            error = abs(actual / mp.mpf(str(number)) - 1)
            assert error < mp.mpf(10) ** -33, (output, actual, number)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_reference_derivatives_are_those_of_the_value(loss: Loss) -> None:
    """Central differences at 60 digits: no output belongs to another loss or sign."""
    with mp.workdps(60):
        step = mp.mpf(10) ** -15
        for x in (0.001, 0.4, 0.9) if loss.probabilities else (-7.3, -0.4, 0.001, 0.6, 2.9):
            targets = () if loss.uses_difference_only else (mp.mpf(0.7),)
            for low, high in (OUTPUTS[:2], OUTPUTS[1:]):
                f = partial(loss.definition[low], **loss.parameters)
                slope = (f(x + step, *targets) - f(x - step, *targets)) / (2 * step)
                expected = loss.definition[high](mp.mpf(x), *targets, **loss.parameters)
                error = abs(slope - expected) / max(1, abs(expected))
                assert error < mp.mpf(10) ** -20, (low, x, slope, expected)


@NARROW_IDS
@pytest.mark.parametrize("loss", REPRESENTATIVES.values(), ids=lambda loss: loss.name)
def test_screening_agrees_with_mpmath(loss: Loss, fmt: Format, rng: np.random.Generator) -> None:
    """Where long double claims to know the rounding, it does; and it nearly always does."""
    n = 400
    x = fmt.array(rng.standard_normal(n) * np.exp2(rng.uniform(-10, 6, n)))
    tiny = rng.standard_normal(n) * np.exp2(rng.uniform(-30, 0, n))
    for targets in (None, fmt.array(x.astype(np.float64) * tiny), fmt.array(tiny)):
        residual = Residual.of(x, targets, fmt)
        for parameters in loss.settings:
            for output in OUTPUTS:
                actual, undecided = screen(*loss.extended[output](residual, **parameters), fmt)
                assert undecided.sum() <= n // 20, (output, parameters)
                for i in np.flatnonzero(~undecided):
                    t = 0.0 if targets is None else float(targets[i])
                    expected = rounded(loss, output, float(x[i]), t, fmt, **parameters)
                    assert expected == float(actual[i]), (output, parameters, x[i], t)


@NARROW_IDS
@pytest.mark.parametrize("loss", OTHERS.values(), ids=lambda loss: loss.name)
def test_screening_of_other_losses_agrees_with_mpmath(loss: Loss, fmt: Format, rng: Any) -> None:
    """Also on grids with ties, and where terms cancel."""
    x, t = points(loss, fmt, 100, rng)
    operands = loss.operands(x, t, fmt)
    for parameters in loss.settings:
        for output in OUTPUTS:
            actual, undecided = screen(*loss.extended[output](operands, **parameters), fmt)
            assert undecided.sum() <= 20, (output, parameters)
            for i in np.flatnonzero(~undecided):
                expected = rounded(loss, output, float(x[i]), float(t[i]), fmt, **parameters)
                assert expected == float(actual[i]), (output, parameters, x[i], t[i])


@NARROW_IDS
@pytest.mark.parametrize("loss", REPRESENTATIVES.values(), ids=lambda loss: loss.name)
def test_screening_is_not_fooled_by_hard_points(loss: Loss, fmt: Format) -> None:
    """At the points of the tables it is right or says that it does not know."""
    for delta, rows in read(f"{loss.name}_{fmt.name}").items():
        parameters = {} if delta < 0 else {"delta": delta}
        x, t, *expected = (fmt.array(column) for column in zip(*rows, strict=True))
        inexact = Residual.of(x, t, fmt).inexact
        everywhere = np.full(len(x), True)
        for there in (everywhere, everywhere if inexact is None else ~inexact):
            residual = Residual.of(x[there], t[there], fmt)
            for output, right in zip(OUTPUTS, expected, strict=True):
                actual, undecided = screen(*loss.extended[output](residual, **parameters), fmt)
                decided = fmt.bits(actual)[~undecided]
                np.testing.assert_array_equal(decided, fmt.bits(right[there])[~undecided], output)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_long_double_keeps_its_bound(loss: Loss, rng: np.random.Generator) -> None:
    """The error that the screening relies on, measured against mpmath."""
    x, t = points(loss, FLOAT32, 400, rng)
    if loss.name in REPRESENTATIVES:
        x = (rng.standard_normal(400) * np.exp2(rng.uniform(-20, 8, 400))).astype(np.float32)
        t = np.zeros_like(x)
    operands = loss.operands(x, t, FLOAT32)
    for parameters in loss.settings[:2]:
        for output in OUTPUTS:
            result, bound = loss.extended[output](operands, **parameters)
            with mp.workprec(200):
                for a, b, actual, allowed in zip(
                    x.tolist(), t.tolist(), result, np.broadcast_to(bound, x.shape), strict=True
                ):
                    true = real(loss, output, a, b, **parameters)
                    mantissa, exponent = np.frexp(actual)
                    high = np.float64(mantissa)
                    exact = mp.mpf(float(high)) + mp.mpf(float(mantissa - high))
                    exact = mp.ldexp(exact, int(exponent))
                    if np.isfinite(allowed):
                        largest = mp.mpf(float(allowed)) * min(abs(exact), abs(true))
                        assert abs(exact - true) <= largest, (output, a, b)
