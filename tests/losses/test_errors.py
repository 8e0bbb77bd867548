"""Wrong calls raise, and say function, argument, what was expected and what came."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import Array
from lossless.verification.losses import LOSSES
from support.cases import EVERYWHERE, REDUCTIONS, Backend, Case, cases

HUBER = [LOSSES["huber"]]


@pytest.fixture
def pair(case: Case) -> tuple[Array, Array]:
    return case.fmt.array(np.linspace(-2, 3, 24)).reshape(8, 3), case.fmt.array(
        np.full((8, 3), 0.3)
    )


def calls(case: Case, reduced: bool = True) -> list[Any]:
    """Every public function that takes this loss's arguments."""
    functions = [case.function, lossless.value_and_grad(case.function)]
    if not reduced:
        functions.append(lossless.grad_and_hess(case.function))
    return [partial(case.call, function) for function in functions]


def ones(case: Case, *shape: int) -> Array:
    return case.fmt.array(np.full(shape, 1.5))


@EVERYWHERE
def test_shapes_must_match_exactly(case: Case) -> None:
    for call in calls(case, reduced=False):
        message = f"{case.loss.name}_loss: targets must have the shape of inputs (8, 3), got (8,)"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call(ones(case, 8, 3), ones(case, 8))
        for x, t in [((4, 1), (4,)), ((4,), (4, 1)), ((3,), (1,)), ((1,), (3,)), ((2, 3), (3, 2)),
                     ((0,), (1,)), ((1, 1), (1,)), ((6,), (2, 3)), ((1, 3), (2, 3))]:  # fmt: skip
            shapes = f"{re.escape(str(x))}.*{re.escape(str(t))}"
            with pytest.raises(ValueError, match=rf"^{case.loss.name}_loss: targets .*{shapes}"):
                call(ones(case, *x), ones(case, *t))


@EVERYWHERE
@pytest.mark.parametrize("argument", ["weights", "where", "delta"])
def test_options_broadcast_to_the_shape_and_never_enlarge_it(
    case: Case, pair: tuple[Array, Array], argument: str
) -> None:
    if argument == "delta" and not case.loss.parameters:
        argument = "weights"
    for shape in [(8,), (3, 8), (2, 8, 3), (1, 8, 3), (4, 1), (0,), (8, 3, 1)]:
        option = np.ones(shape, bool) if argument == "where" else np.ones(shape)
        pattern = rf"^{case.loss.name}_loss: {argument} .*\(8, 3\).*{re.escape(str(shape))}"
        for call in calls(case, reduced=False):
            with pytest.raises(ValueError, match=pattern):
                call(*pair, **{argument: option})
    scalars = ones(case), ones(case)
    with pytest.raises(ValueError, match=rf"^{case.loss.name}_loss: {argument} "):
        case.call(
            case.function,
            *scalars,
            **{argument: np.ones(3, bool if argument == "where" else float)},
        )


@pytest.mark.parametrize("delta", [0, 0.0, -0.0, -1, -1.5, math.nan, -math.inf, np.float32(-1)])
@pytest.mark.parametrize("case", cases(losses=HUBER, backends=Backend))
def test_huber_delta_must_be_positive(case: Case, pair: tuple[Array, Array], delta: Any) -> None:
    for call in calls(case, reduced=False):
        pattern = rf"^huber_loss: delta .*{re.escape(f'{float(delta):g}')}"
        with pytest.raises(ValueError, match=pattern):
            call(*pair, delta)


@pytest.mark.parametrize("delta", [None, "1", 1j, object(), np.array(["1"]), np.complex64(1)])
@pytest.mark.parametrize("case", cases(losses=HUBER, backends=Backend))
def test_huber_delta_must_be_a_number(case: Case, pair: tuple[Array, Array], delta: Any) -> None:
    for call in calls(case, reduced=False):
        with pytest.raises(TypeError, match=r"^huber_loss: delta "):
            call(*pair, delta)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", cases(losses=HUBER, backends=Backend))
def test_huber_reduction_in_place_of_delta(
    case: Case, pair: tuple[Array, Array], reduction: Any
) -> None:
    """As PyTorch's habit has it: the error names the way out."""
    for call in calls(case):
        with pytest.raises(TypeError, match=r"^huber_loss: delta .*reduction="):
            call(*pair, reduction)


@EVERYWHERE
@pytest.mark.parametrize("reduction", ["Mean", "avg", "", None, 1, "batchmean", ("mean",)])
def test_unknown_reduction_is_an_error(
    case: Case, pair: tuple[Array, Array], reduction: Any
) -> None:
    for call in calls(case):
        with pytest.raises(ValueError, match=rf"^{case.loss.name}_loss: reduction ") as caught:
            call(*pair, reduction=reduction)
        message = str(caught.value)
        assert all(name in message for name in REDUCTIONS), message
        assert str(reduction) in message, message


@EVERYWHERE
@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, 0), (1, -1), (0, -2), (-3,)], ids=str)
def test_axis_out_of_range_or_twice(
    case: Case, pair: tuple[Array, Array], axis: Any, reduction: Any
) -> None:
    for call in calls(case):
        with pytest.raises(ValueError, match=rf"^{case.loss.name}_loss: axis "):
            call(*pair, reduction=reduction, axis=axis)
        with pytest.raises(ValueError, match=rf"^{case.loss.name}_loss: axis "):
            call(ones(case), ones(case), reduction=reduction, axis=0)


@EVERYWHERE
@pytest.mark.parametrize("axis", [0, -1, (0, 1)], ids=str)
def test_axis_needs_a_reduction(case: Case, pair: tuple[Array, Array], axis: Any) -> None:
    for call in calls(case):
        with pytest.raises(ValueError, match=rf"^{case.loss.name}_loss: axis .*reduction"):
            call(*pair, axis=axis)


@EVERYWHERE
@pytest.mark.parametrize("axis", [1.0, "0", [0.5], (None,)], ids=str)
def test_axis_must_be_integers(case: Case, pair: tuple[Array, Array], axis: Any) -> None:
    for call in calls(case):
        with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: axis "):
            call(*pair, reduction="mean", axis=axis)


@EVERYWHERE
@pytest.mark.parametrize(
    "where",
    [np.ones((8, 3)), np.ones((8, 3), np.int8), 1, 0.5, "all", np.ones(3, object)],
    ids=repr,
)
def test_where_must_be_boolean(case: Case, pair: tuple[Array, Array], where: Any) -> None:
    for call in calls(case, reduced=False):
        with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: where "):
            call(*pair, where=where)


@EVERYWHERE
def test_options_are_keywords(case: Case, pair: tuple[Array, Array]) -> None:
    positional = [*case.loss.parameters.values(), "mean", 1.0]
    with pytest.raises(TypeError):
        case.call(case.function, *pair, *positional)
    with pytest.raises(TypeError):
        case.call(case.function, *pair, dim=0)
    with pytest.raises(TypeError):
        case.call(case.function, pair[0])


@pytest.mark.parametrize("transform", [lossless.value_and_grad, lossless.grad_and_hess])
@pytest.mark.parametrize("other", [np.sum, lambda x, t: x - t, "huber_loss", None, 3])
def test_transforms_take_our_losses_only(transform: Any, other: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{transform.__name__}: .*lossless"):
        transform(other)


@EVERYWHERE
@pytest.mark.parametrize("inputs", [[1.5, 2.0], (1.5, 2.0), 1.5, 2, None, "1"], ids=repr)
def test_transforms_take_arrays_only(case: Case, inputs: Any) -> None:
    targets = case.fmt.array([0.5, 1.0])
    for call in calls(case, reduced=False)[1:]:
        with pytest.raises(TypeError, match=rf"^{case.loss.name}_loss: inputs .*array"):
            call(inputs, targets)


@EVERYWHERE
def test_grad_and_hess_has_no_reduction(case: Case, pair: tuple[Array, Array]) -> None:
    for option in ({"reduction": "mean"}, {"axis": 0}):
        with pytest.raises((TypeError, ValueError)):
            case.call(lossless.grad_and_hess(case.function), *pair, **option)
