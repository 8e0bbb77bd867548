"""Prove that the everyday tests catch a mistake in any line of a kernel header.

Makes the mistakes of tools/mutations.py one at a time, in copies of the tree, and expects the
tests that judge the kernels (`pytest -m kernel`) to fail. Prints which test caught each; exits
with 1 when a mistake survived. The tests run in the versions of this Python's environment.

    python tools/mutate.py --list                            the mistakes, without making them
    python tools/mutate.py --sample 30 --seed 1              some of them
    python tools/mutate.py --per-line --seed 1               one for each line
    python tools/mutate.py --file src/kernels/arith/elementary.h   those of another header
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from mutations import (
    DECLARED,
    Change,
    Mutant,
    Reasons,
    declared,
    lines_of_code,
    mutants,
    unmatched,
)
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = "src/kernels/losses", "src/kernels/rows", "src/kernels/rows/parts"
NOT_COPIED = (".*", "build", "dist", "__pycache__", "*.egg-info")
# Quick to compile. One instruction set is enough: all give the same bits, the tests see to that.
SETTINGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -march=native",
    "-DLOSSLESS_BASELINE_ONLY=ON",
    "-DLOSSLESS_MLX=OFF",
)
KERNEL_MARK = "pytest.mark.kernel"
SLOWEST_TEST_RUN = 240.0  # seconds, many times what they take: an endless loop is caught, too
CAUGHT, SURVIVED, SAME_CODE, NO_COMPILATION, EQUIVALENT = (
    "caught",
    "SURVIVED",
    "same machine code",
    "does not compile",
    "declared equivalent",
)
COLOURS = {CAUGHT: "green", SURVIVED: "bold red"}

console = Console()


@dataclass(frozen=True)
class Task:
    path: Path
    source: str
    mutant: Mutant

    def place(self) -> str:
        return f"{self.path.name}:{self.mutant.line}"

    def mistake(self, change: Change) -> str:
        before, after = self.source[change.start : change.end], change.text or "nothing"
        return f"{self.mutant.kind}: {shorten(before, 40)} → {shorten(after, 40)}"

    def line(self) -> str:
        return self.source.splitlines()[self.mutant.line - 1].strip()


@dataclass(frozen=True)
class Verdict:
    task: Task
    status: str
    change: Change  # the one that was caught, or else the largest that was tried
    by: str = ""


class Tree:
    """A copy of the project with a build and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.build = folder / "build"
        shutil.copytree(ROOT, self.source, ignore=shutil.ignore_patterns(*NOT_COPIED))
        # The other tests import bridges to frameworks, which are not built.
        tests = sorted((self.source / "tests").rglob("test_*.py"))
        self.kernel_tests = [str(path) for path in tests if KERNEL_MARK in path.read_text()]
        environment = folder / "venv"
        _checked([sys.executable, "-m", "venv", "--without-pip", str(environment)])
        self.python = environment / "bin" / "python"
        (self.site_packages,) = environment.glob("lib/python*/site-packages")
        # What this environment has is visible there, but for its own `lossless`.
        outer = [path for path in sys.path if path.endswith("site-packages")]
        (self.site_packages / "outer.pth").write_text("\n".join(outer) + "\n")
        shutil.copytree(self.source / "src" / "lossless", self.site_packages / "lossless")
        settings = [*SETTINGS, f"-DPython_EXECUTABLE={self.python}"]
        _checked(["cmake", "-G", "Ninja", "-S", str(self.source), "-B", str(self.build), *settings])
        if not self.compiles():
            sys.exit("the unchanged tree does not compile")
        self.right_code = self.code()

    def compiles(self) -> bool:
        install = ["cmake", "--install", str(self.build), "--prefix", str(self.site_packages)]
        return (
            _run(["cmake", "--build", str(self.build)]).returncode == 0
            and _run(install).returncode == 0
        )

    def code(self) -> bytes:
        (module,) = (self.site_packages / "lossless").glob("_core*.so")
        return module.read_bytes()

    def failing_test(self) -> str | None:
        """What stops the tests; None where they pass."""
        # Those that caught a mistake before come first (--ff): they are likely to catch another.
        pytest = [str(self.python), "-m", "pytest", "-m", "kernel", "-x", "--ff", "-q", "--tb=no"]
        pytest += self.kernel_tests
        try:
            result = _run(pytest, self.source)
        except subprocess.TimeoutExpired:
            return "time limit"
        if result.returncode == 0:
            return None
        if failed := re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", result.stdout, re.M):
            return failed[1].removeprefix("tests/")
        if result.returncode < 0:
            return signal.Signals(-result.returncode).name
        return (result.stdout + result.stderr).strip().splitlines()[-1]  # it did not even start

    def judge(self, task: Task) -> Verdict:
        """Try the changes of a mutant, smallest first, until the tests catch one."""
        header = self.source / task.path.relative_to(ROOT)
        statuses = set()
        change = task.mutant.changes[0]
        try:
            for change in task.mutant.changes:
                header.write_text(change.apply(task.source))
                if not self.compiles():
                    statuses.add(NO_COMPILATION)
                elif self.code() == self.right_code:
                    statuses.add(SAME_CODE)
                elif by := self.failing_test():
                    return Verdict(task, CAUGHT, change, by)
                else:
                    statuses.add(SURVIVED)
        finally:
            header.write_text(task.source)
        worst_first = (SURVIVED, SAME_CODE, NO_COMPILATION)
        return Verdict(task, next(s for s in worst_first if s in statuses), change)


def _checked(command: list[str]) -> None:
    result = _run(command)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


def _run(command: list[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run to the end or the time limit, with the processes that it starts."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PATH": tools},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=SLOWEST_TEST_RUN)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def judged(tasks: list[Task], jobs: int) -> Iterator[Verdict]:
    """The verdicts as they come, from `jobs` trees at a time."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder, ThreadPoolExecutor(jobs) as pool:
        trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
        with console.status("building the unchanged tree, and running its tests"):
            for tree in pool.map(Tree, [Path(folder, str(job)) for job in range(jobs)]):
                trees.put(tree)
            tree = trees.get()
            if by := tree.failing_test():
                sys.exit(f"the tests fail without a mutation: {by}")
            trees.put(tree)

        def judge(task: Task) -> Verdict:
            tree = trees.get()
            try:
                return tree.judge(task)
            finally:
                trees.put(tree)

        futures = [pool.submit(judge, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def with_progress(verdicts: Iterator[Verdict], total: int) -> Iterator[Verdict]:
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    silent = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        bar = progress.add_task("mutants", total=total)
        for verdict in verdicts:
            progress.advance(bar)
            if verdict.status == SURVIVED:
                task = verdict.task
                console.print(f"[bold red]SURVIVED[/] {task.place()}  {escape(task.line())}")
                console.print(f"         {escape(task.mistake(verdict.change))}")
            yield verdict


def table(verdicts: list[Verdict]) -> Table:
    result = Table(box=SIMPLE_HEAD, title="mutants of the kernels")
    for heading in ("line", "mistake", "verdict", "by"):
        result.add_column(heading, overflow="fold")
    order = {verdict: (str(verdict.task.path), verdict.task.mutant.line) for verdict in verdicts}
    for verdict in sorted(verdicts, key=order.__getitem__):
        colour = COLOURS.get(verdict.status, "yellow")
        result.add_row(
            verdict.task.place(),
            escape(verdict.task.mistake(verdict.change)),
            f"[{colour}]{verdict.status}[/]",
            escape(verdict.by),
        )
    return result


def list_tasks(tasks: list[Task]) -> None:
    for task in tasks:
        mistakes = " | ".join(task.mistake(change) for change in task.mutant.changes)
        console.print(f"{task.place()}  {escape(mistakes)}", soft_wrap=True, highlight=False)
    for path, source in {task.path: task.source for task in tasks}.items():
        known = {mutant.line for mutant in mutants(source, {})}
        for number in sorted(lines_of_code(source) - known):
            line = escape(source.splitlines()[number - 1].strip())
            console.print(f"{path.name}:{number}  no mistake is known for: {line}", soft_wrap=True)
    console.print(f"{len(tasks)} mutants")


def checked_reasons() -> dict[Path, Reasons]:
    """What is declared to change no result, by header; ends the program if that is out of date."""
    reasons = {ROOT / "src/kernels" / name: kinds for name, kinds in declared().items()}
    missing = [f"{path}: no such file" for path in reasons if not path.is_file()]
    stale = [
        f"{path.name}: {what}"
        for path, kinds in reasons.items()
        if path.is_file()
        for what in unmatched(path.read_text(), kinds)
    ]
    if missing or stale:
        sys.exit("\n".join([f"{DECLARED.name} declares what is not there:", *missing, *stale]))
    return reasons


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, nargs="+", help=f"instead of {', '.join(FOLDERS)}")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants")
    parser.add_argument("--per-line", action="store_true", help="only one mutant for each line")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    return parser.parse_args()


def main() -> int:
    options = parse()
    files = options.file or [
        path for folder in FOLDERS for path in sorted(ROOT.glob(f"{folder}/*.h"))
    ]
    reasons = checked_reasons()
    tasks = [
        Task(path, path.read_text(), mutant)
        for path in (file.resolve() for file in files)
        for mutant in mutants(path.read_text(), reasons.get(path, {}))
    ]
    if options.per_line:
        random.Random(options.seed).shuffle(tasks)
        tasks = list({(task.path, task.mutant.line): task for task in tasks}.values())
    if options.sample is not None:
        tasks = random.Random(options.seed).sample(tasks, min(options.sample, len(tasks)))
    if options.list:
        list_tasks(tasks)
        return 0
    equivalent = [task for task in tasks if task.mutant.equivalent is not None]
    tried = [task for task in tasks if task.mutant.equivalent is None]
    verdicts = list(with_progress(judged(tried, options.jobs), len(tried)))
    verdicts += [
        Verdict(task, EQUIVALENT, task.mutant.changes[0], task.mutant.equivalent or "")
        for task in equivalent
    ]
    console.print(table(verdicts))
    for status, count in Counter(verdict.status for verdict in verdicts).items():
        console.print(f"{count:5} {status}")
    return 1 if any(verdict.status == SURVIVED for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
