"""The losses that files are scored with: losses of the residual, with their parameters.

A new loss of the kernels appears here by itself. Losses of labels, and losses that need a third
column, such as the variances of the Gaussian loss, are excluded.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import lossless
from lossless._spec import LOSSES
from lossless.executors.numpy.kernels import sums


@dataclass(frozen=True)
class ChosenLoss:
    """A loss with the values of its parameters."""

    name: str  # as in lossless.info()["kernels"]
    function: Any
    parameters: Mapping[str, float]
    alone: bool = True  # whether this loss is chosen with these parameters only

    @property
    def title(self) -> str:
        parameters = (f"{name}={shortest(x)}" for name, x in self.parameters.items())
        return " ".join([self.name, *parameters])

    @property
    def key(self) -> str:
        """The name of its results, unique among the chosen losses."""
        return self.name if self.alone else self.title

    def __call__(self, inputs: Any, targets: Any, reduction: str = "none", **options: Any) -> Any:
        """The losses or their reduction; the default is `"none"` for every loss."""
        return self.function(inputs, targets, **self.parameters, reduction=reduction, **options)

    def sums(self, inputs: Any, targets: Any, weights: Any) -> Any:
        """The sums of the rows of a matrix, in float64, before the function rounds them."""
        return sums(LOSSES[self.name], inputs, targets, tuple(self.parameters.values()), weights)


def shortest(number: float) -> str:
    """The shortest text that reads as the same number."""
    return repr(number).removesuffix(".0")


def _offered() -> Iterator[ChosenLoss]:
    """The losses of the difference of two columns whose parameters all have a default."""
    for name, spec in LOSSES.items():
        function = getattr(lossless, f"{name}_loss", None)
        if function is None or not spec.uses_difference_only or spec.kernel_index < 0:
            continue
        parameters = [parameter.name for parameter in spec.parameters]
        signature = inspect.signature(function).parameters
        defaults = {parameter: signature[parameter].default for parameter in parameters}
        if inspect.Parameter.empty not in defaults.values():
            yield ChosenLoss(name, function, {key: float(x) for key, x in defaults.items()})


OFFERED = {loss.name: loss for loss in _offered()}
