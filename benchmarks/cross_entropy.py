"""How much faster cross entropy is than that of PyTorch, MLX and optax: value and gradient.

Float32, rows of 32,000 logits with class labels, the mean and its gradient by the logits: 8192 rows
where the machine has 20 GiB of memory, else 2048. lossless comes on NumPy arrays
(`lossless.value_and_grad`), on PyTorch tensors (autograd), on JAX arrays
(`jax.jit(jax.value_and_grad(...))`) and on MLX arrays (`mx.value_and_grad`); against it stand
PyTorch's `F.cross_entropy`, eager and by `torch.compile`, optax's, jitted as ours, and
`mlx.nn.losses.cross_entropy`, eager and by `mx.compile`. What is compiled is so beforehand.
The formulas that serve tensors without a kernel, as on GPUs, are tried too: eager and compiled.

To keep in mind: all return fresh gradients. lossless and PyTorch run on as many threads as
`--threads` says; XLA uses the machine's, MLX one for most operations.

The first lines are the peak of memory beside logits and labels, each in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import optax
import torch
from mlx import nn
from rich.box import SIMPLE_HEAD
from rich.table import Table
from timing import arguments, console, interleaved, memory, print_conditions, save, spelled
from torch.nn import functional

import lossless
from lossless.bench.peers import compiled_by_torch

CLASSES = 32_000
ENOUGH = 20 << 30
# None of the others may be faster.
TARGET = 1.0
KERNELS = ("lossless, NumPy", "lossless, PyTorch", "lossless, JAX", "lossless, MLX")
COMPOSED = ("lossless, PyTorch, composed", "lossless, PyTorch, compiled")
OURS = (*KERNELS, *COMPOSED)
EAGER, COMPILED, OPTAX = "PyTorch, eager", "PyTorch, compiled", "optax, jitted"
MLX, MLX_COMPILED = "MLX, eager", "MLX, compiled"
ALL = (*OURS, EAGER, COMPILED, OPTAX, MLX, MLX_COMPILED)
OF_MEMORY = (*KERNELS[:2], KERNELS[3], COMPOSED[0], EAGER, MLX)

Call = Callable[[], object]


def arrays(rows: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(rows)
    logits = generator.standard_normal((rows, CLASSES), np.float32)
    return logits, generator.integers(CLASSES, size=rows)


def calls(names: tuple[str, ...], logits: Any, labels: Any) -> dict[str, Call]:
    makers: dict[str, Callable[[Any, Any], Call]] = {
        OURS[0]: on_numpy,
        OURS[1]: lambda x, t: by_autograd(lossless.cross_entropy, x, t),
        OURS[2]: lambda x, t: jitted(lossless.cross_entropy, x, t, reduction="mean"),
        OURS[3]: lambda x, t: on_mlx(lossless.cross_entropy, x, t),
        COMPOSED[0]: lambda x, t: by_autograd(composed, x, t),
        COMPOSED[1]: lambda x, t: by_autograd(compiled_by_torch(lossless.cross_entropy), x, t),
        EAGER: lambda x, t: by_autograd(functional.cross_entropy, x, t),
        COMPILED: lambda x, t: by_autograd(compiled_by_torch(functional.cross_entropy), x, t),
        OPTAX: lambda x, t: jitted(mean_by_optax, x, t),
        MLX: lambda x, t: on_mlx(nn.losses.cross_entropy, x, t),
        MLX_COMPILED: lambda x, t: on_mlx(nn.losses.cross_entropy, x, t, compiled=True),
    }
    return {name: makers[name](logits, labels) for name in names}


def on_numpy(logits: Any, labels: Any) -> Call:
    both = lossless.value_and_grad(lossless.cross_entropy)
    return lambda: both(logits, labels, reduction="mean")


def composed(logits: Any, labels: Any, reduction: Any) -> Any:
    with lossless.composed():
        return lossless.cross_entropy(logits, labels, reduction=reduction)


def by_autograd(function: Any, logits: Any, labels: Any) -> Call:
    x, t = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(labels)
    return lambda: torch.autograd.grad(function(x, t, reduction="mean"), x)


def on_mlx(function: Any, logits: Any, labels: Any, *, compiled: bool = False) -> Call:
    x, t = mx.array(logits), mx.array(labels.astype(np.int32))
    step = mx.value_and_grad(lambda x: function(x, t, reduction="mean"))
    step = mx.compile(step) if compiled else step
    mx.eval(x, t)
    return lambda: mx.eval(step(x))


def jitted(function: Any, logits: Any, labels: Any, **options: Any) -> Call:
    x, t = jax.block_until_ready((jnp.asarray(logits), jnp.asarray(labels)))
    step = jax.jit(jax.value_and_grad(lambda x, t: function(x, t, **options)))
    program = step.lower(x, t).compile()
    return lambda: jax.block_until_ready(program(x, t))


def mean_by_optax(logits: Any, labels: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def measure(rows: int, seconds: float) -> dict[str, Any]:
    logits, labels = arrays(rows)
    cases = calls(ALL, logits, labels)
    timings = interleaved(cases, seconds, f"{rows:,} rows")
    ratios = {
        f"{name} / lossless": timings[name].median / timings[like(name)].median
        for name in cases
        if name not in OURS
    }
    return {"rows": rows, **timings, **ratios}


def like(name: str) -> str:
    """What of ours another library is compared with: that on the same arrays."""
    if name in (EAGER, COMPILED):
        return OURS[1]
    return OURS[2] if name == OPTAX else OURS[3]


PEAK = """
import resource, sys
sys.path.insert(0, {folder!r})
import cross_entropy as benchmark
small = benchmark.arrays(2)
logits, labels = benchmark.arrays({rows})
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for call in benchmark.calls(({name!r},), *small).values():
    call()
(call,) = benchmark.calls(({name!r},), logits, labels).values()
before = peak()
call()
print(peak() - before)
"""


def arrays_at_peak(name: str, rows: int) -> float:
    """The most memory that value and gradient take beside the arguments, in gradients."""
    program = PEAK.format(folder=str(Path(__file__).parent), rows=rows, name=name)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    return float(done.stdout) * unit / (4 * rows * CLASSES)


def table(row: dict[str, Any]) -> Table:
    title = f"float32, {row['rows']:,} x {CLASSES:,}, value and gradient of the mean"
    result = Table(title=title, box=SIMPLE_HEAD)
    result.add_column("", no_wrap=True)
    for heading in ("time", "÷ lossless"):
        result.add_column(heading, justify="right", no_wrap=True)
    for name in ALL:
        ratio = row.get(f"{name} / lossless")
        against = ""
        if ratio is not None:
            colour = "green" if ratio >= TARGET else "red"
            against = f"[{colour}]{ratio:.2f}[/{colour}] (≥ {TARGET:g})"
        result.add_row(name, spelled(row[name]), against)
    return result


def main() -> None:
    options = arguments(__doc__, [8192 if memory() >= ENOUGH else 2048])
    torch.set_num_threads(lossless.info()["threads"])
    print_conditions()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("mlx", "jax", "optax"))
    threads = torch.get_num_threads()
    console.print(f"[dim]torch {torch.__version__}, {threads} threads; {versions}[/dim]\n")
    rows = []
    for size in options.sizes:
        # First, while this process is small: another one begins with its peak.
        peaks = {name: arrays_at_peak(name, size) for name in OF_MEMORY}
        spelled_peaks = ", ".join(f"{name} {peak:.2f}" for name, peak in peaks.items())
        console.print(f"memory at the peak, {size:,} rows, in gradients: {spelled_peaks}")
        row = measure(size, options.seconds) | {"peaks": peaks}
        console.print(table(row))
        rows.append(row)
    if options.save:
        save(options.save, rows)


if __name__ == "__main__":
    main()
