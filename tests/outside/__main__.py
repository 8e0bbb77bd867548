"""`make outside`: hard arguments of the element-wise losses, judged from outside of the kernels."""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np

import lossless
from lossless.verification.formats import FORMATS

from .judge import Tally, judge
from .losses import LOSSES
from .operands import batch

BATCH = 20_000
SHOWN = 5  # failures of a loss in a dtype
Tallies = dict[tuple[str, str], Tally]  # by loss and dtype


def main() -> int:
    parser = argparse.ArgumentParser(prog="make outside", description=__doc__)
    parser.add_argument("--pairs", type=int, default=4_000_000, help="how many, of all losses")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--loss", action="append", choices=LOSSES, help="may be repeated")
    parser.add_argument("--dtype", action="append", choices=FORMATS, help="may be repeated")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    kinds = [(n, d) for n in options.loss or LOSSES for d in options.dtype or FORMATS]
    tallies = {kind: Tally() for kind in kinds}
    began, stopped = time.monotonic(), False
    try:
        _try(tallies, options.pairs, np.random.default_rng(options.seed))
    except KeyboardInterrupt:
        stopped = True
    _print(tallies)
    every = total(tallies)
    print(
        f"\n{every.pairs:,} pairs, {every.results:,} results, {every.exactly:,} of them judged "
        f"exactly, in {time.monotonic() - began:.0f} s, seed {options.seed}, "
        f"lossless {lossless.__version__}: {every.wrong} not as promised"
    )
    return 130 if stopped else bool(every.wrong)


def _try(tallies: Tallies, pairs: int, rng: np.random.Generator) -> None:
    told = time.monotonic()
    while total(tallies).pairs < pairs:
        for name, dtype in tallies:
            fmt, seen = FORMATS[dtype], tallies[name, dtype]
            new, failures = judge(name, fmt, batch(name, fmt, BATCH, rng))
            for failure in failures[: max(SHOWN - seen.wrong, 0)]:
                print(failure, flush=True)
            seen.add(new)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                every = total(tallies)
                print(f"{every.pairs:,} of {pairs:,} pairs, {every.wrong} wrong", flush=True)


def total(tallies: Tallies) -> Tally:
    every = Tally()
    for tally in tallies.values():
        every.add(tally)
    return every


HEADINGS = (
    "loss", "pairs", "results", "judged exactly", "not as promised",
    "worst ULP in float64: value", "gradient", "second derivative",
)  # fmt: skip


def _print(tallies: Tallies) -> None:
    """A row for each loss, of all dtypes."""
    print("\n| " + " | ".join(HEADINGS) + " |" + "\n" + "|---" * len(HEADINGS) + "|")
    for loss in dict.fromkeys(name for name, _ in tallies):
        seen = total({key: tally for key, tally in tallies.items() if key[0] == loss})
        counts = (f"{n:,}" for n in (seen.pairs, seen.results, seen.exactly, seen.wrong))
        worst = (f"{seen.worst[place] / 1000:.2f}" for place in range(3))
        print("| " + " | ".join([loss, *counts, *worst]) + " |")


if __name__ == "__main__":
    sys.exit(main())
