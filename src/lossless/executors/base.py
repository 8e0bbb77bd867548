"""What a backend must give: a framework's arrays in, the same framework's arrays out.

A backend is a module with these functions. It carries any loss, so nothing in it is about one.
`_call` has checked what does not depend on the framework; what does is checked here, with
messages that begin with `argument`, the function and argument as in "huber_loss: weights".
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from .._call import Problem
    from .._rows import RowProblem

Array: TypeAlias = Any


class Backend(Protocol):
    """The functions of a backend module."""

    def is_array(self, x: Any) -> bool:
        """Whether x is one of this framework's arrays."""

    def shape(self, x: Array) -> tuple[int, ...]:
        """The sizes of its dimensions."""

    def operands(self, name: str, given: dict[str, Any]) -> tuple[Sequence[Array], Any]:
        """All as arrays, and the dtype of the result; a TypeError where one is not real."""

    def real(self, argument: str, x: Any) -> float | Array:
        """A number as a float, anything else as an array; a TypeError where it is not real."""

    def mask(self, argument: str, x: Any) -> Array:
        """A boolean array; a TypeError where x is none."""

    def labels(self, argument: str, x: Any, like: Array) -> Array:
        """Class indices as an array; a TypeError where x is no integers."""

    def readable(self, x: Array) -> "np.ndarray[Any, Any] | None":
        """The values, if they can be looked at now, without waiting for another device."""

    def value(self, problem: "Problem") -> Array:
        """The loss."""

    def value_and_grad(self, problem: "Problem") -> tuple[Array, Array]:
        """The loss, and the gradient of the reduced loss in the shape of the inputs."""

    def grad_and_hess(self, problem: "Problem") -> tuple[Array, Array]:
        """The element-wise derivatives."""

    def row_value(self, problem: "RowProblem") -> Array:
        """The loss of rows."""

    def row_value_and_grad(self, problem: "RowProblem") -> tuple[Array, Array]:
        """The loss of rows, and the gradient of the reduced loss by the first array."""

    def row_grad_and_hess(self, problem: "RowProblem") -> tuple[Array, Array]:
        """The derivative by the first array, and that of each element's by itself."""
