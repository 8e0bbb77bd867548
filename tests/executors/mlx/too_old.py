"""With an mlx that is too old: `make test-oldest` runs this, in an environment that has one."""

from __future__ import annotations

from importlib import metadata

import mlx.core as mx
import numpy as np
import pytest

import lossless
from lossless.executors.versions import OLDEST


def test_mlx_arrays_are_one_error_that_says_what_helps() -> None:
    version = metadata.version("mlx")
    complaint = rf"needs mlx {OLDEST['mlx']} or newer, got {version}: pip install --upgrade"
    x, labels = mx.array([[0.5, 3.0], [1.0, 2.0]]), mx.array([0, 1])
    for call in (
        lambda: lossless.huber_loss(x, x),
        lambda: lossless.huber_loss(x, 0.0),
        lambda: lossless.cross_entropy(x, labels),
        lambda: lossless.value_and_grad(lossless.cosine_similarity_loss)(x, x),
        lambda: lossless.grad_and_hess(lossless.log_cosh_loss)(x, x),
    ):
        for _ in range(2):  # each time, not only when the backend is loaded
            with pytest.raises(ImportError, match=complaint):
                call()
    with lossless.composed(), pytest.raises(ImportError, match=complaint):
        lossless.mse_loss(x, x)
    assert "none" == lossless.info()["backends"]["mlx"]["executor"]
    assert f"got {version}" in lossless.info()["backends"]["mlx"]["why"]


def test_other_arrays_do_not_mind() -> None:
    assert 4.0 == lossless.mse_loss(np.array([3.0]), np.array([1.0]))
