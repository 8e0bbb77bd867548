"""Tables of commands in terminals: within the width, with every number whole, in any encoding."""

from __future__ import annotations

import io
import os
import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from lossless.cli import bench, main, verify
from lossless.scoring.losses import OFFERED
from lossless.verification.frameworks import FRAMEWORKS
from support.command import run
from support.scoring.files import COLUMNS, GOOD

COMMANDS = {
    "score": ["data.csv", *COLUMNS],
    "plot": ["-o", f"{'long' * 40}.png"],
    "verify": [
        "--backend",
        "numpy",
        "--dtype",
        "float16",
        "--loss",
        "mse",
        "--executor",
        "formulas",
    ],
    "bench": ["--n", "10", "--seconds", "0", "--backend", "numpy", "--loss", "huber"],
    "info": [],
    "demo": ["--framework", "numpy"],
}
LARGE = 51_539_607_552  # results of a sweep over all float32 inputs
ULP = [0.4999998, 999.9996, 1e300, float("inf"), float("nan")]
SECONDS = [1e-9, 123.4567e-9, 9.999999e-4, 0.1234567, 12345.678]


@pytest.fixture(autouse=True)
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    Path("data.csv").write_text(GOOD)


def plain(output: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output)


def check_width(output: str) -> None:
    lines = plain(output).splitlines()
    assert lines
    assert not [line for line in lines if cell_len(line.rstrip()) > 80]
    assert "…" not in output


def test_table_has_every_command() -> None:
    assert set(COMMANDS) == set(re.findall(r"^│ (\w+) ", plain(run("--help")[1]), re.M))


@pytest.mark.parametrize("command", COMMANDS)
def test_command_fits_the_terminal(command: str) -> None:
    status, output, _ = run(command, *COMMANDS[command])
    assert 0 == status
    if command == "plot":  # the name of a file is in one piece
        assert f"{'long' * 40}.png\n" in plain(output)
    else:
        check_width(output)


def test_table_of_demo_has_long_names_whole() -> None:
    name = "a_name_that_is_as_long_as_" * 5
    Path("data.csv").write_text(f"{name},y\n1,2\n2,3\n3,5\n4,4\n")
    files = ("--data", "data.csv", "--inputs", name, "--targets", "y")
    status, output, _ = run(*("demo", "--framework", "numpy"), *files)
    assert 0 == status
    check_width(output)
    cells = [line.split("  ")[0] for line in plain(output).splitlines()]
    assert name in "".join(cells).replace(" ", "").partition("slopeof")[2]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal_and_names_no_types_of_python(command: str) -> None:
    status, output, _ = run(*filter(None, [command, "--help"]))
    assert 0 == status
    check_width(output)
    assert not re.findall(r"<(?!list)[a-z| _]+>", plain(output))


@pytest.mark.parametrize("digits", [1, 3, 6])
def test_table_of_verify_fits_with_any_numbers(
    digits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "loss": loss,
            "parameters": {"vars": 1.23457e-300, "eps": 1e-06},
            "dtype": "bfloat16",
            "backend": backend,
            "executor": "formulas",
            "contract": "≤ 16 ULP",
            "outputs": {
                output: {
                    "results": LARGE // 3 + number,
                    "not_correctly_rounded": LARGE // 3,
                    "beyond_contract": LARGE // 3 * (number % 2),
                    "worst_ulp": ulp,
                }
                for output in ("value", "gradient", "second_derivative")
            },
            "examples": [],
        }
        for number, (loss, backend, ulp) in enumerate(product(verify.NAMES, FRAMEWORKS, ULP))
    ]
    here = {"lossless": "0.1.0", "python": "3.11.7", "processor": "A" * 50}
    here |= {"instruction_set": "x86-64-v4", "system": "Linux-" + "6" * 60}
    document = {
        "machine": here, "versions": dict.fromkeys(FRAMEWORKS, "1.22.333+local"), "rows": rows,
        "holds": False, "results": LARGE, "seconds": 123456.7,
    }  # fmt: skip
    verify._print(document, digits)
    output = capsys.readouterr().out
    check_width(output)
    words = plain(output).split()
    for row in rows:
        outputs = row["outputs"]
        assert f"{sum(out['results'] for out in outputs.values()):,}" in words  # type: ignore[attr-defined]
    assert 3 * len(verify.NAMES) * len(FRAMEWORKS) == words.count("1e+300")
    half = {1: "0.5", 2: "0.5", 3: "0.50", 6: "0.50000"}
    assert half.get(digits, words[0]) in words
    assert f"{LARGE // 3 * 3:,}" in words


@pytest.mark.parametrize("digits", [1, 3, 6])
def test_table_of_bench_fits_with_any_numbers(
    digits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    document: dict[str, Any] = bench._document([], 16_000_000, "float32", list(FRAMEWORKS))
    implementations = {"numpy": "formula", "mlx": "mlx.nn.losses", "torch": "torch.nn.functional"}
    document["rows"] = [
        {
            "loss": loss,
            "parameters": {"delta": 1.23457e-300},
            "arrays": arrays,
            "implementation": who,
            "mode": mode,
            "seconds": {
                "median": seconds,
                "lower_quartile": seconds,
                "upper_quartile": 3 * seconds,
                "rounds": 5,
            },
            "of_memory_pass": seconds * 1e9,
            "of_lossless": seconds * 1e9,
            "failure": None,
        }
        for loss in OFFERED
        for arrays in FRAMEWORKS
        for who in ("lossless", implementations.get(arrays, "optax"))
        for mode in ("eager", "compiled")
        for seconds in SECONDS
    ]
    bench._print(document, digits)
    output = capsys.readouterr().out
    check_width(output)
    words = plain(output).split()
    cases = len(OFFERED) * len(FRAMEWORKS) * 4
    assert 3 * cases == words.count({4: "123.5", 5: "123.46", 6: "123.457"}.get(digits, "123"))
    assert 2 * cases == words.count("123,456,700")  # both ratios
    assert cases * len(SECONDS) == words.count("±100%")


def ended(stdout: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the command with this standard output."""
    monkeypatch.setattr(sys, "argv", ["lossless", *arguments])
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(SystemExit) as end:
        main()
    if stdout is None:  # what stands in for it
        sys.stdout.close()
    code = end.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("command", ["--help", "--version", *COMMANDS])
def test_pipe_that_nobody_reads_ends_any_command(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR")
    for option in [None] if command.startswith("--") else ["--help", None, "--json"]:
        if (command, option) == ("demo", "--json"):
            continue  # it has none
        reading, writing = os.pipe()
        os.close(reading)
        arguments = [command, *COMMANDS.get(command, []), *filter(None, [option])]
        with os.fdopen(writing, "w") as pipe:
            assert 141 == ended(pipe, arguments, monkeypatch)
        assert "" == capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_terminal_of_ascii_has_no_letters_that_are_escaped(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, encoding="ascii")
    assert 0 == ended(stdout, [command, *COMMANDS[command]], monkeypatch)
    output = written.getvalue().decode()
    assert "\\" not in output
    if command != "plot":
        check_width(output)


def test_letters_of_no_terminal_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, encoding="ascii")
    assert 0 == ended(stdout, ["plot", "mse", "-o", "größe.png"], monkeypatch)
    assert "Picture: gr\\xf6\\xdfe.png\n" == plain(written.getvalue().decode())


@pytest.mark.parametrize("option", [[], ["--json"], ["--help"]])
def test_standard_output_may_be_closed(option: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 == ended(None, ["plot", "mse", "-o", "out.png", *option], monkeypatch)
    assert Path("out.png").exists() is (option != ["--help"])
