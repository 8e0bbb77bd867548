"""The application: its commands, one file each, and its exit codes."""

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

import lossless

from .._errors import UserError
from ._options import Command, without_values
from ._stdout import written
from .bench import bench
from .demo import demo
from .info import info
from .plot import plot
from .score import score
from .verify import verify

INTERRUPTED = 130  # like shells: 128 plus the number of the signal


class Commands(typer.core.TyperGroup):
    """Commands that report an error or Ctrl-C in one line, without a traceback."""

    def get_params(self, ctx: Any) -> list[Any]:
        return without_values(super().get_params(ctx))

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            with written(ctx):
                return super().invoke(ctx)
        except UserError as error:
            command = f"lossless {ctx.invoked_subcommand}"
            Console(stderr=True).print(
                f"[bold red]{command}:[/] ", error, sep="", markup=True, soft_wrap=True
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            Console(stderr=True).print(f"lossless {ctx.invoked_subcommand}: interrupted")
            raise typer.Exit(INTERRUPTED) from None

    def main(self, *arguments: Any, **options: Any) -> Any:
        try:
            with written():  # --help and --version
                return super().main(*arguments, **options)
        except typer.Exit as end:
            sys.exit(end.exit_code)


app: typer.Typer = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command(cls=Command)(score)
app.command(cls=Command)(plot)
app.command(cls=Command)(verify)
app.command(cls=Command)(bench)
app.command(cls=Command)(info)
app.command(cls=Command)(demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lossless {lossless.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Correctly rounded training losses."""
