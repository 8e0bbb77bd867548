"""The losses as PyTorch modules, with PyTorch's conventions.

Replace `torch.nn.HuberLoss` by `lossless.torch.HuberLoss`: the arguments are the same, and the
default reduction is "mean". One difference is deliberate: input and target of different shapes are
an error. PyTorch broadcasts them with a warning.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import cross_entropy, huber_loss, log_cosh_loss
from ._check import check_classes, check_reduction, number_or_array, refuse_word
from ._problem import REDUCTIONS, UNWEIGHTED
from ._spec import Parameter
from .executors.torch.arrays import ARRAYS
from .losses.huber import HUBER

__all__ = ["CrossEntropyLoss", "HuberLoss", "LogCoshLoss"]


def __dir__() -> list[str]:
    return __all__


class _Loss(torch.nn.Module):
    """A module that checks its options whenever they are set.

    A tensor becomes a buffer: it moves and changes its dtype with the module, and is part of
    `state_dict`. A `torch.nn.Parameter` becomes a parameter of the module.
    """

    reduction: Any
    _reductions: ClassVar[tuple[str, ...]] = REDUCTIONS
    _options: ClassVar[dict[str, Parameter]] = {}  # beside the reduction, by their names

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "reduction":
            check_reduction(type(self).__name__, value, self._reductions)
        # If the option is parametrized, PyTorch has replaced it by a property.
        elif name in self._options and not hasattr(type(self), name):
            value = self._checked(name, value)
            if hasattr(self, name):  # a number, a buffer or a parameter: maybe not the same kind
                delattr(self, name)
            if isinstance(value, Tensor) and not isinstance(value, torch.nn.Parameter):
                self.register_buffer(name, value)
                return
        super().__setattr__(name, value)

    def _checked(self, name: str, value: Any) -> Any:
        """The option as a number or a tensor; an error if it is neither."""
        owner = type(self).__name__
        refuse_word(owner, name, value)
        _refuse_others(f"{owner}: {name}", value, "a number or a tensor")
        return number_or_array(owner, self._options[name], value, ARRAYS)

    def extra_repr(self) -> str:
        options = ((name, getattr(self, name)) for name in self._options)
        shown = (f", {name}={_shown(value)}" for name, value in options)
        return f"reduction={self.reduction!r}{''.join(shown)}"


def _shown(value: Any) -> str:
    return f"tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def _refuse_others(argument: str, value: Any, wanted: str) -> None:
    """A list or a NumPy array would not move with the module to the device of its inputs."""
    if hasattr(value, "__len__") and not isinstance(value, Tensor | str):
        raise TypeError(
            f"{argument} must be {wanted}, got a {type(value).__name__}: use torch.as_tensor"
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
        delta: the residual at which the loss turns from squared to absolute: a number > 0
            (`inf` included), or a tensor that broadcasts to the shape of the input. A tensor
            becomes a buffer of the module, a `torch.nn.Parameter` a parameter. You can set
            `delta` to another number or tensor later.

    A call takes `input` and `target`, of the same shape or one of them a number, and by name
    `weights` and `where`, with the meaning that they have in `lossless.huber_loss`. It returns
    the loss.

    Raises:
        TypeError: `delta` is not a real number or a tensor; for example, it is a list or a NumPy
            array.
        ValueError: the reduction is unknown, or `delta` is not > 0. The values of a tensor are
            not checked. A call raises what `lossless.huber_loss` raises.

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
    _options = {parameter.name: parameter for parameter in HUBER.keywords}  # noqa: RUF012

    def __init__(self, reduction: str = "mean", delta: float | Tensor = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta


class LogCoshLoss(_ElementWise):
    """`lossless.log_cosh_loss` as a module.

    Args:
        reduction: `"mean"`, `"sum"`, `"none"` or `"weighted_mean"`.

    A call takes `input` and `target`, of the same shape or one of them a number, and by name
    `weights` and `where`, with the meaning that they have in `lossless.log_cosh_loss`. It returns
    the loss.

    Raises:
        ValueError: the reduction is unknown. A call raises what `lossless.log_cosh_loss` raises.

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

    The loss is the same as PyTorch's. A row has C logits x and the probabilities t; a label is the
    probability 1 at its class and 0 elsewhere. With the label smoothing s and the weight w of each
    class, the loss of the row is::

        l = -sum_j w_j * ((1 - s) * t_j + s / C) * log(softmax(x)_j)

    Args:
        weight: None, or a tensor of C numbers, one for each class. A tensor becomes a buffer of
            the module, a `torch.nn.Parameter` a parameter. You can set `weight` to another tensor
            later.
        ignore_index: rows with this label are ignored.
        reduction: `"mean"`, `"sum"` or `"none"`. The mean of rows with labels is the sum divided
            by the sum of the weights of these labels (without weights: by their number). The mean
            of rows with probabilities is the sum divided by the number of rows. The mean of no
            rows is NaN.
        label_smoothing: the part s of each label, in [0, 1], that all classes share.

    A call takes an `input` of the shape (C), (N, C) or (N, C, d1, d2, ...), and a `target` of
    class indices in this shape without C, or of probabilities in this shape. Probabilities need
    not add up to 1. By name it takes `where`, a boolean tensor that broadcasts to the losses: rows
    where it is false are ignored, too. It returns the loss.

    Raises:
        TypeError: `weight` is not a tensor of real numbers. A call raises what
            `lossless.cross_entropy` raises.
        ValueError: the reduction is unknown, the label smoothing is outside [0, 1], `weight` has
            not the size C, or `ignore_index` is >= 0 with probabilities. A call raises what
            `lossless.cross_entropy` raises.
        IndexError: a class index is out of range, as in `lossless.cross_entropy`.

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
    _options = {  # noqa: RUF012
        "weight": Parameter("weight"),
        "ignore_index": Parameter("ignore_index"),
        "label_smoothing": Parameter("label_smoothing", least=0.0, most=1.0),
    }

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
                ARRAYS.real(argument, value)
            return value
        if isinstance(value, Tensor):  # its derivative would be lost silently
            raise TypeError(f"{argument} must be a number, got {value!r}")
        refuse_word(type(self).__name__, name, value)
        real = ARRAYS.real(argument, value)
        if not (bounds := self._options[name]).admits(real):
            raise ValueError(f"{argument} must be {bounds.range}, got {value!r}")
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
            if ARRAYS.shape(target) != ARRAYS.shape(input):
                raise ValueError(
                    f"{type(self).__name__}: target must have the shape of input "
                    f"{tuple(input.shape)}, or this shape without the classes, got "
                    f"{tuple(target.shape)}"
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
        labels: Tensor = ARRAYS.index(ARRAYS.labels(f"{name}: target", target, input))
        kept: Tensor = labels != self.ignore_index
        if where is not None:
            kept = kept & ARRAYS.mask(f"{name}: where", where)
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

        rows = ARRAYS.shape(input)[:axis] + ARRAYS.shape(input)[axis + 1 :]
        if ARRAYS.shape(target) != rows:
            raise ValueError(
                f"{name}: target must have the shape of input without the classes {tuple(rows)}, "
                f"got {tuple(target.shape)}"
            )
        check_classes(name, labels, kept, classes, ARRAYS)
        chosen = ARRAYS.places(input, axis - input.ndim) == labels.unsqueeze(axis)
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
        """Whether `lossless.cross_entropy` supports all options in use."""
        return self.weight is None and self.label_smoothing < 1

    def _weighted(self, targets: Tensor, input: Tensor, axis: int) -> Tensor:  # noqa: A002
        """The factors of the logarithms of the softmax, in a dtype that holds them (almost)
        exactly."""
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
