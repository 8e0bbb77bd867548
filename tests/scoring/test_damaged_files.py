"""`lossless score` of files that lie: one error each, nothing read beyond their end."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from fuzz import files
from support.command import error

PT = ("--inputs", "p", "--targets", "t")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def columns(key: Any) -> pa.Table:
    return pa.table({"p": [1.0, 3.0], "t": [2.0, 5.0], "c": key})


def replaced(path: str, old: list[int], new: list[int], kind: Any = np.int32) -> None:
    """The numbers in the file, which has them once, or once for each batch of dictionaries."""
    content = Path(path).read_bytes()
    was, will = (np.array(numbers, kind).tobytes() for numbers in (old, new))
    assert 1 == content.count(was)
    Path(path).write_bytes(content.replace(was, will))


@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        (pa.array(["ab", "c"]), [0, 2, 3], [0, 2, 1 << 20]),
        (pa.array(["ab", "c"]), [0, 2, 3], [0, -7, 3]),
        (pa.array(["ab", "c"]), [0, 2, 3], [2, 0, 3]),
        (pa.array([b"ab", b"c"]), [0, 2, 3], [0, 2, 1 << 20]),
        (pa.array(["ab", "c"], pa.large_string()), [0, 2, 3], [0, 2, 1 << 40]),
        (pa.array(["x", "yy"]).dictionary_encode(), [0, 1, 3], [0, 1, 1 << 20]),
        (pa.array(["x", "yy", "x"]).dictionary_encode()[1:], [1, 0], [1, 9]),
    ],
)
def test_score_offsets_and_indices_that_lie(
    key: Any, old: list[int], new: list[int], stream: bool
) -> None:
    table = columns(key)
    with (ipc.new_stream if stream else ipc.new_file)("data.arrow", table.schema) as writer:
        writer.write_table(table)
    replaced("data.arrow", old, new, np.int64 if pa.types.is_large_string(key.type) else np.int32)
    message = error("score", "data.arrow", *PT, "--by", "c")
    assert "data.arrow, column 'c': is damaged: " in message


def test_score_views_that_lie() -> None:
    key = pa.array(["a name that is too long to stand in its view", "b"]).cast(pa.string_view())
    with ipc.new_file("data.arrow", columns(key).schema) as writer:
        writer.write_table(columns(key))
    replaced("data.arrow", [44], [1 << 20])
    message = error("score", "data.arrow", *PT, "--by", "c")
    assert "View at slot 0 references range 0-1048576 of buffer 0" in message


def test_score_text_that_is_none() -> None:
    key = pa.array([b"K\xf6ln", b"K\xfcln"]).view(pa.string())
    parquet.write_table(columns(key), "data.parquet")
    assert "column 'c': is damaged: Invalid UTF8" in error(
        "score", "data.parquet", *PT, "--by", "c"
    )


@pytest.mark.parametrize("rows", [1 << 62, 10**30])
def test_score_rows_that_are_not_there(rows: int) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 2), }}".encode()
    header = header.ljust(117) + b"\n"
    Path("data.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header + b"\0" * 64
    )
    message = error("score", "data.npy", "--inputs", "0", "--targets", "1")
    assert "data.npy: is truncated" in message or "data.npy: cannot be read" in message


def test_score_bombs_are_read_piece_by_piece() -> None:
    """A gigabyte of zeros in a megabyte takes no gigabyte of memory."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Path("data.csv").write_bytes(gzip.compress(b"p,t\n" + b"0" * (1 << 27)))
    assert "data.csv" in error("score", "data.csv", *PT)
    with zipfile.ZipFile("data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("p.npy", "w") as member:
            np.lib.format.write_array_header_1_0(
                member, {"descr": "<f8", "fortran_order": False, "shape": (1 << 24,)}
            )
            for _ in range(16):
                member.write(b"\0" * (1 << 23))
        archive.writestr("t.npy", b"no header")
    assert "data.npz" in error("score", "data.npz", *PT)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < 1 << 30


def test_score_of_files_with_mistakes_ends_in_a_result_or_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = files.fuzz(250, seed=17)
    assert not wrong, capsys.readouterr().out
