"""The arrays of each public loss by their names."""

from __future__ import annotations

from typing import Any

import numpy as np

import lossless
from lossless._spec import LOSSES, LossSpec, RowLossSpec

X, T = np.array([[0.25, 0.75], [0.5, 0.125]]), np.array([[1.0, 0.0], [0.0, 1.0]])
LABELS = np.array([1, 0])


def _of_elements(loss: LossSpec) -> dict[str, Any]:
    """Two operands, perhaps a third one, parameters in their ranges, weights."""
    first, second, *third = loss.operands
    others = {parameter.name: parameter.inside * (1 + T / 4) for parameter in loss.keywords}
    return {first: X, second: T, **dict.fromkeys(third, T + 1), **others, "weights": T}


# A mask, where it is taken, comes on top.
CALLS: dict[str, dict[str, Any]] = {
    **{
        loss.public_name: _of_elements(loss)
        for loss in LOSSES.values()
        if not isinstance(loss, RowLossSpec)
    },
    "cross_entropy": {"logits": X, "targets": LABELS, "weights": T[0]},
    "nll_loss": {"inputs": X, "targets": LABELS},
    "kl_div_loss": {"inputs": X, "targets": T},
    "cosine_similarity_loss": {"x1": X, "x2": T},
    "triplet_loss": {"anchors": X, "positives": T, "negatives": T},
}


def functions(name: str) -> list[Any]:
    loss = getattr(lossless, name)
    found = [loss, lossless.value_and_grad(loss)]
    of_rows = ("cross_entropy", "nll_loss", "kl_div_loss", "cosine_similarity_loss", "triplet_loss")
    return found if name in of_rows else [*found, lossless.grad_and_hess(loss)]
