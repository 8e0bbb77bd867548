"""What correct rounding rests on: the error that each kernel claims, before anything is rounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mpmath import mp

import lossless
from lossless.verification.formats import FLOAT32, FORMATS, NARROW, Mpf
from lossless.verification.points import random_pairs
from lossless.verification.reference import OUTPUTS, Loss, real
from support.cases import Case, cases
from support.element_wise_points import OTHERS
from tables import read

pytestmark = pytest.mark.kernel

NUMBERS = {name: number for number, (name, *_) in enumerate(lossless._core.losses())}
CLAIMED = {name: error for name, _, error, _ in lossless._core.losses()}
CODES = {name: code for code, name in enumerate(FORMATS)}
# How close to a midpoint do pairs of float32 come? An output has digits to get wrong at 2**28
# inputs; targets of size 2**-k can bridge the offset from a midpoint of 2**(52 - k) of these; each
# of these meets 2**24 such targets, of which one in 2**-k / e lands within e of the midpoint. That
# is 2**76 e for each of some 60 binades k: the closest of all pairs is expected near 2**-82 of the
# result. A second stage with an error of 2**-90 rounds all of them, but for a chance of 1 in 200.
SECOND_STAGE = mp.ldexp(1, -90)


def before_rounding(case: Case, x: float, t: float, again: bool) -> list[Mpf]:
    """The three results before rounding: at first (its high part), or computed again (the sum)."""
    parameters = tuple(case.loss.parameters.values())
    code = None if again else CODES[case.fmt.name]
    parts = lossless._core.evaluate(NUMBERS[case.loss.name], code, x, t, parameters)
    return [mp.mpf(high) + (mp.mpf(low) if again else 0) for high, low in parts]


def assert_claim(case: Case, x: float, t: float, again: bool, bound: Mpf) -> None:
    with mp.workprec(400):
        for output, actual in zip(OUTPUTS, before_rounding(case, x, t, again), strict=True):
            true = real(case.loss, output, x, t, **case.loss.parameters)
            if abs(true) < mp.ldexp(1, case.fmt.min_exponent - case.fmt.precision - 2):
                continue  # rounds to 0, whatever its digits
            if output == "gradient" and 1 - abs(true) < mp.ldexp(1, -40):
                continue  # rounds to 1 likewise
            error = abs(actual / true - 1)
            assert error <= bound, (
                f"{case} {output}{' again' if again else ''} at ({x.hex()}, {t.hex()}): "
                f"expected {mp.nstr(true, 20)}, got {mp.nstr(actual, 20)}, "
                f"relative error 2**{float(mp.log(error, 2)):.2f}, "
                f"allowed 2**{float(mp.log(bound, 2)):.2f}"
            )


def points(case: Case, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Residuals of every size that matters, pairs of all kinds, and the hard points."""
    n = 700
    x = case.fmt.array(rng.choice([-1, 1], n) * np.exp2(rng.uniform(-20, 6.6, n)))
    t = case.fmt.array(x.astype(np.float64) * rng.normal(0, 1, n) * np.exp2(rng.uniform(-60, 0, n)))
    t[: n // 3] = 0
    pairs = [*zip(x.astype(float).tolist(), t.astype(float).tolist(), strict=True)]
    table = [row[:2] for rows in read(f"{case.loss.name}_{case.fmt.name}").values() for row in rows]
    return [*pairs, *((x, t) for x, t in table[::3] if abs(x) < 1e30)]


UNCERTAIN = [case for case in cases(NARROW) if CLAIMED[case.values[0].loss.name] > 0]


@pytest.mark.parametrize("case", UNCERTAIN)
def test_first_stage_keeps_its_bound(case: Case, rng: np.random.Generator) -> None:
    claimed = CLAIMED[case.loss.name]
    assert claimed < 2.0**-40, "most results must not need a second look"
    for x, t in points(case, rng):
        assert_claim(case, x, t, False, mp.mpf(claimed))


@pytest.mark.parametrize("case", [c for c in UNCERTAIN if c.values[0].fmt is FLOAT32])
def test_second_stage_sees_enough(case: Case, rng: np.random.Generator) -> None:
    for x, t in points(case, rng):
        assert_claim(case, x, t, True, SECOND_STAGE)


@settings(phases=[Phase.generate])  # a mutant need not be shrunk
@given(x=st.floats(-110, 110, width=32), t=st.floats(-2, 2, width=32))
@pytest.mark.parametrize("case", [c for c in UNCERTAIN if c.values[0].fmt is FLOAT32])
def test_stages_for_any_pair(case: Case, x: float, t: float) -> None:
    assert_claim(case, x, t, False, mp.mpf(CLAIMED[case.loss.name]))
    assert_claim(case, x, t, True, SECOND_STAGE)


def where_terms_cancel(loss: Loss, rng: np.random.Generator) -> Iterator[tuple[float, ...]]:
    """Inputs, targets and parameters of results that are small against their terms."""
    if loss.cancelling is not None:
        yield from loss.cancelling(rng)
        return
    parameters = tuple(loss.parameters.values())
    for x, t in random_pairs(loss, FLOAT32, 2000, rng):
        for pair in zip(x.astype(float).tolist(), t.astype(float).tolist(), strict=True):
            yield (*pair, *parameters)


@pytest.mark.parametrize(
    "loss", [loss for name, loss in OTHERS.items() if CLAIMED[name] > 0], ids=lambda loss: loss.name
)
def test_first_stage_knows_what_is_lost(loss: Loss, rng: np.random.Generator) -> None:
    """The interval of which both ends are rounded holds the true result, however much cancels."""
    number, code = NUMBERS[loss.name], CODES["float32"]
    for x, t, *parameters in where_terms_cancel(loss, rng):
        given = dict(zip(loss.parameters, parameters, strict=True))
        with mp.workprec(400):
            parts = lossless._core.evaluate(number, code, x, t, tuple(parameters))
            for output, (high, low) in zip(OUTPUTS, parts, strict=True):
                true = real(loss, output, x, t, **given)
                if mp.isfinite(true) and abs(true) > mp.ldexp(1, -151):
                    error, known = abs(true - high), abs(mp.mpf(high)) * CLAIMED[loss.name]
                    assert error <= known + abs(mp.mpf(low)), (
                        f"{loss.name} {output} at ({x.hex()}, {t.hex()}) {given}: "
                        f"expected {mp.nstr(true, 20)}, got {high!r}, "
                        f"{mp.nstr(error / (known + abs(low)), 5)} times as far away as it says"
                    )
