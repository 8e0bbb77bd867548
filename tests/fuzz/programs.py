"""What a fuzzed call is: a loss, a library, the shapes of its arguments, options, transforms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fuzz.kinds import LIBRARIES, SPECS, Library, Spec

Rng = np.random.Generator


@dataclass(frozen=True)
class Leaf:
    """An array argument. Its dimensions are some of the program's, None where it has size 1."""

    name: str
    role: str
    dtype: str
    dims: tuple[int | None, ...]
    batch: int | None = None  # where vmap's axis is, if it has one
    closed: bool = False  # over by the function that is mapped, in place of an argument
    layout: str = "plain"

    @property
    def differentiable(self) -> bool:
        return self.role not in ("label", "mask", "cotangent") and "int" not in self.dtype


@dataclass(frozen=True)
class Program:
    """A function to be called with arrays of several shapes."""

    spec: Spec
    library: Library
    leaves: tuple[Leaf, ...]
    options: dict[str, Any]  # what is no array
    axes: tuple[int, ...]  # of the losses, which are reduced
    axis: int  # of a loss of rows: where a row lies
    base: str  # loss, value_and_grad, grad_and_hess (ours), or grad (theirs)
    by: tuple[int, ...]  # leaves, in a grad
    mapped: bool
    outside: bool  # grad of vmap, in place of vmap of grad
    compiler: str  # or nothing
    sizes: tuple[tuple[int, ...], ...]  # of the dimensions: each call takes one of these
    special: bool  # whether infinities and the like are among the numbers
    seed: tuple[int, int]
    by_tape: bool = False  # PyTorch's autograd in place of torch.func
    calls: int = field(default=1)

    @property
    def dims(self) -> tuple[int, ...]:
        return tuple(range(len(self.sizes[0])))

    @property
    def by_formulas(self) -> bool:
        """Whether no kernel serves it."""
        if self.library.composed or not self.spec.has_kernel:
            return True
        transformed = self.mapped or self.compiler or (self.base == "grad" and not self.by_tape)
        return self.library.name == "torch" and bool(transformed)

    @property
    def reduction(self) -> str:
        return str(self.options["reduction"])

    def __str__(self) -> str:
        what = self.base
        if self.base == "grad":
            what = f"grad by {', '.join(self.leaves[i].name for i in self.by)}"
        if self.mapped:
            what = f"{what} of vmap" if self.outside else f"vmap of {what}"
        leaves = ", ".join(
            f"{leaf.name}: {leaf.dtype}{[*leaf.dims]}"
            + (f" batch {leaf.batch}" if leaf.batch is not None else "")
            + (" closed" if leaf.closed else "")
            + (f" {leaf.layout}" if leaf.layout != "plain" else "")
            for leaf in self.leaves
        )
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return (
            f"{self.spec.name} on {self.library.name}, {self.compiler or 'eager'} {what}"
            f"{' (tape)' if self.by_tape else ''} of ({leaves}; {options})"
        )


def draw(seed: int, index: int, library: str, compiler: str = "") -> Program:
    """The program of this number."""
    return _Draw(seed, index, LIBRARIES[library], compiler).program()


class _Draw:
    def __init__(self, seed: int, index: int, library: Library, compiler: str) -> None:
        self.seed, self.library, self.compiler = (seed, index), library, compiler
        self.rng = np.random.default_rng([seed, index])

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def one_of(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def program(self) -> Program:
        spec: Spec = self.one_of(SPECS)
        count = int(self.rng.choice(4, p=[0.1, 0.4, 0.35, 0.15]))
        if spec.of_rows:
            count = max(count, 1)
        dims = tuple(range(count))
        axis = int(self.rng.integers(count)) if spec.of_rows else 0
        losses = tuple(d for d in dims if d != axis) if spec.of_rows else dims
        options: dict[str, Any] = dict(self.one_of(spec.choices))
        self.dtype = self.one_of(self.library.dtypes)
        leaves = self.operands(spec, dims, losses, options)
        axes = self.reduction(spec, losses, options)
        if spec.of_rows and (axis != len(dims) - 1 or spec.name == "cosine_similarity_loss"):
            options["axis"] = axis if self.chance(0.5) else axis - len(dims)
        leaves += self.parameters(spec, losses, options)
        base, by, tape = self.base(spec, leaves)
        if base == "grad_and_hess":
            options["reduction"], axes = "none", ()
            options.pop("axis", None)
        # Of a sum under vmap, MLX's shapeless functions keep the size.
        able = self.library.differentiates and self.compiler != "shapeless"
        mapped = able and self.chance(0.45)
        if mapped:
            leaves = [self.batched(leaf) for leaf in leaves]
            if all(leaf.batch is None for leaf in leaves):
                place = int(self.rng.integers(len(leaves)))
                leaves[place] = self.batched(leaves[place], certain=True)
            tape = False
        outside = mapped and base == "grad" and self.chance(0.5)
        if base == "grad" and self.chance(0.3):
            kept = tuple(d for d in losses if d not in axes)
            batch = 0 if mapped else None
            leaves.append(Leaf("cotangent", "cotangent", self.dtype, kept, batch))
        return Program(
            spec, self.library, tuple(leaves), options, axes, axis, base, by, mapped, outside,
            self.compiler, self.sizes(spec, dims, axis, mapped, base), self.chance(0.35),
            self.seed, tape,
        )  # fmt: skip

    def operands(
        self, spec: Spec, dims: tuple[int, ...], losses: tuple[int, ...], options: dict[str, Any]
    ) -> list[Leaf]:
        leaves, scalar = [], None
        if not spec.of_rows and dims and self.chance(0.2):
            scalar = int(self.rng.integers(2))
        for place, (name, role) in enumerate(spec.operands):
            if role == "label":
                leaves.append(self.leaf(name, role, self.label_dtype(), losses))
                continue
            if place == scalar or (place == 2 and not spec.of_rows and self.chance(0.3)):
                if place and self.chance(0.4):
                    options[name] = self.number(role)
                else:
                    leaves.append(self.leaf(name, role, self.dtype, ()))
                continue
            own: tuple[int | None, ...] = self.some(dims) if role == "variance" else dims
            dtype = self.dtype
            if place and self.chance(0.1) and role != "probability":
                dtype = self.other_dtype(integers=role in ("real", "sign"))
            if not own:  # it does not decide on the dtype of the losses
                dtype = self.dtype
            leaves.append(self.leaf(name, role, dtype, own))
        return leaves

    def leaf(self, name: str, role: str, dtype: str, dims: tuple[int | None, ...]) -> Leaf:
        layouts = self.library.layouts
        layout = self.one_of(layouts) if self.chance(0.35) else "plain"
        if layout == "numpy" and (self.compiler or name in ("inputs", "logits", "anchors", "x1")):
            layout = "plain"
        return Leaf(name, role, dtype, dims, layout=layout)

    def label_dtype(self) -> str:
        wide = ["int64", "uint32"] if self.library.float64 else []
        return str(self.one_of(["int32", "int64", "int8", "uint8", "int16", *wide][:7]))

    def other_dtype(self, integers: bool = True) -> str:
        """Of another array than the leading one, which promotes with it everywhere."""
        wide = ["float32", "float64"] if self.library.float64 else ["float32"]
        return str(self.one_of(wide + (["int32"] if integers else [])))

    def number(self, role: str) -> float:
        ranges = {
            "positive": (0.1, 0.5, 1.0, 1.345, math.inf),
            "variance": (0.7, 3.0, 0.01),
            "eps": (1e-6, 1e-8, 0.015625),
            "margin": (0.0, 0.5, 1.0, 1 / 3),
            "smoothing": (0.0, 0.1, 0.25),
            "p": (1, 2, 3, 1.5, math.inf),
            "sign": (1.0, -1.0, 1),
            "probability": (0.0, 1.0, 0.25),
            "weight": (0.5, 3, 1.25),
        }
        return self.one_of(ranges.get(role, (0.0, 0.5, -2, 1.25)))  # type: ignore[no-any-return]

    def reduction(
        self, spec: Spec, losses: tuple[int, ...], options: dict[str, Any]
    ) -> tuple[int, ...]:
        names = ["none", "sum", "mean", "weighted_mean"][: 4 if spec.weighted else 3]
        options["reduction"] = self.one_of(names)
        if options["reduction"] == "none":
            return ()
        if not spec.of_rows and losses and self.chance(0.3):
            count = int(self.rng.integers(1, len(losses) + 1))
            axes = tuple(sorted(map(int, self.rng.permutation(len(losses))[:count])))
            options["axis"] = axes if count > 1 or self.chance(0.5) else axes[0]
            return axes
        return losses

    def parameters(
        self, spec: Spec, losses: tuple[int, ...], options: dict[str, Any]
    ) -> list[Leaf]:
        leaves = []
        for name, role in spec.parameters:
            if spec.of_rows or self.chance(0.4):
                if self.chance(0.7):
                    options[name] = self.number(role)
            elif self.chance(0.7):
                leaves.append(self.leaf(name, role, self.option_dtype(), self.some(losses)))
        if spec.weighted and self.chance(0.4):
            if self.chance(0.3):
                options["weights"] = self.number("weight")
            else:
                dims = self.some(losses)
                leaves.append(self.leaf("weights", "weight", self.option_dtype(), dims))
        if self.chance(0.4):
            leaves.append(self.leaf("where", "mask", "bool", self.some(losses)))
        return leaves

    def option_dtype(self) -> str:
        return self.dtype if self.chance(0.5) else self.other_dtype()

    def some(self, dims: tuple[int, ...]) -> tuple[int | None, ...]:
        """Dimensions that broadcast to these."""
        if self.chance(0.5):
            return dims
        start = int(self.rng.integers(len(dims) + 1))
        return tuple(d if self.chance(0.7) else None for d in dims[start:])

    def base(self, spec: Spec, leaves: list[Leaf]) -> tuple[str, tuple[int, ...], bool]:
        first = spec.operands[0][0]
        choices = ["loss", "loss"]
        if any(leaf.name == first for leaf in leaves):
            choices += ["value_and_grad"] + ["grad_and_hess"] * (not spec.of_rows)
        able = [place for place, leaf in enumerate(leaves) if leaf.differentiable]
        if self.library.differentiates and able:
            choices += ["grad"] * 3
        base = self.one_of(choices)
        if base != "grad":
            return base, (), False
        by = [place for place in able if self.chance(0.5)] or [self.one_of(able)]
        if self.chance(0.5) and 0 in able:
            by = [0]
        return base, tuple(by), self.chance(0.7)

    def batched(self, leaf: Leaf, certain: bool = False) -> Leaf:
        batch, closed = None, False
        if certain or self.chance(0.55):
            batch = int(self.rng.integers(len(leaf.dims) + 1))
        else:
            closed = self.chance(0.4)
        return Leaf(leaf.name, leaf.role, leaf.dtype, leaf.dims, batch, closed, leaf.layout)

    def sizes(
        self, spec: Spec, dims: tuple[int, ...], axis: int, mapped: bool, base: str
    ) -> tuple[tuple[int, ...], ...]:
        few = 2 if self.compiler in ("jit", "compile") or self.library.xla else 5
        found = []
        for number in range(few):
            sizes = [self.size(len(dims)) for _ in dims]
            if spec.of_rows:
                sizes[axis] = max(sizes[axis], 1)
            if self.library.name.startswith("mlx") and (mapped or base == "grad"):
                # Of nothing its vmap has another shape, and a sum over a transposed view any value.
                sizes = [max(size, 1) for size in sizes]
            if self.compiler in ("dynamic", "shapeless"):
                # What is 1 at first is so for ever, to PyTorch and to MLX.
                sizes = [max(size, 2) for size in sizes]
            found.append(tuple(sizes))
            if number == 0 and self.compiler == "" and not self.library.xla and self.chance(0.01):
                border = 65_536 + int(self.rng.integers(-1, 2))
                found[0] = tuple(1 if d else border for d in dims[::-1])[::-1] if dims else ()
        return tuple(found)

    def size(self, count: int) -> int:
        small = (0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9)
        more = (15, 16, 17, 31, 33, 64, 65, 100) if count < 3 else (1, 2, 3)
        return int(self.one_of(more if self.chance(0.2) else small))
