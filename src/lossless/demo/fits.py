"""Linear models: targets ≈ intercept + slopes · inputs, trained with each loss by a framework.

The inputs are made uncorrelated, with mean 0 and mean square 1, and the targets are measured from
their median in units of delta. The second derivative of a mean loss is then at most 1 in every
direction, so that gradient descent with a learning rate of 1 settles, whatever the units of the
user's columns were. Half the squared error has no delta: its unit is the largest target. Training
runs in float64, on the CPU: people read these coefficients, and the data are small.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import lossless

from .._errors import UserError
from ..verification.frameworks import Framework

Vector: TypeAlias = NDArray[np.float64]

# Of residuals in units of delta. Half the squared error is Huber's loss with no linear part.
FITTED: dict[str, tuple[Any, dict[str, float]]] = {
    "squared error": (lossless.huber_loss, {"delta": math.inf}),
    "Huber": (lossless.huber_loss, {"delta": 1.0}),
    "log-cosh": (lossless.log_cosh_loss, {}),
}
# Of the gradient, as a part of the mean size of the points' gradients at the start; MLX's
# exponential has errors of some 1e-9, in float64 too.
TOLERANCE = 1e-7
# Of delta, in units of the largest target. Above, Huber and log-cosh are half the squared error to
# 1e-8; below, residuals are rounding errors.
RANGE = 1e-12, 1e4
MOST_STEPS = 20_000
STEPS_BETWEEN_CHECKS = 10
MOMENTUM = 0.9


@dataclass(frozen=True)
class Fit:
    """A trained model, in the units of the user's columns."""

    loss: str
    intercept: float
    slopes: Vector
    steps: int
    noise: float  # of a prediction: how far from the minimum the training may have ended

    def __call__(self, inputs: Vector) -> Vector:
        """Predictions for inputs of shape (rows, columns)."""
        return self.intercept + inputs @ self.slopes


class Regression:
    """Data to fit, and their uncorrelated twin that the training sees."""

    def __init__(self, inputs: Vector, targets: Vector, names: list[str]) -> None:
        rows, columns = inputs.shape
        if rows < columns + 2:
            raise UserError(
                f"{columns + 1} coefficients need at least {columns + 2} rows, got {rows}"
            )
        self.inputs: Vector = inputs
        self.targets: Vector = targets
        self.mean: Vector = inputs.mean(axis=0)
        self.centre: float = float(np.median(targets))
        distance = np.abs(targets - self.centre)
        self.largest: float = float(distance.max()) or 1.0
        # The outliers are few, so their values do not matter here.
        self.spread: float = float(np.median(distance[distance > 0])) if distance.any() else 1.0
        spread = inputs.std(axis=0)
        # Mean and division leave some rounding errors in a constant column.
        constant = spread <= 1e-12 * np.abs(inputs).max(axis=0)
        if constant.any():
            name = names[int(constant.argmax())]
            raise UserError(f"the column {name!r} has the same value in every row")
        orthogonal, triangle = np.linalg.qr((inputs - self.mean) / spread)
        dependent = np.abs(np.diag(triangle)) <= 1e-9 * math.sqrt(rows)
        if dependent.any():
            name = names[int(dependent.argmax())]
            raise UserError(f"the column {name!r} is a combination of the inputs before it")
        self.uncorrelated: Vector = orthogonal * math.sqrt(rows)
        self.back: Vector = np.linalg.inv(triangle * spread) * math.sqrt(rows)

    def default_delta(self) -> tuple[float, str]:
        """The median distance from the Huber fit with the same delta, and words that say so.

        With it, half of the residuals count as large, in any units and with any outliers. Weighted
        least squares finds it: delta and the fit are updated in turns. If half of the points lie on
        the fit, delta is derived from the spread of the targets.
        """
        design = np.column_stack([np.ones(len(self.targets)), self.uncorrelated])
        targets = self.targets - self.centre
        smallest = 1e-3 * self.spread
        weights = np.ones_like(targets)
        delta = median = np.inf
        for _ in range(200):
            weighted = design.T * weights
            coefficients = np.linalg.solve(weighted @ design, weighted @ targets)
            distance = np.abs(targets - design @ coefficients)
            before, median = delta, float(np.median(distance))
            delta = max(median, smallest)
            if abs(delta - before) <= 1e-5 * delta:
                break
            weights = delta / np.maximum(distance, delta)
        words = "the median distance from the Huber fit"
        if median < smallest:
            words = (
                "a thousandth of the targets' spread: half of the rows are closer to the Huber fit"
            )
        return float(f"{delta:.3g}"), words

    def train(
        self, loss: str, delta: float, framework: Framework, progress: Callable[[float], None]
    ) -> Fit:
        """Train with the loss; `progress` receives the part that is done, 0 to 1."""
        unit = self.largest
        if loss != "squared error":
            unit = float(np.clip(delta, RANGE[0] * unit, RANGE[1] * unit))
        scaled = (self.targets - self.centre) / unit
        tolerance = TOLERANCE * float(np.minimum(np.abs(scaled), 1).mean())
        design = np.column_stack([np.ones(len(scaled)), self.uncorrelated])
        with framework.setting():
            gradient = _gradient(framework, loss, design, scaled)
            (bias, *weight), steps = _descend(gradient, design.shape[1], tolerance, progress)
        if steps > MOST_STEPS:
            raise UserError(
                f"the fit with {loss} did not converge in {MOST_STEPS:,} steps: delta = "
                f"{delta:g} is too small for targets that are up to {self.largest / delta:.1g} "
                f"times as far from their median"
            )
        # The second derivative is below 1. Zeros that are only nearly so would be read as numbers.
        noise = 10 * tolerance * unit + 1e-15 * float(np.abs(self.targets).max())
        reach = noise * np.abs(self.back).sum(axis=1)
        slopes = unit * self.back @ weight
        slopes[np.abs(slopes) <= reach] = 0
        intercept = self.centre + unit * float(bias) - float(self.mean @ slopes)
        if abs(intercept) <= noise + float(np.abs(self.mean) @ reach):
            intercept = 0.0
        return Fit(loss, intercept, slopes, steps, noise)


def _gradient(
    framework: Framework, loss: str, design: Vector, targets: Vector
) -> Callable[[Vector], Vector]:
    """Of the mean loss, with respect to the coefficients."""
    function, options = FITTED[loss]
    x, y = framework.array(design), framework.array(targets)

    def mean(coefficients: Any) -> Any:
        return function(x @ coefficients, y, **options, reduction="mean")

    by_coefficients = framework.gradient(mean)
    if by_coefficients:
        return lambda array: framework.numpy(by_coefficients(framework.array(array)))
    both = lossless.value_and_grad(function)

    def by_hand(coefficients: Any) -> Any:
        _, by_predictions = both(x @ coefficients, y, **options, reduction="mean")
        return x.T @ by_predictions

    return by_hand


def _descend(
    gradient: Callable[[Vector], Vector],
    size: int,
    tolerance: float,
    progress: Callable[[float], None],
) -> tuple[Vector, int]:
    """The coefficients at the minimum, and the number of steps that it took to get there."""
    coefficients, speed = np.zeros(size), np.zeros(size)
    first = 0.0
    step = 0
    while step <= MOST_STEPS:
        step += 1
        slope = gradient(coefficients)
        if step % STEPS_BETWEEN_CHECKS == 1:
            largest = float(np.abs(slope).max())
            first = first or largest
            # Before the update: its momentum would carry the model on, even from the minimum.
            if largest <= tolerance:
                break
            # A gradient falls by a factor in each step, so its digits tell how far it is.
            progress(max(0.0, math.log(first / largest) / math.log(first / tolerance)))
        speed = MOMENTUM * speed + slope
        coefficients = coefficients - (slope + MOMENTUM * speed)  # as Nesterov's, at rate 1
    progress(1.0)
    return coefficients, step
