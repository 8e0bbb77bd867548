"""`LOSSES`: one row for each element-wise loss, which tests, tables and `lossless verify` read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mpmath import mp

from . import definitions as real
from . import extended_binary as binary
from . import extended_regression as regression
from .extended import Screened
from .formats import Mpf
from .reference import OUTPUTS, Loss


def _outputs(*of_each: Any) -> dict[str, Any]:
    return dict(zip(OUTPUTS, of_each, strict=True))


def _row(
    name: str,
    exactly: tuple[Callable[..., Mpf], ...],
    extended: tuple[Callable[..., Screened], ...],
    ulp: tuple[float, ...],
    **more: Any,
) -> Loss:
    """A loss whose definition may round, or lie half way between two numbers, unless it says so."""
    return Loss(
        name,
        _outputs(*map(real.guarded, exactly)),
        _outputs(*extended),
        ulp_float64=_outputs(*ulp),
        **({"algebraic": True} | more),
    )


_OF_PAIRS: dict[str, Any] = {"of_residual": False, "even": False}
_VARIANCES: dict[str, Any] = {
    "function": "gaussian_nll_loss",
    # Not 1, whose logarithm is 0.
    "parameters": {"vars": 0.7, "eps": 1e-6},
    "other_parameters": (
        {"vars": 1.0, "eps": 1e-6},
        {"vars": 0.0, "eps": 0.015625},
        {"vars": 123.5, "eps": 1e-6},
    ),
    "ulp": (4, 2, 1),
    "steered": OUTPUTS[:2],
}

LOSSES = {
    row.name: row
    for row in (
        Loss(
            "huber",
            _outputs(real.huber, real.huber_gradient, real.huber_second_derivative),
            _outputs(
                regression.huber_value,
                regression.huber_gradient,
                regression.huber_second_derivative,
            ),
            exact=True,
            parameters={"delta": 1.0},
            other_parameters=tuple({"delta": delta} for delta in (0.1, 1.345, 3e-5, 1e4, math.inf)),
            ulp_float64=_outputs(1, 1, 0),
            steered=OUTPUTS[:1],
            beyond_2=True,
        ),
        Loss(
            "log_cosh",
            _outputs(real.log_cosh, mp.tanh, real.sech_squared),
            _outputs(
                regression.log_cosh_value,
                regression.log_cosh_gradient,
                regression.log_cosh_second_derivative,
            ),
            ulp_float64=_outputs(6, 6, 8),
            steered=OUTPUTS,
            beyond_2=True,
        ),
        _row(
            "l1",
            (abs, real.sign, real.zero),
            (regression.l1_value, regression.l1_gradient, regression.no_second_derivative),
            ulp=(1, 0, 0),
        ),
        _row(
            "mse",
            (lambda r: r * r, lambda r: 2 * r, lambda _: mp.mpf(2)),
            (regression.mse_value, regression.mse_gradient, regression.mse_second_derivative),
            ulp=(1, 1, 0),
            steered=OUTPUTS[:1],
        ),
        _row(
            "smooth_l1",
            (real.smooth_l1, real.smooth_l1_gradient, real.smooth_l1_second_derivative),
            (
                regression.smooth_l1_value,
                regression.smooth_l1_gradient,
                regression.smooth_l1_second_derivative,
            ),
            ulp=(2, 1, 1),
            parameters={"beta": 1.0},
            other_parameters=tuple({"beta": beta} for beta in (0.1, 0.0, 1 / 3, 2.5, 3e-5, 1e4)),
            steered=OUTPUTS[:1],
        ),
        _row(
            "hinge",
            (real.hinge, real.hinge_gradient, real.hinge_second_derivative),
            (binary.hinge_value, binary.hinge_gradient, binary.hinge_second_derivative),
            ulp=(1, 0, 0),
            **_OF_PAIRS,
            targets=(1.0,),
            terms=(binary.hinge_terms,),
            steered=OUTPUTS[:1],
        ),
        _row(
            "margin_ranking",
            (real.margin_ranking, real.margin_ranking_gradient, real.zero),
            (
                regression.margin_ranking_value,
                regression.margin_ranking_gradient,
                regression.no_second_derivative,
            ),
            ulp=(1, 0, 0),
            even=False,
            parameters={"targets": 1.0, "margin": 0.0},
            other_parameters=(
                {"targets": -1.0, "margin": 0.5},
                {"targets": 1.0, "margin": 0.1},
                {"targets": 1.0, "margin": -2.0},
                {"targets": 0.75, "margin": 1 / 3},
            ),
            terms=(regression.margin_ranking_terms,),
        ),
        _row(
            "gaussian_nll",
            (real.gaussian_nll, real.gaussian_nll_gradient, real.gaussian_nll_second_derivative),
            (
                regression.gaussian_nll_value,
                regression.gaussian_nll_gradient,
                regression.gaussian_nll_second_derivative,
            ),
            terms=(regression.gaussian_nll_terms,),
            **_VARIANCES,
        ),
        _row(
            "full_gaussian_nll",
            (
                real.full_gaussian_nll,
                real.gaussian_nll_gradient,
                real.gaussian_nll_second_derivative,
            ),
            (
                regression.full_gaussian_nll_value,
                regression.gaussian_nll_gradient,
                regression.gaussian_nll_second_derivative,
            ),
            fixed={"full": True},
            terms=(regression.full_gaussian_nll_terms,),
            **_VARIANCES,
        ),
        _row(
            "binary_cross_entropy",
            (
                real.binary_cross_entropy,
                real.binary_cross_entropy_gradient,
                real.binary_cross_entropy_second_derivative,
            ),
            (
                binary.cross_entropy_value,
                binary.cross_entropy_gradient,
                binary.cross_entropy_second_derivative,
            ),
            ulp=(4, 4, 4),
            **_OF_PAIRS,
            function="binary_cross_entropy",
            algebraic=False,
            exponential=True,
            targets=(1.0,),
            terms=(
                binary.cross_entropy_terms,
                binary.cross_entropy_gradient_terms,
                binary.cross_entropy_second_derivative_terms,
            ),
            steered=OUTPUTS[:2],
        ),
        _row(
            "binary_cross_entropy_of_probabilities",
            (
                real.of_probabilities,
                real.of_probabilities_gradient,
                real.of_probabilities_second_derivative,
            ),
            (
                binary.of_probabilities_value,
                binary.of_probabilities_gradient,
                binary.of_probabilities_second_derivative,
            ),
            ulp=(4, 4, 6),
            **_OF_PAIRS,
            function="binary_cross_entropy",
            fixed={"with_logits": False},
            probabilities=True,
            targets=(1.0, 0.0),
            terms=(
                binary.of_probabilities_terms,
                binary.of_probabilities_gradient_terms,
                binary.of_probabilities_second_derivative_terms,
            ),
            steered=OUTPUTS,
        ),
    )
}
