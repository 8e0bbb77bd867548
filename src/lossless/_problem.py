"""What is asked of a loss: a `Call` as the user wrote it, a `Problem` once it is checked.

Nothing of ours is imported here. `loss` is a `LossSpec`; arrays are those of any framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

Array: TypeAlias = Any
Result = TypeVar("Result")

REDUCTIONS = ("none", "sum", "mean", "weighted_mean")
UNWEIGHTED = REDUCTIONS[:3]  # those of losses without weights

VALUE = ("value",)
VALUE_AND_GRADIENT = ("value", "gradient")
GRADIENT_AND_SECOND_DERIVATIVE = ("gradient", "second_derivative")


@dataclass(slots=True)
class Call(Generic[Result]):
    """The arguments of a loss as the user gave them, in the order of its description.

    The result is to be of the type `Result`, as type checkers see it.
    """

    loss: Any
    operands: tuple[Any, ...]
    parameters: tuple[Any, ...]  # those that are no operands
    reduction: Any
    weights: Any = None
    where: Any = None
    axis: Any = None  # to reduce; of losses of rows the one along which a row lies


@dataclass(slots=True, unsafe_hash=True)
class Problem:
    """A loss and its arguments, checked, as arrays of one framework; and the wanted outputs.

    Nothing changes it. One without arrays has a hash, and so can name a program.
    """

    loss: Any
    # Two, of which one may be a number as an array; of losses of rows all, of one shape.
    operands: tuple[Array, ...]
    parameters: tuple[Any, ...]  # floats or arrays
    weights: Any  # None, a float, or an array that broadcasts to the losses, as `where`
    where: Any  # None or an array
    shape: tuple[int, ...]  # of the losses before they are reduced
    dtype: Any  # of the results
    reduction: str
    axes: tuple[int, ...]  # of the losses, to reduce, in order
    outputs: tuple[str, ...]  # some of value, gradient and second_derivative
    labels: Array | None = None  # class indices of the shape of the losses, perhaps out of range
    axis: int = -1  # along which rows lie, counted from the end

    @property
    def inputs(self) -> Array:
        return self.operands[0]

    @property
    def targets(self) -> Array:
        return self.operands[1]

    @property
    def means(self) -> bool:
        """Whether the reduction divides."""
        return self.reduction in ("mean", "weighted_mean")
