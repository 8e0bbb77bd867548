"""The losses of rows, such as one of scores for each class, as formulas.

Each has two functions, which are found by their names:

    NAME_value(rows, *arrays, *parameters)     the loss of each row
    NAME_gradient(rows, *arrays, *parameters)  its derivative by the first array
    NAME_second_derivative(...)                that of each of these by its own element: of some

`rows` is an array namespace (see `executors.rows.Along`) with the operations along the axis of the
rows, which leave that axis with size 1. The arrays have one shape and dtype, but for class indices
of size 1 along the axis, which are in range; parameters are floats, but for those in COMPUTED_WITH.

Frameworks differentiate the values, under the rules of `formulas`. They must not cancel, either:
a sum of terms of one sign is as accurate as its terms. So scores stand as distances below the
largest one of their row, and a sum of exponentials, which begins with that one's 1, as what the
others add to it.
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .executors.rows import Along

Array = Any

# These do not round: they need no wider dtype.
EXACT = frozenset({"nll"})
# The places of parameters that may also be arrays without dimensions, if they are not the number 0.
COMPUTED_WITH = {"cross_entropy": (0,), "soft_cross_entropy": (0,), "triplet": (1,)}


def _is_zero(parameter: Any) -> bool:
    return isinstance(parameter, float) and parameter == 0.0


def _largest(rows: "Along", x: Array) -> tuple[Array, Array, Array]:
    """The place of the largest score m, itself, and log Σ exp(x - m), of which it is the m."""
    place = rows.first_largest(x)
    largest = rows.pick(x, place, of_all=True)
    others = rows.total(rows.where(rows.is_at(x, place), 0.0, rows.exp(x - largest)))
    finite = rows.constant(largest)
    return place, largest, rows.log1p(others) + (finite - finite)  # NaN for an infinity


def cross_entropy_value(rows: "Along", x: Array, labels: Array, smoothing: Any) -> Array:
    """How far the label's score is below the largest, plus log Σ exp(x - largest): both >= 0.

    Where it is the largest, its derivative must not be added up of 1, -1 and what remains.
    Smoothed, a part of the loss is the mean of that over all labels.
    """
    place, largest, log_sum = _largest(rows, x)
    below = rows.where(labels == place, 0.0, largest - rows.pick(x, labels, of_all=True))
    loss = below + log_sum
    if not _is_zero(smoothing):
        loss = (1.0 - smoothing) * loss + smoothing * (rows.mean(largest - x) + log_sum)
    return loss


def cross_entropy_gradient(rows: "Along", x: Array, labels: Array, smoothing: Any) -> Array:
    """softmax(x) - 1 at the label, which is minus the part of the others, softmax(x) elsewhere."""
    exponentials = rows.exp(x - rows.largest(x))
    here = rows.is_at(x, labels)
    others = rows.total(rows.where(here, 0.0, exponentials))
    gradient = rows.where(here, -others, exponentials) / rows.total(exponentials)
    if not _is_zero(smoothing):
        gradient = rows.where(here, gradient + smoothing, gradient) - smoothing / rows.size(x)
    return gradient


def soft_cross_entropy_value(rows: "Along", x: Array, targets: Array, smoothing: Any) -> Array:
    """The same for probabilities, which need not add up to 1: minus Σ t·log(softmax(x)).

    The largest score has no distance from itself, so that what is above it in derivatives is the
    sum of the other probabilities. A probability of 0 adds 0 even to a score of -inf, where it is
    a constant to derivatives.
    """
    place, largest, log_sum = _largest(rows, x)
    here = rows.is_at(x, place)
    below = rows.where(here, 0.0, largest - x)
    impossible = rows.logical_and(targets == 0.0, below == math.inf)
    targets = rows.where(impossible, 0.0, targets)
    distances = targets * rows.where(impossible, 0.0, below)
    loss = rows.total(targets) * log_sum + rows.total(distances)
    if not _is_zero(smoothing):
        loss = (1.0 - smoothing) * loss + smoothing * (rows.mean(below) + log_sum)
    return loss


def soft_cross_entropy_gradient(rows: "Along", x: Array, targets: Array, smoothing: Any) -> Array:
    """softmax(x), times the sum of the smoothed targets, minus these."""
    exponentials = rows.exp(x - rows.largest(x))
    softmax = exponentials / rows.total(exponentials)
    gradient = rows.total(targets) * softmax - targets
    if not _is_zero(smoothing):
        gradient = (1.0 - smoothing) * gradient + smoothing * (softmax - 1.0 / rows.size(x))
    return gradient


def cross_entropy_second_derivative(
    rows: "Along", x: Array, labels: Array, smoothing: Any
) -> Array:
    """p·(1 - p) for p = softmax(x), whatever the label."""
    exponentials, place = rows.exp(x - rows.largest(x)), rows.first_largest(x)
    total = rows.total(exponentials)
    others = rows.total(rows.where(rows.is_at(x, place), 0.0, exponentials))
    # All but the largest probability are at most 1/2, so that 1 - p does not cancel.
    rest = rows.where(rows.is_at(x, place), others, total - exponentials)
    return (exponentials / total) * (rest / total)


def soft_cross_entropy_second_derivative(
    rows: "Along", x: Array, targets: Array, smoothing: Any
) -> Array:
    """The same, times the sum of the smoothed targets."""
    targets = rows.total(targets)
    if not _is_zero(smoothing):
        targets = (1.0 - smoothing) * targets + smoothing
    return targets * cross_entropy_second_derivative(rows, x, targets, smoothing)


def nll_value(rows: "Along", x: Array, labels: Array) -> Array:
    """Minus the logarithm of the label's probability."""
    return -rows.pick(x, labels)


def nll_gradient(rows: "Along", x: Array, labels: Array) -> Array:
    """-1 at the label."""
    return rows.where(rows.is_at(x, labels), -rows.ones_like(x), 0.0)


def kl_div_value(rows: "Along", x: Array, targets: Array) -> Array:
    """Σ exp(targets)·(targets - x), to which a probability of 0 adds 0."""
    absent = targets == -math.inf
    probabilities = rows.exp(targets)
    # A probability too small for the dtype where x allows none at all.
    lost = rows.logical_and(x == -math.inf, probabilities == 0.0)
    lost = rows.logical_and(lost, targets > -math.inf)
    targets = rows.where(absent, 0.0, targets)
    no_term = rows.logical_or(lost, rows.logical_and(absent, rows.logical_not(rows.isnan(x))))
    x = rows.where(no_term, 0.0, x)
    return rows.total(rows.where(lost, math.inf, probabilities * (targets - x)))


def kl_div_gradient(rows: "Along", x: Array, targets: Array) -> Array:
    """-exp(targets)."""
    return -rows.exp(targets)


def _scaled(rows: "Along", x: Array) -> tuple[Array, Array, Array, Array]:
    """x divided by its largest magnitude, the norm of that, the magnitude, and whether x is 0.

    Zeros are divided by 1 and have the norm 1 here: the square root has no derivative at 0.
    """
    largest = rows.constant(rows.largest(rows.abs(x)))
    zero = largest == 0.0
    scale = rows.where(zero, 1.0, largest)
    x = x / scale
    return x, rows.sqrt(rows.where(zero, 1.0, rows.total(x * x))), scale, zero


def cosine_similarity_value(rows: "Along", x1: Array, x2: Array, eps: float) -> Array:
    """x1·x2 / max(|x1| |x2|, eps), of scaled vectors, whose squares neither over- nor underflow.

    The scales count only where the norms are below eps.
    """
    x1, norm1, scale1, zero1 = _scaled(rows, x1)
    x2, norm2, scale2, zero2 = _scaled(rows, x2)
    root, by_norms = math.sqrt(eps), 1.0 / (norm1 * norm2)
    by_eps = (scale1 / root) * (scale2 / root)  # infinite without eps
    below = rows.logical_or(rows.logical_or(zero1, zero2), by_eps < by_norms)
    cosine = rows.total(x1 * x2) * rows.where(below, by_eps, by_norms)
    # What rounding puts beyond 1, which derivatives pass by: they are right there.
    over = rows.where(cosine > 1.0, cosine - 1.0, rows.where(cosine < -1.0, cosine + 1.0, 0.0))
    return cosine - rows.constant(over)


def cosine_similarity_gradient(rows: "Along", x1: Array, x2: Array, eps: float) -> Array:
    """(x2/|x2| - cos·x1/|x1|) / |x1|, and x2/eps where the norms are below eps."""
    x1, norm1, scale1, zero1 = _scaled(rows, x1)
    x2, norm2, scale2, zero2 = _scaled(rows, x2)
    x1, x2, root = x1 / norm1, x2 / norm2, math.sqrt(eps)
    size1, size2 = norm1 * (scale1 / root), norm2 * (scale2 / root)
    below = rows.logical_or(rows.logical_or(zero1, zero2), size1 * size2 < 1.0)
    gradient = (x2 - rows.total(x1 * x2) * x1) / norm1 / scale1
    return rows.where(below, x2 * (size2 / root), gradient)


def _magnitude(rows: "Along", x: Array) -> Array:
    """|x|, whose derivative at 0 is 0: JAX takes 1 for that of abs."""
    return x * rows.constant(rows.sign(x))


def _distance(rows: "Along", x: Array, p: float, eps: float) -> tuple[Array, Array, Array]:
    """x divided by the largest of its magnitudes and eps^(1/p), (Σ|x|^p + eps)^(1/p) then, scale.

    p is not infinite. Without eps the distance 0 is a constant: the root has no derivative there.
    """
    root = eps ** (1.0 / p)
    largest = rows.constant(rows.largest(rows.abs(x)))
    scale = rows.where(largest > root, largest, root or 1.0)
    scale = rows.where(largest == math.inf, 1.0, scale)
    x = x / scale
    # No magnitudes where there is a choice: to frameworks they have no second derivative at 0.
    magnitude = x if p == 2.0 else _magnitude(rows, x)
    powers = x * x if p == 2.0 else magnitude if p == 1.0 else magnitude**p
    total = rows.total(powers) + (root / scale) ** p
    zero = total == 0.0
    total = rows.where(zero, 1.0, total)
    norm = rows.sqrt(total) if p == 2.0 else total if p == 1.0 else total ** (1.0 / p)
    return x, rows.where(zero, 0.0, norm), scale


def _triplet_distance(rows: "Along", x: Array, p: float, eps: float) -> Array:
    if p == math.inf:
        magnitudes = _magnitude(rows, x)
        return rows.pick(magnitudes, rows.first_largest(magnitudes), of_all=True)
    _, norm, scale = _distance(rows, x, p, eps)
    return norm * scale


def _triplet_slope(rows: "Along", x: Array, p: float, eps: float) -> Array:
    """The derivative of that: sign(x)·(|x| / distance)^(p - 1)."""
    if p == math.inf:
        place = rows.first_largest(rows.abs(x))
        return rows.where(rows.is_at(x, place), rows.sign(x), 0.0)
    if p == 1.0:
        return rows.sign(x)
    x, norm, _ = _distance(rows, x, p, eps)
    x = x / rows.where(norm == 0.0, 1.0, norm)
    return x if p == 2.0 else rows.sign(x) * rows.abs(x) ** (p - 1.0)


def triplet_value(
    rows: "Along",
    anchors: Array,
    positives: Array,
    negatives: Array,
    p: float,
    margin: Any,
    eps: float,
) -> Array:
    """The distance of the positive minus that of the negative plus the margin, 0 if below."""
    near = _triplet_distance(rows, anchors - positives, p, eps)
    far = _triplet_distance(rows, anchors - negatives, p, eps)
    loss = (near - far) + margin
    return rows.where(loss <= 0.0, 0.0, loss)


def triplet_gradient(
    rows: "Along",
    anchors: Array,
    positives: Array,
    negatives: Array,
    p: float,
    margin: Any,
    eps: float,
) -> Array:
    """The slopes of both distances, 0 where the loss is."""
    loss = triplet_value(rows, anchors, positives, negatives, p, margin, eps)
    near = _triplet_slope(rows, anchors - positives, p, eps)
    far = _triplet_slope(rows, anchors - negatives, p, eps)
    return rows.where(loss == 0.0, 0.0, near - far)
