"""How near the kernels come to the speed of memory.

Value (mean) and gradient in one pass, float32, against `inputs - targets`, which reads two arrays
and writes one, as the kernel does. Both run on the same threads, in the same blocks, and write to
the same kind of warm, preallocated array; neither goes through the public Python layer.

To keep in mind: with fewer than some 10^6 elements the arrays stay in the caches, and the pass
that does not compute wins by more. The targets hold for arrays that do not fit in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from timing import arguments, console, interleaved, print_conditions, save, spelled

from lossless import _core

LARGE = 16_000_000
# What the kernel may cost at most, as a multiple of the memory pass, from LARGE on.
TARGETS = {"huber": 1.15, "log_cosh": 2.5}
FLOAT32, MEAN = 2, 2  # DType and Reduction in src/kernels/engine/sweep.h
PARAMETERS: dict[str, tuple[float, ...]] = {"huber": (1.0,), "log_cosh": ()}


def measure(elements: int, seconds: float) -> list[dict[str, Any]]:
    generator = np.random.default_rng(elements)
    inputs = 2 * generator.standard_normal(elements, np.float32)
    targets = generator.standard_normal(elements, np.float32)
    out = np.ones(elements, np.float32)

    value = np.ones((), np.float32)

    def kernel(loss: str) -> Callable[[], object]:
        number = [name for name, *_ in _core.losses()].index(loss)
        return lambda: _core.sweep(
            loss=number,
            dtype=FLOAT32,
            reduction=MEAN,
            shape=(elements,),
            outer_dims=0,
            inputs=(inputs, FLOAT32),
            targets=(targets, FLOAT32),
            parameters=PARAMETERS[loss],
            weights=None,
            where=None,
            value=value,
            gradient=out,
            second_derivative=None,
            total_gradient=None,
        )

    cases: dict[str, Callable[[], object]] = {
        "memory pass": lambda: _core.memory_pass(inputs, targets, out)
    }
    cases |= {loss: kernel(loss) for loss in TARGETS}
    timings = interleaved(cases, seconds, f"{elements:,} elements")
    memory_pass = timings.pop("memory pass")
    return [
        {
            "elements": elements,
            "loss": loss,
            "memory pass": memory_pass,
            "kernel": timing,
            "ratio": timing.median / memory_pass.median,
            "target": TARGETS[loss] if elements >= LARGE else None,
        }
        for loss, timing in timings.items()
    ]


def table(rows: list[dict[str, Any]]) -> Table:
    title = "float32, value (mean) and gradient, warm output"
    result = Table(title=title, box=SIMPLE_HEAD)
    for heading in ("elements", "loss", "memory pass", "kernel", "ratio", "target", "GB/s"):
        result.add_column(heading, justify="left" if heading == "loss" else "right")
    for row in rows:
        target = row["target"]
        colour = "default" if target is None else "green" if row["ratio"] <= target else "red"
        result.add_row(
            f"{row['elements']:,}",
            row["loss"],
            spelled(row["memory pass"]),
            spelled(row["kernel"]),
            f"[{colour}]{row['ratio']:.2f}[/{colour}]",
            "" if target is None else f"≤ {target:.2f}",
            f"{3 * 4 * row['elements'] / row['kernel'].median / 1e9:.1f}",
        )
    return result


def main() -> None:
    options = arguments(__doc__, sizes=[100_000, 1_000_000, LARGE, 4 * LARGE])
    print_conditions()
    rows = [row for elements in options.sizes for row in measure(elements, options.seconds)]
    console.print(table(rows))
    if options.save:
        save(options.save, rows)


if __name__ == "__main__":
    main()
