"""What is wrong with the arguments of a loss of rows is said by name: expected, and got."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import pytest
import torch

import lossless
from lossless.verification.formats import FLOAT32
from support.cases import Backend
from support.rows.cases import RowCase, row_cases
from support.rows.reference import ROW_LOSSES

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
LABELS = np.array([2, 0])

WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("cross_entropy", (X, LABELS[:1]), {}, ValueError,
     "targets must have the shape of logits without axis 1 (2,), got (1,)"),
    ("cross_entropy", (X, X[:, :2]), {}, ValueError,
     "targets must have the shape of logits (2, 3), got (2, 2)"),
    ("cross_entropy", (X, LABELS), {"axis": 0}, ValueError,
     "targets must have the shape of logits without axis 0 (3,), got (2,)"),
    ("cross_entropy", (X, LABELS, np.ones((2, 1))), {}, ValueError,
     "weights must broadcast to the shape of the loss (2,), got (2, 1)"),
    ("cross_entropy", (X, LABELS, np.ones(3)), {}, ValueError,
     "weights must broadcast to the shape of the loss (2,), got (3,)"),
    ("cross_entropy", (X, LABELS), {"axis": 2}, ValueError,
     "axis must be within the 2 dimensions, got 2"),
    ("cross_entropy", (X, LABELS), {"axis": None}, TypeError, "axis must be an integer, got None"),
    ("cross_entropy", (X[:, :0], LABELS), {}, ValueError,
     "axis -1 must have a size of at least 1, got shape (2, 0)"),
    ("cross_entropy", (X, LABELS), {"label_smoothing": 1.0}, ValueError,
     "label_smoothing must be in [0, 1), got 1.0"),
    ("cross_entropy", (X, LABELS), {"label_smoothing": -0.1}, ValueError,
     "label_smoothing must be in [0, 1), got -0.1"),
    ("cross_entropy", (X, LABELS), {"label_smoothing": np.nan}, ValueError,
     "label_smoothing must be in [0, 1), got nan"),
    ("cross_entropy", (X, LABELS, None, -1, "mean"), {}, TypeError,
     "label_smoothing must be a number, got 'mean' (did you mean reduction='mean'?)"),
    ("cross_entropy", (X, LABELS), {"reduction": "average"}, ValueError,
     "reduction must be one of 'none', 'sum', 'mean', 'weighted_mean', got 'average'"),
    ("cross_entropy", (X, LABELS.astype(float)), {}, TypeError,
     "targets must be class indices (integers), got dtype float64"),
    ("cross_entropy", (X, LABELS > 0), {}, TypeError,
     "targets must be class indices (integers), got dtype bool"),
    ("cross_entropy", (1j * X, LABELS), {}, TypeError, "logits must be real numbers"),
    ("cross_entropy", (3.0, 0), {}, TypeError, "logits must be an array, got 3.0"),
    ("cross_entropy", (X, LABELS), {"where": np.array([1, 0])}, TypeError,
     "where must be boolean, got dtype int64"),
    ("cross_entropy", (X, LABELS), {"where": X > 0}, ValueError,
     "where must broadcast to the shape of the loss (2,), got (2, 3)"),
    ("nll_loss", (X, LABELS[:, None]), {}, ValueError,
     "targets must have the shape of inputs without axis 1 (2,), got (2, 1)"),
    ("nll_loss", (X, LABELS), {"reduction": "weighted_mean"}, ValueError,
     "reduction must be one of 'none', 'sum', 'mean', got 'weighted_mean'"),
    ("kl_div_loss", (X, X[:1]), {}, ValueError,
     "targets must have the shape of inputs (2, 3), got (1, 3)"),
    ("cosine_similarity_loss", (X, X[0]), {}, ValueError,
     "x2 must have the shape of x1 (2, 3), got (3,)"),
    ("cosine_similarity_loss", (X[0], X[0]), {}, ValueError,
     "axis must be within the 1 dimensions, got 1"),
    ("cosine_similarity_loss", (X, X), {"eps": -1.0}, ValueError, "eps must be >= 0, got -1.0"),
    ("triplet_loss", (X, X, X.T), {}, ValueError,
     "negatives must have the shape of anchors (2, 3), got (3, 2)"),
    ("triplet_loss", (X, X, X), {"p": 0.5}, ValueError, "p must be >= 1, got 0.5"),
    ("triplet_loss", (X, X, X), {"p": np.nan}, ValueError, "p must be >= 1, got nan"),
    ("triplet_loss", (X, X, X), {"eps": -1e-9}, ValueError, "eps must be >= 0, got -1e-09"),
    ("triplet_loss", (X, X, X), {"margin": None}, TypeError, "margin must be a number, got None"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arrays", "options", "error", "message"), WRONG)
@pytest.mark.parametrize("transform", [lambda f: f, lossless.value_and_grad], ids=["", "gradient"])
def test_wrong_arguments(
    transform: Any, name: str, arrays: Any, options: Any, error: type[Exception], message: str
) -> None:
    if transform is lossless.value_and_grad and arrays[0] is WRONG[16][1][0]:
        message = "logits must be an array, got float"
    with pytest.raises(error, match=re.escape(f"{name}: {message}")):
        transform(getattr(lossless, name))(*arrays, **options)


@row_cases(formats=[FLOAT32])
def test_wrong_shapes_and_dtypes_everywhere(case: RowCase) -> None:
    """The checks are before the backends; what these say of dtypes they say alike."""
    first, second, *others = case.loss.samples(case.fmt)
    name = case.loss.function
    with pytest.raises(ValueError, match=rf"^{name}: \w+ must have the shape of .*, got \(5"):
        case.value(first, second[:5], *others)
    with pytest.raises(ValueError, match=rf"^{name}: axis must be within the 2 dimensions, got 2"):
        case.value(first, second, *others, axis=2)
    with pytest.raises(TypeError, match=rf"^{name}: where must be boolean, got dtype"):
        case.value(first, second, *others, where=np.ones(6, np.float32))
    if case.loss.name in ("cross_entropy", "nll"):
        for wrong in (second.astype(np.float32), second > 1):
            message = rf"^{name}: targets must be class indices \(integers\), got dtype"
            with pytest.raises(TypeError, match=message):
                case.value(first, wrong)


def test_two_frameworks() -> None:
    message = r"^triplet_loss: negatives must be an array of PyTorch, as anchors is, got an array "
    with pytest.raises(TypeError, match=message):
        lossless.triplet_loss(torch.ones(2, 3), torch.ones(2, 3), mx.ones((2, 3)))
    with pytest.raises(TypeError, match=r"^cross_entropy: targets must be an array of MLX"):
        lossless.cross_entropy(mx.ones((2, 3)), [0, 1])


READABLE = [Backend.NUMPY, Backend.NUMPY_COMPOSED, Backend.TORCH, Backend.TORCH_COMPOSED]


@row_cases(["cross_entropy", "nll"], [FLOAT32], [*READABLE, Backend.JAX, Backend.JAX_COMPOSED])
def test_classes_that_do_not_exist(case: RowCase) -> None:
    """An IndexError that names the first of them and its place, as of an index of NumPy."""
    x = FLOAT32.array(np.random.default_rng(3).normal(size=(2, 3, 4)))
    labels = np.array([[0, 3, 1], [2, 4, -100]])
    name = case.loss.function
    message = rf"^{name}: targets must be class indices from 0 to 3, got 4 at \(1, 1\) \(where="
    for call in (case.value, case.value_and_grad):
        with pytest.raises(IndexError, match=message):
            call(x, labels)
    with pytest.raises(IndexError, match=r"got -100 at \(1, 2\)"):
        case.value(x, labels, where=labels != 4)
    assert (2, 3) == case.value(x, labels, where=(labels >= 0) & (labels < 4)).shape


def test_pytorch_and_jax_classes_that_nobody_may_look_at() -> None:
    """Traced, a row without a class is NaN."""
    x, labels = torch.tensor(X), torch.tensor([2, 3])
    compiled = torch.compile(lossless.cross_entropy, fullgraph=True, backend="eager")
    mapped = torch.func.vmap(lossless.cross_entropy)
    for actual in (compiled(x, labels), mapped(x, labels)):
        assert [False, True] == torch.isnan(actual).tolist()
    jitted = jax.jit(lossless.cross_entropy)
    assert [True, False] == jnp.isnan(jitted(X, np.array([-1, 2]))).tolist()


def test_grad_and_hess_is_for_element_wise_losses_and_cross_entropy() -> None:
    for name in sorted({loss.function for loss in ROW_LOSSES.values()} - {"cross_entropy"}):
        message = f"grad_and_hess: loss must be element-wise or cross_entropy, got {name}"
        with pytest.raises(TypeError, match=f"^{message}$"):
            lossless.grad_and_hess(getattr(lossless, name))
    with pytest.raises(TypeError, match=r"^value_and_grad: loss must be a loss of lossless"):
        lossless.value_and_grad([])  # type: ignore[call-overload]


def test_other_arguments_that_are_arrays() -> None:
    """Lists, integers and Python's labels, as NumPy takes them."""
    assert np.log(2) == lossless.cross_entropy([0.0, 0.0], 1)
    assert [-2.0, -3.0] == lossless.nll_loss([[1, 2], [3, 4]], [1, 0]).tolist()
    assert [3.0] == lossless.triplet_loss([[1, 2]], [[1, 5]], [[1, 3]], eps=0).tolist()
    whole = mx.array([[3, 4]])
    assert mx.float32 == lossless.cosine_similarity_loss(whole, whole).dtype
    arrays: list[Any] = [mx.array, torch.tensor, jnp.array]
    for array in arrays:
        row = array([0.0, 0.0])
        assert abs(float(lossless.cross_entropy(row, 1)) - np.log(2)) < 1e-7


@pytest.mark.parametrize("name", ["kl_div_loss", "cosine_similarity_loss"])
def test_result_has_the_promoted_dtype(name: str) -> None:
    function = getattr(lossless, name)
    half, single = X.astype(np.float16), X.astype(np.float32)
    assert np.float32 == function(half, single).dtype
    assert np.float16 == function(half, half).dtype
    value, gradient = lossless.value_and_grad(function)(half, X)
    assert np.float64 == value.dtype == gradient.dtype
    assert mx.float32 == function(mx.array(half), mx.array(single)).dtype
    message = "x1 and x2" if name.startswith("cosine") else "inputs and targets"
    with pytest.raises(
        TypeError, match=f"^{name}: {message} must have dtypes that NumPy promotes to one"
    ):
        function(half, X.astype("bfloat16"))
