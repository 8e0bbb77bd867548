"""How each library is called: its arrays, its transforms, its compilers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

import lossless
from fuzz.programs import Leaf, Program
from lossless.verification.formats import Array
from support.cases import Backend

Function = Callable[..., Any]


def backend(program: Program) -> Backend:
    name = program.library.name.replace("jax32", "jax").replace("strict", "array_api_strict")
    return Backend(name)


def path(program: Program) -> AbstractContextManager[None]:
    """The context in which the calls are made."""
    if program.library.name == "jax32":
        return _Nothing()
    if program.library.name == "jax32_composed":
        return lossless.composed()
    return backend(program).path()


class _Nothing(AbstractContextManager[None]):
    def __exit__(self, *_: object) -> None:
        return None


def array(program: Program, leaf: Leaf, x: Array) -> Any:
    """In the library, laid out as the leaf wants it."""
    layout = leaf.layout
    if layout == "numpy":
        return x
    if layout == "plain" or (x.ndim == 0 and layout != "misaligned"):
        return backend(program).array(x)
    name = program.library.name.split("_")[0]
    if name in ("mlx", "torch"):
        return _strided(name, backend(program), layout, x)
    return backend(program).array(_laid_out(layout, x))


def _laid_out(layout: str, x: Array) -> Array:
    """The same numbers in NumPy, elsewhere in memory."""
    if layout == "moved":
        return np.ascontiguousarray(x.T).T
    if layout == "step":
        return np.repeat(x, 2, -1)[..., ::2]
    if layout == "flipped":
        return np.flip(np.flip(x, -1).copy(), -1)
    if layout == "swapped":
        return x.astype(x.dtype.newbyteorder(">")) if x.dtype.kind in "fiu" else x
    if layout == "misaligned":
        memory = np.zeros(x.nbytes + 1, np.uint8)
        moved = memory[1:].view(x.dtype).reshape(x.shape) if x.size else x
        moved[...] = x
        return moved
    if layout == "spread":  # the same memory again and again
        return np.lib.stride_tricks.sliding_window_view(x, 1, -1)[..., 0] if x.size else x
    if layout == "frozen":
        x = x.copy()
        x.flags.writeable = False
    return x


def _strided(name: str, backend: Backend, layout: str, x: Array) -> Any:
    if layout == "moved":
        moved = backend.array(np.ascontiguousarray(x.T))
        return moved.T if name == "mlx" else moved.permute(*reversed(range(x.ndim)))
    return backend.array(np.repeat(x, 2, -1))[..., ::2]


def function(program: Program) -> Function:
    """From the arrays of the library to the results, as a list."""
    called = _base(program)
    library = _LIBRARIES.get(program.library.name.split("_")[0])
    if library is not None:
        called = _transformed(program, called, library)
    return called


def _arguments(program: Program, arrays: Sequence[Any]) -> tuple[dict[str, Any], Any]:
    given = dict(program.options)
    given.update((leaf.name, x) for leaf, x in zip(program.leaves, arrays, strict=True))
    return given, given.pop("cotangent", None)


def _base(program: Program) -> Function:
    loss = getattr(lossless, program.spec.name)
    if program.base in ("value_and_grad", "grad_and_hess"):
        loss = getattr(lossless, program.base)(loss)

    def call(*arrays: Any) -> tuple[Any, ...]:
        given, _ = _arguments(program, arrays)
        result = loss(**given)
        return tuple(result) if isinstance(result, tuple | list) else (result,)

    return call


def _objective(program: Program, loss: Function) -> Function:
    """One number: what a gradient is of."""
    has_cotangent = program.leaves[-1].name == "cotangent"

    def call(*arrays: Any) -> Any:
        (result,) = loss(*arrays)
        if has_cotangent:
            result = result * arrays[-1]
        return result.sum() if result.ndim else result

    return call


def _transformed(program: Program, call: Function, library: _Library) -> Function:
    if program.base == "grad" and program.mapped and program.outside:
        mapped = _mapped(program, call, library)
        call = library.grad(_objective(program, mapped), program)
    elif program.base == "grad":
        call = library.grad(_objective(program, call), program)
        if program.mapped:
            call = _mapped(program, call, library)
    elif program.mapped:
        call = _mapped(program, call, library)
    return library.compiled(call, program) if program.compiler else call


def _mapped(program: Program, call: Function, library: _Library) -> Function:
    # A cotangent stays outside, where the gradient is taken outside.
    kept = len(program.leaves)
    if program.outside and program.leaves[-1].name == "cotangent":
        kept -= 1
    leaves = program.leaves[:kept]
    open_ = [place for place, leaf in enumerate(leaves) if not leaf.closed]
    axes = tuple(leaves[place].batch for place in open_)

    def mapped(*arrays: Any) -> Any:
        def one(*given: Any) -> Any:
            everything = list(arrays)
            for place, x in zip(open_, given, strict=True):
                everything[place] = x
            return call(*everything)

        return library.vmap(one, axes)(*(arrays[place] for place in open_))

    return mapped


class _Library(Protocol):
    """The transforms of a library."""

    def vmap(self, call: Function, axes: tuple[int | None, ...]) -> Function: ...

    def grad(self, call: Function, program: Program) -> Function: ...

    def compiled(self, call: Function, program: Program) -> Function: ...


class _Mlx(_Library):
    def vmap(self, call: Function, axes: tuple[int | None, ...]) -> Function:
        import mlx.core as mx

        return mx.vmap(call, in_axes=axes)

    def grad(self, call: Function, program: Program) -> Function:
        import mlx.core as mx

        derivative = mx.grad(call, argnums=list(program.by))

        def gradients(*arrays: Any) -> tuple[Any, ...]:
            found = derivative(*arrays)
            return (found,) if isinstance(found, mx.array) else tuple(found)

        return gradients

    def compiled(self, call: Function, program: Program) -> Function:
        import mlx.core as mx

        return mx.compile(call, shapeless=program.compiler == "shapeless")


class _Torch(_Library):
    def vmap(self, call: Function, axes: tuple[int | None, ...]) -> Function:
        import torch

        return torch.func.vmap(call, in_dims=axes)

    def grad(self, call: Function, program: Program) -> Function:
        import torch

        if not program.by_tape:
            return torch.func.grad(call, argnums=program.by)
        if program.compiler:
            call = torch.compile(call, backend="aot_eager", dynamic=_dynamic(program))

        def gradients(*arrays: Any) -> tuple[Any, ...]:
            given = list(arrays)
            for place in program.by:
                given[place] = given[place].detach().requires_grad_()
            objective = call(*given)
            leaves = [given[place] for place in program.by]
            return torch.autograd.grad(objective, leaves, allow_unused=True, materialize_grads=True)

        return gradients

    def compiled(self, call: Function, program: Program) -> Function:
        import torch

        if program.base == "grad" and program.by_tape:
            return call
        return torch.compile(call, backend="aot_eager", dynamic=_dynamic(program))


def _dynamic(program: Program) -> bool | None:
    return True if program.compiler == "dynamic" else None


class _Jax(_Library):
    def vmap(self, call: Function, axes: tuple[int | None, ...]) -> Function:
        import jax

        return jax.vmap(call, in_axes=axes)

    def grad(self, call: Function, program: Program) -> Function:
        import jax

        return jax.grad(call, argnums=program.by)

    def compiled(self, call: Function, program: Program) -> Function:
        import jax

        return jax.jit(call)


_LIBRARIES: dict[str, _Library] = {
    "mlx": _Mlx(), "torch": _Torch(), "jax": _Jax(), "jax32": _Jax(),
}  # fmt: skip


def forget(library: str) -> None:
    """Give back what compilers keep of programs that will not be called again."""
    if library == "torch":
        import torch

        torch._dynamo.reset()
    elif library == "jax":
        import jax

        jax.clear_caches()
