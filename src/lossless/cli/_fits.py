"""Linear models trained with MLX: targets ≈ intercept + slopes · inputs, one for each loss.

The inputs are made uncorrelated, with mean 0 and mean square 1, and the targets are measured from
their median in units of delta. The second derivative of a mean loss is then at most 1 in every
direction, so that gradient descent with a learning rate of 1 settles, whatever the units of the
user's columns were. Training runs in float64, which MLX has on the CPU: people read these
coefficients, and the data are small.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten
from numpy.typing import NDArray

import lossless

from ._errors import UserError

Vector = NDArray[np.float64]
Loss = Callable[[mx.array, mx.array], mx.array]

# Of residuals in units of delta. Half the squared error is Huber's loss with no linear part.
LOSSES: dict[str, Loss] = {
    "squared error": partial(lossless.huber_loss, delta=math.inf, reduction="mean"),
    "Huber": partial(lossless.huber_loss, delta=1.0, reduction="mean"),
    "log-cosh": partial(lossless.log_cosh_loss, reduction="mean"),
}
# Of the gradient; MLX's exponential has errors of some 1e-9, in float64 too.
TOLERANCE = 1e-7
MOST_STEPS = 20_000
STEPS_BETWEEN_CHECKS = 10


@dataclass(frozen=True)
class Fit:
    """A trained model, in the units of the user's columns."""

    loss: str
    intercept: float
    slopes: Vector
    steps: int

    def __call__(self, inputs: Vector) -> Vector:
        """Predictions for inputs of shape (rows, columns)."""
        return self.intercept + inputs @ self.slopes


class Problem:
    """Data to fit, and their uncorrelated twin that the training sees."""

    def __init__(self, inputs: Vector, targets: Vector, names: list[str]) -> None:
        rows, columns = inputs.shape
        if rows < columns + 2:
            raise UserError(
                f"{columns} inputs and an intercept need at least {columns + 2} rows, got {rows}"
            )
        self.inputs, self.targets = inputs, targets
        self.mean, self.centre = inputs.mean(axis=0), float(np.median(targets))
        spread = inputs.std(axis=0)
        # A constant column comes out of the mean and the division with some rounding errors.
        constant = spread <= 1e-12 * np.abs(inputs).max(axis=0)
        if constant.any():
            name = names[int(constant.argmax())]
            raise UserError(f"the column {name!r} has the same value in every row")
        orthogonal, triangle = np.linalg.qr((inputs - self.mean) / spread)
        dependent = np.abs(np.diag(triangle)) <= 1e-9 * math.sqrt(rows)
        if dependent.any():
            name = names[int(dependent.argmax())]
            raise UserError(f"the column {name!r} is a combination of the inputs before it")
        self.uncorrelated = orthogonal * math.sqrt(rows)
        self.back = np.linalg.inv(triangle * spread) * math.sqrt(rows)

    def default_delta(self) -> float:
        """The median distance from the Huber fit with that very delta, to three digits.

        So half of the residuals count as large, in any units and whatever the outliers are. Found
        by weighted least squares, in which delta and the fit take turns to follow each other.
        """
        design = np.column_stack([np.ones(len(self.targets)), self.uncorrelated])
        targets = self.targets - self.centre
        spread = float(np.abs(targets).mean())
        smallest = 1e-6 * spread
        weights = np.ones_like(targets)
        delta = distance = np.inf
        for _ in range(200):
            weighted = design.T * weights
            coefficients = np.linalg.solve(weighted @ design, weighted @ targets)
            distance = np.abs(targets - design @ coefficients)
            before, delta = delta, float(np.median(distance))
            if delta <= smallest or abs(delta - before) <= 1e-5 * delta:
                break
            weights = delta / np.maximum(distance, delta)
        # More than half of the points may lie on the fit, or all of them.
        candidates = [delta, float(np.mean(distance)), spread, 1.0]
        return float(f"{next(c for c in candidates if c > smallest):.3g}")

    def train(self, loss: str, delta: float, progress: Callable[[float], None]) -> Fit:
        """Train with the loss; `progress` is told the part of the way that is done, 0 to 1."""
        scaled = (self.targets - self.centre) / delta
        with mx.stream(mx.cpu):
            bias, weight, steps = _descend(
                mx.array(self.uncorrelated), mx.array(scaled), LOSSES[loss], progress
            )
        if steps > MOST_STEPS:
            raise UserError(
                f"the fit with {loss} has not settled after {MOST_STEPS:,} steps: delta = "
                f"{delta:g} is too small for targets that are up to {np.abs(scaled).max():.1g} "
                f"times as far from their median"
            )
        slopes = delta * self.back @ weight
        intercept = self.centre + delta * bias - float(self.mean @ slopes)
        return Fit(loss, intercept, slopes, steps)


def _descend(
    inputs: mx.array,
    targets: mx.array,
    loss: Loss,
    progress: Callable[[float], None],
) -> tuple[float, Vector, int]:
    """Bias and weights at the minimum, and the number of steps that it took to get there."""
    model = nn.Linear(inputs.shape[1], 1)
    model.set_dtype(mx.float64)
    model.update({name: mx.zeros_like(x) for name, x in model.parameters().items()})
    optimizer = optim.SGD(learning_rate=1.0, momentum=0.9, nesterov=True)
    loss_and_gradient = nn.value_and_grad(model, lambda x, y: loss(model(x).squeeze(-1), y))
    first = tolerance = 0.0
    step = 0
    while step <= MOST_STEPS:
        step += 1
        _, gradient = loss_and_gradient(inputs, targets)
        optimizer.update(model, gradient)
        mx.eval(model.parameters(), optimizer.state)
        if step % STEPS_BETWEEN_CHECKS == 1:
            size = max(float(mx.abs(part).max()) for _, part in tree_flatten(gradient))
            if step == 1:
                first, tolerance = size, TOLERANCE * max(1.0, size)
            if size <= tolerance:
                break
            # A gradient falls by a factor in each step, so its digits tell how far it is.
            progress(math.log(first / size) / math.log(first / tolerance))
    progress(1.0)
    return float(model.bias.item()), np.array(model.weight, np.float64)[0], step
