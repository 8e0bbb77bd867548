"""`lossless score` of numbers in Arrow's packed forms, and of packed values that are no numbers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.command import error, run_json
from support.scoring.files import COLUMNS


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(column: Any) -> None:
    table = pa.table({"x": column, "y": [0.0, 3.0, 1.0]})
    with pa.ipc.new_file("data.arrow", table.schema) as file:
        file.write_table(table)


# Of two values, in three rows: the first, the second, the first.
PACKED: dict[str, Callable[[Any], Any]] = {
    "plain": lambda two: pa.concat_arrays([two, two[:1]]),
    "dictionary": lambda two: pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.uint32()), two),
    "run ends": lambda two: pa.RunEndEncodedArray.from_arrays(
        pa.array([1, 2, 3], pa.int32()), PACKED["plain"](two)
    ),
}
packed = pytest.mark.parametrize("form", PACKED)


@packed
@pytest.mark.parametrize(
    "two",
    [
        pa.array([1, 0], pa.int8()),
        pa.array([1, 0], pa.uint64()),
        pa.array([1, 0], pa.float16()),
        pa.array([1, 0], pa.float32()),
        pa.array([1.0, 0.0]),
        pa.array([True, False]),
        pa.array([Decimal("1.0"), Decimal("0.0")], pa.decimal128(5, 1)),
    ],
    ids=lambda two: str(two.type),
)
def test_score_of_packed_numbers(two: Any, form: str) -> None:
    """The squares of 1, -3 and 0."""
    write(PACKED[form](two))
    scored = run_json("score", "data.arrow", *COLUMNS, "--loss", "mse", "--reduction", "sum")
    assert {"mse": 10.0} == scored["total"]["values"]


def test_score_of_numbers_of_an_extension() -> None:
    write(pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, 1], pa.int8())))
    scored = run_json("score", "data.arrow", *COLUMNS, "--loss", "mse", "--reduction", "sum")
    assert {"mse": 10.0} == scored["total"]["values"]


@packed
@pytest.mark.parametrize(
    "kind",
    [
        pa.string(), pa.large_string(), pa.string_view(), pa.binary_view(), pa.binary(1),
        pa.date32(), pa.timestamp("ns"), pa.duration("us"), pa.time32("s"),
    ],
    ids=str,
)  # fmt: skip
def test_packed_values_that_are_no_numbers(kind: Any, form: str) -> None:
    text = pa.types.is_string(kind) or "string" in str(kind) or "binary" in str(kind)
    if text:
        two = pa.array([b"1", b"2"] if "binary" in str(kind) else ["1", "2"]).cast(kind)
    else:
        integers = pa.int32() if kind.bit_width == 32 else pa.int64()
        two = pa.array([1, 2], integers).view(kind)
    write(PACKED[form](two))
    assert f"data.arrow, column 'x': must hold numbers, got {kind}\n" in error(
        "score", "data.arrow", *COLUMNS
    )
