"""`lossless plot`: value, gradient and second derivative of losses, side by side."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.markup import escape

import lossless

from .._errors import UserError
from .._files import check_path
from ..scoring.losses import OFFERED, ChosenLoss
from . import _losses
from ._console import print_json, results
from ._losses import with_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Vector = NDArray[np.float64]
PANELS = ("value", "gradient", "second derivative")
POINTS = 4001
SMALLEST = 1e-12  # of the range: near 0 a loss may do all that it does
# A step between neighbouring points of more than this part of the panel's height is a jump.
JUMP = 0.1


@with_parameters
def plot(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The picture: .png, .svg, .pdf.")
    ],
    losses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LOSS...]", help=f"{', '.join(OFFERED)}.  [default: all]", show_default=False
        ),
    ] = None,
    reach: Annotated[
        float,
        typer.Option(
            "--range",
            metavar="NUMBER",
            help="The largest residual; the smallest is minus this number.",
        ),
    ] = 4.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **parameters: float | None,
) -> None:
    """Draw value, gradient and second derivative of losses, side by side.

    The picture has a transparent background and middle tones, for print and for dark pages.

        lossless plot -o losses.png

        lossless plot huber --delta 0.5 --range 2 -o huber.svg
    """
    from . import _plot_style

    chosen = _losses.chosen(losses, parameters)
    if not 0 < reach <= 1e100:
        raise UserError(f"--range must be a number > 0, at most 1e100, got {reach:g}")
    check_path("--output", output, _plot_style.FORMATS)
    _plot_style.save(_figure(chosen, reach), "--output", output)
    if as_json:
        print_json(
            {
                "output": str(output),
                "range": reach,
                "losses": [{"loss": x.name, "parameters": dict(x.parameters)} for x in chosen],
            }
        )
    else:
        results().print(f"Picture: [bold]{escape(str(output))}[/]", soft_wrap=True)


def curves(loss: ChosenLoss, residuals: Vector) -> tuple[Vector, Vector, Vector]:
    """Value, gradient and second derivative at the residuals."""
    zeros = np.zeros_like(residuals)
    parameters: dict[str, Any] = dict(loss.parameters)
    both = lossless.grad_and_hess(loss.function)
    derivatives = both(residuals, zeros, **parameters, reduction="none")
    return (loss(residuals, zeros), *derivatives)


def _figure(losses: list[ChosenLoss], reach: float) -> "Figure":
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from . import _plot_style

    residuals = _residuals(reach)
    with rc_context(_plot_style.SETTINGS):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        panels = figure.subplots(1, len(PANELS))
        for number, loss in enumerate(losses):
            for axes, numbers in zip(panels, curves(loss, residuals), strict=True):
                axes.plot(
                    residuals, _without_jumps(numbers), label=loss.title, **_plot_style.line(number)
                )
        for axes, name in zip(panels, PANELS, strict=True):
            axes.set_title(name, loc="left")
            # On the right is the power of ten of a small or large range.
            axes.set_xlabel("residual: inputs \N{MINUS SIGN} targets", loc="left")
            axes.margins(x=0)
            axes.locator_params(axis="x", nbins=5)  # no label reaches the next
            _plot_style.grid(axes)
        panels[0].set_ylabel("loss")
        panels[1].set_ylabel("loss per unit of residual")
        panels[2].set_ylabel("gradient per unit of residual")
        handles, labels = panels[0].get_legend_handles_labels()
        for columns in range(min(len(losses), 6), 0, -1):
            legend = figure.legend(
                handles, labels, loc="outside upper center", ncols=columns, frameon=False,
                handlelength=3.2,
            )  # fmt: skip
            if legend.get_window_extent().width <= figure.bbox.width:
                break
            legend.remove()
    return figure


def _residuals(reach: float) -> Vector:
    """At equal distances, and at equal ratios to 0."""
    ratios = reach * np.geomspace(SMALLEST, 1, POINTS // 2)
    return np.unique(np.concatenate([np.linspace(-reach, reach, POINTS), ratios, -ratios]))


def _without_jumps(numbers: Vector) -> Vector:
    """NaN on one side of each jump, where no line should be drawn."""
    finite = numbers[np.isfinite(numbers)]
    height = float(np.ptp(finite)) if finite.size else math.inf
    broken = numbers.copy()
    broken[1:][np.abs(np.diff(numbers)) > JUMP * height] = np.nan
    return broken
