"""`lossless plot`: what is drawn, where it can be read, and what is said of wrong options."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from numpy.typing import NDArray

import lossless
from lossless.cli import _plot_style
from lossless.cli._losses import chosen
from lossless.cli.plot import _figure, curves
from support.command import error, interrupt, run, run_json

PAGES = ("#ffffff", "#0d1117", "#1e1e1e")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)
    ]
    return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("page", PAGES)
def test_every_ink_has_contrast_with_light_and_dark_pages(page: str) -> None:
    for colour in (_plot_style.INK, *_plot_style.COLOURS):
        light, dark = sorted((luminance(page), luminance(colour)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, colour


def test_no_two_lines_look_alike() -> None:
    styles = [str(sorted(_plot_style.line(number).items())) for number in range(14)]
    assert 14 == len(set(styles))
    assert all(
        _plot_style.line(a)["linestyle"] != _plot_style.line(b)["linestyle"]
        for a, b in combinations(range(3), 2)
    )


def pixels(path: str) -> NDArray[np.int64]:
    return np.round(255 * imread(path)).astype(int)


def test_plot_draws_on_no_background() -> None:
    status, output, errors = run("plot", "-o", "out.png")
    assert (0, "Picture: out.png\n", "") == (status, output, errors)
    picture = pixels("out.png")
    assert 4 == picture.shape[2]
    assert (picture[:3, :, 3] == 0).all()
    solid = {tuple(pixel) for pixel in picture[picture[..., 3] == 255][:, :3].tolist()}
    for number in range(2):
        colour = np.round(255 * np.array(to_rgb(_plot_style.COLOURS[number]))).astype(int)
        assert tuple(colour.tolist()) in solid


def test_plot_json_and_svg() -> None:
    found = run_json("plot", "huber", "--delta", "0.5", "--range", "2", "--output", "out.svg")
    assert {
        "output": "out.svg",
        "range": 2.0,
        "losses": [{"loss": "huber", "parameters": {"delta": 0.5}}],
    } == found
    text = Path("out.svg").read_text()
    assert "</svg>" in text
    assert _plot_style.COLOURS[0].lower() in text
    assert _plot_style.COLOURS[1].lower() not in text
    run("plot", "huber", "--delta", "0.5", "--range", "2", "--output", "again.svg")
    assert text == Path("again.svg").read_text()


RANGES = [1e-100, 1e-6, 0.001, 0.7, 4.0, 999.0, 12345.0, 99999.0, 1e30, 1e100]


@pytest.mark.parametrize("reach", RANGES)
def test_no_words_of_the_picture_lie_on_each_other(reach: float) -> None:
    """And the legend with all losses is inside."""
    figure = _figure(chosen(None, {"delta": 1.2345678e-300, "beta": 0.1234567}), reach)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    words = [legend.get_window_extent() for legend in figure.legends]
    for axes in figure.axes:
        axis = axes.xaxis
        low, high = axes.get_xlim()
        ticks = [x for x in axis.get_major_ticks() if low <= x.get_loc() <= high]
        texts = [tick.label1 for tick in ticks] + [axis.label, axis.offsetText]
        words += [text.get_window_extent() for text in texts if text.get_text()]
    assert not [(a, b) for a, b in combinations(words, 2) if a.overlaps(b)]
    assert all(figure.bbox.containsx(x) for word in words for x in (word.x0, word.x1))


@pytest.mark.parametrize("reach", [0.7, 4.0, 999.0, 12345.0])
def test_plot_shows_all_of_a_loss_that_does_all_near_0(reach: float) -> None:
    """The curvature of log-cosh at 0 is 1, however narrow its peak; nothing of it jumps."""
    figure = _figure(chosen(["log_cosh"], {}), reach)
    for axes in figure.axes:
        (line,) = axes.get_lines()
        drawn = np.asarray(line.get_ydata())
        assert np.isfinite(drawn).all()
    assert 1 == drawn.max()


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_plot_draws_the_losses(delta: float) -> None:
    residuals = np.linspace(-4, 4, 101)
    (huber,) = chosen(["huber"], {"delta": delta})
    value, gradient, curvature = curves(huber, residuals)
    inside = np.abs(residuals) <= delta
    expected = np.where(inside, residuals**2 / 2, delta * (np.abs(residuals) - delta / 2))
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    assert np.clip(residuals, -delta, delta).tolist() == gradient.tolist()
    assert (curvature == 1).tolist() == inside.tolist()


def test_plot_has_all_losses_by_default() -> None:
    found = [row["loss"] for row in run_json("plot", "-o", "out.png")["losses"]]
    assert set(found) <= set(lossless.info()["kernels"])
    assert {"huber", "log_cosh"} <= set(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-o out.txt", "--output out.txt: the name must end with .png, .svg, .pdf"),
        ("-o no/out.png", "there is no folder no"),
        ("-o folder.png", "is a folder"),
        ("hubert -o out.png", "there is no loss 'hubert', only huber"),
        ("log_cosh --delta 1 -o out.png", "--delta: log_cosh has no such parameter"),
        ("huber --delta -1 -o out.png", "huber_loss: delta must be > 0, got -1.0"),
        ("--range 0 -o out.png", "--range must be a number > 0, at most 1e100, got 0"),
        ("--range nan -o out.png", "--range must be a number > 0, at most 1e100, got nan"),
    ],
)
def test_plot_says_what_is_wrong(arguments: str, message: str) -> None:
    Path("folder.png").mkdir()
    assert message in error("plot", *arguments.split())
    assert ["folder.png"] == [path.name for path in Path().iterdir()]


def test_plot_needs_an_output() -> None:
    status, output, errors = run("plot", "huber")
    assert (2, "") == (status, output)
    assert "--output" in errors


def test_plot_help_shows_an_example() -> None:
    status, output, _ = run("plot", "--help")
    assert 0 == status
    assert re.search(r"lossless plot huber --delta 0.5 --range 2 -o huber.svg", output)


def test_plot_ends_cleanly_when_interrupted() -> None:
    done = interrupt(["plot", "-o", "out.png"], lambda: any(Path().glob("tmp*.png")))
    assert (130, "") == (done.returncode, done.stdout)
    assert "lossless plot: interrupted\n" == done.stderr
    assert not list(Path().iterdir())
