"""The other element-wise losses: kernels and formulas against their definitions."""

from __future__ import annotations

import math
from itertools import compress
from typing import Any

import numpy as np
import pytest
from mpmath import mp

import lossless
from lossless._spec import LOSSES as SPECS
from lossless.verification.formats import FLOAT16, FLOAT32, FLOAT64, FORMATS, NARROW, Array, Format
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS, Loss, real, rounded
from support.cases import Backend, Case
from support.checks import WEIGHTED_ULP, assert_same_bits, assert_ulp, assert_within, composed_ulp
from support.element_wise_points import OTHERS, is_near_kink, points, slacks
from support.reference_calls import assert_keeps_contract

NAN, INF = math.nan, math.inf
LOSS = pytest.mark.parametrize("loss", OTHERS.values(), ids=lambda loss: loss.name)
FMT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=lambda fmt: fmt.name)
NARROW_FMT = pytest.mark.parametrize("fmt", NARROW, ids=lambda fmt: fmt.name)


def everywhere(*formats: Format) -> pytest.MarkDecorator:
    """Every one of these losses on every backend."""
    cases = [
        Case(loss, backend, fmt)
        for loss in OTHERS.values()
        for backend in Backend
        for fmt in formats
        if fmt in backend.formats
    ]
    return pytest.mark.parametrize("case", cases, ids=str)


def on_numpy(loss: Loss, fmt: Format) -> Case:
    return Case(loss, Backend.NUMPY, fmt)


def assert_rounded(case: Case, x: Array, t: Array, **parameters: float) -> None:
    """Every result is the reference, rounded once; zeros have any sign."""
    expected: dict[str, Array] = {}
    for output, call, actual in case.element_wise(x, t, **parameters):
        if output not in expected:
            numbers = [
                rounded(case.loss, output, float(a), float(b), case.fmt, **parameters)
                for a, b in zip(x, t, strict=True)
            ]
            expected[output] = case.fmt.array(numbers) + case.fmt.array(0.0)
        what = f"{case} {output} from {call} {parameters or ''}"
        assert_same_bits(expected[output], actual + case.fmt.array(0.0), case.fmt, what, x, t)


# Kernels


@LOSS
@NARROW_FMT
@pytest.mark.kernel
def test_narrow_dtypes_are_correctly_rounded(loss: Loss, fmt: Format, rng: Any) -> None:
    for parameters in loss.settings:
        x, t = points(loss, fmt, 240, rng)
        assert_rounded(on_numpy(loss, fmt), x, t, **parameters)


@pytest.mark.kernel
def test_kernels_say_whether_only_the_residual_counts() -> None:
    expected = {name: loss.uses_difference_only for name, loss in LOSSES.items()}
    assert expected == {name: flag for name, *_, flag in lossless._core.losses()}


@LOSS
@pytest.mark.kernel
def test_float16_inputs_are_correctly_rounded(loss: Loss) -> None:
    """Every 61st of all of them, with targets of 0, 1 and in between."""
    x = FLOAT16.from_bits(np.arange(0, 1 << 16, 61))
    x = x[np.isfinite(x)]
    if loss.probabilities:
        x = x[(x >= 0) & (x <= 1)]
    t = FLOAT16.array(np.resize([0.0, 1.0, 0.3], x.size))
    assert_rounded(on_numpy(loss, FLOAT16), x, t, **loss.parameters)


@LOSS
@pytest.mark.kernel
def test_float64_keeps_the_contract(loss: Loss, rng: Any) -> None:
    """Within the documented ULP, and so many of the terms where these cancel."""
    case, unit = on_numpy(loss, FLOAT64), mp.ldexp(8, -53)
    x, t = points(loss, FLOAT64, 300, rng)
    for parameters in loss.settings:
        for output, call, actual in case.element_wise(x, t, **parameters):
            pairs = list(zip(map(float, x), map(float, t), strict=True))
            with mp.workprec(400):
                true = [real(loss, output, *pair, **parameters) for pair in pairs]
                slack = [
                    slacks(loss, mp.mpf(a), mp.mpf(b), unit, **parameters)[OUTPUTS.index(output)]
                    for a, b in pairs
                ]
            what = f"{case} {output} from {call} {parameters or ''}"
            assert_ulp(true, actual, FLOAT64, loss.ulp_float64[output], what, x, t, slack=slack)


@LOSS
@NARROW_FMT
@pytest.mark.kernel
def test_weighted_and_scaled_losses(loss: Loss, fmt: Format, rng: Any) -> None:
    """Also where the terms of an element cancel, the promised digits are there."""
    x, t = points(loss, fmt, 150, rng)
    weights = rng.uniform(0.5, 2.0, x.size)
    case = on_numpy(loss, fmt)
    for parameters in loss.settings[:2]:
        with mp.workprec(400):
            slopes = [
                real(loss, "gradient", float(a), float(b), **parameters) / x.size
                for a, b in zip(x, t, strict=True)
            ]
            weighted = [mp.mpf(float(w)) * slope for w, slope in zip(weights, slopes, strict=True)]
        calls: list[tuple[dict[str, Any], Any]] = [({}, slopes), ({"weights": weights}, weighted)]
        for options, true in calls:
            _, actual = case.value_and_grad(x, t, reduction="mean", **options, **parameters)
            what = f"{case} gradient {sorted(options)} {parameters or ''}"
            assert_ulp(true, actual, fmt, WEIGHTED_ULP, what, x, t)


@LOSS
@pytest.mark.kernel
@pytest.mark.usefixtures("native")
def test_same_bits_for_every_instruction_set(loss: Loss, rng: Any) -> None:
    for fmt in FORMATS.values():
        case = on_numpy(loss, fmt)
        x, t = (np.resize(array, 70_001) for array in points(loss, fmt, 999, rng))
        found: dict[bytes, str] = {}
        for instructions in lossless.info()["instruction_sets"]:
            lossless._core.set_instruction_set(instructions)
            for threads in (1, 3):
                lossless.set_num_threads(threads)
                results = [
                    *case.value_and_grad(x, t, **loss.parameters),
                    *case.value_and_grad(x, t, reduction="mean", **loss.parameters),
                    *case.grad_and_hess(x[::3], t[::3], **loss.parameters),
                ]
                bits = b"".join(np.asarray(result).tobytes() for result in results)
                found.setdefault(bits, f"{instructions}, {threads} threads")
        assert 1 == len(found), f"{case}: other bits with each of {[*found.values()]}"


@everywhere(*NARROW, FLOAT64)
def test_special_values(case: Case) -> None:
    """Zeros have any sign."""
    fmt, zero = case.fmt, case.fmt.array(0.0)
    assert case.loss.special_values
    for special in case.loss.special_values:
        x, t, *results = special.columns(fmt)
        for output, call, actual in case.element_wise(x, t, **special.parameters):
            expected = results[OUTPUTS.index(output)]
            what = f"{case} {output} from {call} {special.parameters or ''}"
            if case.backend.native:
                assert_same_bits(expected + zero, actual + zero, fmt, what, x, t)
                continue
            allowed = composed_ulp(case, output) * fmt.spacing(expected)
            assert_within(allowed, expected, actual, what, x, t)


@everywhere(FLOAT32)
def test_losses_of_nothing_and_of_numbers(case: Case) -> None:
    empty = case.fmt.array([])
    value, gradient = case.value_and_grad(empty, empty, reduction="sum", **case.loss.parameters)
    assert 0 == value
    assert (0,) == gradient.shape
    assert np.isnan(case.value(empty, empty, reduction="mean", **case.loss.parameters))
    x, t = case.fmt.array(0.75), case.fmt.array(0.25)
    expected = case.value(x.reshape(1), t.reshape(1), **case.loss.parameters)
    assert expected[0] == case.value(x, 0.25, **case.loss.parameters)


# Formulas, and calls with options


@everywhere(*NARROW, FLOAT64)
def test_formulas_keep_the_contract(case: Case, rng: Any) -> None:
    """And native paths in other frameworks: NumPy's bits."""
    x, t = points(case.loss, case.fmt, 120, rng)
    if case.backend.flushes:  # XLA makes t/x² of t/x/x, which vanishes
        x, t = x[np.abs(x) > 2.0**-40], t[np.abs(x) > 2.0**-40]
    for parameters in case.loss.settings[:3]:
        numpy = Case(case.loss, Backend.NUMPY, case.fmt)
        expected = {output: actual for output, _, actual in numpy.element_wise(x, t, **parameters)}
        unit = mp.ldexp(16 if case.backend.value.startswith("jax") else 8, -24)
        if case.fmt is FLOAT64:
            unit = mp.ldexp(64, -53)
        for output, call, actual in case.element_wise(x, t, **parameters):
            what = f"{case} {output} from {call} {parameters or ''}"
            if case.backend.native:
                assert_same_bits(expected[output], actual, case.fmt, what, x, t)
                continue
            pairs = list(zip(map(float, x), map(float, t), strict=True))
            place = OUTPUTS.index(output)
            with mp.workprec(400):
                true = [real(case.loss, output, *pair, **parameters) for pair in pairs]
                slack = [
                    slacks(case.loss, mp.mpf(a), mp.mpf(b), unit, **parameters)[place]
                    + (mp.ldexp(1, case.fmt.min_exponent) if case.backend.flushes else 0)
                    for a, b in pairs
                ]
            if output != "value":  # a kink has two sides, and float32 may be on the other
                smooth = [not is_near_kink(case.loss, *pair, **parameters) for pair in pairs]
                true, slack = list(compress(true, smooth)), list(compress(slack, smooth))
                actual = actual[smooth]
            assert_ulp(true, actual, case.fmt, composed_ulp(case, output), what, slack=slack)


@everywhere(FLOAT32)
def test_options_keep_the_contract(case: Case, rng: Any) -> None:
    x, t = points(case.loss, case.fmt, 60, rng)
    if case.loss.kink is not None and not case.loss.uses_difference_only:
        t = case.fmt.array(np.sign(t))  # so that no point is at a kink but for a rounding
    x, t = x.reshape(3, 4, 5), t.reshape(3, 4, 5)
    mask = rng.random((3, 1, 5)) < 0.7
    weights = rng.uniform(0.5, 2.0, (4, 5)).astype(np.float32)
    arrays: dict[str, Any] = dict(case.loss.parameters)
    if arrays:
        first = SPECS[case.loss.name].parameters[0]
        drawn = first.inside * rng.uniform(0.5, 1.5, x.shape)
        arrays[first.name] = drawn.astype(np.float32)
    for options in (
        {"reduction": "mean", "where": mask},
        {"reduction": "weighted_mean", "axis": (0, 2), "weights": weights, "where": mask},
        {"reduction": "none", "weights": weights},
    ):
        assert_keeps_contract(case, x, t, **options, **arrays)


@everywhere(FLOAT32)
def test_mask_keeps_everything_out(case: Case, rng: Any) -> None:
    """A masked element may hold anything, in any operand: also its gradient is 0."""
    x, t = points(case.loss, case.fmt, 40, rng)
    mask = rng.random(40) < 0.6
    arrays = {
        name: np.full(40, number, np.float32) for name, number in case.loss.parameters.items()
    }
    expected = case.value_and_grad(
        x[mask], t[mask], reduction="mean", **{name: a[mask] for name, a in arrays.items()}
    )
    for array in (x, t, *arrays.values()):
        array[~mask] = np.resize([NAN, INF, -INF], (~mask).sum())
    value, gradient = case.value_and_grad(x, t, reduction="mean", where=mask, **arrays)
    for output, right, actual in zip(OUTPUTS, expected, (value, gradient[mask]), strict=False):
        # Kernels add the same elements in another order, and round once; formulas may be another
        # program, so that both results are within their contract.
        ulp = 1 if case.backend.native else 2 * composed_ulp(case, output)
        what = f"{case} {output} beside what is masked"
        assert_within(ulp * case.fmt.spacing(right), right, actual, what)
    assert not gradient[~mask].any(), f"{case}: expected zeros, got {gradient[~mask]}"
