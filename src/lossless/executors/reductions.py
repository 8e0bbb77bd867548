"""Losses reduced, and derivatives of reduced losses: what the formulas of all losses share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._problem import Array, Problem
from .arrays import Arrays


@dataclass(slots=True)
class Shares:
    """What each loss counts for, in arrays that broadcast to the losses."""

    like: Array  # an array of the shape of the losses, in the dtype of the computation
    weights: Array | None
    where: Array | None


@dataclass(slots=True)
class Reductions:
    """The reductions, in the operations of a framework."""

    arrays: Arrays

    def value(self, problem: Problem, losses: Array, shares: Shares) -> Array:
        """The result of these losses, which are weighted, in the dtype of the call."""
        losses = self._selected(losses, shares)
        if problem.reduction != "none":
            losses = self.arrays.total(losses, problem.axes)
        if problem.means:
            divisor = self._divisor(problem, shares)
            empty = divisor == 0
            # Not divided by NaN: automatic differentiation would carry that past the mask.
            mean = losses / self.arrays.xp.where(empty, 1.0, divisor)
            losses = self.arrays.xp.where(empty, math.nan, mean)
        return self.arrays.cast(losses, problem.dtype)

    def derivative(self, problem: Problem, result: Array, shares: Shares) -> Array:
        """Derivatives of each loss, as those of the reduced one."""
        if problem.means:
            xp = self.arrays.xp
            divisor = self._divisor(problem, shares, keepdims=True)
            empty = divisor == 0
            # Not multiplied by NaN, for the same reason as in `value`.
            scale = 1.0 / xp.where(empty, 1.0, divisor)
            result = xp.where(empty, math.nan, result * self.arrays.cast(scale, result.dtype))
        return self._selected(result, shares)

    def _selected(self, x: Array, shares: Shares) -> Array:
        return x if shares.where is None else self.arrays.xp.where(shares.where, x, 0.0)

    def _divisor(self, problem: Problem, shares: Shares, keepdims: bool = False) -> Array:
        """What a mean divides by."""
        like, parts = shares.like, shares.weights
        if problem.reduction == "mean" or parts is None:
            parts = shares.where
        if parts is None:
            return self.arrays.count(like, problem.axes, keepdims)
        parts, _ = self.arrays.xp.broadcast_arrays(self.arrays.cast(parts, like.dtype), like)
        return self.arrays.total(parts, problem.axes, keepdims)
