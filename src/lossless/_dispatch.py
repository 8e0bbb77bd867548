"""Who computes a call: the framework of its arrays, and the first executor that takes it."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ._check import check_words, is_simple, problem_of
from ._composed import is_composed
from ._problem import Array, Call
from ._spec import RowLossSpec
from .executors import numpy as numpy_framework
from .executors import versions
from .executors.executor import Framework
from .executors.numpy.arrays import refuse_mask

_NUMBERS = (numbers.Number, np.generic, type(None))
# The modules that other frameworks' arrays come from, and the package that computes with them.
_FRAMEWORKS = {"mlx": "mlx", "torch": "torch", "jax": "jax", "jaxlib": "jax"}
_TITLES = {"numpy": "NumPy", "mlx": "MLX", "torch": "PyTorch", "jax": "JAX"}

# The framework of arguments of these types, of a simple call by the one type of its operands: a
# call does not look twice.
_known: dict[type | tuple[type, ...], Framework] = {}


def compute(function: str, call: Call[Any], outputs: tuple[str, ...]) -> tuple[Array, ...]:
    """These outputs of a call of a public function."""
    is_compiling = _is_compiling()
    simple = not is_compiling and is_simple(call)
    if is_compiling:
        framework = types = None
    else:
        types = type(call.operands[0]) if simple else _types(call)
        framework = _known.get(types)
    if framework is None:
        check_words(function, call)
        framework = _framework(function, call)
        if types is not None and framework.by_type:
            _known[types] = framework
    elif not simple:
        check_words(function, call)
    else:
        results = run_simple(framework, call, outputs)
        if results is not None:
            return results
    problem = problem_of(function, call, framework.arrays, outputs, simple=simple)
    # PyTorch's compiler traces formulas: it could not look into the context, either.
    if not is_compiling and not is_composed.get():
        for executor in framework.executors:
            if executor.refuses(problem) is None:
                return executor.run(problem)
    return framework.formulas.run(problem)


def run_simple(
    framework: Framework, call: Call[Any], outputs: tuple[str, ...]
) -> tuple[Array, ...] | None:
    """The outputs of a simple call at once, by the best executor; None: it is to be looked at."""
    simple = framework.executors[0].simple
    return None if simple is None or is_composed.get() else simple(call, outputs)


def _types(call: Call[Any]) -> tuple[type, ...]:
    return tuple(map(type, (*call.operands, *call.parameters, call.weights, call.where)))


def _framework(function: str, call: Call[Any]) -> Framework:
    """The framework of the arrays of a call; numbers and None go with any."""
    loss = call.loss
    every = dict(zip(loss.operands, call.operands, strict=True))
    if not isinstance(loss, RowLossSpec):  # whose parameters are numbers
        names = (parameter.name for parameter in loss.keywords)
        every |= dict(zip(names, call.parameters, strict=True))
    every |= {"weights": call.weights, "where": call.where}
    arguments = {argument: x for argument, x in every.items() if not isinstance(x, _NUMBERS)}
    for argument, x in arguments.items():
        refuse_mask(f"{function}: {argument}", x)
        _refuse_dask(f"{function}: {argument}", x)
    frameworks = {argument: _name_of(x) for argument, x in arguments.items()}
    others = [argument for argument, name in frameworks.items() if name != "numpy"]
    if not others:
        return numpy_framework.FRAMEWORK
    leader = others[0]
    name = frameworks[leader]
    for argument, other in frameworks.items():
        x = arguments[argument]
        beside = name in ("jax", "mlx") and isinstance(x, np.ndarray)  # as they take them
        if other != name and not beside:
            got = f"an array of {_TITLES.get(other, other)}: convert one of them"
            if other == "numpy" and not isinstance(x, np.ndarray):
                got = f"a {type(x).__name__}: convert it"
            raise TypeError(
                f"{function}: {argument} must be an array of {_TITLES.get(name, name)}, as "
                f"{leader} is, got {got} first"
            )
    return _load(name, arguments[leader])


def _refuse_dask(argument: str, x: Any) -> None:
    """NumPy would compute all of it, and keep the result in memory."""
    if type(x).__module__.partition(".")[0] == "dask":
        raise TypeError(
            f"{argument} must not be a dask array: compute it first, or map the loss over its "
            "blocks, as dask.array.map_blocks(lossless.huber_loss, inputs, targets) does"
        )


def _is_compiling() -> bool:
    """Whether PyTorch does: it compiles again when a dictionary that was looked into changes."""
    compiler = getattr(sys.modules.get("torch"), "compiler", None)
    return compiler is not None and compiler.is_compiling() is True  # a stub may say anything


def _name_of(x: Any) -> str:
    """The framework of an array; that of what only NumPy can convert is NumPy."""
    if isinstance(x, np.ndarray):
        return "numpy"
    for base in type(x).__mro__:  # a subclass may come from anywhere
        known = _FRAMEWORKS.get(base.__module__.partition(".")[0])
        if known:
            return known
    return x.__array_namespace__().__name__ if hasattr(x, "__array_namespace__") else "numpy"


def _load(name: str, array: Array) -> Framework:
    """The framework of this name, which is imported when its first array comes."""
    if name in _LOADERS:
        return _LOADERS[name]()
    from .executors import array_api

    namespace = array.__array_namespace__()
    return array_api.framework(namespace, array_api.version(namespace))


def _load_mlx() -> Framework:
    versions.check("mlx")
    from .executors import mlx

    return mlx.FRAMEWORK


def _load_torch() -> Framework:
    from .executors import torch

    return torch.FRAMEWORK


def _load_jax() -> Framework:
    versions.check("jax")
    from .executors import jax

    return jax.FRAMEWORK


_LOADERS: dict[str, Callable[[], Framework]] = {
    "mlx": _load_mlx,
    "torch": _load_torch,
    "jax": _load_jax,
}
