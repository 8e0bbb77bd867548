"""`lossless score`: its totals are the library's, of any file, in any pieces."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from pyarrow import csv, parquet

import lossless
from lossless.scoring import losses as _losses
from lossless.scoring import rows as _rows
from lossless.scoring import totals as _totals
from lossless.scoring.losses import ChosenLoss
from lossless.scoring.readers import csv as _csv
from lossless.scoring.readers import table as _table
from lossless.verification.losses import LOSSES
from lossless.verification.reference import real
from support.cases import REPRESENTATIVES
from support.command import run, run_json
from support.scoring.files import COLUMNS, GOOD, WRITERS


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def reference(loss: str, rows: list[tuple[float, float]], **parameters: float) -> Any:
    """The sum of the losses, from the definition."""
    settings = {**LOSSES[loss].parameters, **parameters}
    with mp.workprec(300):
        return sum(real(LOSSES[loss], "value", x, t, **settings) for x, t in rows)


PROVED = [argument for name in REPRESENTATIVES for argument in ("--loss", name)]
ROWS = [(1.0, 1.5), (2.0, 2.0), (10.0, 3.0)]


def test_losses_that_files_are_scored_with() -> None:
    """Those of two columns and nothing else: no labels, no variances, no third column."""
    found = {name: loss.parameters for name, loss in _losses.OFFERED.items()}
    expected = {"huber": {"delta": 1.0}, "l1": {}, "log_cosh": {}, "mse": {}}
    expected["smooth_l1"] = {"beta": 1.0}
    assert expected.items() <= found.items()
    assert all(LOSSES[name].uses_difference_only for name in found)
    assert not {"gaussian_nll", "full_gaussian_nll", "margin_ranking"} & set(found)


def test_score_prints_the_means_of_all_losses() -> None:
    Path("data.csv").write_text(GOOD)
    status, output, errors = run("score", "data.csv", *COLUMNS)
    assert (0, "") == (status, errors)
    assert "mean of the losses of x against y" in output
    titles = [loss.title for loss in _losses.OFFERED.values()]
    heading, _, first, *others = output.strip().splitlines()[-2 - len(titles) :]
    assert ["file", "rows", "loss", "mean"] == heading.split()
    assert ["data.csv", "3"] == first.split()[:2]
    assert {"huber delta=1", "l1", "log_cosh", "mse", "smooth_l1 beta=1"} <= set(titles)
    values = [float(reference(title.split()[0], ROWS) / 3) for title in titles]
    printed = [line.split()[-1] for line in (first, *others)]
    assert [f"{value:.6g}" for value in values] == printed
    for title, line in zip(titles, (first, *others), strict=True):
        assert title in line
    for digits in (1, 3, 17):
        output = run("score", "data.csv", *COLUMNS, "--digits", str(digits))[1]
        printed = [line.split()[-1] for line in output.strip().splitlines()[-len(titles) :]]
        assert [repr(x) if digits == 17 else f"{x:.{digits}g}" for x in values] == printed


def test_score_json() -> None:
    Path("data.csv").write_text(GOOD)
    values = {"huber": float(reference("huber", ROWS, delta=2.5))}
    assert {
        "inputs": "x",
        "targets": "y",
        "weights": None,
        "by": None,
        "reduction": "sum",
        "losses": [{"loss": "huber", "parameters": {"delta": 2.5}}],
        "files": [{"file": "data.csv", "rows": 3, "skipped": 0, "values": values}],
        "total": {"rows": 3, "skipped": 0, "values": values},
    } == run_json(
        "score", "data.csv", *COLUMNS, "--loss", "huber", "--delta", "2.5", "--reduction", "sum"
    )  # fmt: skip


def test_score_has_every_loss_of_the_residual() -> None:
    Path("data.csv").write_text(GOOD)
    values = run_json("score", "data.csv", *COLUMNS)["total"]["values"]
    assert set(values) >= {"huber", "log_cosh"}
    for name, value in values.items():
        assert (
            float(getattr(lossless, f"{name}_loss")(*np.array(ROWS).T, reduction="mean")) == value
        )


def test_commands_take_no_default_reduction_of_a_loss() -> None:
    def loss(inputs: Any, targets: Any, scale: float = 2.0, reduction: Any = "mean") -> Any:
        return scale, reduction

    assert (3.0, "none") == ChosenLoss("loss", loss, {"scale": 3.0})(0, 0)
    assert (2.0, "sum") == ChosenLoss("loss", loss, {})(0, 0, reduction="sum")


@pytest.mark.parametrize("name", ["log_cosh", "log-cosh", "log_cosh_loss", "Log-Cosh"])
def test_score_knows_a_loss_by_any_spelling(name: str) -> None:
    Path("data.csv").write_text(GOOD)
    (loss,) = run_json("score", "data.csv", *COLUMNS, "--loss", name)["losses"]
    assert {"loss": "log_cosh", "parameters": {}} == loss


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
            assert len(x) == found["total"]["rows"]
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
        assert getattr(lossless, f"{loss}_loss")(wide[:, 2], wide[:, 0], reduction="sum") == value


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
    for kind in ("parquet", "csv", "npz"):
        name, write = WRITERS[kind]
        write(str(path / name), columns)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_totals, "BLOCK", 16)
        patch.setattr(_rows, "MOST_ROWS", 64)
        for size in (1 << 16, rows):
            patch.setattr(_table, "ROWS", size)
            patch.setattr(_csv, "BLOCK", max(128, 40 * size))
            found += [
                run_json("score", str(path / name), *COLUMNS, "--by", "g", *PROVED)
                for name in ("data.parquet", "data.csv", "data.npz")
            ]
    expected = found[0]
    for loss, value in expected["total"]["values"].items():
        true = reference(loss, [(a, b) for a, b, _ in numbers]) / len(numbers)
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
    assert {"huber": 50_000 * 0.25**2 / 2} == found["total"]["values"]


def test_score_columns_whose_batches_differ(rng: np.random.Generator) -> None:
    """Parquet gives a column of a dictionary in batches that end where its row groups do."""
    x, t = rng.normal(0.5, 2.0, (2, 500_000)).astype(np.float32)
    keys = rng.integers(0, 3, len(x))
    names = pa.DictionaryArray.from_arrays(keys, ["a", "b", "c"])
    table = pa.table({"x": x, "y": t, "g": names})
    parquet.write_table(table, "data.parquet", row_group_size=90_001)
    arguments = ("--by", "g", "--loss", "huber", "--reduction", "sum")
    found = run_json("score", "data.parquet", *COLUMNS, *arguments)
    assert len(x) == found["total"]["rows"]
    for row in found["groups"]:
        where = keys == "abc".index(row["group"])
        expected = lossless.huber_loss(x, t, reduction="sum", where=where)
        assert expected == np.float32(row["values"]["huber"])


def test_score_several_files() -> None:
    for name, rows in (("f1", "1,0\n"), ("f2", "2,0\n4,0\n"), ("other", "9,0\n")):
        Path(f"{name}.csv").write_text(f"x,y\n{rows}")
    found = run_json("score", "f?.csv", "f1.csv", *COLUMNS, "--loss", "huber")
    assert [("f1.csv", 1), ("f2.csv", 2)] == [(row["file"], row["rows"]) for row in found["files"]]
    assert [0.5, 2.5] == [row["values"]["huber"] for row in found["files"]]
    assert {"rows": 3, "skipped": 0, "values": {"huber": 5.5 / 3}} == found["total"]
    _, output, _ = run("score", "f?.csv", *COLUMNS, "--loss", "huber")
    assert ["all", "3", "1.83333"] == output.split()[-3:]


def test_score_weighted_means() -> None:
    Path("data.csv").write_text(GOOD)
    arguments = ("score", "data.csv", *COLUMNS, "--weights", "w", "--loss", "huber")
    total = 2 * 0.125 + 4 * 6.5
    assert total / 3 == run_json(*arguments)["total"]["values"]["huber"]
    found = run_json(*arguments, "--reduction", "weighted_mean", "--by", "g")
    assert total / 7 == found["total"]["values"]["huber"]
    assert [total / 6, 0.0] == [row["values"]["huber"] for row in found["groups"]]


def test_score_without_weight_is_not_a_number() -> None:
    Path("data.csv").write_text("x,y,w\n1,0,0\n")
    arguments = ("score", "data.csv", *COLUMNS, "--weights", "w", "--reduction", "weighted_mean")
    assert "nan" == run_json(*arguments)["total"]["values"]["huber"]
    assert "nan" == run(*arguments)[1].split()[-1]


def test_score_of_infinite_numbers_is_infinite() -> None:
    Path("data.csv").write_text("x,y\n1,0\n-inf,0\n")
    assert "inf" == run_json("score", "data.csv", *COLUMNS)["total"]["values"]["huber"]


MISSING = "x,y,g\n1,0,a\n,0,a\nNA,0,a\n3, nan,b\n4,0,\n-6,0,b\n"


def test_score_skips_missing_cells_on_request() -> None:
    Path("data.csv").write_text(MISSING)
    Path("whole.csv").write_text("x,y,g\n0,0,c\n")
    arguments = ("score", "data.csv", "whole.csv", *COLUMNS, "--loss", "huber", "--skip-missing")
    found = run_json(*arguments, "--by", "g")
    assert [(2, 4), (1, 0)] == [(row["rows"], row["skipped"]) for row in found["files"]]
    assert {"rows": 3, "skipped": 4, "values": {"huber": 2.0}} == found["total"]
    assert ["a", "b", "c"] == [row["group"] for row in found["groups"]]
    assert "4 rows with missing cells were skipped" in run(*arguments, "--by", "g")[1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_score_writes_the_loss_of_each_row(suffix: str) -> None:
    x, t = np.array([0.1, np.nan, 3.0, -2.0], np.float32), np.zeros(4, np.float32)
    parquet.write_table(pa.table({"x": x, "y": t, "g": ["a", "a", "b", "a"]}), "d.parquet")
    parquet.write_table(pa.table({"x": x[3:], "y": t[3:], "g": ["c"]}), "e.parquet")
    found = run_json(
        "score", "d.parquet", "e.parquet", *COLUMNS, "--reduction", "none", "--skip-missing",
        "--by", "g", "-o", f"out.{suffix}",
    )  # fmt: skip
    assert f"out.{suffix}" == found["output"]
    assert {"rows": 4, "skipped": 1} == found["total"]
    read = csv.read_csv if suffix == "csv" else parquet.read_table
    written = read(f"out.{suffix}")
    assert ["file", "row", "g", "huber"] == written.column_names[:4]
    expected = lossless.log_cosh_loss(x, t)[[0, 2, 3, 3]]
    assert expected.tolist() == written["log_cosh"].cast(pa.float32()).to_pylist()
    assert [1, 3, 4, 1] == written["row"].to_pylist()
    assert ["d.parquet"] * 3 + ["e.parquet"] == written["file"].to_pylist()
    assert ["a", "b", "a", "c"] == written["g"].to_pylist()
    status, output, _ = run(
        "score", "e.parquet", *COLUMNS, "--reduction", "none", "-o", f"out.{suffix}"
    )
    assert (0, f"1 rows: out.{suffix}\n") == (status, output)
    assert ["row", "huber"] == read(f"out.{suffix}").column_names[:2]


def test_score_reads_what_spreadsheets_write() -> None:
    """A byte order mark, spaces, quotes, Windows line ends, exponents, odd quotes in text."""
    text = '\ufeffx ,"y",z\r\n1,"2",5" disk\r\n\r\n 3 ,+5,\r\n,.6e1,\r\n4,7.,\r\n'
    Path("data.csv").write_bytes(text.encode())
    Path("data.tsv").write_bytes(text.replace(",", "\t").encode())
    for name in ("data.csv", "data.tsv"):
        found = run_json("score", name, *COLUMNS, "--loss", "huber", "--skip-missing")["total"]
        assert {"rows": 3, "skipped": 1, "values": {"huber": (0.5 + 1.5 + 2.5) / 3}} == found
