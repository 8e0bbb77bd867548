"""The losses and libraries that are fuzzed, and what they can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Argument = tuple[str, str]  # its name, and its role: what its numbers are like


@dataclass(frozen=True)
class Spec:
    """The arguments of a public loss."""

    name: str
    operands: tuple[Argument, ...]
    parameters: tuple[Argument, ...] = ()
    of_residual: bool = False
    of_rows: bool = False
    has_kernel: bool = True
    weighted: bool = True
    choices: tuple[dict[str, Any], ...] = ({},)  # fixed options of which each call has one


_RESIDUAL = (("inputs", "real"), ("targets", "real"))
_PREDICTIONS = (("predictions", "real"), ("targets", "real"))

SPECS = (
    Spec("huber_loss", _RESIDUAL, (("delta", "positive"),), of_residual=True),
    Spec("log_cosh_loss", _RESIDUAL, of_residual=True),
    Spec("l1_loss", _PREDICTIONS, of_residual=True),
    Spec("mse_loss", _PREDICTIONS, of_residual=True),
    Spec("smooth_l1_loss", _PREDICTIONS, (("beta", "positive"),), of_residual=True),
    Spec(
        "gaussian_nll_loss",
        (*_RESIDUAL, ("vars", "variance")),
        (("eps", "eps"),),
        of_residual=True,
        choices=({}, {"full": True}),
    ),
    Spec("hinge_loss", (("inputs", "real"), ("targets", "sign"))),
    Spec(
        "margin_ranking_loss",
        (("inputs1", "real"), ("inputs2", "real"), ("targets", "sign")),
        (("margin", "margin"),),
        of_residual=True,
    ),
    Spec("binary_cross_entropy", (("inputs", "real"), ("targets", "probability"))),
    Spec(
        "binary_cross_entropy",
        (("inputs", "probability"), ("targets", "probability")),
        choices=({"with_logits": False},),
    ),
    Spec(
        "cross_entropy",
        (("logits", "logit"), ("targets", "label")),
        (("label_smoothing", "smoothing"),),
        of_rows=True,
    ),
    Spec(
        "cross_entropy",
        (("logits", "logit"), ("targets", "share")),
        (("label_smoothing", "smoothing"),),
        of_rows=True,
    ),
    Spec(
        "nll_loss",
        (("inputs", "logarithm"), ("targets", "label")),
        of_rows=True,
        has_kernel=False,
        weighted=False,
    ),
    Spec(
        "kl_div_loss",
        (("inputs", "logarithm"), ("targets", "logarithm")),
        of_rows=True,
        has_kernel=False,
        weighted=False,
    ),
    Spec(
        "cosine_similarity_loss",
        (("x1", "real"), ("x2", "real")),
        (("eps", "eps"),),
        of_rows=True,
        has_kernel=False,
        weighted=False,
    ),
    Spec(
        "triplet_loss",
        (("anchors", "real"), ("positives", "real"), ("negatives", "real")),
        (("p", "p"), ("margin", "margin"), ("eps", "eps")),
        of_rows=True,
        has_kernel=False,
        weighted=False,
    ),
)


@dataclass(frozen=True)
class Library:
    """What a library can do here."""

    name: str
    composed: bool
    dtypes: tuple[str, ...] = ("float16", "bfloat16", "float32", "float64")
    float64: bool = True
    differentiates: bool = True
    layouts: tuple[str, ...] = ("plain", "moved", "step")
    compilers: tuple[str, ...] = ()
    xla: bool = False


_NUMPY = ("plain", "moved", "step", "flipped", "misaligned", "swapped", "frozen", "spread")
_JAX: dict[str, Any] = {"layouts": ("plain", "numpy"), "compilers": ("jit",), "xla": True}
_JAX32: dict[str, Any] = {**_JAX, "float64": False, "dtypes": ("float16", "bfloat16", "float32")}
_MLX: dict[str, Any] = {"compilers": ("compile", "shapeless")}
_TORCH: dict[str, Any] = {"compilers": ("compile", "dynamic")}
LIBRARIES = {
    library.name: library
    for library in (
        Library("numpy", False, differentiates=False, layouts=_NUMPY),
        Library("numpy_composed", True, differentiates=False, layouts=_NUMPY),
        Library(
            "strict", True, ("float32", "float64"), differentiates=False,
            layouts=("plain", "moved", "step", "flipped"),
        ),
        Library("mlx", False, **_MLX),
        Library("mlx_composed", True, **_MLX),
        Library("torch", False, **_TORCH),
        Library("torch_composed", True, **_TORCH),
        Library("jax", False, **_JAX),
        Library("jax_composed", True, **_JAX),
        Library("jax32", False, **_JAX32),
        Library("jax32_composed", True, **_JAX32),
    )
}  # fmt: skip
