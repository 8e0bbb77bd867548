"""The data of `lossless demo`, and its fits, against independent sources and solvers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from lossless._errors import UserError
from lossless.demo import plot as demo_plot
from lossless.demo.datasets import belgian_calls
from lossless.demo.fits import FITTED, Fit, Regression
from lossless.verification.frameworks import FRAMEWORKS

Vector = NDArray[np.float64]

# The same data as R's robustbase has them (telef), in tens of millions.
TELEF = (
    "0.44 0.47 0.47 0.59 0.66 0.73 0.81 0.88 1.06 1.2 1.35 1.49 "
    "1.61 2.12 11.9 12.4 14.2 15.9 18.2 21.2 4.3 2.4 2.7 2.9"
)


def quiet(part: float) -> None:
    assert 0 <= part <= 1


def train(problem: Regression, loss: str, delta: float, framework: str = "mlx") -> Fit:
    return problem.train(loss, delta, FRAMEWORKS[framework](), quiet)


def minimiser(inputs: Vector, targets: Vector, score: Callable[[Vector], Vector]) -> Vector:
    """Intercept and slopes at which the scores of the residuals vanish, by reweighting."""
    design = np.column_stack([np.ones(len(targets)), inputs - inputs.mean(axis=0)])
    coefficients = np.zeros(design.shape[1])
    for _ in range(5000):
        residual = targets - design @ coefficients
        residual[residual == 0] = np.finfo(float).tiny
        weighted = design.T * (score(residual) / residual)
        coefficients = np.linalg.solve(weighted @ design, weighted @ targets)
    residual = targets - design @ coefficients
    np.testing.assert_allclose(design.T @ score(residual), 0, atol=1e-9 * np.abs(targets).max())
    coefficients[0] -= inputs.mean(axis=0) @ coefficients[1:]
    return coefficients


def scores(delta: float) -> dict[str, Callable[[Vector], Vector]]:
    """The derivatives of the losses by their definitions."""
    return {
        "squared error": lambda residual: residual,
        "Huber": lambda residual: np.clip(residual, -delta, delta),
        "log-cosh": lambda residual: delta * np.tanh(residual / delta),
    }


@pytest.fixture(scope="module")
def calls() -> Regression:
    data = belgian_calls()
    return Regression(data.inputs, data.targets, data.names)


def test_data_are_those_of_the_book() -> None:
    data = belgian_calls()
    assert [float(year) for year in range(1950, 1974)] == data.inputs[:, 0].tolist()
    expected = 10 * np.array(TELEF.split(), float)
    np.testing.assert_allclose(data.targets, expected, rtol=1e-15)
    assert data.clean is not None
    assert set(range(1963, 1971)) == set(data.inputs[~data.clean, 0])


def test_data_name_their_source() -> None:
    text = (files("lossless.demo") / "data" / "README.md").read_text()
    assert "Rousseeuw" in text
    assert "page 26" in text


def test_squared_error_is_the_published_fit(calls: Regression) -> None:
    """R: `lm(calls ~ year, MASS::phones)` gives -260.06 and 5.04, with years since 1900."""
    fit = train(calls, "squared error", 1.0)
    np.testing.assert_allclose(fit.slopes, 5.041478, rtol=1e-6)
    np.testing.assert_allclose(fit.intercept + 1900 * fit.slopes[0], -260.0592, rtol=1e-6)


@pytest.mark.parametrize("delta", [1.0, 2.69, 12.0])
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("loss", FITTED)
def test_fit_is_the_minimum(calls: Regression, loss: str, framework: str, delta: float) -> None:
    expected = minimiser(calls.inputs, calls.targets, scores(delta)[loss])
    fit = train(calls, loss, delta, framework)
    np.testing.assert_allclose([fit.intercept, *fit.slopes], expected, rtol=2e-5)


@pytest.mark.parametrize("loss", ["Huber", "log-cosh"])
def test_robust_fits_are_near_the_clean_years(calls: Regression, loss: str) -> None:
    fit = train(calls, loss, calls.default_delta()[0])
    assert 1.4 < fit.slopes[0] < 1.7


@pytest.mark.parametrize("loss", FITTED)
def test_several_inputs_nearly_dependent(loss: str, rng: np.random.Generator) -> None:
    x = rng.uniform(40, 200, 400)
    inputs = np.column_stack([x, x**2, 1e6 + rng.normal(0, 3, 400)])
    targets = 7 + inputs @ [3.0, -0.01, 0.5] + rng.normal(0, 2, 400)
    targets[rng.random(400) < 0.2] += 300
    problem = Regression(inputs, targets, ["x", "x²", "other"])
    expected = minimiser(inputs, targets, scores(4.0)[loss])
    fit = train(problem, loss, 4.0)
    np.testing.assert_allclose(fit.slopes, expected[1:], rtol=1e-4)
    np.testing.assert_allclose(fit(inputs), expected[0] + inputs @ expected[1:], rtol=1e-6)


def test_default_delta_is_the_median_distance_from_its_fit(calls: Regression) -> None:
    delta, words = calls.default_delta()
    assert "the median distance from the Huber fit" == words
    fit = train(calls, "Huber", delta)
    distance = np.abs(calls.targets - fit(calls.inputs))
    np.testing.assert_allclose(np.median(distance), delta, rtol=5e-3)


def test_fits_do_not_depend_on_units(calls: Regression) -> None:
    """In thousandths of a call and in days, with delta along, the line is the same."""
    other = Regression(365 * calls.inputs - 7e5, 1e9 * calls.targets + 3e9, ["day"])
    expected = 1e9 * calls.default_delta()[0]
    np.testing.assert_allclose(other.default_delta()[0], expected, rtol=1e-12)
    for loss in FITTED:
        fit, rescaled = train(calls, loss, 2.0), train(other, loss, 2e9)
        predicted = 1e9 * fit(calls.inputs) + 3e9
        np.testing.assert_allclose(rescaled(other.inputs), predicted, rtol=1e-6)


def test_exact_data_are_fitted() -> None:
    inputs = np.arange(12.0)[:, None]
    for targets in (3 * inputs[:, 0] - 5, np.full(12, 2.5)):
        problem = Regression(inputs, targets, ["x"])
        for loss in FITTED:
            fit = train(problem, loss, problem.default_delta()[0])
            np.testing.assert_allclose(fit(inputs), targets, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("outliers", [slice(50, None), slice(None, None, 6)])
def test_default_delta_where_most_rows_are_on_a_line(outliers: slice) -> None:
    x = np.arange(1.0, 61.0)
    targets = 2 * x
    targets[outliers] = x[outliers] ** 3
    problem = Regression(x[:, None], targets, ["x"])
    delta, words = problem.default_delta()
    assert words.startswith("a thousandth of the targets' spread")
    np.testing.assert_allclose(delta, problem.spread / 1000, rtol=5e-3)
    for loss in ("Huber", "log-cosh"):
        np.testing.assert_allclose(train(problem, loss, delta).slopes, 2, rtol=1e-3)


@pytest.mark.parametrize("delta", [1e4, 1e8, 1e308])
@pytest.mark.parametrize("loss", FITTED)
def test_large_delta_is_least_squares(loss: str, delta: float) -> None:
    problem = Regression(np.array([[1.0], [2], [3], [4]]), np.array([2.0, 3, 4, 9]), ["x"])
    fit = train(problem, loss, delta)
    np.testing.assert_allclose([fit.intercept, *fit.slopes], [-1, 2.2], rtol=3e-6)
    small = train(Regression(problem.inputs, 1e-14 * problem.targets, ["x"]), loss, delta)
    np.testing.assert_allclose([small.intercept, *small.slopes], [-1e-14, 2.2e-14], rtol=3e-6)


@pytest.mark.parametrize("unit", [1e-90, 1e90])
@pytest.mark.parametrize("loss", FITTED)
def test_fits_in_extreme_units(calls: Regression, loss: str, unit: float) -> None:
    other = Regression(calls.inputs / unit, calls.targets * unit, ["year"])
    delta, scaled = calls.default_delta()[0], other.default_delta()[0]
    np.testing.assert_allclose(scaled, unit * delta, rtol=1e-12)
    slope = train(other, loss, scaled).slopes / unit / unit
    np.testing.assert_allclose(slope, train(calls, loss, delta).slopes, rtol=1e-6)


def test_momentum_does_not_carry_the_fit_past_the_minimum(calls: Regression) -> None:
    """With so small a delta, training comes past points at which the gradient is zero."""
    fit = train(calls, "Huber", 0.102)
    clipped = np.clip(calls.targets - fit(calls.inputs), -0.102, 0.102) / 0.102
    centred = calls.inputs[:, 0] - calls.inputs.mean()
    np.testing.assert_allclose([clipped.mean(), (clipped * centred).mean()], 0, atol=1e-5)


def test_exact_data_leave_no_noise() -> None:
    """In float32, an intercept and errors of 1e-5 and 1e-7 would be left."""
    x = np.arange(2000.0, 2050.0)
    problem = Regression(x[:, None], 2 * x, ["x"])
    for loss in FITTED:
        fit = train(problem, loss, problem.default_delta()[0])
        assert 0 == fit.intercept
        assert np.abs(fit(problem.inputs) - problem.targets).max() <= fit.noise
    assert train(problem, "Huber", 0.025).noise < 1e-7
    flat = Regression(x[:, None], 1e3 * np.sin(x) ** 2 + 1, ["x"])
    assert train(flat, "Huber", 1.0).slopes[0] != 0


@pytest.mark.parametrize("columns", [1, 2])
def test_no_words_of_the_picture_lie_on_each_other(columns: int) -> None:
    """With long names, and powers of ten beside the axes."""
    inputs = 1e9 * np.arange(60.0).reshape(-1, columns) ** [2, 3][:columns]
    names = ["a_name_as_long_as_" * 5] * columns
    problem = Regression(inputs, 1e9 + inputs[:, 0], names)
    figure = demo_plot.draw(
        [train(problem, loss, 1e9) for loss in FITTED], inputs, problem.targets,
        problem.targets > 1e11, labels=(names, names[0]), meaning=("x", "y"), title=names[0] * 9,
    )  # fmt: skip
    figure.draw_without_rendering()
    words = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            words += [
                text
                for text in (axis.label, axis.offsetText)
                if text.get_text() and text.get_visible()
            ]
    boxes = [text.get_window_extent() for text in words]
    assert len(boxes) >= 4
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert all(figure.bbox.fully_contains(*point) for box in boxes for point in box.get_points())


def test_training_is_deterministic(calls: Regression) -> None:
    first, second = (train(calls, "log-cosh", 3.0) for _ in range(2))
    assert (first.intercept, *first.slopes) == (second.intercept, *second.slopes)


def test_problem_errors() -> None:
    x = np.arange(6.0)
    with pytest.raises(UserError, match="at least 3 rows, got 2"):
        Regression(x[:2, None], x[:2], ["x"])
    with pytest.raises(UserError, match="'y' has the same value in every row"):
        Regression(np.column_stack([x, np.full(6, 0.1)]), x, ["x", "y"])
    with pytest.raises(UserError, match="'y' is a combination of the inputs before it"):
        Regression(np.column_stack([x, 3 - 2 * x]), x, ["x", "y"])


def test_fit_that_does_not_settle_is_an_error(
    calls: Regression, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossless.demo.fits.MOST_STEPS", 100)
    for delta in ("1e-06", "1e-307"):
        with pytest.raises(UserError, match=f"Huber did not converge .* delta = {delta} is too"):
            train(calls, "Huber", float(delta))
