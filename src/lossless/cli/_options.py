"""How options are given: once, unless a command collects them, and flags without a value."""

import os
from collections import Counter
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

DigitsOption = Annotated[
    int, typer.Option("--digits", min=1, max=6, metavar="N", help="Of the printed numbers.")
]
TRUTHS = ("true", "false", "yes", "no", "on", "off")


def without_values(params: list[Any]) -> list[Any]:
    """Flags are shown without Typer's <bool>, as if they took a value."""
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command that drops nothing of what it is given.

    Typer alone lets the last of several win, and takes a word behind a flag for a file.
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
