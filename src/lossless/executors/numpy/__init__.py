"""NumPy's arrays: the kernels on their memory."""

from ..executor import Framework
from ..formulas import QuietFormulas
from .arrays import ARRAYS
from .kernels import Kernels

_FORMULAS = QuietFormulas(ARRAYS)
FRAMEWORK = Framework(
    "NumPy", ARRAYS, (Kernels(_FORMULAS), _FORMULAS), "the kernels read NumPy's memory"
)
