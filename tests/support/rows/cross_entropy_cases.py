"""What tests of cross entropy on frameworks' arrays run over: dtypes, kinds of targets, options."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import FORMATS, Array, Format
from support.cases import REDUCTIONS

FMT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
SOFT = pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
CROSS_ENTROPY: Any = lossless.cross_entropy
BOTH: Any = lossless.value_and_grad(lossless.cross_entropy)
SHAPE = (5, 4, 33)


def samples(fmt: Format, soft: bool, rng: np.random.Generator) -> tuple[Array, Array]:
    """Logits, and labels or probabilities."""
    x = fmt.array(rng.normal(0.5, 4.0, SHAPE))
    if soft:
        return x, fmt.array(rng.dirichlet(np.ones(SHAPE[-1]), SHAPE[:-1]))
    return x, rng.integers(SHAPE[-1], size=SHAPE[:-1])


def options(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Every combination, for samples."""
    weights = rng.uniform(0.5, 2.0, SHAPE[:-1]).astype(np.float32)
    return [
        {"weights": weight, "where": where, "label_smoothing": smoothing, "reduction": reduction}
        for weight, where, smoothing, reduction in itertools.product(
            (None, weights), (None, rng.random(SHAPE[:-1]) < 0.7), (0.0, 0.2), REDUCTIONS
        )
    ]
