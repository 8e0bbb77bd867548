from typing import Any

from numpy.typing import ArrayLike

_Operand = tuple[Any, int] | float | None

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
    value: ArrayLike | None,
    gradient: ArrayLike | None,
    curvature: ArrayLike | None,
    total_gradient: ArrayLike | None,
) -> None: ...
def losses() -> list[tuple[str, tuple[str, ...], float]]: ...
def evaluate(
    loss: int, dtype: int | None, inputs: float, targets: float, parameters: tuple[float, ...]
) -> list[tuple[float, float]]: ...
def memory_pass(inputs: ArrayLike, targets: ArrayLike, out: ArrayLike) -> None: ...
def threads() -> int: ...
def set_threads(count: int) -> None: ...
def instruction_set() -> str: ...
def instruction_sets() -> list[str]: ...
def set_instruction_set(name: str) -> None: ...
