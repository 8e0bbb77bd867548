"""The command `lossless`: what it prints and writes, and what it says when something is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

import lossless
from lossless.cli import REQUIRED
from lossless.cli.app import app
from lossless.cli.demo import _digits
from lossless.verification.frameworks import FRAMEWORKS

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
    assert (0, "") == (status, errors)
    slopes = re.search(r"slope of year +([\d.]+) +([\d.]+) +([\d.]+)", output)
    assert slopes
    squared, huber, log_cosh = map(float, slopes.groups())
    assert 5.041 == squared
    assert 1.4 < huber < 1.7
    assert 1.4 < log_cosh < 1.7
    errors_of_clean_years = re.search(r"clean years +([\d.]+) +([\d.]+) +([\d.]+)", output)
    assert errors_of_clean_years
    squared, huber, log_cosh = map(float, errors_of_clean_years.groups())
    assert max(huber, log_cosh) < squared / 5
    for part in ("delta = 2.69, the median distance", "1.08 million", "lossless-demo.png"):
        assert part in output
    assert f"Trained in float64 with MLX {metadata.version('mlx')}" in output
    assert colours(Path("lossless-demo.png")) >= FITS
    assert imread("lossless-demo.png").shape > (500, 900)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_demo_finds_the_same_with_every_framework(framework: str) -> None:
    status, output, errors = run("demo", "--framework", framework)
    assert (0, "") == (status, errors)
    title = FRAMEWORKS[framework].title
    assert f"Trained in float64 with {title} {metadata.version(framework)}" in output
    assert re.search(r"slope of year +5.041 +1.503 +1.621", output)


def test_demo_takes_the_first_framework_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, after in (("mlx", "PyTorch"), ("torch", "JAX"), ("jax", "NumPy")):
        monkeypatch.setattr(FRAMEWORKS[name], "is_installed", lambda: False)
        assert f"float64 with {after}" in run("demo")[1]
        status, output, errors = run("demo", "--framework", name)
        assert (1, "", 1) == (status, output, errors.count("\n"))
        assert f"--framework {name}: {FRAMEWORKS[name].title} is not installed" in errors
        assert errors.endswith(f"pip install 'lossless[{name}]'\n")


def test_demo_says_when_a_framework_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ImportError("libmlx.so: cannot open [shared] object file\nmore")

    monkeypatch.setattr(FRAMEWORKS["mlx"], "__init__", broken)
    message = "MLX cannot be used: libmlx.so: cannot open [shared] object file"
    assert (1, "", f"lossless demo: {message}\n") == run("demo")


@pytest.mark.parametrize("inputs", [["x"], ["z", "x"]])
def test_demo_on_a_file(inputs: list[str]) -> None:
    Path("data.csv").write_text(GOOD)
    arguments = [part for name in inputs for part in ("--inputs", name)]
    for suffix in ("png", "svg"):
        status, output, errors = run(
            "demo", "--data", "data.csv", *arguments, "--targets", "y", "--delta", "1.5",
            "--output", f"out.{suffix}",
        )  # fmt: skip
        assert (0, "") == (status, errors)
    for name in inputs:
        assert f"slope of {name}" in output
    assert "delta = 1.5\n" in output
    assert "29 rows" in output
    assert colours(Path("out.png")) >= FITS
    assert b"</svg>" in Path("out.svg").read_bytes()
    assert {"data.csv", "out.png", "out.svg"} == {path.name for path in Path().iterdir()}


def test_demo_reads_what_spreadsheets_write() -> None:
    """A byte order mark, spaces, quotes, Windows line ends, exponents."""
    text = '\ufeffx ,"y"\r\n1,"2"\r\n2,3.5e0\r\n 3,+5\r\n4,.6e1\r\n5,7\r\n'
    Path("data.csv").write_bytes(text.encode())
    status, output, errors = run("demo", "--data", "data.csv", "--inputs", "x", "--targets", "y")
    assert (0, "") == (status, errors)
    assert "5 rows" in output


def test_demo_takes_any_name_of_a_column() -> None:
    """Neither the table's markup nor the picture's mathematics is in it."""
    Path("data.csv").write_text(GOOD.replace("x,z,y", "[/] $a_$,[bold] $\\b,$y_$ [red]"))
    status, output, errors = run(
        "demo", "--data", "data.csv", "--inputs", "[/] $a_$", "--inputs", "[bold] $\\b",
        "--targets", "$y_$ [red]",
    )  # fmt: skip
    assert (0, "") == (status, errors)
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
        (f"x,y\n{ROWS}7,8,9\n", "row 5 (line 6): must have 2 cells, got 3"),
        ("x,y\n1,\udcfe\n", "data.csv: cannot be read as CSV"),
        ("x,y\n1,2\n1,3\n1,4\n", "column 'x' has the same value in every row"),
        ("x, x,y\n1,2,3\n", "data.csv: two columns have the name 'x'"),
        ("x,x,y\n1,2,3\n", "data.csv: two columns have the name 'x'"),
        ("1,2\n3,4\n", "only '1', '2' (is the line with the names of the columns missing?)"),
        ("\n", "data.csv: the first line must name the columns"),
        ('x,y,z\n1,2,"a\nb"\n\n3,k,4\n', "row 3 (line 5), column 'y': 'k' is not"),
        ('x,y\n1,"a\nb"\n', "row 1 (line 2), column 'y': 'a\\nb' is not a finite number"),
        ("x,y\n1,1e300\n2,-1e308\n3,4\n", "row 1 (line 2), column 'y': '1e300' is beyond 1e+100"),
        ("x,y\n1e-200,1\n2e-200,3\n", "column 'x': all numbers are below 1e-100"),
    ],
)  # fmt: skip
def test_demo_says_what_is_wrong_with_a_file(text: str | None, message: str) -> None:
    if text is not None:
        Path("data.csv").write_bytes(text.encode(errors="surrogateescape"))
    status, output, errors = run("demo", "--data", "data.csv", "--inputs", "x", "--targets", "y")
    assert 1 == status
    assert errors.startswith("lossless demo: ")
    assert message in errors
    assert 1 == errors.count("\n")
    assert "training" not in output
    assert not list(Path().glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--data data.csv", "add --inputs and --targets; the columns are 'x', 'z', 'y'"),
        ("--data data.csv --inputs x", "add --inputs and --targets"),
        ("--data data.csv --inputs y --targets y", "must be different columns"),
        ("--data data.csv --inputs x --inputs x --targets y", "must be different columns"),
        ("--data . --inputs x --targets y", "is a folder"),
        (f"--data {os.devnull} --inputs x --targets y", "the file is empty"),
        ("--data *.csv --inputs x --targets y", "*.csv: there is no such file"),
        ("--data http://a.b/c.csv --inputs x --targets y", "only local files can be read"),
        (f"--data {'a' * 300} --inputs x --targets y", "cannot be read: File name too long"),
        (f"--output {'a' * 300}.png", "File name too long"),
        ("--inputs x --targets y", "add --data FILE.csv"),
        ("--delta 0", "--delta must be a finite number > 0, got 0"),
        ("--delta -1", "--delta must be a finite number > 0, got -1"),
        ("--delta nan", "--delta must be a finite number > 0, got nan"),
        ("--delta inf", "--delta must be a finite number > 0, got inf"),
        ("--framework keras", "--framework must be one of mlx, torch, jax, numpy, got keras"),
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
    assert (1, "") == (status, output)
    assert errors.startswith("lossless demo: ")
    assert message in errors
    assert before == set(Path().iterdir())


def test_output_that_cannot_be_made_is_told_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    status, output, errors = run("demo", "-o", "out.png")
    assert (1, "") == (status, output)
    assert "lossless demo: --output out.png: Read-only file system\n" == errors


def test_demo_takes_the_path_as_it_is() -> None:
    """It is no pattern, and rows and columns without anything in them do not count."""
    Path("a1.csv").write_text("x,y\n1,2\n")
    Path("a[1].csv").write_text("x,y,,\n1,2,,\n\n2,3,,\n,,,\n3,4,,\n4,9,,\n\n")
    status, output, errors = run("demo", "--data", "a[1].csv", "--inputs", "x", "--targets", "y")
    assert (0, "") == (status, errors)
    assert "4 rows" in output


def test_demo_says_when_the_default_delta_is_not_the_median_distance() -> None:
    rows = "".join(f"{k},{2 * k}\n" for k in range(20)) + "20,400\n"
    Path("data.csv").write_text("x,y\n" + rows)
    _, output, _ = run("demo", "--data", "data.csv", "--inputs", "x", "--targets", "y")
    assert "delta = 0.011, a thousandth of the targets' spread" in output
    assert "\n1 row at more than" in output


def test_demo_of_equal_targets_takes_one_step() -> None:
    Path("data.csv").write_text("x,y\n1,5\n2,5\n3,5\n")
    _, output, _ = run("demo", "--data", "data.csv", "--inputs", "x", "--targets", "y")
    assert 3 == output.count(" 1 step\n")


def test_letters_that_the_font_lacks_are_no_warning() -> None:
    Path("data.csv").write_text(GOOD.replace("x,z,y", "面積,z,価格"))
    with warnings.catch_warnings(record=True) as seen:
        status, output, errors = run(
            "demo", "--data", "data.csv", "--inputs", "面積", "--targets", "価格"
        )
    assert (0, "", []) == (status, errors, seen)
    assert "slope of 面積" in output


def test_digits_of_a_row_agree() -> None:
    assert [
        "1.000", "1.000", "0.1235", "1,234", "1,000", "0", "2.000e-07",
    ] == [_digits(x) for x in (0.99999, 1.0, 0.1234567, 1234.4, 999.96, 0.0, 2e-7)]  # fmt: skip


def test_unknown_option_and_wrong_type() -> None:
    for arguments in (["demo", "--dleta", "1"], ["demo", "--delta", "big"], ["deemo"]):
        status, _, errors = run(*arguments)
        assert 2 == status
        assert arguments[-1] in errors or arguments[1] in errors


def test_picture_that_cannot_be_written_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    Path("out.png").write_text("the old picture")
    status, _, errors = run("demo", "-o", "out.png")
    assert 1 == status
    assert "disk full" in errors
    assert ["out.png"] == [path.name for path in Path().iterdir()]
    assert "the old picture" == Path("out.png").read_text()


def test_wrong_number_of_threads_is_one_line() -> None:
    environment = {**os.environ, "LOSSLESS_NUM_THREADS": "0"}
    done = subprocess.run([COMMAND, "demo"], capture_output=True, text=True, env=environment)
    assert (1, "") == (done.returncode, done.stdout)
    assert (
        "lossless: the environment variable LOSSLESS_NUM_THREADS must be at least 1, got '0'\n"
    ) == done.stderr


def test_help_shows_an_example() -> None:
    status, output, _ = run("demo", "--help")
    assert 0 == status
    assert "--inputs area --inputs rooms --targets price" in output
    assert "demo" in run()[1]


def test_version() -> None:
    assert (0, f"lossless {lossless.__version__}\n") == run("--version")[:2]


def test_installed_command() -> None:
    done = subprocess.run(
        [COMMAND, "demo", "--output", "picture.png"], capture_output=True, text=True, check=True
    )
    assert "log-cosh" in done.stdout
    assert "" == done.stderr
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("module", REQUIRED)
def test_missing_extra_is_one_line(module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv = ['lossless', 'demo'];"
        "from lossless.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 1 == done.returncode
    assert "" == done.stdout
    assert 1 == done.stderr.count("\n")
    assert done.stderr.endswith(f"pip install {module}\n")


@pytest.mark.parametrize("setting", ["", " "])
def test_empty_number_of_threads_counts_as_unset(setting: str) -> None:
    environment = {**os.environ, "LOSSLESS_NUM_THREADS": setting}
    code = "import lossless; import lossless._threads as t;" + (
        "assert lossless.info()['threads'] == t._available_cpus()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)


def test_bad_number_of_threads_is_a_warning_of_the_library() -> None:
    environment = {**os.environ, "LOSSLESS_NUM_THREADS": "many"}
    code = "import lossless; assert lossless.info()['threads'] >= 1"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert "RuntimeWarning" in done.stderr
    assert "LOSSLESS_NUM_THREADS must be at least 1, got 'many'" in done.stderr


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "lossless"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (0, f"lossless {lossless.__version__}\n") == (done.returncode, done.stdout)
    environment = {**os.environ, "LOSSLESS_NUM_THREADS": "0"}
    done = subprocess.run([*command, "info"], capture_output=True, text=True, env=environment)
    assert 1 == done.returncode
    assert 1 == done.stderr.count("\n")


def test_shells_can_complete() -> None:
    environment = {
        **os.environ,
        "_LOSSLESS_COMPLETE": "complete_bash",
        "COMP_WORDS": "lossless ve",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([COMMAND], capture_output=True, text=True, env=environment)
    assert ["verify"] == done.stdout.split()
