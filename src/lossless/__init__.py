"""Loss functions, rounded once: the exact answer, correctly rounded, in one pass over memory."""

from ._call import grad_and_hess, value_and_grad
from ._composed import composed
from ._info import info
from ._threads import set_num_threads
from .regression import huber_loss, log_cosh_loss

__version__ = "0.1.0"

__all__ = [
    "composed",
    "grad_and_hess",
    "huber_loss",
    "info",
    "log_cosh_loss",
    "set_num_threads",
    "value_and_grad",
]
