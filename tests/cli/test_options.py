"""What is given twice: compared, or an error that names it; and flags, which take no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperOption

from lossless.cli.app import app
from support.command import error, run, run_json
from support.scoring.files import COLUMNS, GOOD

# ((1 - 1.5)**2, 0, (10 - 3)**2) / 2, and delta (|r| - delta / 2) beyond delta
HALF, TWO = (0.125 + 0 + 0.5 * 6.75) / 3, (0.125 + 0 + 2 * 6) / 3


@pytest.fixture(autouse=True)
def in_folder_with_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("data.csv").write_text(GOOD)


def options() -> list[tuple[str, TyperOption]]:
    """Those of all commands."""
    group: Any = typer.main.get_command(app)
    return [
        (name, param)
        for name, command in group.commands.items()
        for param in command.get_params(typer.Context(command))
        if isinstance(param, TyperOption)
    ]


ONCE = [(name, option) for name, option in options() if not option.multiple and not option.is_eager]


@pytest.mark.parametrize(
    ("command", "option"), ONCE, ids=[f"{name}{option.opts[0]}" for name, option in ONCE]
)
def test_option_given_twice_is_an_error_that_names_it(command: str, option: TyperOption) -> None:
    one = option.opts[0]
    other = option.opts[-1]  # -o is --output
    arguments = [one, other] if option.is_flag else [one, "1", other, "2"]
    status, output, errors = run(command, *arguments)
    assert (2, "") == (status, output)
    assert f"{one} is given 2 times" in errors


@pytest.mark.parametrize("word", ["true", "False", "no"])
def test_flag_takes_no_value(word: str) -> None:
    for command, option in options():
        if option.is_flag and not option.is_eager:
            status, output, errors = run(command, option.opts[0], word)
            assert (2, "") == (status, output)
            assert f"{option.opts[0]} takes no value, got '{word}'" in errors


def test_file_behind_a_flag_is_a_file() -> None:
    Path("true").mkdir()
    assert 1 == run("score", "--json", "true", *COLUMNS)[0]


def test_help_shows_that_flags_take_no_value() -> None:
    for command in {name for name, _ in options()}:
        assert "bool" not in run(command, "--help")[1]


def test_score_compares_values_of_a_parameter() -> None:
    deltas = ("--delta", "0.5", "--delta", "2")
    found = run_json("score", "data.csv", *COLUMNS, "--loss", "huber", "--loss", "l1", *deltas)
    assert [
        {"loss": "huber", "parameters": {"delta": 0.5}},
        {"loss": "huber", "parameters": {"delta": 2.0}},
        {"loss": "l1", "parameters": {}},
    ] == found["losses"]
    assert {"huber delta=0.5": HALF, "huber delta=2": TWO, "l1": 2.5} == found["total"]["values"]


def test_score_compares_parameters_that_differ_in_the_last_digit() -> None:
    deltas = ("--delta", "0.1", "--delta", repr(0.1 + 2**-56))
    values = run_json("score", "data.csv", *COLUMNS, "--loss", "huber", *deltas)["total"]["values"]
    assert ["huber delta=0.1", f"huber delta={0.1 + 2**-56!r}"] == list(values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--loss huber --loss l1 --loss Huber-Loss", "--loss huber is given 2 times"),
        ("--loss huber --delta 2 --delta 2.0", "--delta 2 is given 2 times"),
        ("--loss l1 --delta 2 --delta 3", "--delta: l1 has no such parameter"),
        ("--delta 2 --delta -1", "huber_loss: delta must be > 0, got -1.0"),
    ],
)
def test_score_says_what_is_chosen_twice(arguments: str, message: str) -> None:
    assert message in error("score", "data.csv", *COLUMNS, *arguments.split())
