"""Loss functions, rounded once: the exact answer, correctly rounded, in one pass over memory."""

from ._call import grad_and_hess, value_and_grad
from ._composed import composed
from ._info import info
from ._threads import set_num_threads
from .classification import cross_entropy, kl_div_loss, nll_loss
from .embedding import cosine_similarity_loss, triplet_loss
from .regression import huber_loss, log_cosh_loss

__version__ = "0.1.0"

__all__ = [
    "composed",
    "cosine_similarity_loss",
    "cross_entropy",
    "grad_and_hess",
    "huber_loss",
    "info",
    "kl_div_loss",
    "log_cosh_loss",
    "nll_loss",
    "set_num_threads",
    "triplet_loss",
    "value_and_grad",
]
