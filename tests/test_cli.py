"""The command `lossless`: what it prints and writes, and what it says when something is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

import lossless
from lossless.cli import REQUIRED
from lossless.cli.app import app

COMMAND = Path(sys.executable).parent / "lossless"
GOOD = "x,z,y\n" + "".join(f"{k},{k * k % 7},{3 * k + k * k % 5}\n" for k in range(1, 30))


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


FITS = {0xD55E00, 0x0072B2, 0x009E73}  # the colours of the three lines


def colours(path: Path) -> set[int]:
    pixels = np.round(255 * imread(path)[..., :3]).astype(int)
    return set(np.unique(pixels @ [0x10000, 0x100, 1]).tolist())


def test_demo_trains_and_draws() -> None:
    status, output, errors = run("demo")
    assert (status, errors) == (0, "")
    slopes = re.search(r"slope of year +([\d.]+) +([\d.]+) +([\d.]+)", output)
    assert slopes
    squared, huber, log_cosh = map(float, slopes.groups())
    assert squared == 5.041
    assert 1.4 < huber < 1.7
    assert 1.4 < log_cosh < 1.7
    errors_of_clean_years = re.search(r"clean years +([\d.]+) +([\d.]+) +([\d.]+)", output)
    assert errors_of_clean_years
    squared, huber, log_cosh = map(float, errors_of_clean_years.groups())
    assert max(huber, log_cosh) < squared / 5
    for part in ("delta = 2.69, the median distance", "1.08 million", "lossless-demo.png"):
        assert part in output
    assert colours(Path("lossless-demo.png")) >= FITS
    assert imread("lossless-demo.png").shape > (500, 900)


@pytest.mark.parametrize("inputs", [["x"], ["z", "x"]])
def test_demo_on_a_file(inputs: list[str]) -> None:
    Path("data.csv").write_text(GOOD)
    arguments = [part for name in inputs for part in ("--inputs", name)]
    for suffix in ("png", "svg"):
        status, output, errors = run(
            "demo", "--data", "data.csv", *arguments, "--targets", "y", "--delta", "1.5",
            "--output", f"out.{suffix}",
        )  # fmt: skip
        assert (status, errors) == (0, "")
    for name in inputs:
        assert f"slope of {name}" in output
    assert "delta = 1.5\n" in output
    assert "29 rows" in output
    assert colours(Path("out.png")) >= FITS
    assert b"</svg>" in Path("out.svg").read_bytes()
    assert {path.name for path in Path().iterdir()} == {"data.csv", "out.png", "out.svg"}


def test_demo_reads_what_spreadsheets_write() -> None:
    """A byte order mark, spaces, quotes, Windows line ends, exponents."""
    text = '\ufeffx ,"y"\r\n1,"2"\r\n2,3.5e0\r\n 3,+5\r\n4,.6e1\r\n5,7\r\n'
    Path("data.csv").write_bytes(text.encode())
    status, output, errors = run("demo", "--data", "data.csv", "--inputs", "x", "--targets", "y")
    assert (status, errors) == (0, "")
    assert "5 rows" in output


def test_demo_takes_any_name_of_a_column() -> None:
    """Neither the table's markup nor the picture's mathematics is in it."""
    Path("data.csv").write_text(GOOD.replace("x,z,y", "[/] $a_$,[bold] $\\b,$y_$ [red]"))
    status, output, errors = run(
        "demo", "--data", "data.csv", "--inputs", "[/] $a_$", "--inputs", "[bold] $\\b",
        "--targets", "$y_$ [red]",
    )  # fmt: skip
    assert (status, errors) == (0, "")
    assert "$y_$ [red] ≈ intercept + slope · [/] $a_$ + slope · [bold] $\\b\n" in output


ROWS = "1,2\n2,3\n4,4\n5,5\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "data.csv: there is no such file"),
        ("", "data.csv: the file is empty"),
        ("x,y\n", "at least 3 rows, got 0"),
        ("x,y\n1,2\n2,3\n", "at least 3 rows, got 2"),
        (f"a,b\n{ROWS}", "data.csv: there is no column 'x', only 'a', 'b'"),
        ("x;y\n1;2\n", "only 'x;y' (cells must be separated by commas)"),
        (f"x,y\n{ROWS}7,abc\n", "row 5 (line 6), column 'y': 'abc' is not a finite number"),
        (f"x,y\n{ROWS}1 000,2\n", "row 5 (line 6), column 'x': '1 000' is not a finite number"),
        (f"x,y\n{ROWS}7,inf\n", "row 5 (line 6), column 'y': 'inf' is not a finite number"),
        (f"x,y\n{ROWS}7,NaN\n", "row 5 (line 6), column 'y': 'NaN' is not a finite number"),
        (f"x,y\n{ROWS},7\n", "row 5 (line 6), column 'x': the cell is empty"),
        (f"x,y\n{ROWS}7\n", "row 5 (line 6), column 'y': the cell is empty"),
        (f"x,y\n{ROWS}7,8,9\n", "row 5 (line 6): has 3 cells, the header 2"),
        ("x,y\n1,\udcfe\n", "data.csv: cannot be read as CSV"),
        ("x,y\n1,2\n1,3\n1,4\n", "column 'x' has the same value in every row"),
    ],
)  # fmt: skip
def test_demo_says_what_is_wrong_with_a_file(text: str | None, message: str) -> None:
    if text is not None:
        Path("data.csv").write_bytes(text.encode(errors="surrogateescape"))
    status, output, errors = run("demo", "--data", "data.csv", "--inputs", "x", "--targets", "y")
    assert status == 1
    assert errors.startswith("lossless demo: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert "training" not in output
    assert not list(Path().glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--data data.csv", "say --inputs and --targets; the columns are 'x', 'z', 'y'"),
        ("--data data.csv --inputs x", "say --inputs and --targets"),
        ("--data data.csv --inputs y --targets y", "must be different columns"),
        ("--data data.csv --inputs x --inputs x --targets y", "must be different columns"),
        ("--data . --inputs x --targets y", "is a folder"),
        ("--inputs x --targets y", "say --data FILE.csv too"),
        ("--delta 0", "--delta must be a finite number > 0, got 0"),
        ("--delta -1", "--delta must be a finite number > 0, got -1"),
        ("--delta nan", "--delta must be a finite number > 0, got nan"),
        ("--delta inf", "--delta must be a finite number > 0, got inf"),
        ("--output out.txt", "must end with .png, .svg, .pdf"),
        ("--output nowhere/out.png", "there is no folder nowhere"),
        ("--output folder.png", "is a folder"),
    ],
)
def test_demo_says_what_is_wrong_with_an_option(arguments: str, message: str) -> None:
    Path("data.csv").write_text(GOOD)
    Path("folder.png").mkdir()
    before = set(Path().iterdir())
    status, output, errors = run("demo", *arguments.split())
    assert (status, output) == (1, "")
    assert errors.startswith("lossless demo: ")
    assert message in errors
    assert set(Path().iterdir()) == before


def test_unknown_option_and_wrong_type() -> None:
    for arguments in (["demo", "--dleta", "1"], ["demo", "--delta", "big"], ["deemo"]):
        status, _, errors = run(*arguments)
        assert status == 2
        assert arguments[-1] in errors or arguments[1] in errors


def test_picture_that_cannot_be_written_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    Path("out.png").write_text("the old picture")
    status, _, errors = run("demo", "-o", "out.png")
    assert status == 1
    assert "disk full" in errors
    assert [path.name for path in Path().iterdir()] == ["out.png"]
    assert Path("out.png").read_text() == "the old picture"


def test_help_shows_an_example() -> None:
    status, output, _ = run("demo", "--help")
    assert status == 0
    assert "--inputs area --inputs rooms --targets price" in output
    assert "demo" in run()[1]


def test_version() -> None:
    assert run("--version")[:2] == (0, f"lossless {lossless.__version__}\n")


def test_installed_command() -> None:
    done = subprocess.run(
        [COMMAND, "demo", "--output", "picture.png"], capture_output=True, text=True, check=True
    )
    assert "log-cosh" in done.stdout
    assert done.stderr == ""
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("module", [*REQUIRED, "mlx"])
def test_missing_extra_is_one_line(module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv = ['lossless', 'demo'];"
        "from lossless.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    wanted = "'mlx[cpu]'" if module == "mlx" else module
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"pip install {wanted}\n")
