"""Whether a tensor's memory may be read now: only if nothing but this call looks on."""

from typing import Any

import torch
from torch import _C, Tensor
from torch.autograd import forward_ad

from .._composed import is_composed

# Subclasses may mean something else by their memory, or not have any.
_TENSORS = (Tensor, torch.nn.Parameter)
# What may look on: torch.jit.trace, torch.func, and the modes that see every operation.
_is_traced = _C._get_tracing_state
_is_transformed = _C._are_functorch_transforms_active
_dispatch_modes = _C._len_torch_dispatch_stack
_function_modes = _C._len_torch_function_stack
# By what PyTorch dispatches on; the first tensor may come while torch.func transforms something.
_keys = _C._dispatch_keys
with _C._DisableFuncTorch():
    _KEYS = [_keys(torch.empty(0, device="cpu"))]
    with torch.inference_mode():
        _KEYS.append(_keys(torch.empty(0, device="cpu")))


def is_observed() -> bool:
    """Whether a compiler, a tracer, a transform or a mode looks on."""
    return (
        torch.compiler.is_compiling()
        or _is_traced() is not None
        or _is_transformed()
        or _dispatch_modes() > 0
        or _function_modes() > 0
    )


def has_plain_memory(x: Tensor) -> bool:
    """No subclass; strided, on a CPU; no lazy negative, no wrapper around something else."""
    return type(x) in _TENSORS and _keys(x) in _KEYS


def is_plain(*operands: Any) -> bool:
    """Whether kernels may read these tensors (numbers and None aside), as nobody else looks on."""
    if is_observed() or is_composed.get() or forward_ad._current_level >= 0:
        return False
    for x in operands:  # noqa: SIM110, since a generator takes as long as the rest
        if not (x is None or type(x) is float or has_plain_memory(x)):
            return False
    return True
