"""Running tasks, here or among processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby

import lossless

from .._processes import deaf_to_ctrl_c, end_with_parent
from .judge import Tallies
from .tasks import Task

MANY = 1 << 23  # numbers for one process
Judged = tuple[Task, dict[tuple[str, str], Tallies]]


@contextmanager
def finished(tasks: list[Task], *, spread: bool) -> Iterator[Iterable[Judged]]:
    """The tasks with their results, as they finish; with `spread`, among several processes."""
    if not spread:
        yield ((task, task.run()) for task in tasks)
        return
    # A loss in a dtype is compiled by JAX in one process only, unless there is much to judge.
    grouped = groupby(tasks, lambda task: (task.loss, task.parameters, task.fmt))
    groups = [list(group) for _, group in grouped]
    if max(sum(task.size for task in group) for group in groups) > MANY:
        groups = [[task] for task in tasks]
    with deaf_to_ctrl_c():
        context = multiprocessing.get_context("spawn")
        pool = context.Pool(lossless.info()["threads"], _begin)
    with pool:
        yield chain.from_iterable(pool.imap_unordered(_judge, groups))


def _begin() -> None:
    """In each process of the pool, first."""
    end_with_parent()
    lossless.set_num_threads(1)


def _judge(group: list[Task]) -> list[Judged]:
    return [(task, task.run()) for task in group]
