"""The array frameworks: found, imported when asked for, arrays converted.

What they do with a loss is the library's business; nothing here is about one.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import lossless


class Framework(ABC):
    """Arrays on the CPU."""

    name: ClassVar[str]  # of its package, and in lossless.info()["backends"]
    title: ClassVar[str]

    @classmethod
    def is_installed(cls) -> bool:
        return find_spec(cls.name) is not None

    @property
    def version(self) -> str:
        return metadata.version(self.name)

    @abstractmethod
    def array(self, numbers: NDArray[Any]) -> Any:
        """The same numbers in the same dtype."""

    @abstractmethod
    def numpy(self, array: Any) -> NDArray[Any]:
        """The same numbers in the same dtype; TypeError for what is no array of the framework."""

    def _check(self, array: Any, kind: type) -> None:
        if not isinstance(array, kind):
            raise TypeError(f"expected an array of {self.title}, got {type(array).__name__}")

    def filled(self, size: int) -> int:
        """The size to which many arrays of different sizes are best filled up."""
        return size

    def finish(self, result: Any) -> Any:
        """Wait until a result, or several, are computed."""
        return result

    def setting(self) -> AbstractContextManager[Any]:
        """The context for calls: on the CPU, with all dtypes."""
        return nullcontext()

    def gradient(self, function: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
        """Of a number with respect to an array, by the framework itself, if it can."""
        return None

    def entry(self) -> dict[str, Any]:
        """What `lossless.info` says of its arrays after a call with some."""
        with self.setting():
            x = self.array(np.ones(1, np.float32))
            self.finish(lossless.huber_loss(x, x))
            found: dict[str, Any] = lossless.info()["backends"][self.name]
        return found


class NumPy(Framework):
    name: ClassVar[str] = "numpy"
    title: ClassVar[str] = "NumPy"

    def array(self, numbers: NDArray[Any]) -> Any:
        return numbers

    def numpy(self, array: Any) -> NDArray[Any]:
        return np.asarray(array)


class MLX(Framework):
    name: ClassVar[str] = "mlx"
    title: ClassVar[str] = "MLX"

    def __init__(self) -> None:
        self.mx: Any = importlib.import_module("mlx.core")

    def array(self, numbers: NDArray[Any]) -> Any:
        if numbers.dtype.name == "bfloat16":
            return self.mx.array(np.array(numbers.view(np.uint16))).view(self.mx.bfloat16)
        # Without its dtype, float64 would become float32.
        dtype = getattr(self.mx, numbers.dtype.name.replace("bool", "bool_"))
        return self.mx.array(np.array(numbers), dtype)

    def numpy(self, array: Any) -> NDArray[Any]:
        self._check(array, self.mx.array)
        if array.dtype == self.mx.bfloat16:
            return np.array(array.view(self.mx.uint16)).view(_bfloat16())
        return np.array(array)

    def finish(self, result: Any) -> Any:
        self.mx.eval(result)
        return result

    def setting(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self.mx.stream(self.mx.cpu)
        return context

    def gradient(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        gradient: Callable[[Any], Any] = self.mx.grad(function)
        return gradient


class Torch(Framework):
    name: ClassVar[str] = "torch"
    title: ClassVar[str] = "PyTorch"

    def __init__(self) -> None:
        self.torch: Any = importlib.import_module("torch")

    def array(self, numbers: NDArray[Any]) -> Any:
        copy = np.array(numbers)  # which has strides that PyTorch takes
        if copy.dtype.name == "bfloat16":
            return self.torch.from_numpy(copy.view(np.int16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(copy)

    def numpy(self, array: Any) -> NDArray[Any]:
        self._check(array, self.torch.Tensor)
        tensor = array.detach().clone()
        if tensor.dtype == self.torch.bfloat16:
            return np.asarray(tensor.view(self.torch.int16).numpy()).view(_bfloat16())
        return np.asarray(tensor.numpy())

    def gradient(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def gradient(array: Any) -> Any:
            leaf = array.detach().requires_grad_()
            (by_array,) = self.torch.autograd.grad(function(leaf), leaf)
            return by_array

        return gradient


class JAX(Framework):
    name: ClassVar[str] = "jax"
    title: ClassVar[str] = "JAX"

    def __init__(self) -> None:
        self.jax: Any = importlib.import_module("jax")
        self.jnp: Any = importlib.import_module("jax.numpy")

    def array(self, numbers: NDArray[Any]) -> Any:
        return self.jnp.asarray(numbers)

    def numpy(self, array: Any) -> NDArray[Any]:
        self._check(array, self.jax.Array)
        return np.asarray(array)

    def filled(self, size: int) -> int:
        """Programs are compiled for each size anew."""
        return max(512, 1 << 16 if size > 512 else 0, size)

    def finish(self, result: Any) -> Any:
        return self.jax.block_until_ready(result)

    @contextmanager
    def setting(self) -> Iterator[None]:
        cpu = self.jax.devices("cpu")[0]
        with self.jax.enable_x64(True), self.jax.default_device(cpu):
            yield

    def gradient(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        gradient: Callable[[Any], Any] = self.jax.jit(self.jax.grad(function))
        return gradient


FRAMEWORKS: dict[str, type[Framework]] = {kind.name: kind for kind in (NumPy, MLX, Torch, JAX)}


def _bfloat16() -> Any:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)
