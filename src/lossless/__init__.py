"""Loss functions for MLX, PyTorch, JAX and NumPy arrays, correctly rounded by C++ kernels.

Correctly rounded means: each loss is the floating-point number nearest to the exact result.
"""

from ._composed import composed
from ._info import info
from ._public import grad_and_hess, value_and_grad
from ._threads import set_num_threads
from ._version import __version__ as __version__
from .losses import *  # noqa: F403
from .losses import __all__ as _losses

__all__ = [
    "composed",
    "grad_and_hess",
    "info",
    "set_num_threads",
    "value_and_grad",
]
__all__ += _losses
