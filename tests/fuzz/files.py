"""`make fuzz-files`: `lossless score` of real files with mistakes put into them.

Bits are flipped, lengths and offsets replaced, ends cut off, pieces repeated. Each file gives a
result or one line of error: no crash, no traceback, and bounded memory and time. Files are scored
in a child process, so that a crash is a finding, too.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator

ROWS = 40
MEMORY = 2 << 30  # more than what is in use before, for one file of a few kilobytes
PATIENCE = 30  # seconds for one file
TOLD = 10  # seconds between lines of progress
# What a mistaken length or offset may be.
SIZES = (0, 1, -1, 127, 255, 1 << 15, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 40, (1 << 63) - 1)


def originals(folder: Path) -> list[Path]:
    """A file of each format, with groups of text, of categories, of times, and missing cells."""
    import pyarrow as pa
    from pyarrow import csv, feather, ipc, parquet

    rng = np.random.default_rng(3)
    text = pa.array([f"name {i % 7}" * (i % 3 + 1) for i in range(ROWS)])
    table = pa.table(
        {
            "p": rng.normal(size=ROWS),
            "t": pa.array(rng.normal(size=ROWS).astype(np.float32), mask=np.arange(ROWS) % 11 == 3),
            "w": pa.array([Decimal(i % 5 + 1) / 4 for i in range(ROWS)], pa.decimal128(12, 2)),
            "c": text,
            "d": text.dictionary_encode(),
            "v": text.cast(pa.string_view()),
        }
    )
    plain = table.select(["p", "t", "w", "c"])
    with ipc.new_file(str(folder / "file.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=17)
    with ipc.new_stream(str(folder / "stream.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=17)
    feather.write_feather(table.drop(["v"]), str(folder / "data.feather"), compression="lz4")
    forms: dict[str, dict[str, Any]] = {
        "plain": {"compression": "none", "use_dictionary": False},
        "coded": {"compression": "snappy", "data_page_version": "2.0"},
        "packed": {"compression": "zstd", "row_group_size": 13},
    }
    for name, options in forms.items():
        parquet.write_table(table.drop(["v"]), folder / f"{name}.parquet", **options)
    csv.write_csv(plain, str(folder / "data.csv"))
    content = (folder / "data.csv").read_text()
    (folder / "wide.csv").write_bytes(content.encode("utf-16"))
    (folder / "data.csv.gz").write_bytes(gzip.compress(content.encode()))
    numbers = rng.normal(size=(ROWS, 3))
    np.save(folder / "rows.npy", numbers)
    np.save(folder / "columns.npy", np.asfortranarray(numbers))
    kinds = [("p", "f8"), ("t", "f4"), ("w", "i4"), ("c", "U3")]
    np.save(folder / "records.npy", np.zeros(ROWS, kinds))
    np.savez_compressed(folder / "data.npz", p=numbers[:, 0], t=numbers[:, 1], w=numbers[:, 2])
    return sorted(folder.iterdir())


def mutated(content: bytes, rng: Random) -> bytes:
    """The content with one to four mistakes."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        at = int(rng.integers(len(data)))
        kind = rng.integers(7)
        if kind == 0:
            data[at] ^= 1 << rng.integers(8)
        elif kind == 1:
            data[at] = rng.integers(256)
        elif kind == 2:  # a length or an offset
            size = SIZES[rng.integers(len(SIZES))]
            form = "<q" if rng.random() < 0.5 else "<i"
            at -= at % struct.calcsize(form)
            wrapped = size if form == "<q" else (size + (1 << 31)) % (1 << 32) - (1 << 31)
            data[at : at + struct.calcsize(form)] = struct.pack(form, wrapped)
        elif kind == 3:  # near the one that was there
            at -= at % 4
            (size,) = struct.unpack("<I", bytes(data[at : at + 4]).ljust(4, b"\0"))
            data[at : at + 4] = struct.pack("<I", (size + int(rng.integers(-9, 10))) % (1 << 32))
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            del data[at : at + int(rng.integers(1, 64))]
        else:
            piece = data[at : at + int(rng.integers(1, 256))]
            data[at:at] = piece * int(rng.integers(1, 4))
    return bytes(data)


def arguments(path: Path, rng: Random) -> list[str]:
    columns = ("0", "1", "2") if path.name in ("rows.npy", "columns.npy") else ("p", "t", "w")
    given = [str(path), "--inputs", columns[0], "--targets", columns[1], "--skip-missing"]
    if rng.random() < 0.4:
        given += ["--weights", columns[2]]
    groups = [name for name in ("c", "d", "v") if rng.random() < 0.4]
    return given + [argument for name in groups for argument in ("--by", name)]


def score(path: Path, rng: Random) -> str:
    """What is wrong with the way the command ended; nothing if that is ''."""
    from typer.testing import CliRunner

    from lossless.cli.app import app

    given = arguments(path, rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = CliRunner().invoke(app, ["score", *given])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if result.exception and not isinstance(result.exception, SystemExit):
        return f"TRACEBACK {result.exception!r} of {given}"
    if result.exit_code == 1 and result.stderr.count("\n") != 1:
        return f"ERROR of several lines {result.stderr!r} of {given}"
    if result.exit_code not in (0, 1):
        return f"EXIT {result.exit_code} of {given}"
    return f"MEMORY of {grown >> 20} MB of {given}" if grown > MEMORY else ""


def work(sender: Connection, seed: int, first: int, last: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)  # names in messages are short
        files = [(path.name, path.read_bytes()) for path in originals(Path())]
        for index in range(first, last):
            rng = np.random.default_rng([seed, index])
            sender.send((index, None))
            file, content = files[rng.integers(len(files))]
            Path(file).write_bytes(mutated(content, rng))
            sender.send((index, score(Path(file), rng)))


def fuzz(count: int, seed: int, start: int = 0) -> Counter[str]:
    """Scores so many files; what is wrong is printed, and counted by its first word."""
    wrong: Counter[str] = Counter()
    context = multiprocessing.get_context("spawn")
    index, end = start, start + count
    told = time.monotonic()
    while index < end:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=work, args=(sender, seed, index, end), daemon=True)
        child.start()
        sender.close()
        what: Any = None
        begun = False
        try:
            while index < end:
                if not receiver.poll(PATIENCE):
                    what = f"HANG after {PATIENCE} s"
                    child.kill()
                index, ended = receiver.recv()
                begun = True
                if ended is not None:
                    index += 1
                    if ended:
                        wrong[ended.split()[0]] += 1
                        print(f"{ended}\n  again: --seed {seed} --start {index - 1} --files 1")
                if time.monotonic() - told > TOLD:
                    told = time.monotonic()
                    print(
                        f"{index - start:,} of {count:,} files, {wrong.total()} wrong", flush=True
                    )
        except EOFError:
            child.join()
            if not begun:
                raise SystemExit(f"the child did not start, exit code {child.exitcode}") from None
            what = what or f"CRASH, exit code {child.exitcode}"
            wrong[what.split()[0].strip(",")] += 1
            print(f"{what}\n  again: --seed {seed} --start {index} --files 1", flush=True)
            index += 1
        child.join()
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz-files", description=__doc__)
    parser.add_argument("--files", type=int, default=2000, help="how many")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--start", type=int, default=0, help="the first")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    wrong = fuzz(options.files, options.seed, options.start)
    print(f"{options.files:,} files in {time.monotonic() - began:.0f} s: ", end="")
    print(dict(wrong) if wrong else "nothing is wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
