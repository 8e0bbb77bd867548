"""The losses that commands know: those of predictions and targets, with their parameters.

This is the one place that enumerates them. A loss that is added to `lossless.regression` and to
the kernels is here without a line of its own, and so is an option for each of its parameters.
Losses of a third column, such as the Gaussian one of variances, are not.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
import typer

import lossless
from lossless import _core
from lossless.backends import numpy

from ._errors import UserError

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Loss:
    """A loss with the values of its parameters."""

    name: str  # as in lossless.info()["kernels"]
    function: Any
    parameters: Mapping[str, float]

    @property
    def title(self) -> str:
        return " ".join([self.name, *(f"{name}={x:g}" for name, x in self.parameters.items())])

    def __call__(self, inputs: Any, targets: Any, reduction: str = "none", **options: Any) -> Any:
        """With this default, whatever that of the function is."""
        return self.function(inputs, targets, **self.parameters, reduction=reduction, **options)

    def sums(self, inputs: Any, targets: Any, weights: Any) -> Any:
        """The sums of the rows of a matrix, in float64, before the function rounds them."""
        return numpy.sums(self.name, inputs, targets, tuple(self.parameters.values()), weights)


def _known() -> Iterator[Loss]:
    for name, parameters, *_ in _core.losses():
        function = getattr(lossless, f"{name}_loss", None)
        if function is None or function.__module__ != "lossless.regression":
            continue
        signature = inspect.signature(function).parameters
        defaults = {parameter: signature[parameter].default for parameter in parameters}
        if inspect.Parameter.empty not in defaults.values():
            yield Loss(name, function, {key: float(x) for key, x in defaults.items()})


LOSSES = {loss.name: loss for loss in _known()}
PARAMETERS = sorted({parameter for loss in LOSSES.values() for parameter in loss.parameters})


def chosen(names: list[str] | None, parameters: Mapping[str, float | None]) -> list[Loss]:
    """The losses of these names, or all, with the parameters that are not None."""
    if names:
        losses = list({loss.name: loss for loss in map(_named, names)}.values())
    else:
        losses = list(LOSSES.values())
    given = {parameter: value for parameter, value in parameters.items() if value is not None}
    for parameter in given:
        if not any(parameter in loss.parameters for loss in losses):
            named = ", ".join(loss.name for loss in losses)
            raise UserError(f"--{parameter.replace('_', '-')}: {named} has no such parameter")
    return [_checked(loss, given) for loss in losses]


def _named(name: str) -> Loss:
    plain = name.lower().replace("-", "_").removesuffix("_loss")
    if plain not in LOSSES:
        raise UserError(f"there is no loss {name!r}, only {', '.join(LOSSES)}")
    return LOSSES[plain]


def _checked(loss: Loss, given: Mapping[str, float]) -> Loss:
    own = {name: given.get(name, default) for name, default in loss.parameters.items()}
    changed = Loss(loss.name, loss.function, own)
    try:
        changed(np.zeros(1), np.zeros(1))
    except ValueError as error:
        raise UserError(str(error)) from None
    return changed


LossOption = Annotated[
    list[str] | None,
    typer.Option(
        "--loss",
        metavar="NAME",
        help=f"{', '.join(LOSSES)}; may be repeated.  [default: all]",
        show_default=False,
    ),
]


def with_parameters(command: Command) -> Command:
    """Give a command an option for each parameter of the losses, in place of `**parameters`."""
    signature = inspect.signature(command, eval_str=True)
    options = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_option(name)
        )
        for name in PARAMETERS
    ]
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=p.KEYWORD_ONLY) for p in own] + options
    )
    command.__annotations__ = {p.name: p.annotation for p in [*own, *options]}
    return command


def _option(name: str) -> Any:
    of = [loss for loss in LOSSES.values() if name in loss.parameters]
    defaults = " ".join(dict.fromkeys(f"{loss.parameters[name]:g}" for loss in of))
    text = f"A parameter of {', '.join(loss.name for loss in of)}.  [default: {defaults}]"
    return Annotated[float | None, typer.Option(help=text, show_default=False)]
