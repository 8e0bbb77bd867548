"""The array frameworks, and which of them a call is for."""

from typing import Any

import numpy as np

from . import numpy as numpy_backend
from .base import Backend

# What to call the arrays that are neither NumPy's nor convertible without changing framework.
_FRAMEWORKS = {"jax": "JAX", "jaxlib": "JAX", "mlx": "MLX", "torch": "PyTorch"}
_NEUTRAL = (np.ndarray, np.generic, bool, int, float, complex, list, tuple)


def backend_for(name: str, **arguments: Any) -> Backend:
    """Return the backend for these arguments; numbers and None go with any."""
    for argument, x in arguments.items():
        if x is None or isinstance(x, _NEUTRAL):
            continue
        framework = _FRAMEWORKS.get(type(x).__module__.partition(".")[0])
        if framework or hasattr(x, "__array_namespace__"):
            raise TypeError(
                f"{name}: {argument} must be a NumPy array or what NumPy converts, got an array of "
                f"{framework or type(x).__module__}"
            )
    return numpy_backend
