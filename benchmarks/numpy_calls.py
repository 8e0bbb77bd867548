"""How much faster a call on NumPy arrays is than NumPy formulas (lossless.bench.numpy_formulas).

Float32, from one element to 10^8, default parameters: the plain loss of each element, and the mean
with its gradient. The formula comes as people write it ("plain"), and in place with preallocated
arrays ("careful"), which saves it the page faults of fresh memory.

To keep in mind: lossless runs on all threads and NumPy on one, which is what a user gets from
either, and `--threads 1` takes away. lossless and the plain formula return fresh arrays, the
careful one its own. The formula's float32 result is less accurate, and near a residual of zero not
accurate at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from timing import (
    against_target,
    arguments,
    console,
    interleaved,
    memory,
    print_conditions,
    run_sizes,
    spelled,
)

import lossless
from lossless.bench import numpy_formulas

LARGE = 16_000_000
# How many times faster than the plain formula a value with gradient must be, from LARGE on.
TARGETS = {"huber": 6.0, "log_cosh": 10.0}
LOSSES: dict[str, Any] = {
    "huber": lossless.huber_loss,
    "log_cosh": lossless.log_cosh_loss,
}
# The arrays that are alive at once, at most: inputs and targets, three of the careful formula, and
# the plain formula's results and intermediate steps.
ARRAYS = 13


def measure(loss: str, elements: int, seconds: float) -> list[dict[str, Any]]:
    generator = np.random.default_rng(elements)
    inputs = 2 * generator.standard_normal(elements, np.float32)
    targets = generator.standard_normal(elements, np.float32)
    careful = numpy_formulas.InPlace(inputs)
    ours = LOSSES[loss]
    ours_with_gradient = lossless.value_and_grad(ours)

    def plain_and_careful(name: str) -> dict[str, Callable[[], object]]:
        return {
            "plain": lambda: getattr(numpy_formulas, name)(inputs, targets),
            "careful": lambda: getattr(careful, name)(inputs, targets),
        }

    calls: dict[str, dict[str, Callable[[], object]]] = {
        "none": {"lossless": lambda: ours(inputs, targets), **plain_and_careful(loss)},
        "mean+grad": {
            "lossless": lambda: ours_with_gradient(inputs, targets, reduction="mean"),
            **plain_and_careful(f"{loss}_value_and_grad"),
        },
    }
    rows = []
    for call, cases in calls.items():
        timings = interleaved(cases, seconds / 2, f"{loss}, {call}, {elements:,} elements")
        has_target = call == "mean+grad" and elements >= LARGE
        rows.append(
            {
                "elements": elements,
                "loss": loss,
                "call": call,
                **timings,
                "plain / lossless": timings["plain"].median / timings["lossless"].median,
                "careful / lossless": timings["careful"].median / timings["lossless"].median,
                "target": TARGETS[loss] if has_target else None,
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of one size."""
    title = f"float32, NumPy arrays, N = {rows[0]['elements']:,}"
    result = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("loss", "call"):
        result.add_column(heading, no_wrap=True)
    for heading in ("lossless", "plain", "careful", "plain ÷", "careful ÷"):
        result.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        result.add_row(
            row["loss"],
            row["call"],
            spelled(row["lossless"]),
            spelled(row["plain"]),
            spelled(row["careful"]),
            against_target(row["plain / lossless"], row["target"]),
            f"{row['careful / lossless']:.1f}",
        )
    return result


def main() -> None:
    sizes = [1, 100, 10_000, 1_000_000, LARGE, 100_000_000]
    options = arguments(__doc__, sizes)
    print_conditions()
    for elements in list(options.sizes):
        needed = ARRAYS * 4 * elements
        if needed > memory() / 2:
            console.print(f"{elements:,} elements left out: {needed / 2**30:.1f} GiB")
            options.sizes.remove(elements)
    run_sizes(options, measure, LOSSES, table)


if __name__ == "__main__":
    main()
