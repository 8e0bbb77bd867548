"""What a process does that outlives a test, unless something ends it."""

from __future__ import annotations

import os
import time

from lossless._processes import end_with_parent


def sleep(watches: bool) -> None:
    """Longer than the test may take: nothing but the watch ends it in time."""
    if watches:
        end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(200)
