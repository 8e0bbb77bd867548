"""Loss functions for MLX, PyTorch, JAX and NumPy arrays, correctly rounded by C++ kernels.

Correctly rounded means: each loss is the floating-point number nearest to the exact result.
"""

from ._composed import composed
from ._info import info
from ._public import grad_and_hess, value_and_grad
from ._threads import set_num_threads
from ._version import __version__ as __version__
from .losses import (
    binary_cross_entropy,
    cosine_similarity_loss,
    cross_entropy,
    gaussian_nll_loss,
    hinge_loss,
    huber_loss,
    kl_div_loss,
    l1_loss,
    log_cosh_loss,
    margin_ranking_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
    triplet_loss,
)

__all__ = [
    "binary_cross_entropy",
    "composed",
    "cosine_similarity_loss",
    "cross_entropy",
    "gaussian_nll_loss",
    "grad_and_hess",
    "hinge_loss",
    "huber_loss",
    "info",
    "kl_div_loss",
    "l1_loss",
    "log_cosh_loss",
    "margin_ranking_loss",
    "mse_loss",
    "nll_loss",
    "set_num_threads",
    "smooth_l1_loss",
    "triplet_loss",
    "value_and_grad",
]
