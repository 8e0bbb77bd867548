from typing import Any

from numpy.typing import ArrayLike

_Result = Any  # an array, a tensor or None
_Operand = Any  # a tensor, (array, dtype number), a float or None

def sweep(
    loss: int,
    dtype: int,
    reduction: int,
    shape: tuple[int, ...],
    kept: int,
    inputs: _Operand,
    targets: _Operand,
    parameters: tuple[_Operand, ...],
    weights: _Operand,
    where: _Operand,
    value: _Result,
    gradient: _Result,
    curvature: _Result,
    total_gradient: _Result,
    cotangent: _Operand = None,
    threads: int = 0,
    value_dtype: int | None = None,
) -> None: ...
def cross_entropy(
    dtype: int,
    reduction: int,
    shape: tuple[int, ...],
    logits: _Operand,
    labels: _Result,
    probabilities: _Operand,
    smoothing: float,
    weights: _Operand,
    where: _Operand,
    value: _Result,
    gradient: _Result,
    cotangent: _Operand = None,
    threads: int = 0,
) -> int: ...
def reads_tensors(kind: type) -> bool: ...
def losses() -> list[tuple[str, tuple[str, ...], float, bool]]: ...
def evaluate(
    loss: int, dtype: int | None, inputs: float, targets: float, parameters: tuple[float, ...]
) -> list[tuple[float, float]]: ...
def memory_pass(inputs: ArrayLike, targets: ArrayLike, out: ArrayLike) -> None: ...
def built_for_mlx() -> str: ...
def threads() -> int: ...
def set_threads(count: int) -> None: ...
def instruction_set() -> str: ...
def instruction_sets() -> list[str]: ...
def set_instruction_set(name: str) -> None: ...
