"""The same bits, whatever the threads, the instruction set and the alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lossless
from lossless.verification.formats import Array
from support.cases import Case

pytestmark = pytest.mark.usefixtures("native")

SIZE = 5 * (1 << 16) + 4321  # several blocks, the last one short
OFFSETS = [0, 1, 2, 3, 5, 7, 8, 11, 15, 16, 31]


def arguments(case: Case, size: int, rng: np.random.Generator) -> dict[str, Array]:
    """Every option; numbers of very different sizes, some special."""
    x = rng.normal(0.5, 1.0, size) * np.exp2(rng.integers(-6, 6, size))
    t = rng.normal(-0.5, 1.0, size)
    arrays = {
        "inputs": case.fmt.array(x),
        "targets": case.fmt.array(t),
        "weights": rng.uniform(0.5, 2.0, size).astype(np.float32),
        "where": rng.random(size) < 0.9,
    }
    return arrays | {name: rng.uniform(0.5, 2.0, size) for name in case.loss.parameters}


def fingerprint(case: Case, arrays: dict[str, Array]) -> dict[str, bytes]:
    """The bits of everything that a call can give, with and without options."""
    plain = {name: arrays[name] for name in ("inputs", "targets")}
    rows = {name: array[: array.size // 3 * 3].reshape(3, -1) for name, array in arrays.items()}
    found: dict[str, Any] = {
        "value": case.value(**plain),
        "sum": case.value(**plain, reduction="sum"),
        "mean": case.value_and_grad(**plain, reduction="mean"),
        "derivatives": case.grad_and_hess(**plain),
        "strided": case.value_and_grad(plain["inputs"][::3], plain["targets"][::3]),
        "options": case.value_and_grad(**arrays),
        "options, derivatives": case.grad_and_hess(**arrays),
        "options, weighted mean": case.value_and_grad(**arrays, reduction="weighted_mean"),
        "options, rows": case.value_and_grad(**rows, reduction="mean", axis=1),
        "options, columns": case.value_and_grad(**rows, reduction="sum", axis=0),
    }
    return {
        name: b"".join(np.asarray(part).tobytes() for part in np.atleast_1d(parts))
        if isinstance(parts, np.ndarray)
        else b"".join(part.tobytes() for part in parts)
        for name, parts in found.items()
    }


def assert_same(expected: dict[str, bytes], actual: dict[str, bytes], what: str) -> None:
    different = [name for name in expected if actual[name] != expected[name]]
    assert not different, f"{what}: {different}"


def test_bits_do_not_depend_on_threads_or_instructions(
    case: Case, rng: np.random.Generator
) -> None:
    arrays = arguments(case, SIZE, rng)
    expected = fingerprint(case, arrays)
    for instructions in lossless.info()["instruction_sets"]:
        lossless._core.set_instruction_set(instructions)
        assert instructions == lossless.info()["instruction_set"]
        for threads in (1, 2, 3):
            lossless.set_num_threads(threads)
            assert threads == lossless.info()["threads"]
            what = f"{case} {instructions} {threads} threads"
            assert_same(expected, fingerprint(case, arrays), what)


def test_bits_do_not_depend_on_alignment(case: Case, rng: np.random.Generator) -> None:
    arrays = arguments(case, 2053, rng)
    expected = fingerprint(case, arrays)
    for instructions in lossless.info()["instruction_sets"]:
        lossless._core.set_instruction_set(instructions)
        for offset in OFFSETS:
            moved = {}
            for place, (name, array) in enumerate(arrays.items()):
                room = np.empty(array.size + offset * (place + 1), array.dtype)
                room[-array.size :] = array
                moved[name] = room[-array.size :]
            assert_same(expected, fingerprint(case, moved), f"{case} {instructions} {offset}")


def test_bits_do_not_depend_on_the_run(case: Case, rng: np.random.Generator) -> None:
    """Threads claim blocks in another order each time."""
    lossless.set_num_threads(3)
    arrays = arguments(case, SIZE, rng)
    expected = fingerprint(case, arrays)
    for _ in range(5):
        assert_same(expected, fingerprint(case, arrays), str(case))


@pytest.mark.kernel
def test_special_numbers_on_every_instruction_set(narrow_case: Case) -> None:
    """Any bits at all, NaN and infinities among them; all 2**16 of the half types."""
    fmt = narrow_case.fmt
    x = fmt.from_bits(np.arange(0, 1 << 32, 65521) if fmt.name == "float32" else np.arange(1 << 16))
    x, t = x, np.roll(x, 7919)
    found = []
    for instructions in lossless.info()["instruction_sets"]:
        lossless._core.set_instruction_set(instructions)
        found.append([fmt.bits(part) for _, _, part in narrow_case.element_wise(x, t)])
    for other in found[1:]:
        for part, expected in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(part, expected)
