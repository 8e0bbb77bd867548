"""The losses as modules of PyTorch, with PyTorch's conventions.

Replace `torch.nn.HuberLoss` by `lossless.torch.HuberLoss`: the arguments are the same, the default
reduction is "mean". What differs is deliberate: input and target of different shapes are an error,
not broadcast with a warning.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import huber_loss, log_cosh_loss
from ._call import REDUCTIONS

__all__ = ["HuberLoss", "LogCoshLoss"]


class _Loss(torch.nn.Module):
    _function: ClassVar[Callable[..., Any]]
    _parameters_of_loss: ClassVar[tuple[str, ...]] = ()

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of "
                f"{', '.join(map(repr, REDUCTIONS))}, got {reduction!r}"
            )
        self.reduction = reduction

    def forward(
        self,
        input: Tensor,  # noqa: A002, as PyTorch calls it
        target: Any,
        *,
        weights: Any = None,
        where: Any = None,
    ) -> Tensor:
        return self._function(  # type: ignore[no-any-return]
            input, target, reduction=self.reduction, weights=weights, where=where, **self._given()
        )

    def extra_repr(self) -> str:
        parameters = (f", {name}={value}" for name, value in self._given().items())
        return f"reduction={self.reduction!r}{''.join(parameters)}"

    def _given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._parameters_of_loss}


class HuberLoss(_Loss):
    """`lossless.huber_loss` as a module, in place of `torch.nn.HuberLoss`.

    Args:
        reduction: `"mean"`, `"sum"`, `"none"` or `"weighted_mean"`.
        delta: where the loss turns from squared to absolute: a number > 0, `inf` included, or a
            tensor that broadcasts to the shape of the input.

    Called with `input` and `target` of one shape, or one of them a number, and, by name, with
    `weights` and `where` as `lossless.huber_loss` has them, it returns the loss.

    Raises:
        ValueError: an unknown reduction; on the call, what `lossless.huber_loss` raises.

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

    _function = staticmethod(huber_loss)
    _parameters_of_loss = ("delta",)

    def __init__(self, reduction: str = "mean", delta: Any = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta


class LogCoshLoss(_Loss):
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
