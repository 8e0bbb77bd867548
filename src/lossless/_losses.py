"""The element-wise losses, as the native module lists them."""

from typing import NamedTuple

from . import _core


class Loss(NamedTuple):
    """What is to be known about a loss to hand it on."""

    number: int  # among the kernels
    parameters: tuple[str, ...]
    of_residual: bool  # whether only the difference of inputs and targets counts


LOSSES = {
    name: Loss(number, parameters, of_residual)
    for number, (name, parameters, _, of_residual) in enumerate(_core.losses())
}

# What a parameter may be, by its name; where it is something else, the loss is NaN. Others may be
# any number.
POSITIVE = frozenset({"delta", "eps"})
NOT_NEGATIVE = frozenset({"beta"})
# How the magnitude of a residual is compared with a parameter to choose the piece near 0.
THRESHOLDS = {"delta": "<=", "beta": "<"}
