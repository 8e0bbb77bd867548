"""What a fuzzed call must give: NumPy's results in float64 for each element, and definitions.

From losses and derivatives of single elements, weights, masks, reductions and sums over what was
broadcast or mapped are made here, in long double. Where kernels serve, NumPy's bits are there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import lossless
from fuzz.partials import Parts, parts
from fuzz.programs import Program
from lossless.verification.formats import FORMATS, Array


@dataclass
class Expected:
    """A result, the magnitudes of what it adds up, how many that were, and its bits if promised."""

    what: str
    exact: Array
    terms: Array
    dtype: str
    summed: int = 1
    rounded: int = 0  # so many of these are rounded to the dtype before they are added up
    jumps: Array | float = 0.0  # what a rounded argument may change, where a derivative jumps
    anything: Array | bool = False  # where the contract says nothing
    bits: Array | None = None


def result_dtype(program: Program) -> str:
    """The dtype of the losses."""
    arrays = [
        leaf
        for leaf in program.leaves
        if leaf.name in dict(program.spec.operands) and leaf.role != "label"
    ]
    library = program.library.name.split("_")[0]
    default = "float32" if library in ("torch", "mlx", "jax32") else "float64"
    if library == "torch":
        arrays = [leaf for leaf in arrays if leaf.dims] or arrays
    floats = {default if "int" in leaf.dtype else leaf.dtype for leaf in arrays}
    return max(floats, key=lambda name: FORMATS[name].precision + FORMATS[name].max_exponent)


def expected(program: Program, arrays: list[Array]) -> list[Expected]:
    """The results of a call, in order."""
    if not program.mapped:
        return _of_one(program, arrays)
    results = []
    size = next(
        x.shape[leaf.batch]
        for x, leaf in zip(arrays, program.leaves, strict=True)
        if leaf.batch is not None
    )
    for number in range(size):
        each = [
            x if leaf.batch is None else np.asarray(x.take(number, leaf.batch))
            for x, leaf in zip(arrays, program.leaves, strict=True)
        ]
        results.append(_of_one(program, each))
    return [_joined(program, list(many)) for many in zip(*results, strict=True)]


def _joined(program: Program, many: list[Expected]) -> Expected:
    """Results of all that was mapped over: side by side, or added up by a gradient outside."""
    first = many[0]
    exact = np.array([one.exact for one in many])
    terms = np.array([one.terms for one in many])
    jumps: Any = np.array([np.broadcast_to(one.jumps, one.exact.shape) for one in many])
    bits = None if first.bits is None else np.array([one.bits for one in many])
    anything: Any = np.array([np.broadcast_to(one.anything, one.exact.shape) for one in many])
    summed, rounded = first.summed, first.rounded
    if program.outside:
        leaf = next(leaf for leaf in program.leaves if leaf.name == first.what)
        if leaf.batch is None:
            # The factors of an infinite slope may be added up first, and have both signs.
            anything = anything.any(0) | np.isinf(exact).any(0) & np.isnan(exact.sum(0))
            exact, terms, jumps = exact.sum(0), terms.sum(0), jumps.sum(0)
            bits, summed, rounded = None, summed * len(many), len(many)
        else:
            exact, terms, jumps, anything = (
                np.moveaxis(x, 0, leaf.batch) for x in (exact, terms, jumps, anything)
            )
            bits = None if bits is None else np.moveaxis(bits, 0, leaf.batch)
    return Expected(
        first.what, exact, terms, first.dtype, summed, rounded, jumps, anything, bits
    )  # fmt: skip


def _of_one(program: Program, arrays: list[Array]) -> list[Expected]:
    dtype = result_dtype(program)
    given: dict[str, Any] = dict(program.options)
    given |= {leaf.name: x for leaf, x in zip(program.leaves, arrays, strict=True)}
    cotangent = given.pop("cotangent", None)
    with np.errstate(all="ignore"):
        operands = {
            name: given[name] if role == "label" else _as(given[name], dtype, place)
            for place, (name, role) in enumerate(program.spec.operands)
        }
        of_elements = parts(program, {**given, **operands}, dtype)
        results = _Reduction(program, of_elements, given, cotangent).results(dtype)
    if not program.by_formulas and cotangent is None:
        _add_bits(program, {**given, **operands}, results)
    return results


def _as(x: Any, dtype: str, place: int) -> Any:
    """An operand, narrowed to the dtype of the result; a third that is a number counts in full."""
    if not isinstance(x, np.ndarray):
        return x if place == 2 else FORMATS[dtype].array(x)
    if "int" in x.dtype.name:
        return FORMATS[dtype].array(x) if dtype != "float64" else x.astype(np.float64)
    fmt = FORMATS[dtype]
    return fmt.array(x) if FORMATS[x.dtype.name].precision > fmt.precision else x


class _Reduction:
    """Weights, mask, and what the losses are divided by."""

    def __init__(
        self, program: Program, of_elements: Parts, given: dict[str, Any], cotangent: Array | None
    ) -> None:
        self.program, self.parts, self.cotangent = program, of_elements, cotangent
        self.given = given
        shape = of_elements.value.shape
        weights, mask = given.get("weights", 1.0), given.get("where", True)
        self.weights = np.broadcast_to(np.asarray(weights, np.longdouble), shape)
        self.mask = np.broadcast_to(np.asarray(mask), shape)
        axes = program.axes if program.reduction != "none" else ()
        self.axes = axes if not program.spec.of_rows else tuple(range(len(shape))) * bool(axes)
        if program.reduction == "mean":
            divisor = np.where(self.mask, 1.0, 0.0)
        elif program.reduction == "weighted_mean":
            divisor = np.where(self.mask, self.weights, 0.0)
        else:
            divisor = None
        self.divisor: Any = 1.0
        if divisor is not None:
            total = np.asarray(divisor.sum(self.axes, keepdims=True), np.longdouble)
            self.divisor = np.where(total == 0, np.nan, total)

    def results(self, dtype: str) -> list[Expected]:
        parts = self.parts
        losses = np.where(self.mask, parts.value * self.weights, 0.0)
        terms = np.where(self.mask, parts.value_terms * abs(self.weights), 0.0)
        value = Expected("value", *self.reduced(losses, terms), dtype, self.size)
        names = [self.program.leaves[place].name for place in self.program.by]
        if self.program.base == "loss":
            return [value]
        if self.program.base == "grad":
            return [self.gradient(name) for name in names]
        first = self.program.spec.operands[0][0]
        gradient = self.gradient(first)
        gradient.what = "gradient"
        if self.program.base == "value_and_grad":
            return [value, gradient]
        full = self.gradient(first, summed=False)
        second = self.scaled(*parts.second)
        return [full, Expected("second_derivative", second[0], second[1], dtype, jumps=second[2])]

    @property
    def size(self) -> int:
        return max(1, int(np.prod([self.parts.value.shape[a] for a in self.axes], dtype=int)))

    def reduced(self, losses: Any, terms: Any) -> tuple[Any, Any]:
        if self.program.reduction == "none":
            return losses, terms
        divisor = np.asarray(self.divisor)
        if divisor.ndim:
            divisor = divisor.reshape(
                [n for a, n in enumerate(divisor.shape) if a not in self.axes]
            )
        return losses.sum(self.axes) / divisor, terms.sum(self.axes) / abs(divisor)

    def factor(self) -> Any:
        """Of each loss in what is differentiated, but for its weight."""
        factor: Any = 1.0 / self.divisor
        if self.cotangent is not None:
            cotangent = np.asarray(self.cotangent, np.longdouble)
            if self.program.reduction != "none":
                cotangent = np.expand_dims(cotangent, self.axes)
            factor = factor * cotangent
        return np.broadcast_to(factor, self.parts.value.shape)

    def scaled(self, slope: Any, terms: Any, jumps: Any) -> tuple[Any, Any, Any]:
        factor, mask = self.factor() * self.weights, self.mask
        if self.program.spec.of_rows and np.ndim(slope) > np.ndim(factor):
            axis = self.program.axis
            factor, mask = (np.expand_dims(x, axis) for x in (factor, mask))
        return (
            np.where(mask, slope * factor, 0.0),
            np.where(mask, terms * abs(factor), 0.0),
            np.where(mask, jumps * abs(factor), 0.0),
        )

    def gradient(self, name: str, summed: bool = True) -> Expected:
        leaf = next(leaf for leaf in self.program.leaves if leaf.name == name)
        if name == "weights":
            slope, terms = self.parts.value, self.parts.value_terms
            if self.program.reduction == "weighted_mean":
                total = np.where(self.mask, slope * self.weights, 0.0)
                mean = total.sum(self.axes, keepdims=True) / self.divisor
                most = np.where(self.mask, terms * abs(self.weights), 0.0)
                most = most.sum(self.axes, keepdims=True) / abs(self.divisor)
                slope, terms = slope - mean, terms + most
            factor = self.factor()
            exact = np.where(self.mask, slope * factor, 0.0)
            terms, jumps = np.where(self.mask, terms * abs(factor), 0.0), np.zeros(exact.shape)
        else:
            exact, terms, jumps = self.scaled(*self.parts.by[name])
        if not summed:
            anything = self.unclear(exact.shape, name) > 0
            dtype = result_dtype(self.program)
            return Expected("gradient", exact, terms, dtype, jumps=jumps, anything=anything)
        shape, slope_shape = self.parts.shapes[name], exact.shape
        count = exact.size
        exact, terms, jumps = (_summed(x, shape) for x in (exact, terms, jumps))
        dtype = leaf.dtype if self.program.base == "grad" else result_dtype(self.program)
        anything = _summed(self.unclear(slope_shape, name), shape) > 0
        anything = anything | bool(np.isnan(self.divisor).any())  # also where no slope is
        # The derivative by one operand of no elements: 0 times what the operand alone makes of it.
        anything = anything | (count == 0 and not np.isfinite(self.given[name]).all())
        count = max(1, count // max(1, exact.size))
        # XLA adds up what kernels have rounded.
        rounded = int(count > 1 and self.program.library.xla)
        return Expected(name, exact, terms, dtype, count, rounded, jumps, anything)

    def unclear(self, shape: tuple[int, ...], name: str) -> Any:
        """Where automatic differentiation of formulas may say anything.

        That is at NaN and infinities, of rows explicit gradients as well, and in a mean of nothing.
        """
        # 0 times an infinite slope, or infinite slopes of both signs in a sum.
        absent = (self.weights <= 0) | (self.factor() == 0)
        nothing = absent & ~self.parts.finite_slope
        if not self.program.spec.of_rows:
            nothing = nothing | absent & ~np.isfinite(self.parts.by.get(name, (0,))[0])
        of_rows = self.program.spec.of_rows and self.program.by_formulas
        if self.program.base != "grad" and not of_rows:
            if self.program.spec.of_rows and len(shape) > nothing.ndim:
                nothing = np.expand_dims(nothing, self.program.axis)
            return np.broadcast_to(nothing, shape).astype(float)
        unclear = nothing | self.mask & ~self.parts.finite | np.isnan(self.factor())
        # An infinite mean is an infinite cotangent of all weights in its divisor.
        if name == "weights" and self.program.reduction == "weighted_mean":
            unclear = unclear | ~np.isfinite(np.where(self.mask, self.parts.value, 0.0))
            unclear = unclear | unclear.any(self.axes, keepdims=True)
        unclear = unclear | np.isnan(np.min(self.divisor, initial=1.0))
        if self.program.spec.of_rows and len(shape) > unclear.ndim:
            unclear = np.expand_dims(unclear, self.program.axis)
        return np.broadcast_to(unclear, shape).astype(float)


def _summed(x: Any, shape: tuple[int, ...]) -> Any:
    """Over what was broadcast from this shape."""
    x = np.asarray(x)
    x = x.sum(tuple(range(x.ndim - len(shape))))
    axes = tuple(a for a, n in enumerate(shape) if n == 1 and x.shape[a] != 1)
    return x.sum(axes, keepdims=True)


def _add_bits(program: Program, given: dict[str, Any], results: list[Expected]) -> None:
    """NumPy's results in the dtype of the call."""
    first, second = (name for name, _ in program.spec.operands[:2])
    function = getattr(lossless, program.spec.name)
    arguments = {name: _contiguous(x) for name, x in given.items()}
    if program.base == "loss":
        results[0].bits = np.asarray(function(**arguments))
        return
    if program.base == "grad_and_hess":
        for one, bits in zip(results, lossless.grad_and_hess(function)(**arguments), strict=True):
            one.bits = np.asarray(bits)
        return
    value, gradient = (np.asarray(x) for x in _value_and_grad(function, arguments))
    is_numpy = not program.library.differentiates
    # Of one number against an array the gradient is a sum.
    is_sum = np.ndim(arguments[first]) < max(np.ndim(x) for x in arguments.values())
    for one in results:
        if one.what == "value":
            one.bits = value
        elif one.what in (first, "gradient") and (is_numpy or not (is_sum or one.summed > 1)):
            one.bits = gradient
        elif one.what == second and program.spec.of_residual and one.summed == 1:
            one.bits = -gradient if gradient.shape == one.exact.shape else None
        if one.bits is not None and one.bits.dtype.name != one.dtype:
            one.bits = None


def _value_and_grad(function: Any, arguments: dict[str, Any]) -> Any:
    return lossless.value_and_grad(function)(**arguments)


def _contiguous(x: Any) -> Any:
    return np.array(x) if isinstance(x, np.ndarray) else x
