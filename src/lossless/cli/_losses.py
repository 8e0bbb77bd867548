"""Options that choose losses and their parameters."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from math import prod
from typing import Annotated, Any, TypeVar

import numpy as np
import typer

from .._errors import UserError
from ..scoring.losses import OFFERED, ChosenLoss, shortest

Command = TypeVar("Command", bound=Callable[..., Any])
PARAMETERS = sorted({parameter for loss in OFFERED.values() for parameter in loss.parameters})


def chosen(names: list[str] | None, parameters: Mapping[str, Any]) -> list[ChosenLoss]:
    """The losses with these names, or all losses, with the given parameters.

    If a parameter has several values, the result has each of its losses once for each value.
    """
    losses = [OFFERED[known(name)] for name in names or OFFERED]
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
                raise UserError(f"{option} {shortest(value)} is given {times} times")
    return [one for loss in losses for one in _with_each(loss, given)]


def known(name: str, names: Iterable[str] = OFFERED) -> str:
    """The name of the loss among these names: `Huber-Loss` is huber."""
    plain = name.lower().replace("-", "_").removesuffix("_loss")
    if plain not in names:
        raise UserError(f"there is no loss {name!r}, only {', '.join(names)}")
    return plain


def _with_each(loss: ChosenLoss, given: Mapping[str, list[float]]) -> list[ChosenLoss]:
    choices = [given.get(name, [default]) for name, default in loss.parameters.items()]
    found = []
    for values in product(*choices):
        own = dict(zip(loss.parameters, values, strict=True))
        found.append(ChosenLoss(loss.name, loss.function, own, alone=prod(map(len, choices)) == 1))
        try:
            found[-1](np.zeros(1), np.zeros(1))
        except ValueError as error:
            raise UserError(str(error)) from None
    return found


LossOption = Annotated[
    list[str] | None,
    typer.Option(
        "--loss",
        metavar="NAME",
        help=f"{', '.join(OFFERED)}; may be repeated.  [default: all]",
        show_default=False,
    ),
]


def with_parameters(command: Command) -> Command:
    """Replace `**parameters` of a command by an option for each parameter of the losses.

    The options have the type of `**parameters`; if it is a list, they may be repeated.
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
    of = [loss for loss in OFFERED.values() if name in loss.parameters]
    defaults = " ".join(dict.fromkeys(f"{loss.parameters[name]:g}" for loss in of))
    several = "; may be repeated" if kind == list[float] | None else ""
    text = f"A parameter of {', '.join(loss.name for loss in of)}{several}.  [default: {defaults}]"
    return Annotated[kind, typer.Option(metavar="NUMBER", help=text, show_default=False)]
