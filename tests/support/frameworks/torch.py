"""What the tests of PyTorch share."""

from __future__ import annotations

import multiprocessing
import runpy
import socket
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import torch

from lossless.verification.formats import FLOAT32, FLOAT64, Array
from support.cases import Backend, to_torch
from support.frameworks.cases import on

IN_EVERY_DTYPE = on(Backend.TORCH)
IN_FLOAT32 = on(Backend.TORCH, [FLOAT32])
IN_FLOAT64 = on(Backend.TORCH, [FLOAT64])


def leaf(array: Array) -> Any:
    """A tensor whose gradient is asked for."""
    return to_torch(array).requires_grad_()


def gradient(value: Any, *by: Any, cotangent: Any = None) -> Any:
    """One tensor, or one for each of `by`."""
    ones = torch.ones_like(value) if cotangent is None else cotangent
    found = torch.autograd.grad(value, by, ones, materialize_grads=True)
    return found[0] if len(by) == 1 else found


def in_two_processes(work: Callable[[int], Any]) -> list[Any]:
    """What a function of a test file returns in each of two processes, which gloo connects."""
    source = work.__code__.co_filename, work.__name__
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    queue: Any = context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(source, rank, port, queue)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    results = dict(queue.get() for _ in processes)
    for process in processes:
        process.join()  # its exit code says little: gloo's threads at times abort at the very end
    failures = [result for result in results.values() if isinstance(result, Exception)]
    if failures:
        raise failures[0]
    return [results[rank] for rank in range(2)]


def _work(source: tuple[str, str], rank: int, port: int, queue: Any) -> None:
    warnings.simplefilter("ignore")  # of PyTorch about itself
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    try:
        path, name = source
        result = runpy.run_path(path)[name](rank)
    except Exception as error:
        result = RuntimeError("".join(traceback.format_exception(error)))  # which goes by a queue
    queue.put((rank, result))
    torch.distributed.destroy_process_group()
