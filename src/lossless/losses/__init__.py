"""The losses, one file each: the specification, the formulas and the public function."""

from .binary_cross_entropy import binary_cross_entropy
from .cosine_similarity import cosine_similarity_loss
from .cross_entropy import cross_entropy
from .gaussian_nll import gaussian_nll_loss
from .hinge import hinge_loss
from .huber import huber_loss
from .kl_div import kl_div_loss
from .l1 import l1_loss
from .log_cosh import log_cosh_loss
from .margin_ranking import margin_ranking_loss
from .mse import mse_loss
from .nll import nll_loss
from .smooth_l1 import smooth_l1_loss
from .triplet import triplet_loss

__all__ = [
    "binary_cross_entropy",
    "cosine_similarity_loss",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div_loss",
    "l1_loss",
    "log_cosh_loss",
    "margin_ranking_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
    "triplet_loss",
]
