"""The losses that commands know: those of predictions and targets, with their parameters.

This is the one place that enumerates them. A loss that is added to `lossless.regression` and to
the kernels is here without a line of its own, and so is an option for each of its parameters.
Losses of a third column, such as the Gaussian one of variances, are not.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Annotated, Any, TypeVar

import numpy as np
import typer

import lossless
from lossless import _core
from lossless.executors import numpy

from .._errors import UserError

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Loss:
    """A loss with the values of its parameters."""

    name: str  # as in lossless.info()["kernels"]
    function: Any
    parameters: Mapping[str, float]
    alone: bool = True  # whether no other parameters of this loss are chosen with it

    @property
    def title(self) -> str:
        parameters = (f"{name}={_shortest(x)}" for name, x in self.parameters.items())
        return " ".join([self.name, *parameters])

    @property
    def key(self) -> str:
        """What its results are called, among those of the other losses that are chosen."""
        return self.name if self.alone else self.title

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


def chosen(names: list[str] | None, parameters: Mapping[str, Any]) -> list[Loss]:
    """The losses of these names, or all, with the parameters that are given.

    Of a parameter with several values, each loss that has it is there once for each of them.
    """
    losses = list(map(_named, names)) if names else list(LOSSES.values())
    for loss, times in Counter(loss.name for loss in losses).items():
        if times > 1:
            raise UserError(f"--loss {loss} is given {times} times")
    given: dict[str, list[float]] = {
        parameter: list(value) if isinstance(value, list | tuple) else [value]
        for parameter, value in parameters.items()
        if value is not None
    }
    for parameter, values in given.items():
        option = f"--{parameter.replace('_', '-')}"
        if not any(parameter in loss.parameters for loss in losses):
            named = ", ".join(loss.name for loss in losses)
            raise UserError(f"{option}: {named} has no such parameter")
        for value, times in Counter(values).items():
            if times > 1:
                raise UserError(f"{option} {_shortest(value)} is given {times} times")
    return [one for loss in losses for one in _with_each(loss, given)]


def _named(name: str) -> Loss:
    plain = name.lower().replace("-", "_").removesuffix("_loss")
    if plain not in LOSSES:
        raise UserError(f"there is no loss {name!r}, only {', '.join(LOSSES)}")
    return LOSSES[plain]


def _with_each(loss: Loss, given: Mapping[str, list[float]]) -> list[Loss]:
    choices = [given.get(name, [default]) for name, default in loss.parameters.items()]
    found = []
    for values in product(*choices):
        own = dict(zip(loss.parameters, values, strict=True))
        found.append(Loss(loss.name, loss.function, own, alone=prod(map(len, choices)) == 1))
        try:
            found[-1](np.zeros(1), np.zeros(1))
        except ValueError as error:
            raise UserError(str(error)) from None
    return found


def _shortest(number: float) -> str:
    """That reads as the same number."""
    return repr(number).removesuffix(".0")


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
    """Give a command an option for each parameter of the losses, in place of `**parameters`.

    They are of its type, and so may be repeated where it is a list.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    (rest,) = (p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD)
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_option(name, rest.annotation),
        )
        for name in PARAMETERS
    ]
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=p.KEYWORD_ONLY) for p in own] + options
    )
    command.__annotations__ = {p.name: p.annotation for p in [*own, *options]}
    return command


def _option(name: str, kind: Any) -> Any:
    of = [loss for loss in LOSSES.values() if name in loss.parameters]
    defaults = " ".join(dict.fromkeys(f"{loss.parameters[name]:g}" for loss in of))
    several = "; may be repeated" if kind == list[float] | None else ""
    text = f"A parameter of {', '.join(loss.name for loss in of)}{several}.  [default: {defaults}]"
    return Annotated[kind, typer.Option(metavar="NUMBER", help=text, show_default=False)]
