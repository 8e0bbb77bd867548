"""Daemon threads inside of calls while the interpreter ends: the process ends well, without a word.

The GIL that such a thread asks for is never given, and Python up to 3.13 unwinds its stack by force
(src/bridges/core/gil.h). Calls that give the GIL up inside of a framework are not here: PyTorch
2.13, MLX 0.32 and JAX 0.10 abort in the same place without lossless.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

LIMIT = 60  # seconds, after which a hang is a failure
THREADS = """
import threading, time
import numpy as np
import lossless

rng = np.random.default_rng(3)
x, t = rng.normal(0.5, 2.0, (2, {size})).astype(np.float32)
{prepare}
begun = [threading.Event() for _ in range(4)]

def work(has_begun):
    while True:
        {call}
        has_begun.set()

for event in begun:
    threading.Thread(target=work, args=(event,), daemon=True).start()
for event in begun:
    assert event.wait({limit} / 4)
"""
PREPARE_ROWS = """
x = x.reshape(-1, 500)
t = np.arange(len(x)) % 500
"""
PREPARE_TENSORS = """
import torch
from lossless.executors.torch.eligibility import DTYPE_CODES
x, t, out = torch.tensor(x), torch.tensor(t), torch.zeros({size})
loss = [name for name, *_ in lossless._core.losses()].index("log_cosh")
shape = list(x.shape)
outputs = dict(value=out, gradient=None, second_derivative=None, total_gradient=None)
"""
VALUE = "lossless.log_cosh_loss(x, t)"
CALLS = {
    "value of 2 million elements": (2_000_000, "", VALUE),
    "value of 5000 elements": (5000, "", VALUE),
    "value and gradient": (
        2_000_000,
        "both = lossless.value_and_grad(lossless.huber_loss)",
        "both(x, t, reduction='mean')",
    ),
    "kernel of rows": (1_000_000, PREPARE_ROWS, "lossless.cross_entropy(x, t)"),
    "formulas": (1_000_000, "", "lossless.kl_div_loss(x, t)"),
    "tensors": (
        500_000,
        PREPARE_TENSORS.format(size=500_000),
        "lossless._core.sweep(\n"
        "    loss, DTYPE_CODES[x.dtype], 0, shape, 0, x, t, (), None, None, **outputs\n)",
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_daemon_threads_in_calls_let_the_process_end(call: str) -> None:
    size, prepare, line = CALLS[call]
    script = THREADS.format(size=size, prepare=prepare, call=line, limit=LIMIT)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
