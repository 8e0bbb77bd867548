"""`make fuzz`: calls of random programs in a child process, so that a crash is a finding, too."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from fuzz.run import SHARES, failures, program, work

PATIENCE = 300  # seconds that a program may take
SHOWN = 3  # failures of one kind


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="how many calls, about")
    parser.add_argument("--seed", type=int, default=None, help="of the programs; printed")
    parser.add_argument("--start", type=int, default=0, help="the first program")
    parser.add_argument("--only", default="", help="libraries, such as mlx,torch_composed")
    parser.add_argument("--replay", metavar="SEED:PROGRAM", help="one program again, in here")
    options = parser.parse_args()
    known = {library for library, _ in SHARES}
    if wrong := set(filter(None, options.only.split(","))) - known:
        parser.error(
            f"--only {','.join(sorted(wrong))}: the libraries are {', '.join(sorted(known))}"
        )
    if options.replay:
        seed, index = map(int, options.replay.split(":"))
        return _replay(seed, index)
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}: make fuzz ARGS='--seed {seed} --calls {options.calls}'", flush=True)
    return _Fuzz(seed, options.calls, options.start, options.only).run()


def _replay(seed: int, index: int) -> int:
    drawn, calls = program(seed, index)
    print(drawn, flush=True)
    found = [str(failure) for failure in failures(drawn, calls)]
    print(*found or ["nothing is wrong"], sep="\n")
    return bool(found)


class _Fuzz:
    def __init__(self, seed: int, calls: int, start: int, only: str) -> None:
        self.seed, self.calls, self.index = seed, calls, start
        self.only = frozenset(filter(None, only.split(",")))
        self.done, self.wrong = 0, Counter[str]()
        self.began = self.told = time.monotonic()

    def run(self) -> int:
        while self.done < self.calls:
            self._run_child()
        took = time.monotonic() - self.began
        print(f"seed {self.seed}: {self.done} calls of {self.index} programs in {took:.0f} s")
        for kind, count in self.wrong.most_common():
            print(f"  {count:6} programs wrong: {kind}")
        print("nothing is wrong" if not self.wrong else f"{self.wrong.total()} programs are wrong")
        return bool(self.wrong)

    def _run_child(self) -> None:
        """Until the end, or until it dies."""
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        budget, first = self.calls - self.done, self.index
        child = context.Process(
            target=work, args=(sender, self.seed, self.index, budget, self.only), daemon=True
        )
        child.start()
        sender.close()
        began = None
        try:
            while (message := self._received(receiver, child)) is not None:
                began, *done = message
                if done:
                    self._note(began, *done)
                    began = None
        except EOFError:
            child.join()
            if began is None and self.index == first:
                raise SystemExit(f"the child did not start, exit code {child.exitcode}") from None
            self._crash(self.index if began is None else began, f"exit code {child.exitcode}")
        child.join()

    def _received(self, receiver: Connection, child: SpawnProcess) -> Any:
        if not receiver.poll(PATIENCE):
            child.kill()  # which ends the pipe
        return receiver.recv()

    def _note(self, index: int, calls: int, kind: str, text: str) -> None:
        self.index = index + 1
        self.done += calls
        if text:
            self.wrong[kind] += 1
            if self.wrong[kind] <= SHOWN:
                print(text, end="\n\n", flush=True)
        if time.monotonic() - self.told > 10:
            self.told = time.monotonic()
            rate = self.done / (self.told - self.began)
            print(
                f"{self.done:,} of {self.calls:,} calls, {self.index:,} programs, "
                f"{rate:.0f} calls a second, {self.wrong.total()} wrong",
                flush=True,
            )

    def _crash(self, index: int, what: str) -> None:
        """It died, or was killed after its patience."""
        drawn, calls = program(self.seed, index)
        self.index, self.done = index + 1, self.done + calls
        kind = f"CRASH {drawn.spec.name} {drawn.library.name} {drawn.compiler}"
        self.wrong[kind] += 1
        if self.wrong[kind] <= SHOWN:
            print(
                f"CRASH, {what}\n  {drawn}\n  again: make fuzz ARGS='--replay {self.seed}:{index}'"
                "\n  or, as memory may have been overwritten before, ARGS='--seed "
                f"{self.seed} --start {max(0, index - 200)}'\n",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
