"""`make claims`: what it measures of MLX and of lossless."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support import ROOT

CLAIMS = ROOT / "benchmarks" / "claims.py"
README = ROOT / "README.md"


def claims(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, CLAIMS, "--only", "lossless, NumPy", "lossless, MLX", "MLX", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """The cells of the table, with the wrong ones in bold."""
    output = claims("--quick", "--markdown", "--rows", r"^(?!.*2\^24)")  # 2^24 elements take long
    return cells_by_title(output)


def cells_by_title(markdown: str) -> dict[str, list[str]]:
    table = [line.strip("|").split("|") for line in markdown.splitlines() if " | " in line]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in table}


def test_table_is_complete(rows: dict[str, list[str]]) -> None:
    assert ("", ["exact", "lossless", "MLX"]) == next(iter(rows.items()))
    assert 14 == len(rows)
    assert {3} == {len(cells) for cells in rows.values()}


def test_readme_has_the_cells_of_the_command(rows: dict[str, list[str]]) -> None:
    readme = README.read_text()
    shown = cells_by_title(readme[readme.index("|  | exact | lossless | MLX |") :])
    for title, cells in rows.items():
        assert cells == shown[title][:3], title


def test_lossless_is_right(rows: dict[str, list[str]]) -> None:
    for title, (exact, *ours, _) in list(rows.items())[1:]:
        for cell in ours:
            assert "**" not in cell, title
            if exact == "0":
                assert float(cell) < 1e-6, title
            else:
                assert exact == cell or ("error" == exact and "ValueError" == cell), title


@pytest.mark.parametrize(
    ("title", "cell"),
    [
        ("log-cosh, float16, r = 0.01: value", "**-4.9e-4**"),
        ("log-cosh, bfloat16, r = 0.001: gradient", "**0**"),
        ("Huber, float16: mean of 100,000 times 2.5", "**inf**"),
        ("Huber, inputs (4, 1) and targets (4,)", "**shape (4, 4)**"),
        ("Huber, delta = inf, residual 3", "**nan**"),
        ("Huber, delta = -1, residual 3", "**-3.5**"),
        ("Huber, uint8, inputs 0 and targets 3", "**252.5**"),
        ("Huber, NaN in a masked target: gradient", "**nan, 0.5**"),
    ],
)
def test_what_the_readme_says_of_mlx(rows: dict[str, list[str]], title: str, cell: str) -> None:
    assert cell == rows[title][-1]


def test_mean_of_mlx_drifts(rows: dict[str, list[str]]) -> None:
    assert rows["Huber, float32: mean of 2^20 off by"][-1].startswith("**")


def test_timings_name_machine_and_versions() -> None:
    output = claims("--rows", "delta", "--elements", "1000", "--seconds", "0.05")
    for part in ("MLX compiled", "lossless, NumPy", "mlx 0.", "Python 3.", "threads"):
        assert part in output
    assert "1,000 float32 elements" in output


def test_missing_library_is_named() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import libraries;"
        "libraries.Keras.packages = ('no-such-package',); sys.argv[1:] = "
        "['--quick', '--only', 'Keras']; import claims; claims.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, CLAIMS.parent], capture_output=True, text=True, check=True
    )
    assert "Keras is left out: no-such-package not installed (make peers)" in done.stdout
