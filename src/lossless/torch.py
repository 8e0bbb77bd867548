"""The losses as modules of PyTorch, with PyTorch's conventions.

Replace `torch.nn.HuberLoss` by `lossless.torch.HuberLoss`: the arguments are the same, the default
reduction is "mean". What differs is deliberate: input and target of different shapes are an error,
not broadcast with a warning.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import cross_entropy, huber_loss, log_cosh_loss
from ._call import REDUCTIONS, check_reduction, number_or_array, refuse_word
from ._rows import UNWEIGHTED, check_classes
from .executors.torch.formulas import FORMULAS

__all__ = ["CrossEntropyLoss", "HuberLoss", "LogCoshLoss"]


def __dir__() -> list[str]:
    return __all__


class _Loss(torch.nn.Module):
    """A module whose options are checked wherever they are set.

    A tensor among them becomes a buffer: it moves and changes its dtype with the module, and
    `state_dict` has it. A `torch.nn.Parameter` is one of the module.
    """

    reduction: Any
    _reductions: ClassVar[tuple[str, ...]] = REDUCTIONS
    _options: ClassVar[tuple[str, ...]] = ()  # beside the reduction

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "reduction":
            check_reduction(type(self).__name__, value, self._reductions)
        # Where it is parametrized, PyTorch has put a property in its place.
        elif name in self._options and not hasattr(type(self), name):
            value = self._checked(name, value)
            if hasattr(self, name):  # perhaps of another kind
                delattr(self, name)
            if isinstance(value, Tensor) and not isinstance(value, torch.nn.Parameter):
                self.register_buffer(name, value)
                return
        super().__setattr__(name, value)

    def _checked(self, name: str, value: Any) -> Any:
        """An option as it is kept, a number or a tensor; an error where it can be none."""
        owner = type(self).__name__
        refuse_word(owner, name, value)
        _refuse_others(f"{owner}: {name}", value, "a number or a tensor")
        return number_or_array(owner, name, value, FORMULAS)

    def extra_repr(self) -> str:
        options = ((name, getattr(self, name)) for name in self._options)
        told = (f", {name}={_told(value)}" for name, value in options)
        return f"reduction={self.reduction!r}{''.join(told)}"


def _told(value: Any) -> str:
    return f"tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def _refuse_others(argument: str, value: Any, wanted: str) -> None:
    """What is neither a number nor a tensor would meet none of the tensors of a call."""
    if hasattr(value, "__len__") and not isinstance(value, Tensor | str):
        raise TypeError(
            f"{argument} must be {wanted}, got a {type(value).__name__}: torch.as_tensor makes one"
        )


class _ElementWise(_Loss):
    _function: ClassVar[Callable[..., Any]]

    def forward(
        self,
        input: Tensor,  # noqa: A002, as PyTorch calls it
        target: Any,
        *,
        weights: Any = None,
        where: Any = None,
    ) -> Tensor:
        options = {name: getattr(self, name) for name in self._options}
        return self._function(  # type: ignore[no-any-return]
            input, target, reduction=self.reduction, weights=weights, where=where, **options
        )


class HuberLoss(_ElementWise):
    """`lossless.huber_loss` as a module, in place of `torch.nn.HuberLoss`.

    Args:
        reduction: `"mean"`, `"sum"`, `"none"` or `"weighted_mean"`.
        delta: where the loss turns from squared to absolute: a number > 0, `inf` included, or a
            tensor that broadcasts to the shape of the input, which is a buffer of the module (a
            `torch.nn.Parameter`: one of its parameters). It may be set to another one later.

    Called with `input` and `target` of one shape, or one of them a number, and, by name, with
    `weights` and `where` as `lossless.huber_loss` has them, it returns the loss.

    Raises:
        TypeError: a delta that is no real number or tensor, such as a list or a NumPy array.
        ValueError: an unknown reduction, a delta that is not > 0; on the call, what
            `lossless.huber_loss` raises. The values of a tensor are not looked at.

    Example:
        >>> import torch, lossless.torch
        >>> criterion = lossless.torch.HuberLoss(delta=2.0)
        >>> criterion
        HuberLoss(reduction='mean', delta=2.0)
        >>> predictions = torch.tensor([1.0, 2.0, 10.0], requires_grad=True)
        >>> loss = criterion(predictions, torch.tensor([1.5, 2.0, 3.0]))
        >>> loss.backward()
        >>> predictions.grad
        tensor([-0.1667,  0.0000,  0.6667])

    *New in 0.1.0.*
    """

    delta: float | Tensor
    _function = staticmethod(huber_loss)
    _options = ("delta",)

    def __init__(self, reduction: str = "mean", delta: float | Tensor = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta


class LogCoshLoss(_ElementWise):
    """`lossless.log_cosh_loss` as a module.

    Args:
        reduction: `"mean"`, `"sum"`, `"none"` or `"weighted_mean"`.

    Called with `input` and `target` of one shape, or one of them a number, and, by name, with
    `weights` and `where` as `lossless.log_cosh_loss` has them, it returns the loss.

    Raises:
        ValueError: an unknown reduction; on the call, what `lossless.log_cosh_loss` raises.

    Example:
        >>> import torch, lossless.torch
        >>> criterion = lossless.torch.LogCoshLoss(reduction="sum")
        >>> criterion(torch.tensor([1e-8, 2.0]), torch.tensor([0.0, -3.0]))
        tensor(4.3069)

    *New in 0.1.0.*
    """

    _function = staticmethod(log_cosh_loss)


class CrossEntropyLoss(_Loss):
    """`lossless.cross_entropy` as a module, in place of `torch.nn.CrossEntropyLoss`.

    The loss of a row of C logits x with the probabilities t (1 at the label and 0 elsewhere) is
    that of PyTorch, with the label smoothing s and the weight w of each class::

        l = -sum_j w_j * ((1 - s) * t_j + s / C) * log(softmax(x)_j)

    Args:
        weight: None, or a tensor of C numbers, one for each class, which is a buffer of the module
            (a `torch.nn.Parameter`: one of its parameters). It may be set to another one later.
        ignore_index: rows with this label add nothing.
        reduction: `"mean"`, `"sum"` or `"none"`. The mean of rows with labels is divided by the
            sum of the weights of these labels (without weights: by their number), that of rows
            with probabilities by the number of rows. Without any row it is NaN.
        label_smoothing: the part s of each label, in [0, 1], that all classes share.

    Called with an `input` of the shape (C), (N, C) or (N, C, d1, d2, ...) and a `target` of class
    indices, in that shape without C, or of probabilities, in that shape, it returns the loss.
    Probabilities need not add up to 1. By name it takes `where`, a boolean tensor that broadcasts
    to the losses: rows where it is false are ignored, too.

    Raises:
        TypeError: a weight that is no tensor of real numbers; on the call, what
            `lossless.cross_entropy` raises.
        ValueError: an unknown reduction, label smoothing outside of [0, 1], a weight of another
            size than C, an `ignore_index` >= 0 with probabilities; on the call, what
            `lossless.cross_entropy` raises.
        IndexError: a class that does not exist, as `lossless.cross_entropy` says.

    Example:
        >>> import torch, lossless.torch
        >>> criterion = lossless.torch.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5]))
        >>> logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 40.0, 3.0], [0.0, 0.0, 0.0]])
        >>> criterion(logits, torch.tensor([0, 2, -100]))
        tensor(12.4942)

    *New in 0.1.0.*
    """

    weight: Tensor | None
    ignore_index: int
    label_smoothing: float
    _reductions = UNWEIGHTED
    _options = ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Tensor | None = None,
        *,  # PyTorch has an argument here that is deprecated
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def _checked(self, name: str, value: Any) -> Any:
        argument = f"{type(self).__name__}: {name}"
        if name == "ignore_index":
            try:
                return operator.index(value)
            except TypeError:
                raise TypeError(f"{argument} must be an integer, got {value!r}") from None
        if name == "weight":
            _refuse_others(argument, value, "a tensor or None")
            if not isinstance(value, Tensor | None):
                raise TypeError(f"{argument} must be a tensor or None, got {value!r}")
            if value is not None:
                FORMULAS.real(argument, value)
            return value
        if isinstance(value, Tensor):  # derivatives by it would be lost without a word
            raise TypeError(f"{argument} must be a number, got {value!r}")
        refuse_word(type(self).__name__, name, value)
        real = FORMULAS.real(argument, value)
        if not 0 <= real <= 1:
            raise ValueError(f"{argument} must be in [0, 1], got {value!r}")
        return real

    def forward(
        self,
        input: Tensor,  # noqa: A002, as PyTorch calls it
        target: Tensor,
        *,
        where: Tensor | None = None,
    ) -> Tensor:
        axis = 1 if input.ndim > 1 else 0
        if self.weight is not None and input.ndim:
            classes = input.shape[axis]
            if self.weight.ndim != 1 or self.weight.shape[0] != classes:
                raise ValueError(
                    f"{type(self).__name__}: weight must have the shape ({classes},), one for "
                    f"each class, got {tuple(self.weight.shape)}"
                )
        if target.ndim == input.ndim:
            if FORMULAS.shape(target) != FORMULAS.shape(input):
                raise ValueError(
                    f"{type(self).__name__}: target must have the shape of input "
                    f"{tuple(input.shape)}, or that without the classes, got {tuple(target.shape)}"
                )
            return self._of_probabilities(input, target, axis, where)
        return self._of_labels(input, target, axis, where)

    def _of_probabilities(self, input: Tensor, target: Tensor, axis: int, where: Any) -> Tensor:  # noqa: A002
        if self.ignore_index >= 0:
            raise ValueError(
                f"{type(self).__name__}: ignore_index must be < 0 where target has probabilities, "
                f"got {self.ignore_index}"
            )
        if self._is_plain():
            return cross_entropy(
                input, target, None, axis, self.label_smoothing, self.reduction, where=where
            )
        dtype = torch.promote_types(input.dtype, target.dtype)
        targets = self._weighted(target, input, axis)
        return cross_entropy(input, targets, axis=axis, reduction=self.reduction, where=where).to(
            dtype
        )

    def _of_labels(self, input: Tensor, target: Tensor, axis: int, where: Any) -> Tensor:  # noqa: A002
        name = type(self).__name__
        labels: Tensor = FORMULAS.index(FORMULAS.labels(f"{name}: target", target, input))
        kept: Tensor = labels != self.ignore_index
        if where is not None:
            kept = kept & FORMULAS.mask(f"{name}: where", where)
        if self._is_plain():
            return cross_entropy(
                input, labels, None, axis, self.label_smoothing, self.reduction, where=kept
            )
        classes = input.shape[axis]
        exists = (labels >= 0) & (labels < classes)
        weights = torch.where(exists, labels, 0)
        weights = torch.ones_like(weights) if self.weight is None else self.weight[weights]
        if not self.label_smoothing:
            reduction: Any = "weighted_mean" if self.reduction == "mean" else self.reduction
            return cross_entropy(input, labels, weights, axis, 0.0, reduction, where=kept)

        rows = FORMULAS.shape(input)[:axis] + FORMULAS.shape(input)[axis + 1 :]
        if FORMULAS.shape(target) != rows:
            raise ValueError(
                f"{name}: target must have the shape of input without the classes {tuple(rows)}, "
                f"got {tuple(target.shape)}"
            )
        check_classes(name, labels, kept, classes, FORMULAS)
        chosen = FORMULAS.places(input, axis - input.ndim) == labels.unsqueeze(axis)
        one = torch.ones((), dtype=input.dtype, device=input.device)
        missing = torch.where(kept & ~exists, math.nan, one)
        targets = torch.where(chosen, one, 0.0) * missing.unsqueeze(axis)
        targets = self._weighted(targets, input, axis)
        reduction = "none" if self.reduction == "none" else "sum"
        loss = cross_entropy(input, targets, axis=axis, reduction=reduction, where=kept)
        if self.reduction == "mean":
            loss = loss / torch.where(kept, weights, 0).to(loss.dtype).sum()
        narrow: Tensor = loss.to(input.dtype)
        return narrow

    def _is_plain(self) -> bool:
        """Whether `lossless.cross_entropy` has all that is asked for."""
        return self.weight is None and self.label_smoothing < 1

    def _weighted(self, targets: Tensor, input: Tensor, axis: int) -> Tensor:  # noqa: A002
        """What the logarithms of the softmax are multiplied by, in a dtype in which that is exact
        or nearly so."""
        narrow = torch.promote_types(input.dtype, targets.dtype)
        wide = torch.promote_types(narrow, torch.float32)
        if wide is narrow and not input.is_mps:
            wide = torch.float64
        targets, smoothing = targets.to(wide), self.label_smoothing
        if smoothing:
            targets = (1.0 - smoothing) * targets + smoothing / input.shape[axis]
        if self.weight is not None:
            shape = [1] * input.ndim
            shape[axis] = -1
            targets = targets * self.weight.to(wide).reshape(shape)
        return targets
