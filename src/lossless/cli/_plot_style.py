"""Pictures for white paper and dark pages: no background, and colours with contrast on both."""

import warnings
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .._files import replacing

FORMATS = (".png", ".svg", ".pdf")
# Every colour has a contrast of at least 3:1 with white, with #0d1117 and with #1e1e1e. Those of
# the lines differ for the colour-blind, too, and the dashes distinguish them without colours.
INK = "#7A7A7A"
COLOURS = ("#0F7DC2", "#D55E00", "#009E73", "#C4589B", "#8A7A00", "#8E6BD1")
# Five: of the losses that `lossless plot` draws, smooth L1 lies on Huber, and lets it through.
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.5)),
    (0, (5, 1.5, 1.5, 1.5)),
    (0, (2.5, 2.5)),
)
SETTINGS: Any = {
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 11,
    "axes.formatter.limits": (-2, 4),  # beyond, a power of ten beside the axis: labels stay short
    "svg.hashsalt": "lossless",  # the same picture is the same file
}


def line(number: int) -> dict[str, Any]:
    """How the line of this number is drawn: no two of 24 alike, and wider than the next ones.

    So the edges of a line are seen beside those that lie on it, and it through their dashes.
    """
    dashes = (number + number // len(COLOURS)) % len(DASHES)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[dashes],
        "lw": max(1.8, 2.8 - 0.25 * number),
    }


def grid(axes: Axes) -> None:
    axes.grid(color=INK, alpha=0.3, lw=0.6)
    axes.set_axisbelow(True)


def save(figure: Figure, option: str, path: Path) -> None:
    """Write the whole file, or nothing."""
    FigureCanvasAgg(figure)
    dated = {".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix.lower())
    with replacing(option, path) as name, rc_context(SETTINGS), warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes, which says it all.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(name, dpi=160, transparent=True, metadata={dated: None} if dated else None)
