"""docs/cli.md and the README: what they show of the commands is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lossless.cli.app import app
from lossless.scoring.losses import OFFERED
from support import ROOT
from support.command import run

PAGE = (ROOT / "docs/cli.md").read_text()
README = (ROOT / "README.md").read_text()
SHOWN = re.findall(r"```console\n\$ (lossless score [^\n]*)\n(.*?)```", PAGE, re.DOTALL)


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("command", "output"), SHOWN)
def test_page_shows_what_score_prints(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (data,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    Path("predictions.csv").write_text(data)
    Path("broken.csv").write_text(data.replace("1.02", "n.a."))
    _, *arguments = shlex.split(command)
    if "--loss" not in arguments:  # a loss that is newer than the page is left out
        arguments += [x for name in OFFERED if name in output for x in ("--loss", name)]
    _, printed, errors = run(*arguments)
    assert lines(printed + errors) == lines(output)


def test_page_shows_all_kinds_of_output() -> None:
    assert 4 == len(SHOWN)


def test_page_shows_what_info_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what another machine has, at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = lines(re.sub(r"\x1b\[[0-9;]*m", "", run("info")[1]))
    (shown,) = re.findall(r"```console\n\$ lossless info\n(.*?)\n\n\$", PAGE, re.DOTALL)
    labels = [
        [line[:16].strip() for line in text if not line.startswith("   ")]
        for text in (lines(shown), printed)
    ]
    assert labels[0] == labels[1]


@pytest.mark.parametrize("page", [PAGE, README])
def test_pages_name_every_command(page: str) -> None:
    names = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert names >= {"score", "plot", "verify", "bench", "info", "demo"}
    assert not [name for name in names if f"lossless {name}" not in page]


def test_page_has_the_table_of_verify() -> None:
    (command,) = re.findall(r"`(lossless verify .* --markdown)`", PAGE)
    backends = ("--backend", "numpy", "--backend", "jax")
    printed = run(*shlex.split(command)[1:], *backends, "--loss", "l1")[1].splitlines()
    above, _, headings, rule, numpy, *_ = printed
    assert "\n".join(["", above, "", headings, rule, ""]) in PAGE
    assert numpy.replace("NumPy", "NumPy, MLX, PyTorch") in PAGE.splitlines()


def test_readme_shows_what_verify_prints() -> None:
    """But for the numbers: of this loss alone, and of one framework."""
    (shown,) = re.findall(r"```console\n\$ (lossless verify .*)\n\.\.\.\n(.*)\n```", README)
    command, summary = shown
    arguments = shlex.split(command)[1:]
    printed = run(*arguments, "--loss", "l1", "--backend", "numpy")[1].splitlines()
    assert "float32, kernels: NumPy; correctly rounded" in printed
    expected, actual = (re.sub(r"[\d,]+", "N", line) for line in (printed[-1], summary))
    assert expected == actual
