"""The picture of `lossless demo`: the data and the fits."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .._files import replacing
from .fits import Fit

FORMATS = (".png", ".svg", ".pdf")
# Colours that also the colour-blind tell apart (Okabe and Ito), and dashes for black and white.
STYLES: dict[str, dict[str, Any]] = {
    "squared error": {"color": "#D55E00", "linestyle": (0, (6, 2))},
    "Huber": {"color": "#0072B2", "linestyle": "-"},
    "log-cosh": {"color": "#009E73", "linestyle": (0, (2, 1.5))},
}
INK, HOLLOW = "#222222", "#888888"
DOTS_PER_INCH = 160


def save(figure: Figure, path: Path) -> None:
    """Write the whole file, or nothing."""
    with replacing("--output", path) as name, warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes, which says it all.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(name, dpi=DOTS_PER_INCH, facecolor="white")


def draw(
    fits: Sequence[Fit],
    inputs: NDArray[np.float64],
    targets: NDArray[np.float64],
    marked: NDArray[np.bool_],
    *,
    labels: tuple[list[str], str],
    meaning: tuple[str, str],
    title: str,
) -> Figure:
    """Lines through the data; with several inputs, predictions against the true values.

    `labels` name the inputs and the targets, `meaning` the points that are not marked and those
    that are.
    """
    inputs_labels, targets_label = [_plain(name) for name in labels[0]], _plain(labels[1])
    if len(inputs_labels) == 1:
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.subplots()
        _points(axes, inputs[:, 0], targets, marked, meaning)
        ends = np.array([[inputs.min()], [inputs.max()]])
        for fit in fits:
            style = STYLES[fit.loss]
            axes.plot(ends[:, 0], fit(ends), lw=2.2, zorder=4, label=fit.loss, **style)
        axes.set_xlabel(inputs_labels[0], loc="left")
        axes.set_ylabel(targets_label)
        axes.legend(frameon=False)
        axes.set_title(_plain(title, 60), loc="left", fontsize=11)
    else:
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        panels = figure.subplots(1, len(fits), sharex=True, sharey=True)
        ends = np.array([targets.min(), targets.max()])
        for axes, fit in zip(panels, fits, strict=True):
            _points(axes, targets, fit(inputs), marked, meaning)
            axes.plot(ends, ends, lw=2, zorder=4, label="predicted = true", **STYLES[fit.loss])
            axes.set_title(fit.loss, fontsize=11)
            # On the right is the power of ten of large or small numbers.
            axes.set_xlabel(f"{targets_label}, true", loc="left")
        panels[0].set_ylabel(f"{targets_label}, predicted")
        panels[0].legend(frameon=False, fontsize=8)
        figure.suptitle(_plain(title, 60), fontsize=11)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#DDDDDD", lw=0.6)
        axes.set_axisbelow(True)
    FigureCanvasAgg(figure)
    return figure


def _plain(text: str, longest: int = 24) -> str:
    """Without its middle if it is long, and without mathematics, as between two dollars."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[1 - longest // 2 :]}"
    return text.replace("$", r"\$")


def _points(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    marked: NDArray[np.bool_],
    meaning: tuple[str, str],
) -> None:
    plain, special = meaning
    # Many points would hide each other.
    size, alpha = (28, 1.0) if len(x) <= 500 else (6, 0.4)
    ink: dict[str, Any] = {"color": INK, "linewidths": 0, "alpha": alpha}
    axes.scatter(x[~marked], y[~marked], s=size, label=plain, zorder=3, **ink)
    if marked.any():
        axes.scatter(
            x[marked], y[marked], s=size * 1.3, facecolors="none", edgecolors=HOLLOW,
            linewidths=1.2, marker="s", label=special, zorder=3,
        )  # fmt: skip
