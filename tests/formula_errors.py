"""Print the worst errors of the composed formulas, for every way to an output.

    python tests/formula_errors.py             a million residuals for each line (--points)
    python tests/formula_errors.py --branch    the two forms of log-cosh, around the branch

Half of the residuals are spaced evenly in the exponent from 1e-18 to 1e18, half lie where the
formulas bend; targets are 0. For float16 and bfloat16 they are all numbers of the type. Errors are
in ULP of a reference: in long double, which float64 is too close to: that takes mpmath, and fewer
residuals.
"""

from __future__ import annotations

import argparse
import itertools
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from mpmath import mp
from numpy.typing import NDArray

import lossless
from lossless.losses import log_cosh
from lossless.verification.extended import Residual
from lossless.verification.formats import FLOAT32, FLOAT64, NARROW, Array, Format, round_extended
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS, real
from support.cases import (
    COMPOSED,
    REPRESENTATIVES,
    Backend,
    Case,
    from_mlx,
    from_torch,
    to_mlx,
    to_torch,
)
from support.checks import ulp_errors


@dataclass(frozen=True)
class Way:
    """A call that gives an output: residuals in, that output of each element."""

    name: str
    output: str
    call: Callable[[Array], Array]


def ways(case: Case, *, compiled: bool = False, **parameters: Any) -> Iterator[Way]:
    """Every way to every output on this backend; MLX and PyTorch differentiate it, too."""

    def explicit(function: Any, place: int | None) -> Callable[[Array], Array]:
        def call(x: Array) -> Array:
            results = case.call(function, x, np.zeros_like(x), **parameters)
            return case.backend.numpy(results if place is None else results[place])

        return call

    yield Way("the loss", "value", explicit(case.function, None))
    yield Way("value_and_grad", "gradient", explicit(lossless.value_and_grad(case.function), 1))
    for place, output in enumerate(OUTPUTS[1:]):
        function = lossless.grad_and_hess(case.function)
        yield Way("grad_and_hess", output, explicit(function, place))
    if case.backend is Backend.MLX_COMPOSED:
        yield from _automatic(case, compiled, parameters)
    if case.backend is Backend.TORCH_COMPOSED:
        yield from _by_torch(case, parameters)


def _by_torch(case: Case, parameters: dict[str, Any]) -> Iterator[Way]:
    import torch

    def value(x: Any) -> Any:
        with case.backend.path():
            return case.function(x, torch.zeros_like(x), **parameters)

    def backward(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return torch.func.grad(lambda x: function(x).sum(dtype=torch.float64))

    def forward(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: torch.func.jvp(function, (x,), (torch.ones_like(x),))[1]

    def autograd(x: Any) -> Any:
        x = x.clone().requires_grad_()
        total = value(x).sum(dtype=torch.float64)
        return torch.autograd.grad(total, x, create_graph=True)[0], x

    def twice(x: Any) -> Any:
        slope, x = autograd(x)
        return torch.autograd.grad(slope.sum(dtype=torch.float64), x)[0]

    def on_numpy(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
        return lambda x: from_torch(function(to_torch(x)))

    functions: list[tuple[str, str, Callable[[Any], Any]]] = [
        ("autograd", "gradient", lambda x: autograd(x)[0]),
        ("autograd twice", "second_derivative", twice),
        ("func.grad", "gradient", backward(value)),
        ("func.jvp", "gradient", forward(value)),
        ("func.grad of grad", "second_derivative", backward(backward(value))),
        ("func.jvp of grad", "second_derivative", forward(backward(value))),
    ]
    for name, output, function in functions:
        yield Way(name, output, on_numpy(function))


def _automatic(case: Case, compiled: bool, parameters: dict[str, Any]) -> Iterator[Way]:
    import mlx.core as mx

    def value(x: Any) -> Any:
        with case.backend.path():
            return case.function(x, mx.zeros_like(x), **parameters)

    def backward(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return mx.grad(lambda x: mx.sum(function(x)))

    def forward(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: mx.jvp(function, [x], [mx.ones_like(x)])[1][0]

    def on_numpy(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
        return lambda x: from_mlx(function(to_mlx(x)))

    functions = [
        ("mx.grad", "gradient", backward(value)),
        ("mx.jvp", "gradient", forward(value)),
        ("mx.grad of mx.grad", "second_derivative", backward(backward(value))),
        ("mx.jvp of mx.grad", "second_derivative", forward(backward(value))),
    ]
    for name, output, function in functions:
        yield Way(name, output, on_numpy(function))
    if compiled:  # which takes a C++ compiler a second each
        yield Way("compiled", "value", on_numpy(mx.compile(value)))
        yield Way("compiled mx.grad", "gradient", on_numpy(mx.compile(backward(value))))
        function = mx.compile(backward(backward(value)))
        yield Way("the same compiled", "second_derivative", on_numpy(function))


def residuals(fmt: Format, points: int, rng: np.random.Generator) -> Array:
    """Numbers of the format, 0 and the infinities left out."""
    if fmt in NARROW and fmt is not FLOAT32:
        everything = fmt.from_bits(np.arange(1 << 16))
        with np.errstate(invalid="ignore"):  # signalling NaNs
            finite: Array = everything[np.isfinite(everything) & (everything != 0)]
        return finite
    spread = np.geomspace(1e-18, 1e18, points // 2)
    bend = np.concatenate([rng.uniform(0, 4, points // 4), rng.uniform(0, 100, points // 4)])
    near = (fmt.neighbour(log_cosh.BRANCH, step) for step in range(-8, 9))
    x = np.concatenate([spread, bend[bend > 0], list(near)])
    return fmt.array(x * rng.choice([-1.0, 1.0], len(x)))


@dataclass(frozen=True)
class Reference:
    """An output in real numbers, as long doubles, at each residual."""

    numbers: NDArray[np.longdouble] | list[Any]

    @classmethod
    def of(cls, case: Case, output: str, x: Array, **parameters: Any) -> Reference:
        if case.fmt is FLOAT64:
            with mp.workprec(160):
                return cls([real(case.loss, output, r, **parameters) for r in x.tolist()])
        residual = Residual.of(x, None, case.fmt)
        return cls(case.loss.extended[output](residual, **parameters)[0])

    def errors(self, actual: Array, fmt: Format) -> NDArray[np.float64]:
        """In ULP, infinite for NaN and for the wrong infinity."""
        if isinstance(self.numbers, list):
            return np.array(ulp_errors(self.numbers, actual, fmt))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(actual.astype(np.longdouble) - self.numbers)
            errors: NDArray[np.float64] = np.where(
                np.isinf(actual),
                np.where(actual == round_extended(self.numbers, fmt), 0.0, np.inf),
                (apart / fmt.spacing(self.numbers.astype(np.float64))).astype(np.float64),
            )
        errors[np.isnan(errors)] = np.inf
        return errors

    def distances(self, actual: Array) -> NDArray[np.float64]:
        """Absolute errors."""
        if isinstance(self.numbers, list):
            pairs = zip(actual.tolist(), self.numbers, strict=True)
            return np.array([float(abs(mp.mpf(a) - b)) for a, b in pairs])
        apart = np.abs(actual.astype(np.longdouble) - self.numbers)
        return np.asarray(apart, np.float64)


def table(points: int) -> None:
    rng = np.random.default_rng(3)
    print(f"{'loss':9} {'arrays':17} {'dtype':9} {'output':18} {'from':20} {'worst ULP':>9} at")
    for loss in REPRESENTATIVES.values():
        for backend in COMPOSED:
            for fmt in backend.formats:
                case = Case(loss, backend, fmt)
                x = residuals(fmt, points if fmt is not FLOAT64 else points // 50, rng)
                references = {o: Reference.of(case, o, x, **loss.parameters) for o in OUTPUTS}
                for way in ways(case, compiled=True, **loss.parameters):
                    line(case, way, x, references[way.output])


def line(case: Case, way: Way, x: Array, reference: Reference) -> None:
    actual = way.call(x)
    errors = reference.errors(actual, case.fmt)
    beyond = np.abs(x.astype(np.float64)) > 2
    judged = errors
    note = ""
    if way.output == "second_derivative":  # beyond 2, the contract is about absolute errors
        judged = np.where(beyond, 0.0, errors)
        farthest = reference.distances(actual)[beyond].max()
        note = "" if farthest == 0 else f"; beyond 2: within 2^{np.log2(farthest):.1f}"
    worst = int(np.argmax(judged))
    print(
        f"{case.loss.name:9} {case.backend.value:17} {case.fmt.name:9} {way.output:18} "
        f"{way.name:20} {judged[worst]:9.2f} {float(x[worst]):.6g}{note}"
    )


def branch() -> None:
    """Each form of log-cosh on its own, and what MLX makes of its derivatives, in float32."""
    rng = np.random.default_rng(4)
    case = Case(LOSSES["log_cosh"], Backend.MLX_COMPOSED, FLOAT32)
    print(f"{'residuals':>12}   below the branch: value, gradient, second   above it: the same")
    chosen = log_cosh.BRANCH
    edges = np.linspace(0.25, 1.5, 11)
    for low, high in itertools.pairwise(edges):
        x = case.fmt.array(rng.uniform(low, high, 200_000) * rng.choice([-1, 1], 200_000))
        cells = []
        for border in (np.inf, 0.0):
            log_cosh.BRANCH = border
            for name in ("the loss", "mx.grad", "mx.grad of mx.grad"):
                (way,) = (way for way in ways(case) if way.name == name)
                errors = Reference.of(case, way.output, x).errors(way.call(x), case.fmt)
                cells.append(f"{errors.max():7.1f}")
        log_cosh.BRANCH = chosen
        print(f"{low:5.3f}-{high:5.3f} {'':16} {' '.join(cells[:3])} {'':5} {' '.join(cells[3:])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Worst errors of the composed formulas, in ULP.")
    parser.add_argument("--points", type=int, default=1_000_000, help="residuals for each line")
    parser.add_argument("--branch", action="store_true", help="the two forms of log-cosh instead")
    arguments = parser.parse_args()
    versions = [
        f"{name} {metadata.version(name)}" for name in ("numpy", "mlx", "torch", "array-api-strict")
    ]
    print(
        f"{platform.machine()} {platform.system()}, Python {platform.python_version()},", *versions
    )
    branch() if arguments.branch else table(arguments.points)
