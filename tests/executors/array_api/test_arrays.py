"""Other libraries' arrays at the edges: older versions of the standard, unknown sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import array_api_strict
import numpy as np
import pytest

import lossless
from fuzz.programs import draw
from fuzz.run import failures
from lossless.executors import array_api


@pytest.fixture(params=["2022.12", "2023.12"])
def older(request: pytest.FixtureRequest) -> Iterator[None]:
    before = array_api_strict.get_array_api_strict_flags()["api_version"]
    x = array_api_strict.asarray([0.5, 2.0])
    lossless.huber_loss(x, x)  # of the newest version: the next call must not remember it
    lossless.cross_entropy(x, array_api_strict.asarray(1))
    array_api_strict.set_array_api_strict_flags(api_version=request.param)
    yield
    array_api_strict.set_array_api_strict_flags(api_version=before)


@pytest.mark.usefixtures("older")
def test_older_versions_of_the_standard() -> None:
    """Without numbers in `where`, `take_along_axis` and, in 2022.12, default dtypes."""
    programs = [draw(29, index, "strict") for index in range(60)]
    assert 14 == len({program.spec.name for program in programs})
    found = [str(failure) for program in programs for failure in failures(program, 3)]
    assert not found, "\n".join(found[:3])


class Unknown:
    """A namespace whose arrays do not tell how large they are, as lazy ones may."""

    def __init__(self) -> None:
        self._strict = array_api_strict

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strict, name)

    def ones_like(self, x: Any) -> Any:
        return self._strict.ones_like(x.array)

    def astype(self, x: Any, dtype: Any, copy: bool) -> Any:
        return self._strict.astype(x, dtype, copy=copy)


class Lazy:
    """What `count` sees of such an array."""

    shape = (None, 3)

    def __init__(self, array: Any) -> None:
        self.array = array


def test_mean_over_a_size_that_is_not_known() -> None:
    arrays: Any = array_api.ArrayApiArrays(Unknown())
    lazy = Lazy(array_api_strict.ones((4, 3)))
    assert 12.0 == float(arrays.count(lazy, (0, 1)))


@pytest.mark.parametrize("name", ["huber_loss", "cross_entropy"])
def test_dask_arrays_are_refused_with_the_cure(name: str) -> None:
    """NumPy would compute them in one piece."""
    lazy = type("Array", (), {"__module__": "dask.array.core", "shape": (2,), "ndim": 1})()
    loss: Any = getattr(lossless, name)
    for function in (loss, lossless.value_and_grad(loss)):
        with pytest.raises(TypeError, match=rf"^{name}: \w+ must not be a dask array.*map_blocks"):
            function(lazy, np.array([1.0, 2.0]))
    with pytest.raises(TypeError, match=rf"^{name}: where must not be a dask array"):
        loss(np.ones((2, 2)), np.ones((2, 2)), where=lazy)


NUMBERS = [("triplet_loss", "margin"), ("triplet_loss", "eps"), ("cosine_similarity_loss", "eps")]


@pytest.mark.parametrize(("name", "parameter"), NUMBERS)
def test_numbers_that_are_arrays_of_a_framework(name: str, parameter: str) -> None:
    """Derivatives by them would be lost; NumPy's have none."""
    import mlx.core as mx
    import torch

    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    arrays = [x, x[::-1], 2 * x][: 3 if name == "triplet_loss" else 2]
    loss: Any = getattr(lossless, name)
    expected = loss(*arrays, **{parameter: 0.5})
    np.testing.assert_array_equal(loss(*arrays, **{parameter: np.array(0.5)}), expected)
    for array in (mx.array(0.5), torch.tensor(0.5)):
        with pytest.raises(TypeError, match=rf"^{name}: {parameter} must be .*float\({parameter}"):
            loss(*arrays, **{parameter: array})
