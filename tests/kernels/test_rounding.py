"""Element-wise results of the narrow dtypes are the reference, rounded once: not one is off."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from lossless.verification.formats import BFLOAT16, FLOAT16, FLOAT32, NARROW, Array, Format
from lossless.verification.hard import hard_pairs
from lossless.verification.judge import Tallies, judge, tallies
from lossless.verification.losses import LOSSES
from lossless.verification.points import batches_of_inputs, bit_patterns, random_pairs
from lossless.verification.reference import Loss
from lossless.verification.tasks import tasks
from support.cases import Backend, Case, cases
from support.checks import assert_correctly_rounded
from support.element_wise_points import OTHERS

pytestmark = pytest.mark.kernel

STRIDE = 4099  # prime: every exponent, and low bits that never repeat


def assert_none_wrong(found: Tallies) -> None:
    for output, tally in found.items():
        assert tally.results > 0, output
        assert 0 == tally.wrong, "\n".join(
            [f"{tally.wrong} of {tally.results}, worst {tally.worst} ULP", *tally.examples]
        )


def log_spaced(count: int, rng: np.random.Generator) -> Array:
    """Half of them evenly spaced in the exponent, half random, from 1e-18 to 1e18; both signs."""
    spaced = np.geomspace(1e-18, 1e18, count // 2)
    random = 10.0 ** rng.uniform(-18, 18, count - count // 2)
    signed: Array = np.concatenate([spaced, random]) * rng.choice([-1.0, 1.0], count)
    return signed


@pytest.mark.parametrize("case", cases([FLOAT16, BFLOAT16]))
def test_every_half_precision_residual(case: Case) -> None:
    everything = case.fmt.from_bits(np.arange(1 << 16))
    for parameters in case.loss.settings:
        assert_correctly_rounded(case, everything, None, **parameters)


@pytest.mark.parametrize("case", cases([FLOAT32]))
def test_strided_float32_residuals(case: Case) -> None:
    for offset, parameters in enumerate(case.loss.settings[:2]):
        found = tallies()
        for x in batches_of_inputs(case.fmt, offset, bit_patterns(case.fmt), STRIDE):
            judge(case, x, None, parameters, found, mirrored=True)
        assert_none_wrong(found)


@pytest.mark.parametrize("case", cases([FLOAT32]))
def test_two_million_residuals(case: Case, rng: np.random.Generator) -> None:
    default, *others = case.loss.settings
    for parameters, count in [(default, 2_000_000), *((other, 300_000) for other in others)]:
        x = case.fmt.array(log_spaced(count, rng))
        for start in range(0, count, 1 << 18):
            assert_correctly_rounded(case, x[start : start + (1 << 18)], None, **parameters)


@pytest.mark.parametrize("loss", OTHERS.values(), ids=lambda loss: loss.name)
def test_other_losses_as_verify_tries_them(loss: Loss) -> None:
    """Every half precision input, fewer in float32, special values, random and hard pairs."""
    settings = [(loss.name, dict(loss.parameters), 25 * STRIDE)]
    for task in tasks(settings, NARROW, ("numpy",), ("kernels",), exhaustive=False):
        (found,) = task.run().values()
        assert_none_wrong(found)


def test_random_pairs(narrow_case: Case, rng: np.random.Generator) -> None:
    """Any bits, like sizes, near cancellation, targets tiny against inputs."""
    count = (1 << 19) // len(narrow_case.loss.settings)
    for parameters in narrow_case.loss.settings:
        found = tallies()
        for x, t in random_pairs(narrow_case.loss, narrow_case.fmt, count // 4, rng):
            judge(narrow_case, x, t, parameters, found)
        assert_none_wrong(found)


def test_hard_pairs(narrow_case: Case, rng: np.random.Generator) -> None:
    """Pairs whose targets steer the result next to a midpoint."""
    for parameters in narrow_case.loss.settings:
        found = tallies()
        for x, t in hard_pairs(narrow_case.loss, narrow_case.fmt, 1000, rng, parameters):
            judge(narrow_case, x, t, parameters, found)
        assert_none_wrong(found)


def dyadic_pairs(case: Case, tiny: float) -> tuple[Array, Array]:
    """inputs k/8192, targets +-tiny: half the square of many such inputs is a midpoint."""
    x = np.unique(case.fmt.array(np.arange(1, 1 << 16) / 8192))
    tiny = max(tiny, case.fmt.smallest)
    return np.concatenate([x, -x, x]), case.fmt.array(np.repeat([tiny, tiny, -tiny], len(x)))


@pytest.mark.parametrize("tiny", [1e-20, 1e-38, 1e-45, 2.0**-40])
def test_dyadic_inputs_with_tiny_targets(narrow_case: Case, tiny: float) -> None:
    x, t = dyadic_pairs(narrow_case, tiny)
    for parameters in narrow_case.loss.settings[:1]:
        assert_correctly_rounded(narrow_case, x, t, **parameters)


def test_cancelling_pairs(narrow_case: Case, rng: np.random.Generator) -> None:
    """Neighbours up to 8 steps apart, of every exponent: tiny exact residuals of large numbers."""
    fmt = narrow_case.fmt
    bits = rng.integers(8, bit_patterns(fmt) - 9, 20_000)
    x, t = fmt.from_bits(bits), fmt.from_bits(bits + rng.choice([-8, -3, -1, 1, 2, 7], len(bits)))
    for parameters in narrow_case.loss.settings:
        assert_correctly_rounded(narrow_case, x, t, **parameters)


@pytest.mark.parametrize("fmt", NARROW, ids=lambda fmt: fmt.name)
def test_smooth_l1_next_to_the_middle_of_two_numbers(fmt: Format) -> None:
    """As near as any: with 2 beta = (1 + 2c) / k, that of a + a c is k a² and k (a c)² over it.

    k a² has one digit more than the numbers of the format, and c goes down to where beta ends.
    """
    case, digits = Case(OTHERS["smooth_l1"], Backend.NUMPY, fmt), fmt.precision + 1
    unit = 2.0**-digits  # brings all residuals below beta
    for k, e, shift in product((1, 3, 5, 9), (-5, -3, -1, 1, 3, 5), range(10, 60)):
        double_beta = (1 + 2 * e * Fraction(2) ** -shift) / k
        if double_beta != float(double_beta):
            continue
        low, high = (math.ceil(math.sqrt(2**bits / k)) for bits in (digits - 1, digits))
        a = np.arange(low | 1, high, max(2, (high - low) // 4 & ~1))
        x, t = a * unit, -e * a * unit * 2.0**-shift
        kept = (fmt.array(x) == x) & (fmt.array(t) == t)
        x, t = fmt.array(x[kept]), fmt.array(t[kept])
        assert_correctly_rounded(case, x, t, beta=float(double_beta) / 2)


@pytest.mark.parametrize(
    ("name", "parameters"), [("huber", {"delta": math.inf}), ("mse", {})], ids=["huber", "mse"]
)
def test_squares_beside_the_middle_of_two_numbers(
    name: str, parameters: dict[str, float], rng: np.random.Generator
) -> None:
    """Of residuals that no double holds: the square in double is often on the other side of it.

    Without those where it is the middle: a look at one result is one at all of its group.
    """
    digits = FLOAT32.precision + 1
    middles = rng.integers(1 << (digits - 1), 1 << digits, 1 << 22) | 1
    squares = np.ldexp(middles.astype(np.longdouble), digits - 2)
    roots = np.sqrt(squares)
    x = np.rint(roots)
    t = (x - roots).astype(np.float32)
    t = np.nextafter(t, rng.choice([-np.inf, 0, np.inf], len(t)).astype(np.float32))
    residual = x.astype(float) - t
    kept = (np.abs(t) < 2.0**-7) & (x < 2.0**FLOAT32.precision) & (residual**2 != squares)
    x, t = x[kept].astype(np.float32), t[kept]
    assert len(x) > 1000
    assert_correctly_rounded(Case(LOSSES[name], Backend.NUMPY, FLOAT32), x, t, **parameters)
