"""`LOSSES`: the element-wise losses, what is promised of them, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import lossless
from lossless.verification.formats import Array

from . import enclosures, exact
from .enclosures import Results


@dataclass(frozen=True)
class Outside:
    """A loss and its definitions."""

    name: str
    function: str
    ulp_float64: tuple[float, float, float]
    parameters: tuple[str, ...] = ()  # the names of the third and the fourth argument
    options: dict[str, Any] = field(default_factory=dict)
    of_residual: bool = True
    probabilities: bool = False
    # Which argument is known to more digits than a result: "x" with "t" is their difference.
    fine: tuple[str, ...] = ("x",)

    @property
    def of_variances(self) -> bool:
        return self.parameters[:1] == ("vars",)

    @property
    def exact(self) -> Callable[..., exact.Results]:
        found: Callable[..., exact.Results] = getattr(exact, self.name)
        return found

    def enclose(self, x: Any, t: Any, first: Any, second: Any) -> Results:
        found: Callable[..., Results] = getattr(enclosures, self.name)
        return found(x, t, first, second)

    def __call__(self, x: Array, t: Array, first: Any, second: Any) -> list[Array]:
        """Value, gradient, the gradient of `grad_and_hess` and the second derivative."""
        function: Any = getattr(lossless, self.function)
        options = dict(zip(self.parameters, (first, second), strict=False)) | self.options
        arrays = [x, t, *(options.pop(name) for name in ("targets", "vars") if name in options)]
        value, gradient = lossless.value_and_grad(function)(*arrays, reduction="none", **options)
        slope, second = lossless.grad_and_hess(function)(*arrays, **options)
        return [np.asarray(result) for result in (value, gradient, slope, second)]


_VARIANCES: dict[str, Any] = {"parameters": ("vars", "eps"), "fine": ("x", "second")}

LOSSES = {
    loss.name: loss
    for loss in (
        Outside("huber", "huber_loss", (1, 1, 0), ("delta",), fine=("x", "first")),
        Outside("smooth_l1", "smooth_l1_loss", (2, 1, 1), ("beta",), fine=("x", "first")),
        Outside("l1", "l1_loss", (1, 0, 0)),
        Outside("mse", "mse_loss", (1, 1, 0)),
        Outside("hinge", "hinge_loss", (1, 0, 0), of_residual=False, fine=("t",)),
        Outside(
            "margin_ranking",
            "margin_ranking_loss",
            (1, 0, 0),
            ("targets", "margin"),
            fine=("x", "second"),
        ),
        Outside("log_cosh", "log_cosh_loss", (6, 6, 8)),
        Outside(
            "binary_cross_entropy",
            "binary_cross_entropy",
            (4, 4, 4),
            of_residual=False,
            fine=("t",),
        ),
        Outside(
            "of_probabilities",
            "binary_cross_entropy",
            (4, 4, 6),
            options={"with_logits": False},
            of_residual=False,
            probabilities=True,
            fine=("t",),
        ),
        Outside("gaussian_nll", "gaussian_nll_loss", (4, 4, 4), **_VARIANCES),
        Outside(
            "full_gaussian_nll",
            "gaussian_nll_loss",
            (4, 4, 4),
            options={"full": True},
            **_VARIANCES,
        ),
    )
}
