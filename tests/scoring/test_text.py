"""`lossless score`: text in any encoding, with any separator; columns in the names of folders."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from support.command import COMMAND, error, run_json

PT = ("--inputs", "p", "--targets", "t", "--loss", "mse")
GROUPS = "p,t,c\n1,2,Köln\n3,5,Küln\n"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def by_group(*arguments: str) -> dict[str, float]:
    groups = run_json("score", *arguments)["groups"]
    return {group["group"]: group["values"]["mse"] for group in groups}


@pytest.mark.parametrize(
    ("encoding", "option"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-32", None),
        ("utf-16-le", "utf-16-le"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
        ("mac-roman", "mac-roman"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_score_reads_text_in_any_encoding(encoding: str, option: str | None, zipped: bool) -> None:
    content = GROUPS.encode(encoding)
    Path("data.csv").write_bytes(gzip.compress(content) if zipped else content)
    options = ("--encoding", option) if option else ()
    assert {"Köln": 1.0, "Küln": 4.0} == by_group("data.csv", *PT, "--by", "c", *options)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE])
def test_score_reads_utf_16_of_either_order(mark: bytes) -> None:
    order = "utf-16-be" if mark == codecs.BOM_UTF16_BE else "utf-16-le"
    Path("data.csv").write_bytes(mark + GROUPS.encode(order))
    assert {"Köln": 1.0, "Küln": 4.0} == by_group("data.csv", *PT, "--by", "c")


def test_score_never_guesses_what_bytes_mean() -> None:
    """Two names that differ in such bytes alone would be one."""
    Path("data.csv").write_bytes(GROUPS.encode("latin-1"))
    message = error("score", "data.csv", *PT, "--by", "c")
    assert "data.csv, line 2: is not UTF-8: name the encoding, as in --encoding" in message
    assert {"mse": 2.5} == run_json("score", "data.csv", *PT)["total"]["values"]
    Path("data.csv").write_bytes("prévu,t\n1,2\n".encode("latin-1"))
    columns = ("--inputs", "prévu", "--targets", "t", "--loss", "mse")
    message = error("score", "data.csv", *columns)
    assert r"only 'pr\xe9vu', 't' (the first line is not UTF-8: name the" in message
    scored = run_json("score", "data.csv", *columns, "--encoding", "latin-1")
    assert {"mse": 1.0} == scored["total"]["values"]
    assert "there is no such encoding" in error(
        "score", "data.csv", *columns, "--encoding", "lat1n"
    )
    wrong = error("score", "data.csv", *columns, "--encoding", "ascii")
    assert "the first line is not ascii" in wrong


def test_score_names_the_line_of_bytes_that_are_no_text_far_into_the_file() -> None:
    head = b"p,t,c\n" + b"1,2,a\n" * 900_000
    Path("data.csv").write_bytes(head + b"1,2,\xff\n" + b"1,2,a\n" * 9)
    assert "data.csv, line 900,002: is not UTF-8" in error("score", "data.csv", *PT, "--by", "c")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("p;t\n1;2\n3;5\n", ("--sep", ";")),
        ("p\tt\n1\t2\n3\t5\n", ("--sep", "tab")),
        ("p|t\n1|2\n3|5\n", ("--sep", "|")),
        ("p;t\n1,0;2\n3;5,00\n", ("--sep", ";", "--decimal", ",")),
        ('p\tt\n"1,0"\t2\n3\t5\n', ("--sep", "tab", "--decimal", ",")),
    ],
)
def test_score_separators_and_decimal_marks(text: str, options: tuple[str, ...]) -> None:
    Path("data.csv").write_text(text)
    assert {"mse": 2.5} == run_json("score", "data.csv", *PT, *options)["total"]["values"]


def test_score_separator_of_a_kind_of_file_leaves_the_comma_to_numbers() -> None:
    Path("data.tsv").write_text("p\tt\n1,0\t2\n3\t5\n")
    assert {"mse": 2.5} == run_json("score", "data.tsv", *PT, "--decimal", ",")["total"]["values"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sep", "ab"), "--sep 'ab': must be one ASCII character"),
        (("--sep", '"'), "must be one ASCII character"),
        (("--sep", "é"), "must be one ASCII character"),
        (("--decimal", "'"), "must be '.' or ','"),
        (("--decimal", ","), "data.csv: --decimal ',' is also the separator"),
        (("--sep", "."), "data.csv: --decimal '.' is also the separator"),
        (("--sep", ";", "--decimal", ","), "row 1 (line 2), column 'p': '1.5' is not a number"),
    ],
)
def test_score_refuses_other_marks(options: tuple[str, ...], message: str) -> None:
    Path("data.csv").write_text("p;t\n1.5;2\n")
    assert message in error("score", "data.csv", *PT, *options)


def test_score_reads_the_standard_input() -> None:
    command = [str(COMMAND), "score", "-", *PT, "--json"]
    done = subprocess.run(command, input="p,t\n1,2\n3,5\n", capture_output=True, text=True)
    assert '"mse": 2.5' in done.stdout, done.stderr
    done = subprocess.run(command, input="p,t\n1,2\n3,x\n", capture_output=True, text=True)
    assert 1 == done.returncode
    assert "row 2 (line 3), column 't': 'x' is not a number" in done.stderr
    done = subprocess.run(command, input="", capture_output=True, text=True)
    assert "the file is empty" in done.stderr


def test_score_of_a_standard_input_that_is_none() -> None:
    """Closed, and not for reading."""
    closed = ["bash", "-c", 'exec "$0" "$@" <&-', str(COMMAND), "score", "-", *PT]
    done = subprocess.run(closed, capture_output=True, text=True)
    assert "lossless score: -: the standard input is closed\n" == done.stderr
    to_write = os.open(os.devnull, os.O_WRONLY)
    command = [str(COMMAND), "score", "-", *PT]
    done = subprocess.run(command, stdin=to_write, capture_output=True, text=True)
    os.close(to_write)
    assert done.stderr.startswith("lossless score: -: cannot be copied to ")
    assert done.stderr.endswith(": Bad file descriptor\n")


def test_score_header_without_a_newline_has_no_rows() -> None:
    Path("data.csv").write_text("p,t")
    assert "data.csv: has no rows to score" in error("score", "data.csv", *PT)


# Columns that stand in the path


def table(p: Any, t: Any) -> pa.Table:
    return pa.table({"p": np.asarray(p, float), "t": np.asarray(t, float)})


@pytest.mark.parametrize("files", ["h", "h/*/*.parquet", "h/c=*"])
def test_score_groups_by_the_names_of_folders(files: str) -> None:
    for name, p, t in (("x", [1.0], [2.0]), ("y", [3.0], [5.0])):
        Path(f"h/c={name}").mkdir(parents=True)
        parquet.write_table(table(p, t), f"h/c={name}/0.parquet")
    Path("h/_SUCCESS").touch()
    Path("h/c=x/.0.parquet.crc").touch()
    assert {"x": 1.0, "y": 4.0} == by_group(files, *PT, "--by", "c")
    assert {
        "rows": 2, "skipped": 0, "values": {"mse": 2.5},
    } == run_json("score", files, *PT)["total"]  # fmt: skip


def test_score_reads_the_data_sets_that_arrow_writes() -> None:
    columns = table([1, 3, 2], [2, 5, 2])
    columns = columns.append_column("year", pa.array([2024, 2025, 2024]))
    columns = columns.append_column("city", pa.array(["São Paulo/BR", "x", "b c"]))
    layout = dataset.partitioning(
        pa.schema([("year", pa.int64()), ("city", pa.string())]), flavor="hive"
    )
    for form in ("parquet", "feather", "csv"):
        dataset.write_dataset(columns, form, format=form, partitioning=layout)
        found = by_group(form, *PT, "--by", "year")
        assert ({"2024": 0.5, "2025": 4.0} if form == "csv" else {2024: 0.5, 2025: 4.0}) == found
        found = by_group(form, *PT, "--by", "city")
        assert {"São Paulo/BR": 1.0, "x": 4.0, "b c": 0.0} == found


def test_score_a_value_that_is_missing_in_a_path_is_a_missing_cell() -> None:
    folder = Path("c=__HIVE_DEFAULT_PARTITION__")
    folder.mkdir()
    (folder / "data.csv").write_text("p,t\n1,2\n")
    parquet.write_table(table([1], [2]), folder / "data.parquet")
    for name in ("data.csv", "data.parquet"):
        message = error("score", str(folder / name), *PT, "--by", "c")
        assert "row 1" in message
        assert "column 'c': the cell is empty" in message


def test_score_values_in_a_path_that_are_no_text_are_one_error() -> None:
    """They differ, and would all be the same mark of replacement."""
    for value in ("%FF", "%FE"):
        Path(f"c={value}").mkdir()
        parquet.write_table(table([1], [2]), f"c={value}/data.parquet")
    message = error("score", "c=*/data.parquet", *PT, "--by", "c")
    assert "c=%FE/data.parquet: cannot be read" in message
    assert "UTF-8" in message


def test_score_a_column_of_the_file_comes_before_one_of_its_path() -> None:
    Path("c=path").mkdir()
    Path("c=path/data.csv").write_text("p,t,c\n1,2,file\n")
    assert {"file": 1.0} == by_group("c=path/data.csv", *PT, "--by", "c")


# Numbers and names as other programs write them


def test_score_decimals_are_the_nearest_doubles() -> None:
    from decimal import Decimal, localcontext

    rng = np.random.default_rng(5)
    with localcontext() as context:
        context.prec = 80
        kinds = [pa.decimal128(38, scale) for scale in (1, 20, 37)]
        kinds += [pa.decimal32(9, 2), pa.decimal64(18, 5), pa.decimal256(76, 40)]
        for kind in kinds:
            digits = kind.precision
            texts = ["".join(map(str, rng.integers(0, 10, 1 + i % digits))) for i in range(400)]
            values = [Decimal(text).scaleb(-kind.scale) for text in texts]
            values += [-value for value in values]
            doubles = pa.array([float(value) for value in values])
            columns = [pa.array(values, kind)]
            if kind.bit_width == 128:
                columns.append(columns[0].dictionary_encode())
            for decimals in columns:
                both = pa.table({"p": doubles, "t": decimals})
                parquet.write_table(both, "data.parquet")
                scored = run_json("score", "data.parquet", *PT, "--reduction", "sum")
                assert {"mse": 0.0} == scored["total"]["values"], kind


def test_score_record_names_beyond_latin_1() -> None:
    records = np.array([(1.0, 2.0), (3.0, 5.0)], [("прогноз", float), ("t", float)])
    with pytest.warns(UserWarning, match="format 3.0"):
        np.save("data.npy", records)
    scored = run_json("score", "data.npy", "--inputs", "прогноз", "--targets", "t", "--loss", "mse")
    assert {"mse": 2.5} == scored["total"]["values"]


def test_score_groups_of_string_views() -> None:
    for kind in (pa.string_view(), pa.binary_view(), pa.dictionary(pa.uint32(), pa.string_view())):
        if pa.types.is_dictionary(kind):  # as polars writes its categories
            views = pa.array(["x", "y"]).cast(pa.string_view())
            column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.uint32()), views)
        else:
            column = pa.array(["x", "y", "x"]).cast(kind)
        data = table([1, 3, 1], [2, 5, 2]).append_column("c", column)
        for stream in (False, True):
            content = io.BytesIO()
            new = pa.ipc.new_stream if stream else pa.ipc.new_file
            options = pa.ipc.IpcWriteOptions(compression=None if stream else "zstd")
            with new(content, data.schema, options=options) as writer:
                writer.write_table(data)
            Path("data.arrow").write_bytes(content.getvalue())
            assert {"x": 1.0, "y": 4.0} == by_group("data.arrow", *PT, "--by", "c"), kind
