"""Whether a tensor's memory may be read now: only if nothing but this call looks on."""

from typing import Any

import torch
from torch import _C, Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _disable_current_modes

from ... import _core
from ..._composed import is_composed
from ..._problem import REDUCTIONS

# The dtypes of results, by their numbers among the kernels.
DTYPE_CODES = {torch.float16: 0, torch.bfloat16: 1, torch.float32: 2, torch.float64: 3}
INTEGERS = {
    torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16,
    torch.uint32, torch.int32, torch.uint64, torch.int64,
}  # fmt: skip
REDUCTION_CODES = {name: number for number, name in enumerate(REDUCTIONS)}
# The first tensor may come while torch.func transforms something, or a mode looks on.
with _C._DisableFuncTorch(), _disable_current_modes():
    NUMBERS = {dtype: torch.zeros((), dtype=dtype, device="cpu") for dtype in DTYPE_CODES}

TENSORS = _core.Tensors(
    # Subclasses may mean something else by their memory, or not have any.
    types=(Tensor, torch.nn.Parameter),
    # torch.jit.trace, torch.func, and the modes that see every operation.
    observers=(
        _C._get_tracing_state,
        _C._are_functorch_transforms_active,
        _C._len_torch_dispatch_stack,
        _C._len_torch_function_stack,
    ),
    records=torch.is_grad_enabled,
    empty_like=torch.empty_like,
    numbers=tuple(NUMBERS.values()),
    threads=torch.get_num_threads,
)


def is_readable(x: Tensor) -> bool:
    """Whether its values may be looked at."""
    is_compiling = torch.compiler.is_compiling()
    return not is_compiling and not TENSORS.are_observed() and TENSORS.has_plain_memory(x)


def are_unobserved() -> bool:
    """Whether neither a compiler nor forward-mode differentiation looks on, nor formulas are asked.

    A compiler must not see more of the kernels than this.
    """
    if torch.compiler.is_compiling() or is_composed.get():
        return False
    return forward_ad._current_level < 0


def kernels_may_read(*operands: Any) -> bool:
    """Whether kernels may read these tensors (numbers and None aside), as nobody else looks on."""
    return are_unobserved() and TENSORS.are_plain(*operands)


def as_kernel_dtype(x: Any) -> Any:
    """Weights or a parameter in a dtype that the kernels read."""
    return x.double() if isinstance(x, Tensor) and x.dtype in INTEGERS else x
