"""How much faster losses on MLX arrays are than those of `mlx.nn.losses`, on the CPU.

Float32, value (mean) and gradient by `mx.value_and_grad`, eager and under `mx.compile`, in MLX's
default settings, and the plain loss of each element. The inputs are evaluated beforehand, the
results inside of the timed region.

To keep in mind: lossless runs on all threads; MLX runs most operations on one, which is what its
user gets. Both allocate their results anew. MLX's float32 mean is less accurate (`make claims`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx import nn
from rich.box import SIMPLE_HEAD
from rich.table import Table
from timing import against_target, arguments, interleaved, print_conditions, run_sizes, spelled

import lossless

LARGE = 16_000_000
# How many times faster than mlx.nn.losses, from LARGE on: eager and compiled. One element must
# not take longer.
TARGETS = {"huber": (20.0, 10.0), "log_cosh": (25.0, 20.0)}


def measure(loss: str, elements: int, seconds: float) -> list[dict[str, Any]]:
    inputs, targets = 2 * mx.random.normal((elements,)), mx.random.normal((elements,))
    mx.eval(inputs, targets)
    ours, theirs = (getattr(library, f"{loss}_loss") for library in (lossless, nn.losses))

    def evaluated(function: Any) -> Callable[[], object]:
        return lambda: mx.eval(function(inputs, targets))

    def mean_and_gradient(function: Any) -> Callable[..., Any]:
        return mx.value_and_grad(lambda x, t: function(x, t, reduction="mean"))

    steps = [mean_and_gradient(function) for function in (ours, theirs)]
    calls = {
        "none": (ours, theirs),
        "mean+grad": steps,
        "compiled": [mx.compile(step) for step in steps],
    }
    targets_of = dict(zip(("mean+grad", "compiled"), TARGETS[loss], strict=True))
    rows = []
    for call, functions in calls.items():
        cases = dict(zip(("lossless", "MLX"), map(evaluated, functions), strict=True))
        timings = interleaved(cases, seconds / 3, f"{loss}, {call}, {elements:,} elements")
        target = targets_of.get(call) if elements >= LARGE else 1.0 if elements == 1 else None
        ratio = timings["MLX"].median / timings["lossless"].median
        peaks = {f"{name} peak": peak(case) for name, case in cases.items()}
        rows.append(
            {"elements": elements, "loss": loss, "call": call, **timings, **peaks}
            | {"ratio": ratio, "target": target}
        )
    return rows


def peak(case: Callable[[], object]) -> float:
    """The most memory that a call takes beside its arguments, in bytes."""
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    case()
    return float(mx.get_peak_memory() - before)


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of one size; memory in arrays of this size."""
    elements = rows[0]["elements"]
    result = Table(title=f"float32, MLX arrays, N = {elements:,}", box=SIMPLE_HEAD)
    for heading in ("loss", "call"):
        result.add_column(heading, no_wrap=True)
    for heading in ("lossless", "MLX", "MLX ÷", "arrays", "MLX's"):
        result.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        ratio = against_target(row["ratio"], row["target"])
        memory = (f"{row[f'{name} peak'] / 4 / elements:.1f}" for name in ("lossless", "MLX"))
        times = (spelled(row[name]) for name in ("lossless", "MLX"))
        result.add_row(row["loss"], row["call"], *times, ratio, *memory)
    return result


def main() -> None:
    options = arguments(__doc__, [1, 1000, 1_000_000, LARGE])
    print_conditions()
    with mx.stream(mx.cpu):
        run_sizes(options, measure, TARGETS, table)


if __name__ == "__main__":
    main()
