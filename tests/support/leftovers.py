"""No process of a test run outlives it, whatever ends it: a guard beside it ends the others.

All processes of a run have its mark in their environment, workers of xdist and children of children
in sessions of their own, too. So they are found when the run is gone, and none of them has to see
that: neither one that hangs, nor the child of a worker that a limit of time has ended.

`python tests/support/leftovers.py COMMAND` runs a command whose processes end with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

MARKS = "LOSSLESS_TEST_RUNS"
GUARD = "--guard"
PAUSE = 0.1  # seconds


def end_with_this_process() -> None:
    """The processes that this one starts from now on, and theirs, end when it ends."""
    mark = uuid.uuid4().hex
    # Those of a run inside of a test belong to both runs.
    os.environ[MARKS] = f"{os.environ.get(MARKS, '')} {mark}".strip()
    guard = subprocess.Popen(
        [sys.executable, str(Path(__file__).absolute()), GUARD, str(os.getpid()), mark],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # the signals of the terminal are not for it
    )
    guard.returncode = 0  # else Python warns that nobody waits for it: it outlives this process


def _end_all_after(run: int, mark: str) -> None:
    import psutil

    # Not psutil's wait: it would also wait for whoever started the run to hear of its end.
    while os.getppid() == run:
        time.sleep(PAUSE)
    left = True
    while left:
        left = False
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has ended, or is another user's
                if process.pid != os.getpid() and mark in process.environ().get(MARKS, ""):
                    process.kill()
                    left = True  # it may have started others meanwhile
        time.sleep(PAUSE)


def main() -> None:
    if sys.argv[1] == GUARD:
        _end_all_after(int(sys.argv[2]), sys.argv[3])
    else:
        end_with_this_process()
        os.execvp(sys.argv[1], sys.argv[1:])  # which stays this process


if __name__ == "__main__":
    main()
