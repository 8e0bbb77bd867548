"""What type checkers say of right and wrong calls, and what then comes.

`make lint` judges this file: `assert_type` is about right calls, and each wrong one has the code
of its error, since mypy complains of a `type: ignore` that ignores nothing.
"""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import typing
from collections.abc import Callable
from typing import Any, assert_type

import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import lossless
from lossless._spec import LOSSES

NAMES = [name for name in lossless.__all__ if name.endswith(("_loss", "_entropy"))]
CURVED = {spec.public_name for spec in LOSSES.values() if spec.second_derivative is not None}
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


def test_numbers_and_arrays_of_numpy_go_with_a_tensor() -> None:
    """The tensor decides the type of the result, also if it is not the first argument."""
    x, m, j, n = X, mx.array([0.5, 1.0]), jnp.array([0.5, 1.0]), np.array([0.5, 1.0])
    assert isinstance(assert_type(lossless.mse_loss(0.5, m), mx.array), mx.array)
    assert isinstance(assert_type(lossless.huber_loss(x, 0.5, delta=2), Tensor), Tensor)
    assert isinstance(assert_type(lossless.smooth_l1_loss(j, n, weights=n), jax.Array), jax.Array)
    assert isinstance(assert_type(lossless.hinge_loss(n, j), jax.Array), jax.Array)
    ranked = lossless.margin_ranking_loss(0.25, x, 1.0, margin=x, where=x > 0)
    assert isinstance(assert_type(ranked, Tensor), Tensor)
    likelihood = lossless.gaussian_nll_loss(m, 0.5, 1.0, full=True, reduction="sum")
    assert isinstance(assert_type(likelihood, mx.array), mx.array)


def test_derivatives_of_each_framework_are_its_arrays() -> None:
    m, j, labels = mx.array([[0.5, 1.0]]), jnp.array([[0.5, 1.0]]), jnp.array([0])
    pair = lossless.value_and_grad(lossless.log_cosh_loss)(m, 0.5, reduction="sum")
    assert all(isinstance(x, mx.array) for x in assert_type(pair, tuple[mx.array, mx.array]))
    second = lossless.grad_and_hess(lossless.mse_loss)(predictions=m, targets=0.5)
    assert all(isinstance(x, mx.array) for x in assert_type(second, tuple[mx.array, mx.array]))
    rows = lossless.value_and_grad(lossless.nll_loss)(j, labels, reduction="mean")
    assert all(isinstance(x, jax.Array) for x in assert_type(rows, tuple[jax.Array, jax.Array]))
    beside = lossless.grad_and_hess(lossless.cross_entropy)(j, np.array([0]), label_smoothing=0.1)
    assert all(isinstance(x, jax.Array) for x in assert_type(beside, tuple[jax.Array, jax.Array]))
    distances = lossless.value_and_grad(lossless.triplet_loss)(X, X, X, margin=2)
    assert all(isinstance(x, Tensor) for x in assert_type(distances, tuple[Tensor, Tensor]))


def test_a_loss_goes_where_a_function_is_expected() -> None:
    function: Callable[[Tensor, Tensor], Tensor] = lossless.huber_loss
    by_name: Callable[..., mx.array] = lossless.kl_div_loss
    assert isinstance(function(X, X), Tensor)
    assert isinstance(by_name(inputs=mx.array([0.5]), targets=mx.array([0.5])), mx.array)
    half = functools.partial(lossless.huber_loss, delta=0.5)
    assert isinstance(assert_type(half(X, X), Tensor), Tensor)
    assert isinstance(torch.func.grad(lossless.mse_loss)(X, X), Tensor)


def test_what_numpy_converts_may_give_anything() -> None:
    """An array, or a number where there is only one: NumPy decides."""
    assert_type(lossless.l1_loss([1.0, 2.0], [1, 4]), Any)
    pair = lossless.value_and_grad(lossless.l1_loss)(np.array([1.0, 2.0]), [1, 4], reduction="sum")
    assert_type(pair, tuple[Any, Any])
    value: np.float64 = lossless.l1_loss(np.array([1.0, 2.0]), [1, 4])
    losses: NDArray[np.float64] = lossless.huber_loss(np.array([1.0, 2.0]), 1.0)
    assert (1.0, [0.0, 0.5]) == (value, losses.tolist())


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
    with pytest.raises(TypeError, match="targets"):
        lossless.value_and_grad(lossless.mse_loss)(x)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="beta"):
        lossless.grad_and_hess(lossless.huber_loss)(x, x, beta=1)  # type: ignore[call-arg]


def derived(name: str) -> dict[str, Any]:
    """The loss, and what is made of it."""
    loss: Any = getattr(lossless, name)
    found = {"loss": loss, "value_and_grad": lossless.value_and_grad(loss)}
    if name in CURVED:
        found["grad_and_hess"] = lossless.grad_and_hess(loss)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_signatures_have_the_type_of_the_result(name: str) -> None:
    for method, function in derived(name).items():
        expected = "Array" if method == "loss" else "tuple[Array, Array]"
        assert expected == inspect.signature(function).return_annotation
        assert expected == str(typing.get_type_hints(function)["return"]).replace("~", "")
        assert "Call" not in str(inspect.signature(function))
        reduction = typing.get_type_hints(function)["reduction"]
        assert {"none", "sum", "mean"} <= set(typing.get_args(reduction))
        assert reduction == inspect.signature(function).parameters["reduction"].annotation
        assert "reduction: Literal['none', 'sum', 'mean'" in str(inspect.signature(function))


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
