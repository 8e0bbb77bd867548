"""Scores of files without the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lossless
from lossless._errors import UserError
from lossless.scoring.losses import OFFERED
from lossless.scoring.rows import Columns
from lossless.scoring.scores import Scores

PARTS = {"a.csv": [(1.0, 1.5, "u"), (4.0, 1.0, "v")], "b.csv": [(2.0, 2.25, "v")]}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for name, rows in PARTS.items():
        lines = [f"{x},{t},{group}\n" for x, t, group in rows]
        (tmp_path / name).write_text("x,t,group\n" + "".join(lines))
    return [tmp_path / name for name in PARTS]


def huber(*rows: tuple[float, float, str]) -> float:
    x, t = np.array([row[:2] for row in rows]).T
    return float(lossless.huber_loss(x, t, reduction="mean"))


def test_scores_of_files_and_groups(paths: list[Path]) -> None:
    scores = Scores(paths, Columns("x", "t", by=("group",)), [OFFERED["huber"]])
    told: list[tuple[str, float]] = []
    scores.read(lambda path, done: told.append((path.name, done)))
    assert [(2, 0), (1, 0)] == scores.counts
    (u, v), (w,) = PARTS.values()
    expected = [huber(u, v), huber(w), huber(u, v, w)]
    actual = [scores.of_files("mean", numbers)["huber"] for numbers in ([0], [1], [0, 1])]
    assert expected == actual
    groups = {names: (rows, values["huber"]) for names, rows, values in scores.of_groups("mean")}
    assert {("u",): (1, huber(u)), ("v",): (2, huber(v, w))} == groups
    assert {name for name, _ in told} == PARTS.keys()
    done = [done for _, done in told]
    assert sorted(done) == done
    assert (0, 2) == (done[0], done[-1])


def test_scores_written_for_each_row(paths: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    scores = Scores(paths, Columns("x", "t"), [OFFERED["l1"]], output=output)
    scores.read(lambda *_: None)
    _, *lines = output.read_text().splitlines()
    assert [0.5, 3.0, 0.25] == [float(line.split(",")[-1]) for line in lines]


def test_columns_are_known_before_a_row_is_read(paths: list[Path]) -> None:
    with pytest.raises(UserError, match="there is no column 'y'"):
        Scores(paths, Columns("x", "y"), [OFFERED["l1"]])
