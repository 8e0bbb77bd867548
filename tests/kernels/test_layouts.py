"""However the numbers lie in memory, the bits are those of a contiguous copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lossless.verification.formats import FLOAT64, Array
from lossless.verification.losses import LOSSES
from support.cases import Case, cases
from support.checks import assert_same_bits

SHAPE = (6, 5, 7)


def strided(array: Array) -> Array:
    wide = np.repeat(array, 2, axis=-1)
    return wide[..., ::2]


def reversed_rows(array: Array) -> Array:
    return np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1]


def transposed(array: Array) -> Array:
    return np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0)


def padded(array: Array) -> Array:
    """Rows that do not follow each other in memory."""
    wide = np.zeros((array.shape[0] + 2, array.shape[1] + 3, array.shape[2] + 1), array.dtype)
    wide[1:-1, 2:-1, 1:] = array
    return wide[1:-1, 2:-1, 1:]


def read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def misaligned(array: Array) -> Array:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned or 1 == array.itemsize
    return view


def misaligned_in_records(array: Array) -> Array:
    """A field of packed records, as binary files hold them: strides that no alignment divides."""
    records = np.zeros(array.shape, [("flag", np.uint8), ("number", array.dtype)])
    records["number"] = array
    return records["number"]


def byte_swapped(array: Array) -> Array:
    if array.dtype.kind == "V":  # bfloat16 has no other byte order
        return array
    return array.astype(array.dtype.newbyteorder())


def shifted(array: Array) -> Array:
    """Aligned to the element, to nothing more."""
    raw = np.zeros(array.size + 3, array.dtype)
    view = raw[3:].reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = [
    strided, reversed_rows, np.asfortranarray, transposed, padded, read_only, misaligned,
    misaligned_in_records, byte_swapped, shifted,
]  # fmt: skip
IDS = [layout.__name__ for layout in LAYOUTS]


def data(case: Case, rng: np.random.Generator) -> dict[str, Array]:
    arrays = {
        "inputs": case.fmt.array(rng.normal(0.5, 2.0, SHAPE)),
        "targets": case.fmt.array(rng.normal(-0.5, 1.0, SHAPE)),
        "weights": rng.uniform(0.5, 2.0, SHAPE),
        "where": rng.random(SHAPE) < 0.8,
    }
    return arrays | {name: rng.uniform(0.5, 2.0, SHAPE) for name in case.loss.parameters}


def results(case: Case, **arguments: Any) -> list[Array]:
    """Everything that a call can give, for these arguments."""
    derivatives = case.grad_and_hess(**arguments)
    plain = case.value_and_grad(**arguments)
    rows = case.value_and_grad(**arguments, reduction="mean", axis=(0, 2))
    total = case.value_and_grad(**arguments, reduction="weighted_mean")
    return [*derivatives, *plain, *rows, *total, case.value(**arguments, reduction="sum")]


def assert_same_results(case: Case, expected: list[Array], actual: list[Array], what: str) -> None:
    for index, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert_same_bits(b, a, case.fmt, f"{case} {what}, result {index}")


@pytest.mark.parametrize("layout", LAYOUTS, ids=IDS)
def test_layouts_change_no_bit(case: Case, layout: Any, rng: np.random.Generator) -> None:
    """One argument after another in this layout, then all of them."""
    arrays = data(case, rng)
    plain = {name: arrays[name] for name in ("inputs", "targets")}
    for arguments in (plain, arrays):
        expected = results(case, **arguments)
        for name in arguments:
            changed = arguments | {name: layout(arguments[name])}
            assert_same_results(case, expected, results(case, **changed), f"{name}")
        changed = {name: layout(array) for name, array in arguments.items()}
        assert_same_results(case, expected, results(case, **changed), "everything")


@pytest.mark.kernel
@pytest.mark.parametrize("case", cases(losses=LOSSES.values()))
def test_every_loss_reads_what_is_not_aligned_or_contiguous(
    case: Case, rng: np.random.Generator
) -> None:
    """Of each loss all outputs, with parameters, weights and mask; and of sums of rows."""
    x, t = (case.fmt.array(rng.uniform(0.05, 0.95, SHAPE)) for _ in range(2))
    parameters = {
        name: case.fmt.array(rng.uniform(0.5, 2.0, SHAPE)) for name in case.loss.parameters
    }
    weights = {"weights": rng.uniform(0.5, 2.0, SHAPE), "where": rng.random(SHAPE) < 0.8}
    plain = list(case.element_wise(x, t, **parameters))
    options = parameters | weights | {"reduction": "mean", "axis": 1}
    weighted = case.value_and_grad(x, t, **options)
    for layout in (strided, reversed_rows, misaligned, byte_swapped, misaligned_in_records):
        moved = [layout(array) for array in (x, t)]
        same = {name: layout(array) for name, array in parameters.items()}
        for (output, call, actual), (_, _, expected) in zip(
            case.element_wise(*moved, **same), plain, strict=True
        ):
            what = f"{case} {output} from {call}, {layout.__name__}"
            assert_same_bits(expected, actual, case.fmt, what, x, t)
        options |= same | {name: layout(array) for name, array in weights.items()}
        both = case.value_and_grad(*moved, **options)
        assert_same_results(case, list(weighted), list(both), layout.__name__)


def test_broadcast_views(case: Case, rng: np.random.Generator) -> None:
    """Views with strides of 0, of every argument at once and of each alone."""
    arrays = data(case, rng)
    views = {
        "inputs": np.broadcast_to(arrays["inputs"][:, :1], SHAPE),
        "targets": np.broadcast_to(arrays["targets"][:1, :, :1], SHAPE),
        "weights": np.broadcast_to(arrays["weights"][0, 0], SHAPE),
        "where": np.broadcast_to(arrays["where"][:, :1, :1], SHAPE),
    }
    views |= {name: np.broadcast_to(arrays[name][0], SHAPE) for name in case.loss.parameters}
    copies = {name: view.copy() for name, view in views.items()}
    assert_same_results(case, results(case, **copies), results(case, **views), "all views")
    for name, view in views.items():
        actual = results(case, **(arrays | {name: view}))
        expected = results(case, **(arrays | {name: copies[name]}))
        assert_same_results(case, expected, actual, f"{name} as a view")


def test_one_array_twice(case: Case, rng: np.random.Generator) -> None:
    """inputs and targets may share memory: reversed against itself."""
    x = data(case, rng)["inputs"]
    actual = results(case, inputs=x, targets=x[::-1])
    assert_same_results(case, results(case, inputs=x, targets=x[::-1].copy()), actual, "shared")


def test_arguments_are_not_written_to(case: Case, rng: np.random.Generator) -> None:
    arrays = data(case, rng)
    before = {name: array.tobytes() for name, array in arrays.items()}
    results(case, **arrays)
    assert before == {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.kernel
def test_every_length(case: Case, rng: np.random.Generator) -> None:
    """Whole vectors, remainders, and the ends of blocks: each element as if it were alone."""
    longest = 300
    x = case.fmt.array(rng.normal(0.5, 2.0, longest))
    t = case.fmt.array(rng.normal(-0.5, 1.0, longest))
    expected = list(case.element_wise(x, t))
    for length in [*range(1, 70), 127, 128, 129, 255, 256, 257]:
        for start in (0, longest - length):
            part = slice(start, start + length)
            for (output, call, actual), (_, _, full) in zip(
                case.element_wise(x[part], t[part]), expected, strict=True
            ):
                what = f"{case} {output} from {call}, {length} elements from {start}"
                assert_same_bits(full[part], actual, case.fmt, what, x[part], t[part])


def test_zero_dimensional_arrays(case: Case) -> None:
    x, t = case.fmt.array(1.5), case.fmt.array(-0.75)
    expected = list(case.element_wise(x.reshape(1), t.reshape(1)))
    for (output, call, actual), (_, _, full) in zip(case.element_wise(x, t), expected, strict=True):
        assert_same_bits(full[0], actual, case.fmt, f"{case} {output} from {call}")


def test_one_array_and_one_number(case: Case, rng: np.random.Generator) -> None:
    """A Python number, a NumPy scalar and a 0-d array stand for a full array."""
    x = case.fmt.array(rng.normal(0.5, 2.0, (3, 23)))
    full = case.fmt.array(np.full(x.shape, 0.75))
    for number in (0.75, full[0, 0], np.asarray(full[0, 0])):
        expected = list(case.element_wise(x, full))
        for (output, call, actual), (_, _, right) in zip(
            case.element_wise(x, number), expected, strict=True
        ):
            what = f"{case} {output} from {call} with {type(number)}"
            assert_same_bits(right, actual, case.fmt, what, x, full)
        actual = case.value(number, x)
        assert_same_bits(case.value(full, x), actual, case.fmt, f"{case} {type(number)} first")


class Series:
    """What pandas and others offer: an object that NumPy knows how to convert."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype=dtype, copy=copy)


@pytest.mark.parametrize("convert", [Series, lambda array: Series(array[::-1])])
def test_what_numpy_converts_is_taken(
    case: Case, convert: Callable[[Array], Series], rng: np.random.Generator
) -> None:
    x = case.fmt.array(rng.normal(0.5, 2.0, 9))
    t = case.fmt.array(rng.normal(-0.5, 2.0, 9))
    x_like, t_like = convert(x), convert(t)
    expected = case.value(np.asarray(x_like), np.asarray(t_like), reduction="mean")
    actual = case.value(x_like, t_like, reduction="mean")
    assert_same_bits(expected, actual, case.fmt, str(case))


@pytest.mark.parametrize("case", cases([FLOAT64]))
def test_lists_are_taken(case: Case) -> None:
    x, t = [[1.5, -2.25], [0.5, 3.0]], [[1.0, 2.0], [-4.5, 0.1]]
    expected = case.value(np.array(x), np.array(t))
    assert_same_bits(expected, case.value(x, t), case.fmt, str(case))
    assert_same_bits(expected, case.value(tuple(x), np.array(t)), case.fmt, str(case))
