"""Several threads at once, forks while kernels run, a caller that flushes subnormals to zero."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossless
from support.cases import Case

LIMIT = 120  # seconds, after which a hang is a failure

FORKS = """
import os, signal, threading
import numpy as np
import lossless

signal.alarm({limit} // 2)
lossless.set_num_threads(3)
rng = np.random.default_rng(7)
x, t = rng.normal(0.5, 2.0, (2, 400_000)).astype(np.float32)
call = lossless.value_and_grad(lossless.log_cosh_loss)

def fingerprint():
    value, gradient = call(x, t, reduction="mean")
    rows = lossless.huber_loss(x.reshape(4, -1), t.reshape(4, -1), 0.7, "sum", axis=1)
    return value.tobytes() + gradient.tobytes() + rows.tobytes()

expected = fingerprint()
stop = threading.Event()

def work():
    while not stop.is_set():
        assert expected == fingerprint()

workers = [threading.Thread(target=work) for _ in range(2)]
for worker in workers:
    worker.start()
for turn in range(25):
    child = os.fork()
    if child == 0:
        signal.alarm({limit} // 4)
        right = fingerprint() == expected
        lossless.set_num_threads(2)
        right = right and fingerprint() == expected and lossless.info()["threads"] == 2
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if fingerprint() == expected else 1)
        right = right and os.waitpid(grandchild, 0)[1] == 0
        os._exit(0 if right else 1)
    assert 0 == os.waitpid(child, 0)[1], f"child {{turn}} failed"
    assert expected == fingerprint()
stop.set()
for worker in workers:
    worker.join()
print("right")
"""

POOL = """
import multiprocessing, signal
import numpy as np
import lossless

def mean(seed):
    signal.alarm({limit} // 2)
    x, t = np.random.default_rng(seed).normal(0.5, 2.0, (2, 300_000))
    return float(lossless.log_cosh_loss(x, t, "mean"))

if __name__ == "__main__":
    signal.alarm({limit} // 2)
    lossless.set_num_threads(2)
    expected = [mean(seed) for seed in range(6)]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert expected == pool.map(mean, range(6)), method
    print("right")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("script", [FORKS, POOL], ids=["fork", "multiprocessing"])
def test_children_of_a_process_with_threads_compute(script: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(script.format(limit=LIMIT))
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (0, "right") == (done.returncode, done.stdout.strip()), done.stderr


@pytest.mark.usefixtures("native")
def test_threads_of_the_caller_do_not_disturb_each_other(
    case: Case, rng: np.random.Generator
) -> None:
    """Each with its own arrays, sizes and reductions, while another changes the thread count."""
    jobs = []
    for size in (1, 100, 70_000, 200_001, 3000):
        x = case.fmt.array(rng.normal(0.5, 2.0, size))
        t = case.fmt.array(rng.normal(-0.5, 1.0, size))
        reduction = ("none", "mean", "sum")[size % 3]
        expected = [part.tobytes() for part in case.value_and_grad(x, t, reduction=reduction)]
        jobs.append((x, t, reduction, expected))
    wrong: list[str] = []
    start = threading.Barrier(len(jobs) + 1)

    def work(job: Any) -> None:
        x, t, reduction, expected = job
        start.wait()
        for _ in range(12):
            actual = [part.tobytes() for part in case.value_and_grad(x, t, reduction=reduction)]
            if actual != expected:
                wrong.append(f"{case} {x.size} {reduction}")

    workers = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for worker in workers:
        worker.start()
    start.wait()
    for threads in (1, 3, 2, 1, 2):
        lossless.set_num_threads(threads)
    for worker in workers:
        worker.join(LIMIT)
        assert not worker.is_alive(), "a call hangs"
    assert not wrong


class FloatEnvironment(ctypes.Structure):
    """glibc's fenv_t on x86-64."""

    _fields_ = [("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32)]


FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 1 << 15, 1 << 6


@contextmanager
def flushing_subnormals() -> Iterator[list[int]]:
    """The CPU mode that XLA's threads run in; gives the control word as the block left it."""
    library = ctypes.CDLL(None)
    before, changed, after = FloatEnvironment(), FloatEnvironment(), FloatEnvironment()
    left: list[int] = []
    library.fegetenv(ctypes.byref(before))
    ctypes.memmove(ctypes.byref(changed), ctypes.byref(before), ctypes.sizeof(before))
    changed.mxcsr |= FLUSH_TO_ZERO | DENORMALS_ARE_ZERO
    library.fesetenv(ctypes.byref(changed))
    try:
        yield left
        library.fegetenv(ctypes.byref(after))
        left.append(after.mxcsr)
    finally:
        library.fesetenv(ctypes.byref(before))


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="sets the control word of x86-64 by glibc's fenv_t",
)
@pytest.mark.parametrize("size", [33, 1 << 18])
def test_flush_to_zero_does_not_reach_our_bits(
    case: Case, size: int, rng: np.random.Generator
) -> None:
    fmt = case.fmt
    half = 1 << (fmt.precision - 1)
    x = fmt.from_bits(rng.integers(1, half, size))  # subnormal
    x[1::2] = fmt.array(np.sqrt(2.0 * rng.uniform(2, half, x[1::2].size) * fmt.smallest))
    t = fmt.array(np.zeros(size))
    t[::3] = fmt.from_bits(rng.integers(1, half, t[::3].size))
    options = {"weights": rng.uniform(0.5, 2.0, size), "where": rng.random(size) < 0.9}
    for given in ({}, options):
        expected = [part.tobytes() for _, _, part in case.element_wise(x, t, **given)]
        mean = case.value(x, t, reduction="mean", **given)
        with flushing_subnormals() as left:
            actual = list(case.element_wise(x, t, **given))
            flushed_mean = case.value(x, t, reduction="mean", **given)
        for (output, call, part), right in zip(actual, expected, strict=True):
            assert right == part.tobytes(), f"{case} {output} from {call}"
        assert mean.tobytes() == flushed_mean.tobytes()
        both = FLUSH_TO_ZERO | DENORMALS_ARE_ZERO
        assert both == left[0] & both, "the caller's mode is gone"
