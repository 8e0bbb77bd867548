"""What a loss is: its parameters and their ranges, its formulas, what MLX calls it.

A `LossSpec` describes an element-wise loss, a `RowLossSpec` one of rows, such as one of scores for
each class. Each stands in `losses/NAME.py`, beside the public function. Nothing here computes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from . import _core

Formula = Callable[..., Any]

LOSSES: dict[str, LossSpec] = {}  # by their names, in the order of their files
_KERNELS = {name: index for index, (name, *_) in enumerate(_core.losses())}
_ROW_KERNELS = {name: index for index, (name, *_) in enumerate(_core.row_losses())}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a loss, and where its values lie: between the bounds that are given.

    Without bounds it may be any number, NaN too. An array's values are not looked at: the loss is
    NaN where one is out of range.
    """

    name: str
    above: float | None = None  # excluded bounds
    below: float | None = None
    least: float | None = None  # included bounds
    most: float | None = None
    # How the magnitude of a residual is compared with it to choose the piece near 0.
    threshold: Literal["<=", "<"] | None = None
    # Whether the formula is another one for each number, which it must know in advance.
    selects: bool = False

    # The bounds that there are: how an error says it, how a value is compared with it, and it.
    bounds: tuple[tuple[str, Callable[..., Any], float], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        every = (
            (">", operator.gt, self.above),
            (">=", operator.ge, self.least),
            ("<", operator.lt, self.below),
            ("<=", operator.le, self.most),
        )
        bounds = tuple((sign, test, bound) for sign, test, bound in every if bound is not None)
        object.__setattr__(self, "bounds", bounds)

    def admits(self, x: float) -> bool:
        """Whether the number is in the range."""
        for _, test, bound in self.bounds:  # noqa: SIM110, as every call waits for it
            if not test(x, bound):
                return False
        return True

    @property
    def inside(self) -> float:
        """A number of the range."""
        return next(x for x in (1.0, 0.5, 0.0, -1.0) if self.admits(x))

    @property
    def range(self) -> str:
        """As errors say it: "> 0" or "in [0, 1)"."""
        one, *other = ((sign, f"{bound:g}") for sign, _, bound in self.bounds)
        if not other:
            return " ".join(one)
        ((sign, high),) = other
        opening, closing = "(" if one[0] == ">" else "[", ")" if sign == "<" else "]"
        return f"in {opening}{one[1]}, {high}{closing}"


@dataclass(eq=False)
class LossSpec:
    """An element-wise loss.

    The formulas are array operations of a namespace `xp` that has the names of the Python array
    API: `value(xp, r, *parameters)` of the residual r with its sign, if only the difference of
    inputs and targets counts, else `value(xp, x, t, *parameters)`. A parameter is an array of the
    dtype of the computation, float32 or wider, that broadcasts to the operands. `gradient` and
    `second_derivative` are with respect to the residual, or to the inputs. CONTRIBUTING.md says
    what a formula must mind so that frameworks can trace and differentiate it.
    """

    name: str  # that of the kernel's header, too
    value: Formula
    gradient: Formula
    second_derivative: Formula | None = None
    parameters: tuple[Parameter, ...] = ()
    # Of the public function. A third one is the first parameter.
    operands: tuple[str, ...] = ("inputs", "targets")
    # Whether the third operand may be of a shape that broadcasts to the others'.
    broadcasts: bool = False
    uses_difference_only: bool = True
    targets: tuple[float, float] | None = None  # between which targets make sense: not checked
    function: str = ""  # the public one, if it is not called NAME_loss
    mlx_name: str | None = None  # if MLX has the loss

    # The place among the kernels of element-wise losses, or of losses of rows; -1: it has none.
    kernel_index: int = field(init=False)
    has_kernel: bool = field(init=False)
    keywords: tuple[Parameter, ...] = field(init=False)  # the parameters that are no operands

    def __post_init__(self) -> None:
        LOSSES[self.name] = self
        self._find_kernel(_KERNELS, self.name)
        self.keywords = self.parameters[len(self.operands) - 2 :]

    def _find_kernel(self, kernels: dict[str, int], name: str) -> None:
        self.kernel_index = kernels.get(name, -1)
        self.has_kernel = name in kernels

    @property
    def public_name(self) -> str:
        """Of the function."""
        return self.function or f"{self.name}_loss"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


@dataclass(eq=False, repr=False)
class RowLossSpec(LossSpec):
    """A loss of rows.

    The formulas take `rows` in place of `xp`, which has the operations along the axis of the rows,
    too (`executors.rows.RowNamespace`); they leave that axis with size 1. The operands have one
    shape and dtype, but for class indices of size 1 along the axis, which are in range. The
    parameters are floats; but for those that select a formula, they may also be arrays without
    dimensions, unless they are the number 0. The gradient is with respect to the first operand, the
    second derivative with respect to each of its elements alone.
    """

    labels: bool = False  # whether the last operand holds class indices, one for each row
    of_probabilities: RowLossSpec | None = None  # the same for targets of the shape of the scores
    weighted: bool = False  # whether the function has weights
    rounds: bool = True  # whether the formula rounds, so that a wider dtype helps
    in_blocks: bool = False  # whether PyTorch takes one block of rows after the other

    kernel: str = ""  # if it is not called NAME

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keywords = self.parameters
        self._find_kernel(_ROW_KERNELS, self.kernel or self.name)
