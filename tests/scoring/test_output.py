"""`lossless score --reduction none`: a file with the types of its columns, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, ipc, parquet

from lossless.scoring.readers import csv as _csv
from lossless.scoring.readers import table as _table
from support.command import COMMAND, error, run
from support.scoring.files import COLUMNS, GOOD
from support.scoring.keys import KEYS, Key

NONE = ("--reduction", "none", "--loss", "mse")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def write_batches(path: str, batches: list[pa.RecordBatch]) -> None:
    if path.endswith(".parquet"):
        with parquet.ParquetWriter(path, batches[0].schema) as file:
            for batch in batches:
                file.write_batch(batch)
    elif path.endswith(".csv"):
        csv.write_csv(pa.Table.from_batches(batches), path)
    else:
        with ipc.new_file(path, batches[0].schema) as file:
            for batch in batches:
                file.write_batch(batch)


def read(path: str) -> pa.Table:
    return csv.read_csv(path) if path.endswith(".csv") else parquet.read_table(path)


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("source", ["data.arrow", "data.parquet", "data.csv"])
@pytest.mark.parametrize("missing", ["x", "c"])
def test_first_batches_may_have_no_row(
    source: str, output: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_csv, "BLOCK", 128)
    monkeypatch.setattr(_table, "ROWS", 2)
    rows = 60  # so that a CSV file has several blocks of 128 bytes
    kinds = {"x": pa.float64(), "y": pa.int64(), "c": pa.string()}
    left_out: dict[str, Any] = {"x": [1.0] * rows, "y": [2] * rows, "c": ["x"] * rows}
    left_out[missing] = [None] * rows
    kept = {"x": [1.0, 3.0], "y": [2, 5], "c": ["x", "y"]}
    schema = pa.schema(list(kinds.items()))
    write_batches(source, [pa.RecordBatch.from_pydict(x, schema) for x in (left_out, kept)])
    arguments = (*COLUMNS, *NONE, "--by", "c", "--skip-missing", "-o", output)
    assert (0, "") == run("score", source, *arguments)[::2]
    assert {"row": [61, 62], "c": ["x", "y"], "mse": [1.0, 4.0]} == read(output).to_pydict()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.kind))
@pytest.mark.parametrize("source", ["data.arrow", "data.parquet"])
def test_keys_keep_the_type_of_their_column(source: str, key: Key) -> None:
    """Whatever the batches hold: each of them has another key."""
    numbers = pa.array([1, 2], pa.float32())
    keys = [pa.concat_arrays([one, one]) for one in (key.array[:1], key.array[1:])]
    batches = [pa.record_batch({"x": numbers, "y": numbers, "c": column}) for column in keys]
    write_batches(source, batches)
    status, _, errors = run("score", source, *COLUMNS, *NONE, "--by", "c", "-o", "out.parquet")
    assert (0, "") == (status, errors)
    written = read("out.parquet")
    parquet.write_table(pa.table({"c": pa.chunked_array(keys)}), "expected.parquet")
    expected = read("expected.parquet")["c"]  # Parquet has no seconds, and dates are 32 bits
    assert expected.type == written["c"].type
    assert written["c"].cast(key.text).equals(expected.cast(key.text))
    assert [0.0] * 4 == written["mse"].to_pylist()
    assert pa.float32() == written.schema.field("mse").type


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.kind))
def test_keys_in_csv_are_text_or_an_error(key: Key) -> None:
    parquet.write_table(pa.table({"x": [1.0, 2.0], "y": [0.0, 0.0], "c": key.array}), "d.parquet")
    arguments = ("score", "d.parquet", *COLUMNS, *NONE, "--by", "c", "-o", "out.csv")
    if key.csv is None:
        assert "--by c: has bytes that are not text: --output must be a .parquet" in error(
            *arguments
        )
        assert not Path("out.csv").exists()
        return
    assert (0, "") == run(*arguments)[::2]
    options = csv.ConvertOptions(column_types={"c": pa.string()})
    assert list(key.csv) == csv.read_csv("out.csv", convert_options=options)["c"].to_pylist()


MIXED = [
    (pa.array([1]), pa.array(["a"]), ["1", "a"], pa.large_string()),
    (pa.array(["a"]), pa.array([1]), ["a", "1"], pa.large_string()),
    (pa.array([1]), pa.array([1.5]), [1.0, 1.5], pa.float64()),
    (pa.array([1.5]), pa.array([True]), ["1.5", "True"], pa.large_string()),
    (pa.array([1], pa.int8()), pa.array([2**40]), [1, 2**40], pa.int64()),
    (pa.nulls(0), pa.array([7]), [7], pa.int64()),
]


@pytest.mark.parametrize(("first", "second", "expected", "kind"), MIXED, ids=lambda x: str(x)[:12])
def test_keys_of_files_that_differ_have_a_type_that_holds_them(
    first: pa.Array, second: pa.Array, expected: list[Any], kind: pa.DataType
) -> None:
    names = []
    for number, keys in enumerate((first, second)):
        if len(keys):
            names.append(f"{number}.parquet")
            ones = [1.0] * len(keys)
            parquet.write_table(pa.table({"x": ones, "y": [0.0], "c": keys}), names[-1])
        else:
            names.append(f"{number}.arrow")
            schema = pa.schema([("x", pa.float64()), ("y", pa.float64()), ("c", pa.null())])
            rows = {"x": [1.0, 1.0], "y": [0.0, 0.0], "c": [None, None]}
            write_batches(names[-1], [pa.RecordBatch.from_pydict(rows, schema)])
    if first.type == pa.null():
        names.reverse()
    arguments = (*COLUMNS, *NONE, "--by", "c", "-o", "out.parquet", "--skip-missing")
    if first.type == pa.null():
        assert "0.arrow: has no rows to score (2 with missing" in error("score", *names, *arguments)
        return
    assert (0, "") == run("score", *names, *arguments)[::2]
    written = read("out.parquet")
    assert (kind, expected) == (written.schema.field("c").type, written["c"].to_pylist())


def test_number_that_the_other_type_cannot_hold_is_an_error() -> None:
    for name, keys in (("a.parquet", [1.5]), ("b.parquet", [2**53 + 1])):
        parquet.write_table(pa.table({"x": [1.0], "y": [0.0], "c": keys}), name)
    message = error("score", "a.parquet", "b.parquet", *COLUMNS, "--by", "c")
    assert "b.parquet, column 'c': does not fit the common type of all files" in message
    assert "9007199254740993" in message


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ("f2 f4", "float"),
        ("f4 f2", "float"),
        ("f4 f8", "double"),
        ("f2 i1", "double"),
        ("f2 f2", "halffloat"),
    ],
)
def test_losses_have_the_widest_dtype_of_all_files(dtypes: str, expected: str, output: str) -> None:
    names = []
    for number, dtype in enumerate(dtypes.split()):
        names.append(f"{number}.parquet")
        column = np.array([3 + number], dtype)
        parquet.write_table(pa.table({"x": column, "y": np.zeros_like(column)}), names[-1])
    assert (0, "") == run("score", *names, *COLUMNS, *NONE, "-o", output)[::2]
    written = read(output)
    assert [9, 16] == written["mse"].to_pylist()
    if output.endswith("parquet"):
        assert expected == str(written.schema.field("mse").type)


# In the process itself: JAX minds that this one is forked to run something in between.
WITH_LIMIT = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("limit", [0, 100_000])
def test_output_that_does_not_fit_is_one_line_and_nothing_is_left(output: str, limit: int) -> None:
    """As on a full disk, from the first byte, or in the middle."""
    rng = np.random.default_rng(1)
    parquet.write_table(
        pa.table(dict(zip("xy", rng.normal(size=(2, 50_000)), strict=True))), "d.parquet"
    )
    Path(output).write_text("old")
    command = [str(COMMAND), "score", "d.parquet", *COLUMNS, "--reduction", "none", "-o", output]
    limited = [sys.executable, "-c", WITH_LIMIT, str(limit), *command]
    done = subprocess.run(limited, capture_output=True, text=True)
    assert (1, "") == (done.returncode, done.stdout)
    assert f"lossless score: --output {output}: File too large\n" == done.stderr
    assert {path.name for path in Path().iterdir()} == {"d.parquet", output}
    assert "old" == Path(output).read_text()


def test_folder_that_cannot_be_written_is_one_line() -> None:
    Path("data.csv").write_text(GOOD)
    message = error("score", "data.csv", *COLUMNS, "--reduction", "none", "-o", "/proc/o.csv")
    assert message.startswith("lossless score: --output /proc/o.csv: ")


@pytest.mark.parametrize(
    "arguments",
    [
        "score data.csv --inputs x --targets y",
        "score data.csv --inputs x --targets y --json",
        "--help",
    ],
)
def test_standard_output_that_is_full_is_one_line(arguments: str) -> None:
    Path("data.csv").write_text(GOOD)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, *arguments.split()], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert 1 == done.returncode
    assert done.stderr.endswith(
        ": the standard output cannot be written: No space left on device\n"
    )
    assert 1 == done.stderr.count("\n")


@pytest.mark.parametrize(("rows", "options"), [(3, []), (30_000, []), (30_000, ["--json"])])
def test_pipe_that_nobody_reads_ends_quietly(rows: int, options: list[str]) -> None:
    """When it is written at the end, and in the middle."""
    table = {"x": np.ones(rows), "y": np.zeros(rows), "g": np.arange(rows)}
    parquet.write_table(pa.table(table), "d.parquet")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [COMMAND, "score", "d.parquet", *COLUMNS, "--by", "g", *options],
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert (141, b"") == (done.returncode, done.stderr)
