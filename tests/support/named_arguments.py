"""The arrays of each public loss by their names."""

from __future__ import annotations

from typing import Any

import numpy as np

import lossless

X, T = np.array([[0.25, 0.75], [0.5, 0.125]]), np.array([[1.0, 0.0], [0.0, 1.0]])
LABELS = np.array([1, 0])
# A mask, where it is taken, comes on top.
CALLS: dict[str, dict[str, Any]] = {
    "huber_loss": {"inputs": X, "targets": T, "delta": T + 1, "weights": T},
    "log_cosh_loss": {"inputs": X, "targets": T, "weights": T},
    "l1_loss": {"predictions": X, "targets": T, "weights": T},
    "mse_loss": {"predictions": X, "targets": T, "weights": T},
    "smooth_l1_loss": {"predictions": X, "targets": T, "beta": T + 1, "weights": T},
    "gaussian_nll_loss": {"inputs": X, "targets": T, "vars": T + 1, "eps": T + 1, "weights": T},
    "hinge_loss": {"inputs": X, "targets": T, "weights": T},
    "margin_ranking_loss": {"inputs1": X, "inputs2": T, "targets": T, "margin": T, "weights": T},
    "binary_cross_entropy": {"inputs": X, "targets": T, "weights": T},
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
