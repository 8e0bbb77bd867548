"""`lossless score`: what is wrong with a file or an option is told, and nothing half-written."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from support.command import error, interrupt, run
from support.scoring.files import COLUMNS, GOOD, WRITERS


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_score_writes_nothing_when_a_later_row_is_bad() -> None:
    Path("out.csv").write_text("the old file")
    Path("data.csv").write_text("x,y\n" + "1,2\n" * 500_000 + "1,two\n")
    message = error("score", "data.csv", *COLUMNS, "--reduction", "none", "-o", "out.csv")
    assert "data.csv, row 500,001 (line 500,002), column 'y': 'two' is not a number" in message
    assert "the old file" == Path("out.csv").read_text()
    assert {"data.csv", "out.csv"} == {path.name for path in Path().iterdir()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "data.csv: there is no such file"),
        ("", "data.csv: the file is empty"),
        ("\n\n", "data.csv: the first line must name the columns, and it is empty"),
        ("x,y\n", "data.csv: has no rows to score"),
        ("a,b\n1,2\n", "data.csv: there is no column 'x', only 'a', 'b'"),
        ("x;y\n1;2\n", "only 'x;y' (cells must be separated by ',', or by the character of --sep)"),
        ("x,x,y\n1,2,3\n", "data.csv: 2 columns have the name 'x'"),
        ("x,y\n1,2\n\n3,abc\n", "data.csv, row 2 (line 4), column 'y': 'abc' is not a number"),
        ('x,y,z\n1,2,"a\nb"\n1 000,2,\n', "row 2 (line 4), column 'x': '1 000' is not a number"),
        ("x,y\n1,0x1f\n", "row 1 (line 2), column 'y': '0x1f' is not a number"),
        ("x,y\n1,1_0\n", "row 1 (line 2), column 'y': '1_0' is not a number"),
        ("x,y\n1,\udcff\n", "data.csv, line 2: is not UTF-8: name the encoding, as in"),
        ("x,y\n1,2\n,3\n", "row 2 (line 3), column 'x': the cell is empty (--skip-missing skips"),
        ("x,y\n1,NaN\n", "row 1 (line 2), column 'y': 'NaN' (--skip-missing skips such rows)"),
        ("x,y\n1,n/a\n", "row 1 (line 2), column 'y': 'n/a' (--skip-missing skips such rows)"),
        ("x,y\n1,2\n3\n", "row 2 (line 3): must have 2 cells, got 1"),
        ("x,y\n1,2\n3,4,5\n", "row 2 (line 3): must have 2 cells, got 3"),
        ('x,y,z\n1,2,a\n3,4,"b\n5,6,c\n', "row 2: the file ends within a quoted cell"),
        ("x,y\n1,2\ninf,inf\n", "row 2 (line 3), column 'x': both it and column 'y' are infinite"),
    ],
)  # fmt: skip
def test_score_says_what_is_wrong_with_a_csv_file(text: str | None, message: str) -> None:
    if text is not None:
        Path("data.csv").write_bytes(text.encode(errors="surrogateescape"))
    assert message in error("score", "data.csv", *COLUMNS)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, None, 2.0]}, "data.parquet, row 2, column 'x': the cell is empty (--skip"),
        ({"x": [1.0, 2.0, float("nan")]}, "row 3, column 'x': is nan (--skip-missing"),
        ({"x": ["1", "2", "3"]}, "column 'x': must hold numbers, got string"),
        ({"x": [[1.0], [2.0], [3.0]]}, "column 'x': must hold numbers, got list"),
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
        (
            "a.npy",
            np.zeros(3, [("0", "f4", (2,)), ("1", "f4")]),
            "column '0': must hold numbers, got an array of shape (2,) in each row",
        ),
        ("a.npy", np.ones((3, 2), "M8[s]"), "column '0': must hold numbers, got timestamp"),
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
        ("empty --inputs x --targets y", "empty: is a folder without readable files"),
        ("no*.csv --inputs x --targets y", "no*.csv: matches no file"),
        ("data.txt --inputs x --targets y", "data.txt: the name must end with .csv, .tsv"),
        ("a.parquet.gz --inputs x --targets y", "decompress it first"),
        (f"{os.devnull} --inputs x --targets y", "null: is not a file"),
        ("data.csv --inputs x --targets y --loss hubert", "there is no loss 'hubert', only "),
        ("data.csv --inputs x --targets y --delta 0", "huber_loss: delta must be > 0, got 0.0"),
        ("data.csv --inputs x --targets y --delta nan", "huber_loss: delta must be > 0, got nan"),
        (
            "data.csv --inputs x --targets y --loss log_cosh --delta 1",
            "--delta: log_cosh has no such parameter",
        ),
        ("data.csv --inputs x --targets y --reduction none", "add --output FILE.csv"),
        ("data.csv --inputs x --targets y -o out.csv", "add --reduction none"),
        ("data.csv --inputs x --targets y --reduction weighted_mean", "add --weights"),
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
    Path("empty").mkdir()
    before = set(Path().iterdir())
    assert message in error("score", *arguments.split())
    assert before == set(Path().iterdir())


def test_score_without_columns_is_wrong_usage() -> None:
    Path("data.csv").write_text(GOOD)
    for arguments in (
        ["data.csv", "--inputs", "x"],
        [*COLUMNS],
        ["data.csv", "--reduction", "max"],
    ):
        status, output, errors = run("score", *arguments)
        assert (2, "") == (status, output)
        assert errors


def test_score_help_shows_an_example() -> None:
    status, output, _ = run("score", "--help")
    assert 0 == status
    assert "lossless score predictions.csv --inputs prediction --targets truth" in output
    assert "A parameter of huber; may be repeated." in output


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
    assert (130, "") == (done.returncode, done.stdout)
    assert "lossless score: interrupted\n" == done.stderr
    assert {"first.csv", "a.parquet", "big.npy"} == {path.name for path in Path().iterdir()}


def test_score_ends_cleanly_when_interrupted_while_columns_are_decoded() -> None:
    """The threads that read ahead end too."""
    ones = pa.array(np.ones(4_000_000))
    with parquet.ParquetWriter("big.parquet", pa.schema([("x", ones.type), ("y", ones.type)])) as w:
        for _ in range(10):
            w.write_table(pa.table({"x": ones, "y": ones}))
    done = interrupt(
        ["score", "big.parquet", *COLUMNS, "--reduction", "none", "-o", "o.csv"],
        lambda: any(path.stat().st_size > 1e6 for path in Path().glob("tmp*.csv")),
    )
    assert (130, "") == (done.returncode, done.stdout)
    assert "lossless score: interrupted\n" == done.stderr
    assert {"big.parquet"} == {path.name for path in Path().iterdir()}
