"""Types for type checkers: a tensor as an argument gives a tensor as the result.

At run time the losses are functions. For type checkers they are instances of these classes, so
that a function of another library, or a loss of the wrong kind, is an error where a loss is
expected.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeAlias

import numpy as np


class Tensor(Protocol):
    """An array of any library that gives access to its memory: NumPy, MLX, PyTorch, JAX, ..."""

    @property
    def __dlpack__(self) -> Any: ...


class ConvertsToNumPy(Protocol):
    """For example, a Series of pandas or polars."""

    def to_numpy(self) -> Any: ...


P = ParamSpec("P")
if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # Without a tensor among the arguments, NumPy chooses the type of the result.
    Array = TypeVar("Array", bound=Tensor, default=Any)
else:
    from typing import TypeVar

    Array = TypeVar("Array", bound=Tensor)

Numbers: TypeAlias = (
    float
    | Sequence[float]
    | Sequence[Sequence[float]]
    | Sequence[Sequence[Sequence[float]]]
    | np.ndarray[Any, Any]
    | np.generic
    | ConvertsToNumPy
)
Values: TypeAlias = Tensor | Numbers  # an option, which does not decide the type of the result
Axis: TypeAlias = int | tuple[int, ...] | None
Reduction: TypeAlias = Literal["none", "sum", "mean", "weighted_mean"]
RowReduction: TypeAlias = Literal["none", "sum", "mean"]  # of losses without weights


class Loss(Generic[P, Array]):
    """A loss function with the parameters P."""

    __name__: str
    __qualname__: str

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array: ...


class CurvedLoss(Loss[P, Array]):
    """A loss with a second derivative with respect to each element of its first argument."""


class RowLoss(Loss[P, Array]):
    """A loss of rows, without second derivatives."""


class Unknown:
    """A class without instances: only an argument of type `Any` matches it, no other loss does."""
