"""NumPy's masked arrays are refused wherever an array is taken: their masks would be ignored."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import Array
from support.cases import Backend
from support.named_arguments import CALLS, LABELS, functions

ARGUMENTS = [(name, argument) for name, given in CALLS.items() for argument in (*given, "where")]


def test_every_loss_is_here() -> None:
    assert set(CALLS) == {n for n in lossless.__all__ if n.endswith(("_loss", "_entropy"))}
    for name, given in CALLS.items():
        arrays = set(inspect.signature(getattr(lossless, name)).parameters)
        arrays -= {"reduction", "axis", "full", "with_logits", "label_smoothing", "p", "where"}
        arrays -= {"eps", "margin"} - set(given)
        assert set(given) == arrays


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
    assert 1.0 == lossless.mse_loss(x, t, where=(seen > 0).filled(False))
    assert 1.0 == lossless.mse_loss(seen.data, t, where=~seen.mask)
