"""How much faster a loss on JAX arrays is than optax's: value and gradient of the mean, on the CPU.

Float32, from one element to 16 million, default parameters. All are jitted by the caller
(`jax.jit(jax.value_and_grad(...))`), but for the last column: lossless called as it is. "Nothing"
is a custom call of the same arrays that computes nothing (nothing.cpp): no kernel can be quicker.

To keep in mind: both sides return fresh arrays, and wait for the result (`block_until_ready`).
lossless runs on its own threads and XLA on its own, as many as the machine has: `--threads` counts
for lossless only. optax's log-cosh is not accurate near a residual of zero.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.box import SIMPLE_HEAD
from rich.table import Table
from timing import (
    against_target,
    arguments,
    console,
    interleaved,
    print_conditions,
    run_sizes,
    spelled,
)

import lossless

LARGE = 16_000_000
# How many times faster than jitted optax a value with gradient must be, from LARGE on; and for
# small calls: not slower.
TARGETS = {"huber": 3.0, "log_cosh": 2.0}
LOSSES: dict[str, tuple[Any, Any]] = {
    "huber": (lossless.huber_loss, optax.huber_loss),
    "log_cosh": (lossless.log_cosh_loss, optax.log_cosh),
}


def register_nothing() -> None:
    compiler = shutil.which("c++") or sys.exit("this benchmark needs a C++ compiler, named c++")
    source = Path(__file__).parent / "nothing.cpp"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "nothing.so"
        command = [compiler, "-O2", "-shared", "-fPIC", f"-I{jax.ffi.include_dir()}"]
        subprocess.run([*command, source, "-o", library], check=True)
        function = ctypes.CDLL(str(library)).nothing
    jax.ffi.register_ffi_target("nothing", jax.ffi.pycapsule(function), platform="cpu")


def measure(loss: str, elements: int, seconds: float) -> list[dict[str, Any]]:
    generator = np.random.default_rng(elements)
    inputs = jnp.asarray(2 * generator.standard_normal(elements, np.float32))
    targets = jnp.asarray(generator.standard_normal(elements, np.float32))
    mine, theirs = LOSSES[loss]
    ours = jax.jit(jax.value_and_grad(lambda x, t: mine(x, t, reduction="mean")))
    by_optax = jax.jit(jax.value_and_grad(lambda x, t: theirs(x, t).mean()))
    results = jax.ShapeDtypeStruct((), np.float32), jax.ShapeDtypeStruct((elements,), np.float32)
    nothing = jax.jit(lambda x, t: jax.ffi.ffi_call("nothing", results)(x, t))
    explicit = lossless.value_and_grad(mine)
    timings = interleaved(
        {
            "lossless": lambda: jax.block_until_ready(ours(inputs, targets)),
            "optax": lambda: jax.block_until_ready(by_optax(inputs, targets)),
            "nothing": lambda: jax.block_until_ready(nothing(inputs, targets)),
            "not jitted": lambda: jax.block_until_ready(
                explicit(inputs, targets, reduction="mean")
            ),
        },
        seconds,
        f"{loss}, {elements:,} elements",
    )
    row = {
        "elements": elements,
        "loss": loss,
        **timings,
        "optax / lossless": timings["optax"].median / timings["lossless"].median,
        "target": TARGETS[loss] if elements >= LARGE else 1.0,
    }
    return [row]


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of one size."""
    title = f"float32, JAX arrays, N = {rows[0]['elements']:,}"
    result = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    result.add_column("loss", no_wrap=True)
    for heading in ("lossless", "optax", "optax ÷", "nothing", "not jitted"):
        result.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        result.add_row(
            row["loss"],
            spelled(row["lossless"]),
            spelled(row["optax"]),
            against_target(row["optax / lossless"], row["target"], ".2f"),
            spelled(row["nothing"]),
            spelled(row["not jitted"]),
        )
    return result


def main() -> None:
    options = arguments(__doc__, [1, 100, 10_000, 1_000_000, LARGE])
    console.print(f"[dim]jax {jax.__version__}, optax {metadata.version('optax')}[/dim]")
    print_conditions()
    register_nothing()
    run_sizes(options, measure, LOSSES, table)


if __name__ == "__main__":
    main()
