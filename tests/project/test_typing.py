"""What type checkers say of right and wrong calls, and what then comes.

`make lint` judges this file: `assert_type` is about right calls, and each wrong one has the code
of its error, since mypy complains of a `type: ignore` that ignores nothing.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from typing import Any, assert_type

import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import Tensor

import lossless

NAMES = [name for name in lossless.__all__ if name.endswith(("_loss", "_entropy"))]
X = torch.tensor([0.25, 0.5])


def test_a_tensor_in_gives_a_tensor_out() -> None:
    x, both = X, lossless.value_and_grad(lossless.huber_loss)
    assert isinstance(assert_type(lossless.huber_loss(x, x), Tensor), Tensor)
    assert isinstance(assert_type(lossless.mse_loss(0.5, x, axis=0), Tensor), Tensor)
    options = lossless.smooth_l1_loss(x, 1.0, x, "mean", weights=x, where=x > 0)
    assert isinstance(assert_type(options, Tensor), Tensor)
    rows = lossless.cross_entropy(x, x, axis=0, reduction="weighted_mean")
    assert isinstance(assert_type(rows, Tensor), Tensor)
    assert isinstance(assert_type(lossless.triplet_loss(x, x, x, reduction="sum"), Tensor), Tensor)
    value, gradient = assert_type(both(x, x, 2.0, "mean"), tuple[Tensor, Tensor])
    assert isinstance(value, Tensor)
    assert isinstance(gradient, Tensor)
    pair = lossless.grad_and_hess(lossless.cross_entropy)(x, x)
    pair = lossless.grad_and_hess(lossless.log_cosh_loss)(inputs=x, targets=x)
    assert [1.0, 1.0] == assert_type(pair, tuple[Tensor, Tensor])[1].tolist()
    m, j = mx.array([0.5, 1.0]), jnp.array([0.5, 1.0])
    assert isinstance(assert_type(lossless.hinge_loss(inputs=m, targets=m), mx.array), mx.array)
    ours = lossless.l1_loss(predictions=j, targets=j)
    assert isinstance(assert_type(ours, jax.Array), jax.Array)


def test_what_numpy_converts_may_give_anything() -> None:
    """An array, or a number where there is but one."""
    assert_type(lossless.l1_loss([1.0, 2.0], [1, 4]), Any)
    value: np.float64 = lossless.l1_loss(np.array([1.0, 2.0]), [1, 4])
    assert 1.0 == value


def test_wrong_calls_are_errors_in_both_worlds() -> None:
    x = X
    with pytest.raises(ValueError, match="reduction"):
        lossless.huber_loss(x, x, reduction="avg")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="delta"):
        lossless.huber_loss(x, x, "mean")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="inputs"):
        lossless.huber_loss("0.5", x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="targets"):
        lossless.huber_loss(x, "0.5")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="weights"):
        lossless.mse_loss(x, x, weights="1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="axis"):
        lossless.mse_loss(x, x, axis="0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduction"):
        lossless.kl_div_loss(x, x, reduction="weighted_mean")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="label_smoothing"):
        lossless.cross_entropy(x, x, label_smoothing="0.1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="targets"):
        lossless.huber_loss(x)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="dim"):
        lossless.huber_loss(x, x, dim=0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="lossless"):
        lossless.value_and_grad(np.sum)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="lossless"):
        lossless.value_and_grad(torch.nn.functional.huber_loss)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="element-wise"):
        lossless.grad_and_hess(lossless.kl_div_loss)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="reduction"):
        lossless.value_and_grad(lossless.mse_loss)(x, x, "avg")  # type: ignore[arg-type]


def derived(name: str) -> dict[str, Any]:
    """The loss, and what is made of it."""
    loss: Any = getattr(lossless, name)
    found = {"loss": loss, "value_and_grad": lossless.value_and_grad(loss)}
    if loss.__module__.endswith(("regression", "binary")) or name == "cross_entropy":
        found["grad_and_hess"] = lossless.grad_and_hess(loss)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_signatures_tell_what_comes_back(name: str) -> None:
    for method, function in derived(name).items():
        expected = "Array" if method == "loss" else "tuple[Array, Array]"
        assert expected == inspect.signature(function).return_annotation
        assert expected == str(typing.get_type_hints(function)["return"]).replace("~", "")
        assert "Call" not in str(inspect.signature(function))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_functions_pickle_and_copy_as_themselves(name: str, protocol: int) -> None:
    """For joblib, multiprocessing, and objectives inside of models."""
    for method, function in derived(name).items():
        assert pickle.loads(pickle.dumps(function, protocol)) is function, method
        assert copy.deepcopy(function) is function
        if method != "loss":
            again = getattr(lossless, method)(getattr(lossless, name))
            assert again is function
            assert function == again
