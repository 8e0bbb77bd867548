"""Running the command `lossless`, as its tests do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from lossless.cli.app import app

COMMAND = Path(sys.executable).parent / "lossless"
# Where the tests run with signals ignored (nohup make test &), children would inherit that.
HEARS_SIGNALS = (
    sys.executable,
    "-c",
    "import os, signal, sys;"
    "[signal.signal(x, signal.SIG_DFL) for x in (signal.SIGINT, signal.SIGHUP)];"
    "os.execv(sys.argv[1], sys.argv[1:])",
)


def run(*arguments: str) -> tuple[int, str, str]:
    """The exit code, what stands on the standard output, and on the standard error."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def run_json(*arguments: str) -> Any:
    """The document that a command which succeeds prints, alone."""
    status, output, errors = run(*arguments, "--json")
    assert (0, "") == (status, errors), errors
    return json.loads(output, parse_constant=lambda name: f"no JSON: {name}")


def error(*arguments: str) -> str:
    """The one line that a command which fails prints; with --json it is the same."""
    status, output, errors = run(*arguments)
    assert (1, "") == (status, output), errors
    assert errors.startswith(f"lossless {arguments[0]}: ")
    assert 1 == errors.count("\n")
    assert (1, "", errors) == run(*arguments, "--json")
    return errors


def interrupt(
    arguments: list[str], has_begun: Callable[[], bool]
) -> subprocess.CompletedProcess[str]:
    """Runs the command, and presses Ctrl-C once it is at work: all its processes get the signal."""
    process = subprocess.Popen(
        [*HEARS_SIGNALS, COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not has_begun():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=40)
    finally:  # whatever stops the test, nothing goes on
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def after(*, seconds: float) -> Callable[[], bool]:
    """Whether so much time has passed: for work that takes far longer and leaves no trace."""
    start = time.monotonic()
    return lambda: time.monotonic() - start > seconds
