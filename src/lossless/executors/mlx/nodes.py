"""What nodes of MLX's graph are told, and what they hold: src/bridges/mlx/node.h."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from ..._problem import REDUCTIONS, VALUE, VALUE_AND_GRADIENT, Array

REDUCTION_CODES = {name: code for code, name in enumerate(REDUCTIONS)}
OUTPUT_CODES = {
    VALUE: 0,
    VALUE_AND_GRADIENT: 1,
    ("gradient",): 2,
    ("gradient", "second_derivative"): 3,
    ("second_derivative",): 4,
}
OUTPUTS_OF = {code: outputs for outputs, code in OUTPUT_CODES.items()}


def as_kernel_dtype(x: Any) -> Any:
    """Weights and the like as the kernels read them: integers they do not."""
    if x is None or isinstance(x, float) or x.dtype == mx.bool_:
        return x
    return x if mx.issubdtype(x.dtype, mx.floating) else x.astype(mx.float64)


def unpacked(
    arrays: list[Array], weights: bool, where: bool, cotangent: bool, reduced: int
) -> tuple[list[Array], Array | None, Array | None, Array | None]:
    """The arrays of a node: those of its loss, weights, mask, and cotangent, which is expanded."""
    rest = list(arrays)
    factor = rest.pop() if cotangent else None
    mask = rest.pop() if where else None
    weight = rest.pop() if weights else None
    if factor is not None:
        for _ in range(reduced):
            factor = mx.expand_dims(factor, -1)
    return rest, weight, mask, factor
