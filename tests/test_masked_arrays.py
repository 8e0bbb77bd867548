"""NumPy's masked arrays are refused wherever an array is taken: their masks would be ignored."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from cases import Backend

import lossless
from lossless.verification.formats import Array

X, T = np.array([[0.25, 0.75], [0.5, 0.125]]), np.array([[1.0, 0.0], [0.0, 1.0]])
LABELS = np.array([1, 0])
# The arrays of each loss, by their names; a mask where it is taken comes on top.
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
ARGUMENTS = [(name, argument) for name, given in CALLS.items() for argument in (*given, "where")]


def test_every_loss_is_here() -> None:
    assert {n for n in lossless.__all__ if n.endswith(("_loss", "_entropy"))} == set(CALLS)
    for name, given in CALLS.items():
        arrays = set(inspect.signature(getattr(lossless, name)).parameters)
        arrays -= {"reduction", "axis", "full", "with_logits", "label_smoothing", "p", "where"}
        arrays -= {"eps", "margin"} - set(given)
        assert arrays == set(given)


def functions(name: str) -> list[Any]:
    loss = getattr(lossless, name)
    found = [loss, lossless.value_and_grad(loss)]
    of_rows = ("cross_entropy", "nll_loss", "kl_div_loss", "cosine_similarity_loss", "triplet_loss")
    return found if name in of_rows else [*found, lossless.grad_and_hess(loss)]


def first_masked(data: Array) -> Any:
    return np.ma.masked_array(data, mask=np.arange(data.size).reshape(data.shape) == 0)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
@pytest.mark.parametrize("backend", [b for b in Backend if "composed" not in b.value])
def test_masked_array_is_an_error(backend: Backend, name: str, argument: str) -> None:
    given = {**CALLS[name], "where": LABELS > 0}
    data = given.pop(argument)
    masked = first_masked(data)
    cure = "where.filled" if argument == "where" else "where=~mask"
    options = {option: backend.array(x) for option, x in given.items()}
    for function in functions(name):
        with pytest.raises(TypeError, match=f"^{name}: {argument} .*masked array.*{cure}"):
            function(**{argument: masked}, **options)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
@pytest.mark.parametrize("kind", [list, tuple])
def test_masked_arrays_in_a_list_are_an_error(name: str, argument: str, kind: Any) -> None:
    given = {**CALLS[name], "where": LABELS > 0}
    rows = first_masked(given[argument])
    with pytest.raises(TypeError, match=f"^{name}: {argument} must not be a masked array"):
        getattr(lossless, name)(**{**given, argument: kind([rows, rows])})


def test_comparison_of_a_masked_array() -> None:
    """As masks arise; what the error says to do gives the mean of what is left."""
    seen = np.ma.masked_array([1.0, 9.0], mask=[False, True])
    x, t = np.array([1.0, 9.0]), np.array([2.0, 5.0])
    with pytest.raises(TypeError, match="masked array"):
        lossless.mse_loss(x, t, where=seen > 0)
    assert lossless.mse_loss(x, t, where=(seen > 0).filled(False)) == 1.0
    assert lossless.mse_loss(seen.data, t, where=~seen.mask) == 1.0
