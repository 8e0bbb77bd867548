"""The composed formulas keep their contract, on every backend and by every way to an output."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lossless
from formula_errors import Reference, Way, residuals, ways
from lossless.verification.formats import FLOAT32, FLOAT64, NARROW, Array
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS
from lossless.verification.special import SpecialValues
from support.cases import COMPOSED, TORCH_JIT, Backend, Case, cases
from support.checks import COMPOSED_SECOND, assert_same_bits, composed_ulp
from support.special_values import special_values

HUBER = [LOSSES["huber"]]
ROUNDED = {1.0, 0.1, 1 / 3, 1.345, 3e-5, 1e4, 1e-45, 2.0**-149, 1e30, 3e38}


def subnormal(case: Case, *arrays: Any) -> NDArray[np.bool_]:
    """Where any is a subnormal number, or so near that one comes in between."""
    tiny = 2.0 ** (case.fmt.min_exponent + 1)
    sizes = [np.abs(np.asarray(array, np.float64)) for array in arrays]
    found: NDArray[np.bool_] = np.any([(a < tiny) & (a != 0) for a in sizes], axis=0)
    return found


def assert_contract(case: Case, way: Way, x: Array, reference: Reference, what: str = "") -> None:
    actual = way.call(x)
    assert case.fmt.dtype == actual.dtype
    errors = reference.errors(actual, case.fmt)
    right = errors <= composed_ulp(case, way.output)
    if case.backend.flushes:
        right |= subnormal(case, x, np.asarray(reference.numbers, np.float64)) & (actual == 0)
    if way.output == "second_derivative":
        far = np.abs(x.astype(np.float64)) > 2
        right |= far & (reference.distances(actual) <= float(COMPOSED_SECOND))
    lines = [
        f"  at {float(x[i])!r}: expected {float(reference.numbers[i])!r}, "
        f"got {float(actual[i])!r}, "
        f"error {errors[i]} ULP"
        for i in np.flatnonzero(~right)[:5]
    ]
    assert not lines, "\n".join([f"{case} {way.output} from {way.name} {what}", *lines])


@TORCH_JIT
@pytest.mark.parametrize("case", cases(backends=COMPOSED))
def test_formulas_keep_the_contract(case: Case, rng: np.random.Generator) -> None:
    """From 1e-18 to 1e18, around every branch, and all numbers of the half types."""
    x = residuals(case.fmt, 2000 if case.fmt is FLOAT64 else 200_000, rng)
    for index, parameters in enumerate(case.loss.settings):
        if index == 1 and case.fmt in NARROW:  # the default takes all, the others a part
            x = x[::7]
        references = {output: Reference.of(case, output, x, **parameters) for output in OUTPUTS}
        found = set()
        for way in ways(case, compiled=index == 0 and case.fmt is FLOAT32, **parameters):
            assert_contract(case, way, x, references[way.output], f"{parameters or ''}")
            found.add(way.output)
            if way.output == "value":
                assert (way.call(x) >= 0).all(), f"{case} {way.name}: a negative loss"
        assert set(OUTPUTS) == found


@TORCH_JIT
@pytest.mark.parametrize("delta", sorted(ROUNDED))
@pytest.mark.parametrize("case", cases(NARROW, HUBER, COMPOSED))
def test_huber_formula_steps_around_delta(case: Case, delta: Any) -> None:
    """Whether a residual is beyond delta does not depend on how delta rounds."""
    fmt = case.fmt
    near = min(float(fmt.array(delta)), fmt.largest)
    steps = [fmt.neighbour(near, step) for step in range(-4, 5)]
    x = fmt.array([sign * step for step in steps for sign in (1, -1) if math.isfinite(step)])
    x = x[(x != 0) & ~(subnormal(case, x) & case.backend.flushes)]
    references = {output: Reference.of(case, output, x, delta=delta) for output in OUTPUTS}
    for way in ways(case, delta=delta):
        assert_contract(case, way, x, references[way.output], f"delta={delta}")


# A delta beyond the range of the dtype of the computation is 0 or infinite there.
@special_values(backends=COMPOSED, held=True)
def test_formulas_at_special_values(case: Case, special: SpecialValues) -> None:
    """Zeros of both signs, infinities, NaN, subnormal and largest numbers: as the kernels do."""
    fmt = case.fmt
    x, t, *results = special.columns(fmt)
    for output, call, actual in case.element_wise(x, t, **special.parameters):
        expected = results[OUTPUTS.index(output)]
        if case.backend.flushes:
            kept = ~subnormal(case, x, t, expected)
            actual, expected = actual[kept], expected[kept]
        what = f"{case} {output} from {call} {special.parameters or ''}"
        assert_same_bits(expected, actual, fmt, what, *(() if case.backend.flushes else (x, t)))


@pytest.mark.parametrize("case", cases(losses=HUBER, backends=COMPOSED))
def test_huber_formula_bad_elements_of_delta_give_nan_there(case: Case) -> None:
    x, t = case.fmt.array([0.5, 2.0, -1.5, 3.0, 0.25]), case.fmt.array([1.5, 0.5, 1.0, 1.0, 2.0])
    delta = np.array([0.5, 0.0, -1.0, math.nan, math.inf])
    for output, call, actual in case.element_wise(x, t, delta=delta):
        bad = np.isnan(actual).tolist()
        assert [False, True, True, True, False] == bad, f"{case} {output} from {call}: {actual}"


def test_composed_is_for_its_context_alone() -> None:
    """Nested, left by an error, and in other threads and tasks."""

    def path() -> str:
        return str(lossless.info()["backends"]["numpy"]["executor"])

    seen: list[str] = []
    assert "kernels" == path()
    with lossless.composed():
        with lossless.composed():
            assert "formulas" == path()
        assert "formulas" == path()
        thread = threading.Thread(target=lambda: seen.append(path()))
        thread.start()
        thread.join()
    with pytest.raises(KeyError), lossless.composed():
        raise KeyError
    assert "kernels" == path()

    async def inside() -> None:
        with lossless.composed():
            await asyncio.sleep(0)
            seen.append(path())

    async def beside() -> None:
        await asyncio.sleep(0)
        seen.append(path())

    async def both() -> None:
        await asyncio.gather(inside(), beside())

    asyncio.run(both())
    assert ["kernels", "formulas", "kernels"] == seen


def test_composed_differs_from_the_kernels(rng: np.random.Generator) -> None:
    """It is another computation, of the same numbers: neither of the two is a fallback unseen."""
    x = FLOAT32.array(rng.normal(0, 1, 10_000))
    native = lossless.log_cosh_loss(x, 0.0)
    with lossless.composed():
        composed = lossless.log_cosh_loss(x, 0.0)
        assert type(lossless.log_cosh_loss(x, 0.0, reduction="mean")) is np.float32
    assert type(native) is type(composed) is np.ndarray
    different = np.count_nonzero(native != composed)
    assert 0 < different < len(x)


def test_array_api_results_stay_in_the_library() -> None:
    """The same kind of array, on the same device, also for numbers and reductions."""
    import array_api_strict as xp

    device = xp.Device("device1")
    x = xp.asarray([0.5, 3.0], dtype=xp.float32, device=device)
    for function in (lossless.huber_loss, lossless.log_cosh_loss):
        for results in (
            [function(x, 1.0), function(1, x, reduction="mean"), function(x, x, weights=0.5)],
            lossless.value_and_grad(function)(x, np.float32(2.0), reduction="weighted_mean"),
            lossless.grad_and_hess(function)(x, 2.0),
        ):
            for result in results:
                assert isinstance(result, type(x))
                assert (xp.float32, device) == (result.dtype, result.device)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "uint64"])
def test_array_api_integers_become_the_default_float(dtype: str) -> None:
    import array_api_strict as xp

    x, t = (xp.asarray([n, 1], dtype=getattr(xp, dtype)) for n in (0, 1))
    t = xp.asarray([3, 1], dtype=xp.uint8) if dtype == "uint8" else t
    actual = lossless.huber_loss(x, t)
    assert xp.float64 == actual.dtype
    assert [2.5 if dtype == "uint8" else 0.5, 0.0] == np.asarray(actual).tolist()


def test_array_api_takes_real_arrays_only() -> None:
    import array_api_strict as xp

    x = xp.asarray([0.5, 3.0])
    bad = xp.asarray([1j, 2])
    with pytest.raises(TypeError, match=r"^huber_loss: inputs must be real numbers .*complex128"):
        lossless.huber_loss(bad, x)
    with pytest.raises(TypeError, match=r"^huber_loss: weights must be real numbers .*complex128"):
        lossless.huber_loss(x, x, weights=bad)
    with pytest.raises(TypeError, match=r"^huber_loss: targets must be an array of .*strict.*list"):
        lossless.huber_loss(x, [0.5, 3.0])
    with pytest.raises(TypeError, match=r"^huber_loss: where must be boolean, got dtype .*float64"):
        lossless.huber_loss(x, x, where=x)


def test_every_backend_has_a_case() -> None:
    found = {(case.values[0].backend, case.values[0].fmt) for case in cases(backends=Backend)}
    assert {(backend, fmt) for backend in Backend for fmt in backend.formats} == found


@TORCH_JIT
@pytest.mark.parametrize("case", cases([FLOAT32], [LOSSES["gaussian_nll"]], COMPOSED))
def test_gaussian_nll_formula_reaches_the_largest_numbers(case: Case) -> None:
    """Half of r**2 is a number where r**2 is not."""
    x = np.array([2.5e19, -2.5e19], np.float32)
    expected = np.square(x.astype(np.float64)) / 2
    _, _, value = next(iter(case.element_wise(x, np.zeros_like(x), vars=1.0, eps=1e-6)))
    np.testing.assert_allclose(value, expected, rtol=2.0**-22, atol=0)


@TORCH_JIT
@pytest.mark.parametrize(
    "case", cases([FLOAT32], [LOSSES["binary_cross_entropy_of_probabilities"]], COMPOSED)
)
def test_probabilities_formula_does_not_square_what_vanishes(case: Case) -> None:
    """The second derivative t / p**2 is a number where p**2 is none, whoever compiles it."""
    p, t = np.array([1e-25, 1e-30], np.float32), np.array([1e-20, 1e-28], np.float32)
    expected = t.astype(np.float64) / np.square(p.astype(np.float64))
    found = [
        actual for output, _, actual in case.element_wise(p, t) if output == "second_derivative"
    ]
    assert found
    for second in found:
        np.testing.assert_allclose(second, expected, rtol=2.0**-20, atol=0)
