"""How much faster a call on PyTorch tensors is than PyTorch's own loss, eager and compiled.

Float32, value and gradient of a mean by autograd, default parameters, and calls of one element
without a gradient, with and without a reduction. Against Huber stands `F.huber_loss`; for
log-cosh, which PyTorch does not have, the usual formula `e + softplus(-2e) - log 2`. Each also
comes through `torch.compile`, compiled beforehand. Both sides use the same number of threads and
return fresh arrays.

The first lines are the peak of memory beside inputs and targets, each in a process of its own.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
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
from torch.nn import functional

import lossless
from lossless.bench.peers import compiled_by_torch

LARGE = 16_000_000
# How many times faster than PyTorch's value and gradient, from LARGE on: eager, compiled.
TARGETS = {"huber": (2.5, 1.3), "log_cosh": (6.0, 2.0)}
# How many times slower than the eager one a call of one element may be, without and with gradient.
MOST_AT_ONE = {"none": 1.0, "mean": 1.0, "mean+grad": 3.0}


def log_cosh(inputs: Any, targets: Any, reduction: Any = "mean") -> Any:
    e = inputs - targets
    losses = e + functional.softplus(-2 * e) - math.log(2)
    return losses.mean() if reduction == "mean" else losses


OURS: dict[str, Callable[..., Any]] = {
    "huber": partial(lossless.huber_loss, reduction="mean"),
    "log_cosh": partial(lossless.log_cosh_loss, reduction="mean"),
}
THEIRS: dict[str, Callable[..., Any]] = {"huber": functional.huber_loss, "log_cosh": log_cosh}


def value_and_grad(function: Any, inputs: Any, targets: Any) -> Callable[[], object]:
    def call() -> object:
        value = function(inputs, targets)
        return torch.autograd.grad(value, inputs)

    return call


def measure(loss: str, elements: int, seconds: float) -> list[dict[str, Any]]:
    torch.compiler.reset()  # which counts the programs of one function
    generator = torch.Generator().manual_seed(elements)
    inputs = (2 * torch.randn(elements, generator=generator)).requires_grad_()
    targets = torch.randn(elements, generator=generator)
    functions = {
        "lossless": OURS[loss],
        "eager": THEIRS[loss],
        "compiled": compiled_by_torch(THEIRS[loss]),
    }
    plain = inputs.detach()
    calls: dict[str, dict[str, Callable[[], object]]] = {
        "mean": {name: partial(f, plain, targets) for name, f in functions.items()},
        "mean+grad": {name: value_and_grad(f, inputs, targets) for name, f in functions.items()},
    }
    if elements == 1:
        calls["none"] = {
            name: partial(f, plain, targets, reduction="none") for name, f in functions.items()
        }
    rows = []
    for call, cases in calls.items():
        timings = interleaved(cases, seconds / 2, f"{loss}, {call}, {elements:,} elements")
        rows.append(
            {
                "elements": elements,
                "loss": loss,
                "call": call,
                **timings,
                "eager / lossless": timings["eager"].median / timings["lossless"].median,
                "compiled / lossless": timings["compiled"].median / timings["lossless"].median,
                "targets": targets_of(loss, call, elements),
            }
        )
    return rows


def targets_of(loss: str, call: str, elements: int) -> tuple[float | None, float | None]:
    if elements == 1 and loss == "huber":
        return 1 / MOST_AT_ONE[call], None
    if elements >= LARGE and call == "mean+grad":
        return TARGETS[loss]
    return None, None


PEAK = """
import resource, sys
sys.path.insert(0, {folder!r})
import torch, torch_calls
inputs = torch.randn({elements}, requires_grad=True)
targets = torch.randn({elements})
small = inputs[:1000].detach().requires_grad_()
function = torch_calls.{table}[{loss!r}]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
torch_calls.value_and_grad(function, small, targets[:1000])()
before = peak()
torch_calls.value_and_grad(function, inputs, targets)()
print(peak() - before)
"""


def arrays_at_peak(loss: str, table: str, elements: int) -> float:
    """The most memory that value and gradient take beside the arguments, in arrays of the size."""
    program = PEAK.format(
        folder=str(Path(__file__).parent), elements=elements, table=table, loss=loss
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    return float(done.stdout) * unit / (4 * elements)


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of one size."""
    elements = rows[0]["elements"]
    result = Table(title=f"float32, PyTorch tensors, N = {elements:,}", box=SIMPLE_HEAD)
    for heading in ("loss", "call"):
        result.add_column(heading, no_wrap=True)
    for heading in ("lossless", "eager", "compiled", "eager ÷", "compiled ÷"):
        result.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        times = [spelled(row[name]) for name in ("lossless", "eager", "compiled")]
        ratios = [
            against_target(row[f"{name} / lossless"], target, ".2g")
            for name, target in zip(("eager", "compiled"), row["targets"], strict=True)
        ]
        result.add_row(row["loss"], row["call"], *times, *ratios)
    return result


def main() -> None:
    options = arguments(__doc__, [1, 1000, 1_000_000, LARGE])
    torch.set_num_threads(lossless.info()["threads"])
    print_conditions()
    console.print(f"[dim]torch {torch.__version__}, {torch.get_num_threads()} threads[/dim]\n")
    # First, while this process is small: another one begins with its peak.
    for loss in OURS:
        most = [arrays_at_peak(loss, name, LARGE) for name in ("OURS", "THEIRS")]
        console.print(
            f"{loss}: memory at the peak of value and gradient, N = {LARGE:,}, in arrays of that "
            f"size: lossless {most[0]:.2f}, eager {most[1]:.2f}"
        )
    run_sizes(options, measure, OURS, table)


if __name__ == "__main__":
    main()
