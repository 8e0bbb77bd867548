"""`lossless score --by`: keys of any type, of several columns, and a table for any terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet
from rich.cells import cell_len
from rich.console import Console

from lossless.cli._losses import chosen
from lossless.cli._scores import Part, print_scores
from lossless.scoring import kinds as _kinds
from lossless.scoring.groups import Groups
from support.command import error, run, run_json
from support.scoring.files import COLUMNS
from support.scoring.keys import KEYS, Key


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def numbers(*arrays: pa.Array) -> list[int]:
    """Of the groups of the rows of one column, in batches."""
    groups = Groups([_kinds.common([array.type for array in arrays])])
    return [int(number) for array in arrays for number in groups.of([array])]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.kind))
def test_names_of_keys(key: Key) -> None:
    columns = {"x": pa.array([1.0, 2.0]), "y": pa.array([0.0, 0.0]), "c": key.array}
    batch = pa.record_batch(columns)
    with ipc.new_file("d.arrow", batch.schema) as file:
        file.write_batch(batch)
        file.write_batch(batch)
    found = run_json("score", "d.arrow", *COLUMNS, "--by", "c", "--loss", "mse")["groups"]
    assert [(name, 2) for name in key.names] == [(row["group"], row["rows"]) for row in found]
    assert [1.0, 4.0] == [row["values"]["mse"] for row in found]
    assert [type(name) for name in key.names] == [type(row["group"]) for row in found]


def test_text_that_is_not_utf8_is_kept_apart() -> None:
    raw = pa.array([b"K\xf6ln", b"K\xfcln", b"K\xf6ln", b"K\xef\xbf\xbdln"])
    text = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    assert [0, 1, 0, 2] == numbers(text)
    assert [0, 1, 0, 2] == numbers(text.dictionary_encode())


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ([pa.array([2**53, 2**53 + 1])], [0, 1]),
        ([pa.array([0.0, -0.0, float("nan"), None])], [0, 0, -1, -1]),
        ([pa.array([1]), pa.array([1.0, 1.5])], [0, 0, 1]),
        ([pa.array([True]), pa.array([1])], [0, 1]),
        ([pa.array(["1", " 1", "1.0", ""]), pa.array([1])], [0, 0, 1, -1, 0]),
        ([pa.nulls(2), pa.array(["a"])], [-1, -1, 0]),
        ([pa.array([b"a", b"a ", b""])], [0, 1, 2]),
    ],
    ids=lambda x: str([str(y.type) for y in x]) if isinstance(x[0], pa.Array) else "",
)
def test_keys_that_differ_are_never_one_group(arrays: list[pa.Array], expected: list[int]) -> None:
    assert expected == numbers(*arrays)


def test_groups_of_several_columns() -> None:
    table = {
        "x": [1.0, 2, 3, 4, 5, 6],
        "y": [0.0] * 6,
        "a": ["u", "u", "v", "u", None, "v"],
        "b": [1, 2, 1, 1, 1, 1],
        "c": [0.5, 0.5, 0.5, 0.5, 0.5, 1.5],
    }
    parquet.write_table(pa.table(table), "d.parquet", row_group_size=2)
    arguments = ("--by", "a", "--by", "b", "--by", "c", "--loss", "l1", "--reduction", "sum")
    found = run_json("score", "d.parquet", *COLUMNS, *arguments, "--skip-missing")
    assert ["a", "b", "c"] == found["by"]
    rows = found["groups"]
    assert [
        ("u", 1, 0.5, 2, 5.0), ("u", 2, 0.5, 1, 2.0), ("v", 1, 0.5, 1, 3.0), ("v", 1, 1.5, 1, 6.0),
    ] == [(*row["group"].values(), row["rows"], row["values"]["l1"]) for row in rows]  # fmt: skip
    assert ["a", "b", "c"] == [*found["groups"][0]["group"]]
    output = run("score", "d.parquet", *COLUMNS, *arguments, "--skip-missing")[1]
    assert ["a", "b", "c", "rows", "l1"] == output.splitlines()[2].split()
    assert "row 5, column 'a': the cell is empty" in error(
        "score", "d.parquet", *COLUMNS, *arguments
    )
    twice = error("score", "d.parquet", *COLUMNS, "--by", "a", "--by", "b", "--by", "a")
    assert "--by a is given 2 times" in twice


PARTS = [
    ("Lyon", "a_folder/with/a_long_name/that_goes_on_and_on/and_on/and_on/one.parquet"),
    ("東京都千代田区", "a_folder/with/a_long_name/that_goes_on_and_on/and_on/and_on/two.parquet"),
    ("line\nbreak", "x"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [80, 120, 400])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("deltas", [[1.0], [0.1, 0.25, 1 / 3]])
def test_table_fits_the_terminal(
    deltas: list[float], columns: int, width: int, encoding: str
) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding)
    console = Console(file=output, force_terminal=True, width=width, no_color=True, highlight=False)
    losses = chosen(None, {"delta": deltas})
    rng = np.random.default_rng(1)
    parts = [
        Part(names[:columns], 10**k, {x.key: float(rng.normal()) * 10.0**-k for x in losses})
        for k, names in enumerate(PARTS)
    ]
    total = Part(("all", *[""] * (columns - 1)), 111, parts[0].values)
    headings = ["city", "file"][:columns]
    print_scores(console, "mean", headings, losses, lambda: iter(parts), total, 6)
    output.flush()
    text = output.buffer.getvalue().decode(encoding)
    lines = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in text.splitlines()]
    assert max(map(cell_len, lines)) <= width
    assert len(lines) in (9, 10, 5 + 4 * len(losses))
    values = [f"{value:.6g}" for part in (*parts, total) for value in part.values.values()]
    assert values == [x for x in text.split() if x in values]
    if width == 400:
        assert 9 == len(lines)
        assert PARTS[0][columns - 1] in text


def test_table_names_a_file_whose_name_is_no_text() -> None:
    name = b"K\xf6ln.csv".decode("utf-8", "surrogateescape")
    Path(name).write_text("x,y\n1,0\n")
    assert "K\\xf6ln.csv" in run("score", name, *COLUMNS)[1]


def test_table_in_a_pipe_is_neither_folded_nor_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    names = [f"{name}-{'long ' * 80}name" for name in "ab"]
    parquet.write_table(pa.table({"x": [1.0, 2], "y": [0.0, 0], "g": names}), "d.parquet")
    lines = run("score", "d.parquet", *COLUMNS, "--by", "g", "--delta", "1", "--delta", "2")[
        1
    ].splitlines()
    assert names == [line.split("   ")[0].strip() for line in lines[4:6]]
    assert len(lines[2].split("   ")) > 6
    assert 1 == len({len(line) for line in lines[2:6]})


def test_keys_that_are_no_names_are_an_error() -> None:
    kinds: list[Any] = [pa.list_(pa.int8()), pa.struct([("a", pa.int8())]), pa.map_("i1", "i1")]
    for kind in kinds:
        table = {"x": [1.0], "y": [0.0], "c": pa.nulls(1, kind)}
        parquet.write_table(pa.table(table), "d.parquet")
        message = error("score", "d.parquet", *COLUMNS, "--by", "c")
        assert f"d.parquet, column 'c': cannot group by {str(kind).partition('<')[0]}<" in message
