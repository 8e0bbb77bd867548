"""The processes that a command starts: none outlives it, whatever ends it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from support import TESTS

PARENT = """
import multiprocessing, support.long_process
multiprocessing.get_context("spawn").Process(target=support.long_process.sleep, args=({},)).start()
"""  # which waits for its child at the end


@pytest.mark.parametrize("watches", [True, False])
def test_process_ends_with_its_parent_that_is_killed(watches: bool) -> None:
    """It holds the pipe, too, whose end tells that it is gone. Without the watch it stays."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(watches)],
        stdout=subprocess.PIPE,
        cwd=TESTS,
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
