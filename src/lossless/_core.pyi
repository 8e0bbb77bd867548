from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

_Result = Any  # an array, a tensor or None
_Operand = Any  # a tensor, (array, dtype number), a float or None
_Question = Callable[[], Any]  # answered by whether the result is true

def sweep(
    loss: int,
    dtype: int,
    reduction: int,
    shape: tuple[int, ...],
    outer_dims: int,
    inputs: _Operand,
    targets: _Operand,
    parameters: tuple[_Operand, ...],
    weights: _Operand,
    where: _Operand,
    value: _Result,
    gradient: _Result,
    second_derivative: _Result,
    total_gradient: _Result,
    cotangent: _Operand = None,
    threads: int = 0,
    value_dtype: int | None = None,
) -> None: ...
def sweep_rows(
    loss: int,
    dtype: int,
    reduction: int,
    shape: tuple[int, ...],
    inputs: _Operand,
    labels: _Result,
    targets: _Operand,
    parameters: tuple[float, ...],
    weights: _Operand,
    where: _Operand,
    value: _Result,
    gradient: _Result,
    cotangent: _Operand = None,
    threads: int = 0,
    outer_dims: int = 0,
) -> int: ...

class Tensors:
    def __init__(
        self,
        types: tuple[type, ...],
        observers: tuple[_Question, ...],
        records: _Question,
        empty_like: Callable[[Any], Any],
        numbers: tuple[Any, ...],
        threads: Callable[[], int],
    ) -> None: ...
    def are_observed(self) -> bool: ...
    def has_plain_memory(self, x: Any) -> bool: ...
    def are_plain(self, *operands: Any) -> bool: ...
    def value(
        self, loss: int, inputs: Any, targets: Any, parameters: tuple[float, ...], reduction: int
    ) -> Any: ...

def reads_tensors(kind: type) -> bool: ...
def row_losses() -> list[tuple[str, tuple[str, ...]]]: ...
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
