"""The syntax of options: each is given once, unless it may be repeated; flags have no value."""

import os
from collections import Counter
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

DigitsOption = Annotated[
    int, typer.Option("--digits", min=1, max=6, metavar="N", help="Significant digits to print.")
]
TRUTHS = ("true", "false", "yes", "no", "on", "off")


def without_values(params: list[Any]) -> list[Any]:
    """Flags without the <bool> that Typer shows after them, as if they took a value."""
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command that ignores no argument.

    Typer uses the last value of an option that is given several times, and takes a word after a
    flag for a file.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        return without_values(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            self._check_flags(ctx, args)
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for option, times in Counter(given).items():
                if times > 1 and isinstance(option, TyperOption) and not option.multiple:
                    value = "" if option.is_flag else ", but takes one value"
                    ctx.fail(f"{option.opts[0]} is given {times} times{value}")
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def _check_flags(self, ctx: Any, args: list[str]) -> None:
        options = [option for option in self.params if isinstance(option, TyperOption)]
        flags = {name for option in options if option.is_flag for name in option.opts}
        for flag, word in pairwise(args):
            if flag in flags and word.lower() in TRUTHS and not os.path.exists(word):
                ctx.fail(f"{flag} takes no value, got {word!r}")
