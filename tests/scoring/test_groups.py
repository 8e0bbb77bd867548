"""`lossless score --by`: groups by any key, and as many as there may be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

import lossless
from lossless.scoring import totals as _totals
from support.command import run, run_json
from support.scoring.files import COLUMNS, GOOD


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_score_groups_in_order_of_appearance() -> None:
    Path("a.csv").write_text(GOOD)
    Path("b.csv").write_text("g,y,x\nc,0,3\n[b],0,1\na,0,0.5\n")
    status, output, _ = run("score", "a.csv", "b.csv", *COLUMNS, "--by", "g", "--loss", "huber")
    assert 0 == status
    lines = [line.split() for line in output.splitlines() if line.strip()]
    assert ["g", "rows"] == lines[1][:2]
    assert [
        ["b", "2", "3.3125"],
        ["a", "2", "0.0625"],
        ["c", "1", "2.5"],
        ["[b]", "1", "0.5"],
    ] == lines[3:7]
    assert ["all", "6", "1.625"] == lines[-1]
    groups = run_json("score", "a.csv", "b.csv", *COLUMNS, "--by", "g")["groups"]
    assert [
        ("b", 2), ("a", 2), ("c", 1), ("[b]", 1),
    ] == [(row["group"], row["rows"]) for row in groups]  # fmt: skip


@pytest.mark.parametrize("key", [pa.int8(), pa.string(), pa.bool_(), pa.float32(), "dictionary"])
def test_score_groups_by_any_type(key: Any) -> None:
    keys = pa.array([1, 0, 1, 1])
    if key == "dictionary":
        keys = pa.DictionaryArray.from_arrays([1, 0, 1, 1], ["no", "yes"])
    else:
        keys = keys.cast(key)
    parquet.write_table(pa.table({"x": [1.0, 2, 3, 4], "y": [0.0] * 4, "g": keys}), "d.parquet")
    found = run_json("score", "d.parquet", *COLUMNS, "--by", "g", "--loss", "huber")["groups"]
    assert [
        (keys[0].as_py(), 3), (keys[1].as_py(), 1),
    ] == [(row["group"], row["rows"]) for row in found]  # fmt: skip
    assert [(0.5 + 2.5 + 3.5) / 3, 1.5] == [row["values"]["huber"] for row in found]


KEYS = [
    pa.array([" a", "b", "a ", None, "", "b"]),
    pa.array([1.0, 2.0, 1.0, None, float("nan"), 2.0]),
    pa.DictionaryArray.from_arrays([2, 1, 2, None, 0, 1], ["", " b", "a"]),
]


@pytest.mark.parametrize("keys", KEYS, ids=["text", "numbers", "dictionary"])
def test_score_groups_by_keys_that_are_there(keys: Any) -> None:
    """Spaces around text do not count, and what is empty or NaN is missing."""
    x = [1.0, 2, 3, 4, 5, 6]
    parquet.write_table(pa.table({"x": x, "y": [0.0] * 6, "g": keys}), "d.parquet")
    arguments = ("--by", "g", "--loss", "l1", "--reduction", "sum", "--skip-missing")
    found = run_json("score", "d.parquet", *COLUMNS, *arguments)
    assert [2, 2] == [row["rows"] for row in found["groups"]]
    assert [1 + 3, 2 + 6] == [row["values"]["l1"] for row in found["groups"]]
    assert {row["group"] for row in found["groups"]} <= {"a", "b", 1.0, 2.0}
    assert 2 == found["total"]["skipped"]


def test_score_many_groups(rng: np.random.Generator) -> None:
    """More than are reduced at once; those with infinite losses among them."""
    x, t = rng.normal(0.5, 2.0, (2, 150_000))
    x[:3] = np.inf
    keys = rng.integers(0, 50_000, len(x))
    parquet.write_table(pa.table({"x": x, "y": t, "g": keys}), "d.parquet", row_group_size=40_000)
    groups = run_json("score", "d.parquet", *COLUMNS, "--by", "g", "--loss", "l1")["groups"]
    _, first = np.unique(keys, return_index=True)
    assert keys[np.sort(first)].tolist() == [row["group"] for row in groups]
    rows = np.bincount(keys)
    assert rows[rows > 0].tolist() == [
        row["rows"] for row in sorted(groups, key=lambda g: g["group"])
    ]
    assert {keys[i] for i in range(3)} == {
        row["group"] for row in groups if row["values"]["l1"] == "inf"
    }
    losses = lossless.l1_loss(x, t, reduction="none")
    for row in groups[3:500]:
        (own,) = np.nonzero(keys == row["group"])
        assert float(sum(map(Fraction, losses[own])) / len(own)) == row["values"]["l1"]
    arguments = ("--by", "g", "--loss", "l1", "--digits", "17")
    output = run("score", "d.parquet", *COLUMNS, *arguments)[1].splitlines()
    assert 1 == len({len(line) for line in output[2:] if line})
    cells = [line.split() for line in output[4 : 4 + len(groups)]]
    assert cells == [
        [str(row["group"]), str(row["rows"]), str(row["values"]["l1"])] for row in groups
    ]


PAIRS = st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1, 1))


@given(total=PAIRS, divisor=PAIRS)
def test_quotients_are_rounded_once(
    total: tuple[float, float], divisor: tuple[float, float]
) -> None:
    (a, b), (c, d) = ((high, high * part) for high, part in (total, divisor))
    found = _totals.quotients((np.array([a]), np.array([b])), (np.array([c]), np.array([d])))
    expected = _totals.divided(Fraction(a) + Fraction(b), Fraction(c) + Fraction(d))
    np.testing.assert_array_equal([expected], found)
