"""How near `lossless score` comes to the speed of its reader, on a large Parquet file.

The file has two columns of float32, in row groups of a million rows, and stays in the system's
cache: with a slower disk the reader takes longer, the rest does not. The reader alone does what
`lossless score` begins with, a thread decoding each column, and throws the columns away; both are
a process of their own, whose CPU time, of all its threads, and peak of memory are printed. Beside
them stands what people write with the library: read the whole file into arrays, then call the
losses.

`lossless score` checks every batch in full before it uses it, as files may lie about where their
values are: the reader is measured with this check, too, of numbers, and with text beside them.

Where the reader alone keeps all processors busy, nothing can be added to it without taking longer:
the CPU time divided by the processors is the least that anything could take. At the end, once,
comes `--by` with so many keys that most have few rows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from rich.box import SIMPLE_HEAD
from rich.table import Table
from timing import console, print_conditions

import lossless

GROUP = 1_000_000
COLUMNS = ["prediction", "truth"]


def write(path: Path, rows: int, keys: int = 0, *, text: bool = False) -> None:
    generator = np.random.default_rng(rows)
    schema = pa.schema([(name, pa.float32()) for name in COLUMNS])
    if keys:
        schema = schema.append(pa.field("key", pa.string() if text else pa.int64()))
    with pa.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP):
            truth = generator.standard_normal(min(GROUP, rows - start), np.float32)
            noise = generator.standard_normal(len(truth), np.float32)
            columns: list[Any] = [truth + np.float32(0.3) * noise, truth]
            if keys:
                numbers = generator.integers(0, keys, len(truth))
                columns.append([f"key Nº {number}" for number in numbers] if text else numbers)
            table = pa.table(columns, schema=schema)
            writer.write_table(table)


def read(path: Path, *, check: bool = False) -> None:
    from lossless.scoring.readers.files import open_table
    from lossless.scoring.readers.table import AS_IT_SEEMS

    names = pa.parquet.read_schema(path).names
    for batch in open_table(path, AS_IT_SEEMS).batches(names):
        if check:
            for array in batch:
                array.validate(full=True)


def read_and_check(path: Path) -> None:
    read(path, check=True)


def score(path: Path, *options: str) -> None:
    from lossless.cli.app import app

    columns = ["--inputs", "prediction", "--targets", "truth"]
    app(["score", str(path), *columns, *options], standalone_mode=False)


def score_one(path: Path) -> None:
    score(path, "--loss", "huber")


def score_groups(path: Path) -> None:
    score(path, "--loss", "huber", "--by", "key", "--json")


def whole(path: Path) -> None:
    arrays = [column.to_numpy() for column in pa.parquet.read_table(path, columns=COLUMNS)]
    predictions, truth = arrays
    lossless.huber_loss(predictions, truth, reduction="mean")


READER, CHECKED = "reader alone", "reader, checking in full"
WAYS = {
    READER: read,
    CHECKED: read_and_check,
    "lossless score --loss huber": score_one,
    "lossless score (all losses)": score,
    "whole file, huber_loss": whole,
}


GROUPS = "lossless score --loss huber --by key --json"


def measured(way: str, path: Path) -> list[float]:
    """Seconds, CPU seconds and GB at the peak of a process of its own, which has started."""
    command = [sys.executable, __file__, "--way", way, "--file", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_here(way: str, path: Path) -> None:
    warm = path.with_name("warm.parquet")
    write(warm, 1000, 10)
    run = score_groups if way == GROUPS else WAYS[way]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        run(warm)  # imports
        start, busy = time.perf_counter(), time.process_time()
        run(path)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(json.dumps([seconds, busy, peak]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=5_000_000, help="of twice as many rows")
    parser.add_argument("--way", choices=[*WAYS, GROUPS], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        measure_here(options.way, options.file)
        return
    print_conditions()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        write(path, options.rows)
        found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, results in found.items():
                results.append(measured(way, path))
        size = path.stat().st_size
        write(path, 2 * options.keys, options.keys)
        in_groups = measured(GROUPS, path)
        write(path, options.keys, 1000, text=True)
        turns = [
            [measured(way, path)[1] for way in (READER, CHECKED)] for _ in range(options.rounds)
        ]
        of_text = list(map(statistics.median, zip(*turns, strict=True)))
    title = f"{options.rows:,} rows of Parquet, {size / 1e6:.0f} MB"
    table = Table(title=title, box=SIMPLE_HEAD)
    for heading in ("", "seconds", "CPU seconds", "rows / s", "peak"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    cpus: dict[str, float] = {}
    for way, results in found.items():
        seconds, busy, _ = map(statistics.median, zip(*results, strict=True))
        peak = max(peak for *_, peak in results)
        cpus[way] = busy
        speed = f"{options.rows / seconds / 1e6:.0f} million"
        table.add_row(way, f"{seconds:.2f}", f"{busy:.2f}", speed, f"{peak:.2f} GB")
    console.print(table)
    _, check, *scores, _ = cpus
    for way in (check, *scores):
        console.print(f"{way}: {cpus[READER] / cpus[way]:.0%} of its CPU time is the reader's")
    console.print(
        f"with a column of text, {options.keys:,} rows: {of_text[1]:.2f} CPU seconds to read and "
        f"check, {of_text[0]:.2f} to read"
    )
    seconds, busy, peak = in_groups
    console.print(
        f"{GROUPS}: {options.keys:,} keys of {2 * options.keys:,} rows took {seconds:.0f} s "
        f"({busy:.0f} CPU seconds) and {peak:.2f} GB, once"
    )


if __name__ == "__main__":
    main()
