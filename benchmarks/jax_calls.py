"""How much faster a loss on JAX arrays is than optax's, on the CPU.

Float32, from one element to 16 million, default parameters: value and gradient of the mean
("mean"), and the losses of all elements without a gradient ("each"). All are jitted by the caller,
as in `jax.jit(jax.value_and_grad(...))`, but for the last column: lossless called as it is.
"Nothing" is a custom call of the same arrays that computes nothing (nothing.cpp): no kernel can be
quicker.

To keep in mind: both sides return fresh arrays, and wait for the result (`block_until_ready`).
lossless runs on its own threads and XLA on its own, as many as the machine has: `--threads` counts
for lossless only. optax's log-cosh is not accurate near a residual of zero.
"""

from __future__ import annotations

import ctypes
import functools
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
# How many times faster than jitted optax a mean with its gradient must be, from LARGE on.
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


def finished(function: Any, inputs: Any, targets: Any) -> object:
    return jax.block_until_ready(function(inputs, targets))


def measure(loss: str, elements: int, seconds: float) -> list[dict[str, Any]]:
    generator = np.random.default_rng(elements)
    inputs = jnp.asarray(2 * generator.standard_normal(elements, np.float32))
    targets = jnp.asarray(generator.standard_normal(elements, np.float32))
    mine, theirs = LOSSES[loss]
    number, array = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((), (elements,)))
    both = lossless.value_and_grad(mine)
    rows = []
    for what, ours, by_optax, results, as_it_is in (
        (
            "mean",
            jax.value_and_grad(lambda x, t: mine(x, t, reduction="mean")),
            jax.value_and_grad(lambda x, t: theirs(x, t).mean()),
            [number, array],
            lambda x, t: both(x, t, reduction="mean"),
        ),
        ("each", mine, theirs, [array], mine),
    ):
        cases = {
            "lossless": jax.jit(ours),
            "optax": jax.jit(by_optax),
            "nothing": jax.jit(jax.ffi.ffi_call("nothing", results)),
            "not jitted": as_it_is,
        }
        timings = interleaved(
            {
                name: functools.partial(finished, case, inputs, targets)
                for name, case in cases.items()
            },
            seconds,
            f"{loss}, {what}, {elements:,} elements",
        )
        target = TARGETS[loss] if elements >= LARGE and what == "mean" else None
        ratio = timings["optax"].median / timings["lossless"].median
        names = {"elements": elements, "loss": loss, "what": what}
        rows.append({**names, **timings, "optax / lossless": ratio, "target": target})
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of one size."""
    title = f"float32, JAX arrays, N = {rows[0]['elements']:,}"
    result = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    result.add_column("loss", no_wrap=True)
    for heading in ("lossless", "optax", "optax ÷", "nothing", "as it is"):
        result.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        result.add_row(
            f"{row['loss']}, {row['what']}",
            spelled(row["lossless"]),
            spelled(row["optax"]),
            against_target(row["optax / lossless"], row["target"], ".2f"),
            spelled(row["nothing"]),
            str(row["not jitted"]).rpartition(" ")[0],
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
