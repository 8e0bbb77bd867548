"""NumPy arrays beside MLX arrays: as if they had been converted, by MLX's rules."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import lossless
from support.named_arguments import CALLS, functions


def results(found: Any) -> list[Any]:
    return [np.array(x) for x in (found if isinstance(found, tuple | list) else [found])]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("composed", [False, True])
def test_each_argument_may_be_numpys(name: str, composed: bool) -> None:
    arrays = {key: np.asarray(x, np.float32) for key, x in CALLS[name].items()}
    if name in ("cross_entropy", "nll_loss"):
        arrays["targets"] = CALLS[name]["targets"]
    arrays["where"] = np.array([True, False])
    own = {key: mx.array(x) for key, x in arrays.items()}
    with lossless.composed() if composed else mx.stream(mx.cpu):
        for function in functions(name):
            expected = results(function(**own))
            for argument in own:
                found = function(**{**own, argument: arrays[argument]})
                assert all(isinstance(x, mx.array) for x in results_of(found))
                for left, right in zip(expected, results(found), strict=True):
                    assert left.dtype == right.dtype
                    np.testing.assert_array_equal(left, right, f"{name} {argument}")


def results_of(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple | list) else [found]


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32, mx.float64], ids=str)
def test_numpys_floats_take_the_dtype_of_mlx(dtype: Any) -> None:
    """As in MLX's own arithmetic, where float64 would else make everything slow, or an error."""
    x, t = mx.array([0.5, 3.0], dtype), np.array([0.25, 0.1])
    with mx.stream(mx.cpu):
        loss = lossless.mse_loss(x, t, reduction="none")
        assert dtype == loss.dtype == (x - t).dtype
        expected = lossless.mse_loss(x, mx.array(t, dtype), reduction="none")
        assert mx.array_equal(loss, expected)


def test_integers_and_labels_of_numpy() -> None:
    x = mx.array([[0.0, 0.0], [1.0, 1.0]])
    for dtype in (np.int8, np.uint8, np.int32, np.int64):
        labels = np.array([0, 1], dtype)
        losses = np.array(lossless.cross_entropy(x, labels))
        assert [np.float32(np.log(2))] * 2 == losses.tolist()
    assert mx.float32 == lossless.mse_loss(mx.array([1, 2]), np.array([3, 2])).dtype
    with pytest.raises(TypeError, match="must be class indices"):
        lossless.cross_entropy(x, np.array([0.0, 1.0]))
    with pytest.raises(TypeError, match="where must be boolean"):
        lossless.mse_loss(x, x, where=np.ones((2, 2)))
    with pytest.raises(TypeError, match="must be real numbers"):
        lossless.mse_loss(x, np.ones((2, 2), complex))


EMPTY = """
import lossless, mlx.core as mx, numpy as np
with lossless.composed():
    for _ in range(300):
        rows, weights = (mx.array(np.zeros(shape), mx.float64) for shape in ((0, 4), 0))
        labels = mx.array(np.zeros(0, np.int32))
        options = {"weights": weights[::2], "reduction": "weighted_mean"}
        mx.eval(lossless.value_and_grad(lossless.cross_entropy)(rows, labels, **options))
        mx.eval(lossless.huber_loss(weights, weights, **options))
print("ended")
"""


@pytest.mark.parametrize("byte", [20, 85, 165, 255])
def test_batches_without_elements_end(byte: int) -> None:
    """mx.sum of MLX 0.32.4 may run for ever on NumPy's empty arrays, by what is in memory there."""
    done = subprocess.run(
        [sys.executable, "-c", EMPTY],
        env={**os.environ, "MALLOC_PERTURB_": str(byte)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "ended\n" == done.stdout, done.stderr
