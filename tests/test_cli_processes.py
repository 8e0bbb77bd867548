"""The processes that a command starts: none outlives it, whatever ends it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lossless._processes import end_with_parent

PARENT = """
import multiprocessing, test_cli_processes
multiprocessing.get_context("spawn").Process(target=test_cli_processes.sleep, args=({},)).start()
"""  # which waits for its child at the end


def sleep(watches: bool) -> None:
    """Longer than the test may take: nothing but the watch ends it in time."""
    if watches:
        end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(200)


@pytest.mark.parametrize("watches", [True, False])
def test_process_ends_with_its_parent_that_is_killed(watches: bool) -> None:
    """It holds the pipe, too, whose end tells that it is gone. Without the watch it stays."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(watches)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        ended, _, _ = select.select([parent.stdout], [], [], 40 if watches else 3)
        if not watches:
            os.kill(child, signal.SIGKILL)
        assert bool(ended) is watches
        assert not parent.stdout.read()
