"""Nothing is left of a test run, whatever ends it: a signal, Ctrl-C, or a worker that is killed."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from support import ROOT, TESTS
from support.command import HEARS_SIGNALS

CONFTEST = """
from support import leftovers

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        leftovers.end_with_this_process()
"""
# Each process holds the pipe, whose end tells that all are gone; and hears no signal that it can
# leave unheard.
STAY = """
import os, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
with open(sys.argv[1], "w") as pipe:
    print(os.getpid(), file=pipe, flush=True)
    time.sleep(500)
"""
LEAVE = "import subprocess, sys; subprocess.Popen(sys.argv[1:])"
TEST = f"""
import os, subprocess, sys, time

def test_that_starts_processes():
    pipe = os.environ["PIPE"]
    stay = [sys.executable, "-c", {STAY!r}, pipe]
    children = [subprocess.Popen(stay), subprocess.Popen(stay, start_new_session=True)]
    subprocess.run([sys.executable, "-c", {LEAVE!r}, *stay])  # whose parent has ended
    with open(pipe, "w") as held:
        print("runs in", os.getpid(), file=held, flush=True)
        time.sleep(500)
"""
PROCESSES = 4
SECONDS = 40  # before the test gives up


def started(pipe: int) -> int:
    """Waits for all processes; the one in which the test runs."""
    heard = b""
    while heard.count(b"\n") < PROCESSES:
        assert select.select([pipe], [], [], SECONDS)[0], f"only {heard!r} has started"
        heard += os.read(pipe, 1000)
    return int(re.findall(rb"runs in (\d+)", heard)[0])


ENDS = {
    "Ctrl-C": (signal.SIGINT, "all", 1),
    "the terminal is closed": (signal.SIGHUP, "all", 1),
    "SIGTERM": (signal.SIGTERM, "run", 1),
    "SIGTERM without workers": (signal.SIGTERM, "run", 0),
    "SIGKILL": (signal.SIGKILL, "run", 1),
    "a worker is killed": (signal.SIGKILL, "worker", 1),
}


@pytest.mark.parametrize("end", ENDS)
def test_no_process_outlives_a_run(end: str, tmp_path: Path) -> None:
    number, whom, workers = ENDS[end]
    for name, text in (("conftest.py", CONFTEST), ("test_inside.py", TEST), ("pytest.ini", "")):
        (tmp_path / name).write_text(text)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    held = os.open(path, os.O_WRONLY)  # until all others hold it
    command = [*HEARS_SIGNALS, sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        [*command, "-n", str(workers)],
        cwd=tmp_path,
        env=os.environ | {"PIPE": str(path), "PYTHONPATH": str(TESTS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        try:
            worker = started(pipe)
            os.close(held)
            if whom == "all":
                os.killpg(run.pid, number)
            else:
                os.kill(worker if whom == "worker" else run.pid, number)
            assert select.select([pipe], [], [], SECONDS)[0], "processes are left"
            assert not os.read(pipe, 1)
        finally:
            run.kill()
            os.close(pipe)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("target", ["fuzz", "fuzz-files"])
def test_no_process_outlives_make_fuzz(target: str, end: signal.Signals) -> None:
    """Make hands SIGTERM on; SIGKILL is for the process whose child does the work."""
    arguments = f"BIN={Path(sys.executable).parent}", "ARGS=--seed 1"
    with subprocess.Popen(
        ["make", "--old-file=.venv/.installed", target, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as make:
        assert make.stdout
        try:
            child = at_work(psutil.Process(make.pid))
            child.suspend()  # as if it hung in a call, and saw nothing
            (make if end == signal.SIGTERM else child.parent()).send_signal(end)
            assert select.select([make.stdout], [], [], SECONDS)[0]
            while os.read(make.stdout.fileno(), 10_000):
                assert select.select([make.stdout], [], [], SECONDS)[0], "processes are left"
        finally:
            make.kill()


def at_work(run: psutil.Process) -> psutil.Process:
    """The process in which a run works."""
    while run.is_running():
        for process in run.children(recursive=True):
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(process.cmdline()):
                    return process
    raise AssertionError("it has ended")
