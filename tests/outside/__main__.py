"""`make outside`: hard arguments of the element-wise losses, judged from outside of the kernels."""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np

import lossless
from lossless.cli.oracle.formats import FORMATS

from .judge import Tally, judge
from .losses import LOSSES
from .operands import batch

BATCH = 20_000
SHOWN = 5  # failures of a loss in a dtype


def main() -> int:
    parser = argparse.ArgumentParser(prog="make outside", description=__doc__)
    parser.add_argument("--pairs", type=int, default=4_000_000, help="how many, of all losses")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--loss", action="append", choices=LOSSES, help="may be repeated")
    parser.add_argument("--dtype", action="append", choices=FORMATS, help="may be repeated")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    rng = np.random.default_rng(options.seed)
    kinds = [(n, d) for n in options.loss or LOSSES for d in options.dtype or FORMATS]
    tallies = {kind: Tally() for kind in kinds}
    done = 0
    began = told = time.monotonic()
    while done < options.pairs:
        for kind in kinds:
            name, fmt = kind[0], FORMATS[kind[1]]
            seen, failures = judge(name, fmt, batch(name, fmt, BATCH, rng))
            for failure in failures[: max(SHOWN - tallies[kind].wrong, 0)]:
                print(failure, flush=True)
            tallies[kind].add(seen)
            done += seen.pairs
            if time.monotonic() - told > 10:
                told = time.monotonic()
                wrong = sum(tally.wrong for tally in tallies.values())
                print(f"{done:,} of {options.pairs:,} pairs, {wrong} results wrong", flush=True)
    _print(tallies)
    wrong = sum(tally.wrong for tally in tallies.values())
    took = time.monotonic() - began
    results = sum(tally.results for tally in tallies.values())
    print(
        f"\n{done:,} pairs, {results:,} results in {took:.0f} s, seed {options.seed}, lossless "
        f"{lossless.__version__}: {wrong} results wrong"
    )
    return bool(wrong)


def _print(tallies: dict[tuple[str, str], Tally]) -> None:
    print("\n| loss | dtype | pairs | results | judged exactly | not as promised | worst ULP |")
    print("|---" * 7 + "|")
    for (name, dtype), seen in tallies.items():
        worst = ", ".join(f"{seen.worst[place] / 1000:.2f}" for place in range(3))
        print(
            f"| {name} | {dtype} | {seen.pairs:,} | {seen.results:,} | {seen.exactly:,} "
            f"| {seen.wrong:,} | {worst if dtype == 'float64' else ''} |"
        )


if __name__ == "__main__":
    sys.exit(main())
