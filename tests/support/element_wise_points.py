"""Points where the element-wise losses are hard to round, and what of a bound is not ULP."""

from __future__ import annotations

import numpy as np
from mpmath import mp

from lossless.verification.formats import FLOAT64, Array, Format, Mpf
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS, Loss, real
from support.cases import REPRESENTATIVES

OTHERS = {name: loss for name, loss in LOSSES.items() if name not in REPRESENTATIVES}


def points(loss: Loss, fmt: Format, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Inputs and targets as they come, on grids where midpoints are, and where terms cancel."""
    sizes = np.exp2(rng.uniform(-14, 5, size))
    x = rng.normal(0, 1, size) * sizes
    t = rng.normal(0, 1, size) * np.where(rng.random(size) < 0.5, sizes, 1e-3 * sizes)
    grid = np.arange(size) % 4 == 1
    x[grid], t[grid] = (rng.integers(-900, 900, grid.sum()) / 128 for _ in range(2))
    if not loss.uses_difference_only:
        t = np.where(rng.random(size) < 0.5, rng.integers(0, 2, size), rng.random(size))
        if loss.labels[0] < 0:
            t[1::3] = -t[1::3]
        if loss.probabilities:
            x = np.where(rng.random(size) < 0.5, rng.random(size) ** 9, 1 - rng.random(size) ** 9)
            x[grid] = rng.integers(0, 65, grid.sum()) / 64
        if loss.balanced_targets is not None:
            t[::5] = loss.balanced_targets(x[::5])
        if loss.kink is not None:
            t[::5] += rng.normal(0, 1e-3, t[::5].size)
        if loss.targets_of_no_loss is not None:
            beyond = (np.arange(size) % 7 == 3) & (x > 0.5)
            t[beyond] = loss.targets_of_no_loss(x[beyond])
    return fmt.array(x), fmt.array(t)


def slacks(loss: Loss, x: Mpf, t: Mpf, unit: Mpf, **parameters: float) -> list[Mpf]:
    """What terms rounded to this unit leave in value, gradient, second derivative if they cancel.

    Nothing where all terms have one sign.
    """
    found = [mp.mpf(0)] * len(OUTPUTS)
    exponential = loss.exponential and unit > mp.ldexp(1, -40)
    operands = loss.operands(np.array([float(x)]), np.array([float(t)]), FLOAT64)
    for place, output in enumerate(OUTPUTS):
        magnitudes = loss.magnitudes(output, operands, **parameters)
        if magnitudes is not None:
            terms = mp.mpf(float(magnitudes[0]))
            cancelled = max(0, terms - abs(real(loss, output, float(x), float(t), **parameters)))
            found[place] = unit * (cancelled + (terms * abs(x) if exponential else 0))
    return found


def is_near_kink(loss: Loss, x: float, t: float, **parameters: float) -> bool:
    """Whether the loss has no derivative there or next to it."""
    return loss.kink is not None and abs(loss.kink(x, t, **parameters)) < 1e-3
