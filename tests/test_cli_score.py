"""`lossless score`: its totals are the library's, and what is wrong with a file is told."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from command import error, interrupt, run, run_json
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from numpy.typing import NDArray
from pyarrow import csv, feather, ipc, parquet

import lossless
from lossless.cli import _csv, _rows, _tables, _totals
from lossless.cli.oracle.reference import LOSSES, real

GOOD = "x,y,w,g\n1,1.5,2,b\n2,2,1,a\n10,3,4,b\n"
COLUMNS = ("--inputs", "x", "--targets", "y")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def truth(loss: str, rows: list[tuple[float, float]], **parameters: float) -> Any:
    """The sum of the losses, from the definition."""
    settings = {**LOSSES[loss].parameters, **parameters}
    with mp.workprec(300):
        return sum(real(LOSSES[loss], "value", x, t, **settings) for x, t in rows)


ROWS = [(1.0, 1.5), (2.0, 2.0), (10.0, 3.0)]


def test_score_prints_the_means_of_all_losses() -> None:
    Path("data.csv").write_text(GOOD)
    status, output, errors = run("score", "data.csv", *COLUMNS)
    assert (status, errors) == (0, "")
    assert "mean of the losses of x against y" in output
    heading, _, row = output.strip().splitlines()[-3:]
    assert heading.split() == ["file", "rows", "huber", "delta=1", "log_cosh"]
    expected = [repr(float(truth(loss, ROWS) / 3)) for loss in ("huber", "log_cosh")]
    assert ["data.csv", "3", *expected] == row.split()


def test_score_json() -> None:
    Path("data.csv").write_text(GOOD)
    values = {"huber": float(truth("huber", ROWS, delta=2.5))}
    assert run_json(
        "score", "data.csv", *COLUMNS, "--loss", "huber", "--delta", "2.5", "--reduction", "sum"
    ) == {
        "inputs": "x",
        "targets": "y",
        "weights": None,
        "by": None,
        "reduction": "sum",
        "losses": [{"loss": "huber", "parameters": {"delta": 2.5}}],
        "files": [{"file": "data.csv", "rows": 3, "skipped": 0, "values": values}],
        "total": {"rows": 3, "skipped": 0, "values": values},
    }  # fmt: skip


def test_score_has_every_loss_of_the_residual() -> None:
    Path("data.csv").write_text(GOOD)
    values = run_json("score", "data.csv", *COLUMNS)["total"]["values"]
    assert set(values) >= {"huber", "log_cosh"}
    for name, value in values.items():
        assert value == float(
            getattr(lossless, f"{name}_loss")(*np.array(ROWS).T, reduction="mean")
        )


@pytest.mark.parametrize("name", ["log_cosh", "log-cosh", "log_cosh_loss", "Log-Cosh"])
def test_score_knows_a_loss_by_any_spelling(name: str) -> None:
    Path("data.csv").write_text(GOOD)
    (loss,) = run_json("score", "data.csv", *COLUMNS, "--loss", name)["losses"]
    assert loss == {"loss": "log_cosh", "parameters": {}}


Columns = dict[str, NDArray[Any]]


def _csv_file(path: str, columns: Columns) -> None:
    csv.write_csv(pa.table(columns), path)


def _gzipped_csv(path: str, columns: Columns) -> None:
    content = io.BytesIO()
    csv.write_csv(pa.table(columns), content)
    half = len(content.getvalue()) // 2  # gzip files may be put behind each other
    parts = content.getvalue()[:half], content.getvalue()[half:]
    Path(path).write_bytes(b"".join(map(gzip.compress, parts)))


def _parquet(path: str, columns: Columns) -> None:
    parquet.write_table(pa.table(columns), path, row_group_size=70_001)


def _arrow_file(path: str, columns: Columns) -> None:
    table = pa.table(columns)
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=70_001)


def _arrow_stream(path: str, columns: Columns) -> None:
    table = pa.table(columns)
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=70_001)


def _feather(path: str, columns: Columns) -> None:
    feather.write_feather(pa.table(columns), path)


def _records(path: str, columns: Columns) -> None:
    kinds = [(name, column.dtype) for name, column in columns.items()]
    records = np.empty(len(columns["x"]), kinds)
    for name, column in columns.items():
        records[name] = column
    np.save(path, records)


def _npz(path: str, columns: Columns) -> None:
    arrays: dict[str, Any] = dict(columns)
    np.savez_compressed(path, **arrays)


WRITERS: dict[str, tuple[str, Callable[[str, Columns], None]]] = {
    "csv": ("data.csv", _csv_file),
    "gzip": ("data.csv.gz", _gzipped_csv),
    "parquet": ("data.parquet", _parquet),
    "arrow": ("data.arrow", _arrow_file),
    "stream": ("data.arrow", _arrow_stream),
    "feather": ("data.feather", _feather),
    "records": ("data.npy", _records),
    "npz": ("data.npz", _npz),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_score_is_the_library_on_the_whole_columns(
    kind: str, dtype: str, rng: np.random.Generator
) -> None:
    """To one rounding of the dtype, with weights and without.

    Where float64 sums are divided by float64 sums, each of the library's has a rounding per block.
    """
    x, t = rng.normal(0.5, 2.0, (2, 300_000)).astype(dtype)
    w = rng.uniform(0.1, 3.0, len(x)).astype(dtype)
    name, write = WRITERS[kind]
    write(name, {"x": x, "ignored": t, "y": t, "w": w})
    for options in ({}, {"weights": w}):
        for reduction in ("sum", "mean", "weighted_mean")[: 2 + len(options)]:
            arguments = ["--weights", "w"] if options else []
            found = run_json("score", name, *COLUMNS, *arguments, "--reduction", reduction)
            assert found["total"]["rows"] == len(x)
            for loss, value in found["total"]["values"].items():
                function = getattr(lossless, f"{loss}_loss")
                expected = function(x, t, reduction=reduction, **options)
                roundings = 6 if reduction == "weighted_mean" and dtype == "float64" else 1
                apart = abs(np.float64(expected) - value)
                assert apart <= roundings * np.spacing(expected), (loss, reduction)
                if dtype == "float32" and not options:
                    assert expected == np.float32(value)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("suffix", [".npy", ".npy.gz"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<i4", ">u2", "?"])
def test_score_columns_of_a_matrix_by_number(
    order: Any, suffix: str, dtype: str, rng: np.random.Generator
) -> None:
    matrix = np.asarray(rng.integers(0, 9, (1000, 3)), order=order).astype(dtype)
    content = io.BytesIO()
    np.save(content, matrix)
    data = content.getvalue()
    Path(f"m{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    found = run_json("score", f"m{suffix}", "--inputs", "2", "--targets", "0", "--reduction", "sum")
    wide = matrix.astype(np.float64)
    for loss, value in found["total"]["values"].items():
        assert value == getattr(lossless, f"{loss}_loss")(wide[:, 2], wide[:, 0], reduction="sum")


@given(
    numbers=st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(0, 3)),
        min_size=1,
        max_size=300,
    ),
    rows=st.integers(1, 400),
)
def test_score_is_the_same_for_any_chunk(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[tuple[float, float, int]], rows: int
) -> None:
    path = tmp_path_factory.mktemp("chunks")
    x, t, g = map(np.array, zip(*numbers, strict=True))
    columns = {"x": x, "y": t, "g": g}
    _parquet(f"{path}/data.parquet", columns)
    _csv_file(f"{path}/data.csv", columns)
    _npz(f"{path}/data.npz", columns)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_totals, "BLOCK", 16)
        patch.setattr(_rows, "PIECE", 64)
        for size in (1 << 16, rows):
            patch.setattr(_tables, "ROWS", size)
            patch.setattr(_csv, "BLOCK", max(128, 40 * size))
            found += [
                run_json("score", str(path / name), *COLUMNS, "--by", "g")
                for name in ("data.parquet", "data.csv", "data.npz")
            ]
    expected = found[0]
    for loss, value in expected["total"]["values"].items():
        true = truth(loss, [(a, b) for a, b, _ in numbers]) / len(numbers)
        assert abs(value - true) <= 2.0**-49 * true + 2.0**-1000
    for other in found:
        assert expected["total"] == other["total"]
        assert [row["values"] for row in expected["groups"]] == [
            row["values"] for row in other["groups"]
        ]


def test_score_total_survives_cancelling_weights() -> None:
    """The errors of the additions are kept: what is left is no noise."""
    rows = [(1e8, 1.0), (0.25, 1.0), (1e8, -1.0)] * 50_000
    table = pa.table({"x": [x for x, _ in rows], "y": [0.0] * len(rows), "w": [w for _, w in rows]})
    parquet.write_table(table, "data.parquet")
    found = run_json(
        "score", "data.parquet", *COLUMNS, "--loss", "huber", "--weights", "w", "--reduction", "sum"
    )
    assert found["total"]["values"] == {"huber": 50_000 * 0.25**2 / 2}


def test_score_groups_in_order_of_appearance() -> None:
    Path("a.csv").write_text(GOOD)
    Path("b.csv").write_text("g,y,x\nc,0,3\n[b],0,1\na,0,0.5\n")
    status, output, _ = run("score", "a.csv", "b.csv", *COLUMNS, "--by", "g", "--loss", "huber")
    assert status == 0
    lines = [line.split() for line in output.splitlines() if line.strip()]
    assert lines[1][:2] == ["g", "rows"]
    assert lines[3:7] == [
        ["b", "2", repr((0.125 + 6.5) / 2)],
        ["a", "2", repr(0.125 / 2)],
        ["c", "1", "2.5"],
        ["[b]", "1", "0.5"],
    ]
    assert lines[-1] == ["all", "6", repr((0.125 + 6.5 + 0.125 + 2.5 + 0.5) / 6)]
    groups = run_json("score", "a.csv", "b.csv", *COLUMNS, "--by", "g")["groups"]
    assert [(row["group"], row["rows"]) for row in groups] == [
        ("b", 2), ("a", 2), ("c", 1), ("[b]", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("key", [pa.int8(), pa.string(), pa.bool_(), pa.float32(), "dictionary"])
def test_score_groups_by_any_type(key: Any) -> None:
    keys = pa.array([1, 0, 1, 1])
    if key == "dictionary":
        keys = pa.DictionaryArray.from_arrays([1, 0, 1, 1], ["no", "yes"])
    else:
        keys = keys.cast(key)
    parquet.write_table(pa.table({"x": [1.0, 2, 3, 4], "y": [0.0] * 4, "g": keys}), "d.parquet")
    found = run_json("score", "d.parquet", *COLUMNS, "--by", "g", "--loss", "huber")["groups"]
    assert [(row["group"], row["rows"]) for row in found] == [
        (keys[0].as_py(), 3), (keys[1].as_py(), 1),
    ]  # fmt: skip
    assert [row["values"]["huber"] for row in found] == [(0.5 + 2.5 + 3.5) / 3, 1.5]


def test_score_several_files() -> None:
    for name, rows in (("f1", "1,0\n"), ("f2", "2,0\n4,0\n"), ("other", "9,0\n")):
        Path(f"{name}.csv").write_text(f"x,y\n{rows}")
    found = run_json("score", "f?.csv", "f1.csv", *COLUMNS, "--loss", "huber")
    assert [(row["file"], row["rows"]) for row in found["files"]] == [("f1.csv", 1), ("f2.csv", 2)]
    assert [row["values"]["huber"] for row in found["files"]] == [0.5, 2.5]
    assert found["total"] == {"rows": 3, "skipped": 0, "values": {"huber": 5.5 / 3}}
    _, output, _ = run("score", "f?.csv", *COLUMNS, "--loss", "huber")
    assert output.split()[-3:] == ["all", "3", repr(5.5 / 3)]


def test_score_weighted_means() -> None:
    Path("data.csv").write_text(GOOD)
    arguments = ("score", "data.csv", *COLUMNS, "--weights", "w", "--loss", "huber")
    total = 2 * 0.125 + 4 * 6.5
    assert run_json(*arguments)["total"]["values"]["huber"] == total / 3
    found = run_json(*arguments, "--reduction", "weighted_mean", "--by", "g")
    assert found["total"]["values"]["huber"] == total / 7
    assert [row["values"]["huber"] for row in found["groups"]] == [total / 6, 0.0]


def test_score_without_weight_is_not_a_number() -> None:
    Path("data.csv").write_text("x,y,w\n1,0,0\n")
    arguments = ("score", "data.csv", *COLUMNS, "--weights", "w", "--reduction", "weighted_mean")
    assert run_json(*arguments)["total"]["values"]["huber"] == "nan"
    assert run(*arguments)[1].split()[-1] == "nan"


def test_score_of_infinite_numbers_is_infinite() -> None:
    Path("data.csv").write_text("x,y\n1,0\n-inf,0\n")
    assert run_json("score", "data.csv", *COLUMNS)["total"]["values"]["huber"] == "inf"


MISSING = "x,y,g\n1,0,a\n,0,a\nNA,0,a\n3, nan,b\n4,0,\n-6,0,b\n"


def test_score_leaves_missing_cells_out_if_told() -> None:
    Path("data.csv").write_text(MISSING)
    Path("whole.csv").write_text("x,y,g\n0,0,c\n")
    arguments = ("score", "data.csv", "whole.csv", *COLUMNS, "--loss", "huber", "--skip-missing")
    found = run_json(*arguments, "--by", "g")
    assert [(row["rows"], row["skipped"]) for row in found["files"]] == [(2, 4), (1, 0)]
    assert found["total"] == {"rows": 3, "skipped": 4, "values": {"huber": 2.0}}
    assert [row["group"] for row in found["groups"]] == ["a", "b", "c"]
    assert "4 rows with missing cells were left out" in run(*arguments, "--by", "g")[1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_score_writes_the_loss_of_each_row(suffix: str) -> None:
    x, t = np.array([0.1, np.nan, 3.0, -2.0], np.float32), np.zeros(4, np.float32)
    parquet.write_table(pa.table({"x": x, "y": t, "g": ["a", "a", "b", "a"]}), "d.parquet")
    parquet.write_table(pa.table({"x": x[3:], "y": t[3:], "g": ["c"]}), "e.parquet")
    found = run_json(
        "score", "d.parquet", "e.parquet", *COLUMNS, "--reduction", "none", "--skip-missing",
        "--by", "g", "-o", f"out.{suffix}",
    )  # fmt: skip
    assert found["output"] == f"out.{suffix}"
    assert found["total"] == {"rows": 4, "skipped": 1}
    read = csv.read_csv if suffix == "csv" else parquet.read_table
    written = read(f"out.{suffix}")
    assert written.column_names[:4] == ["file", "row", "g", "huber"]
    expected = lossless.log_cosh_loss(x, t)[[0, 2, 3, 3]]
    assert expected.tolist() == written["log_cosh"].cast(pa.float32()).to_pylist()
    assert written["row"].to_pylist() == [1, 3, 4, 1]
    assert written["file"].to_pylist() == ["d.parquet"] * 3 + ["e.parquet"]
    assert written["g"].to_pylist() == ["a", "b", "a", "c"]
    status, output, _ = run(
        "score", "e.parquet", *COLUMNS, "--reduction", "none", "-o", f"out.{suffix}"
    )
    assert (status, output) == (0, f"1 rows: out.{suffix}\n")
    assert read(f"out.{suffix}").column_names[:2] == ["row", "huber"]


def test_score_writes_nothing_when_a_later_row_is_bad() -> None:
    Path("out.csv").write_text("the old file")
    Path("data.csv").write_text("x,y\n" + "1,2\n" * 500_000 + "1,two\n")
    message = error("score", "data.csv", *COLUMNS, "--reduction", "none", "-o", "out.csv")
    assert "data.csv, row 500,001 (line 500,002), column 'y': 'two' is not a number" in message
    assert Path("out.csv").read_text() == "the old file"
    assert {path.name for path in Path().iterdir()} == {"data.csv", "out.csv"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "data.csv: there is no such file"),
        ("", "data.csv: the file is empty"),
        ("\n\n", "data.csv: the first line must name the columns, and it is empty"),
        ("x,y\n", "data.csv: has no rows to score"),
        ("a,b\n1,2\n", "data.csv: there is no column 'x', only 'a', 'b'"),
        ("x;y\n1;2\n", "there is no column 'x', only 'x;y' (cells must be separated by commas)"),
        ("x,x,y\n1,2,3\n", "data.csv: 2 columns have the name 'x'"),
        ("x,y\n1,2\n\n3,abc\n", "data.csv, row 2 (line 4), column 'y': 'abc' is not a number"),
        ('x,y,z\n1,2,"a\nb"\n1 000,2,\n', "row 2 (line 4), column 'x': '1 000' is not a number"),
        ("x,y\n1,0x1f\n", "row 1 (line 2), column 'y': '0x1f' is not a number"),
        ("x,y\n1,1_0\n", "row 1 (line 2), column 'y': '1_0' is not a number"),
        ("x,y\n1,\udcff\n", "row 1 (line 2), column 'y': '\ufffd' is not a number"),
        ("x,y\n1,2\n,3\n", "row 2 (line 3), column 'x': the cell is empty (--skip-missing leaves"),
        ("x,y\n1,NaN\n", "row 1 (line 2), column 'y': 'NaN' (--skip-missing leaves such rows out)"),
        ("x,y\n1,n/a\n", "row 1 (line 2), column 'y': 'n/a' (--skip-missing leaves such rows out)"),
        ("x,y\n1,2\n3\n", "row 2 (line 3): has 1 cells, the header 2"),
        ("x,y\n1,2\n3,4,5\n", "row 2 (line 3): has 3 cells, the header 2"),
        ('x,y,z\n1,2,a\n3,4,"b\n5,6,c\n', "row 2: the file ends within a quoted cell"),
        ("x,y\n1,2\ninf,inf\n", "row 2 (line 3), column 'x': both it and column 'y' are infinite"),
    ],
)  # fmt: skip
def test_score_says_what_is_wrong_with_a_csv_file(text: str | None, message: str) -> None:
    if text is not None:
        Path("data.csv").write_bytes(text.encode(errors="surrogateescape"))
    assert message in error("score", "data.csv", *COLUMNS)


def test_score_reads_what_spreadsheets_write() -> None:
    """A byte order mark, spaces, quotes, Windows line ends, exponents, odd quotes in text."""
    text = '\ufeffx ,"y",z\r\n1,"2",5" disk\r\n\r\n 3 ,+5,\r\n,.6e1,\r\n4,7.,\r\n'
    Path("data.csv").write_bytes(text.encode())
    Path("data.tsv").write_bytes(text.replace(",", "\t").encode())
    for name in ("data.csv", "data.tsv"):
        found = run_json("score", name, *COLUMNS, "--loss", "huber", "--skip-missing")["total"]
        assert found == {"rows": 3, "skipped": 1, "values": {"huber": (0.5 + 1.5 + 2.5) / 3}}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, None, 2.0]}, "data.parquet, row 2, column 'x': the cell is empty (--skip"),
        ({"x": [1.0, 2.0, float("nan")]}, "row 3, column 'x': is nan (--skip-missing"),
        ({"x": ["1", "2", "3"]}, "column 'x': must hold numbers, holds string"),
        ({"x": [[1.0], [2.0], [3.0]]}, "column 'x': must hold numbers, holds list"),
        ({"w": [1.0, 2.0, None]}, "row 3, column 'w': the cell is empty"),
        ({"w": [1.0, float("inf"), 1.0]}, "row 2, column 'w': a weight must be finite"),
        ({"g": ["a", "b", None]}, "row 3, column 'g': the cell is empty"),
        ({"g": [[1], [2], [3]]}, "column 'g': cannot group by list"),
    ],
)
def test_score_says_what_is_wrong_with_a_column(columns: dict[str, Any], message: str) -> None:
    table: dict[str, Any] = {"x": [1, 2, 3], "y": [0.5, 0.5, 0.5], "w": [1, 1, 1], "g": [1, 2, 3]}
    parquet.write_table(pa.table(table | columns), "data.parquet")
    assert message in error("score", "data.parquet", *COLUMNS, "--weights", "w", "--by", "g")


@pytest.mark.parametrize("kind", [*WRITERS, "npy.gz"])
def test_score_says_that_a_file_is_truncated(kind: str, rng: np.random.Generator) -> None:
    x = rng.normal(0, 1, 20_000)
    if kind == "npy.gz":
        name, content = "data.npy.gz", io.BytesIO()
        np.save(content, np.column_stack([x, x]))
        Path(name).write_bytes(gzip.compress(content.getvalue()))
        columns = ("--inputs", "0", "--targets", "1")
    else:
        name, write = WRITERS[kind]
        write(name, {"x": x, "y": -x, "z": np.array(['"quoted", text'] * len(x))})
        columns = ("--inputs", "x", "--targets", "y")
    whole = Path(name).read_bytes()
    for part in (0.5, 0.97):
        Path(name).write_bytes(whole[: int(len(whole) * part) - 3])
        message = error("score", name, *columns)
        assert message.startswith(f"lossless score: {name}")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("a.npy", np.ones(3), "there is no column '1', only '0'"),
        ("a.npy", np.ones((3, 2, 2)), "must have rows and columns, got float64 in the shape"),
        ("a.npy", np.ones((3, 2), complex), "column '0': must hold numbers"),
        ("a.npy", np.ones((3, 2), "M8[s]"), "column '0': must hold numbers, holds timestamp"),
        ("a.npy", np.array([[None, 1]]), "a.npy: holds Python objects, not numbers"),
        ("a.npy", np.ones((0, 2)), "a.npy: has no rows to score"),
        ("a.npz", np.ones((3, 2)), "must have one dimension and the same length"),
        ("a.npz", np.ones(2), "must have one dimension and the same length"),
    ],
)
def test_score_says_what_is_wrong_with_an_array(name: str, array: Any, message: str) -> None:
    if name == "a.npz":
        np.savez(name, **{"0": np.ones(3), "1": array})
    else:
        np.save(name, array, allow_pickle=True)
    assert message in error("score", name, "--inputs", "0", "--targets", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (". --inputs x --targets y", ".: is a folder: name its files, as in './*.parquet'"),
        ("no*.csv --inputs x --targets y", "no*.csv: matches no file"),
        ("data.txt --inputs x --targets y", "data.txt: the name must end with .csv, .tsv"),
        ("a.parquet.gz --inputs x --targets y", "decompress it first"),
        (f"{os.devnull} --inputs x --targets y", "null: is no file"),
        ("data.csv --inputs x --targets y --loss hubert", "there is no loss 'hubert', only "),
        ("data.csv --inputs x --targets y --delta 0", "huber_loss: delta must be > 0, got 0.0"),
        ("data.csv --inputs x --targets y --delta nan", "huber_loss: delta must be > 0, got nan"),
        (
            "data.csv --inputs x --targets y --loss log_cosh --delta 1",
            "--delta: log_cosh has no such parameter",
        ),
        ("data.csv --inputs x --targets y --reduction none", "say --output FILE.csv"),
        ("data.csv --inputs x --targets y -o out.csv", "say --reduction none"),
        ("data.csv --inputs x --targets y --reduction weighted_mean", "say --weights"),
        ("data.csv --inputs x --targets y --reduction none -o o.xls", "end with .csv, .parquet"),
        ("data.csv --inputs x --targets y --reduction none -o no/o.csv", "there is no folder no"),
        (
            "data.csv --inputs x --targets y --reduction none -o o.csv --by row",
            "--by row: --output has another column of this name",
        ),
    ],
)  # fmt: skip
def test_score_says_what_is_wrong_with_an_option(arguments: str, message: str) -> None:
    for name in ("data.csv", "data.txt", "a.parquet.gz"):
        Path(name).write_text("row," + GOOD.replace("\n", "\n1,").removesuffix("1,"))
    before = set(Path().iterdir())
    assert message in error("score", *arguments.split())
    assert set(Path().iterdir()) == before


def test_score_without_columns_is_wrong_usage() -> None:
    Path("data.csv").write_text(GOOD)
    for arguments in (
        ["data.csv", "--inputs", "x"],
        [*COLUMNS],
        ["data.csv", "--reduction", "max"],
    ):
        status, output, errors = run("score", *arguments)
        assert (status, output) == (2, "")
        assert errors


def test_score_help_shows_an_example() -> None:
    status, output, _ = run("score", "--help")
    assert status == 0
    assert "lossless score predictions.csv --inputs prediction --targets truth" in output
    assert "A parameter of huber." in output


def test_score_ends_cleanly_when_interrupted() -> None:
    """It waits for a file that is being written; Ctrl-C leaves no output."""
    Path("first.csv").write_text(GOOD)
    rows = 40_000_000
    parquet.write_table(pa.table({"x": np.ones(1), "y": np.ones(1)}), "a.parquet")
    with open("big.npy", "wb") as file:  # sparse: reading it takes long, writing it does not
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (rows, 2)}
        )
        file.truncate(file.tell() + 16 * rows)
    arguments = ["big.npy", "--inputs", "0", "--targets", "1", "--reduction", "none", "-o", "o.csv"]
    done = interrupt(
        ["score", *arguments],
        lambda: any(path.stat().st_size > 1e6 for path in Path().glob("tmp*.csv")),
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "lossless score: interrupted\n"
    assert {path.name for path in Path().iterdir()} == {"first.csv", "a.parquet", "big.npy"}
