"""Options that choose frameworks."""

from collections.abc import Iterable
from typing import Annotated

import typer

from .._errors import UserError
from ..verification.frameworks import FRAMEWORKS


def chosen(names: list[str] | None) -> list[str]:
    """The frameworks of these names, or all that are installed."""
    for name in names or []:
        check("--backend", name)
    installed = [name for name, kind in FRAMEWORKS.items() if kind.is_installed()]
    return list(dict.fromkeys(names or installed))


def check(option: str, name: str, names: Iterable[str] = FRAMEWORKS) -> None:
    """Raise an error if there is no such framework, or if it is not installed."""
    if name not in FRAMEWORKS:
        raise UserError(f"{option} must be one of {', '.join(names)}, got {name}")
    if not FRAMEWORKS[name].is_installed():
        title = FRAMEWORKS[name].title
        raise UserError(
            f"{option} {name}: {title} is not installed: pip install 'lossless[{name}]'"
        )


BackendOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help=f"{', '.join(FRAMEWORKS)}; may be repeated.  [default: all that are installed]",
        show_default=False,
    ),
]
