"""What type checkers know of the losses: a tensor in gives a tensor out.

At run time losses are functions. To type checkers they are of these classes, so that a function
of another library, or a loss of the wrong kind, is an error where a loss is wanted.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeAlias

import numpy as np


class Tensor(Protocol):
    """An array of any library: NumPy's, MLX's, PyTorch's, JAX's and others lend their memory."""

    @property
    def __dlpack__(self) -> Any: ...


class ConvertsToNumPy(Protocol):
    """As pandas' and polars' Series do."""

    def to_numpy(self) -> Any: ...


P = ParamSpec("P")
if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # Without a tensor among the arguments the result is whatever NumPy makes of them.
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
Values: TypeAlias = Tensor | Numbers  # of an option, which does not decide on the result
Axis: TypeAlias = int | tuple[int, ...] | None
Reduction: TypeAlias = Literal["none", "sum", "mean", "weighted_mean"]
RowReduction: TypeAlias = Literal["none", "sum", "mean"]  # of losses without weights


class Loss(Generic[P, Array]):
    """A function of the parameters P."""

    __name__: str
    __qualname__: str

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array: ...


class CurvedLoss(Loss[P, Array]):
    """One with a second derivative by each element of its first argument."""


class RowLoss(Loss[P, Array]):
    """One of rows, without."""


class Unknown:
    """Nothing is of this class. What is `Any` to a type checker may be of it, and no other loss."""
