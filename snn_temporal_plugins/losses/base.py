"""What all losses on first spikes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .. import _checks
from ..codes import first_spike_times
from ..decisions import check_outputs, first_class, output_potential


class FirstSpikeLoss(nn.Module, ABC):
    """Loss on the first output spikes; subclasses write ``per_sample``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples of the batch.

    Raises
    ------
    ValueError, TypeError
        If ``reduction`` is unknown; in the call, if times are NaN, targets no classes, or shapes
        do not fit.

    Notes
    -----
    *Shapes.* Spike times ``[B, C]`` and class indices ``[B]`` to a scalar, or ``[B]`` with
    ``reduction="none"``; see :meth:`forward`.

    *Silent neurons.* Silent outputs have time ``inf`` and enter as ``t_max``. They get gradient
    only in the direction of firing earlier; a :class:`~snn_temporal_plugins.Timed` layer, or the
    recorded ``potential`` of a clocked one, turns it into gradient on the potential at the last
    step.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        owner = type(self).__name__
        self.__name__ = owner  # snnTorch's training loops read it
        self.reduction = _checks.choice(owner, "reduction", reduction, ("mean", "sum", "none"))

    @abstractmethod
    def per_sample(self, times: Tensor, targets: Tensor, potential: Tensor | None) -> Tensor:
        """Loss of each sample ``[B]`` from checked arguments."""

    def forward(self, times: Tensor, targets: Tensor, *, potential: Tensor | None = None) -> Tensor:
        """Loss from output spike times.

        Parameters
        ----------
        times : Tensor of shape [B, C]
            First spike times of the outputs, ``inf`` where silent.
        targets : Tensor of shape [B]
            Class indices.
        potential : Tensor of shape [B, C] or [T, B, C], optional
            Output potentials, where the loss uses them.

        Returns
        -------
        Tensor
            A scalar, or ``[B]`` with ``reduction="none"``.
        """
        owner = type(self).__name__
        check_outputs(owner, times)
        targets = _checks.targets(owner, targets, *times.shape)
        loss = self.per_sample(times, targets, output_potential(owner, potential, times))
        if self.reduction == "none":
            return loss
        return loss.sum() if self.reduction == "sum" else loss.mean()

    def from_spikes(
        self, spikes: Tensor, targets: Tensor, *, potential: Tensor | None = None
    ) -> Tensor:
        """Loss from an output train ``[T, B, C]`` and, optionally, its recorded potential.

        With the potential, silent outputs get gradient (through its last step).
        """
        times = first_spike_times(spikes, potential)
        return self(times, targets, potential=potential)

    def predict(self, times: Tensor, *, potential: Tensor | None = None) -> Tensor:
        """Class of the earliest output spike, int64 ``[B]``; -1 where nothing decides.

        Ties go to the larger potential, then to the lowest index; where nobody fired, the largest
        potential decides.
        """
        return first_class(times, potential)


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, error: Tensor, loss: Tensor, t_max: float) -> Tensor:
        ctx.save_for_backward(times, error)
        ctx.t_max = t_max
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        times, error = ctx.saved_tensors
        found = error * (grad / -(ctx.t_max**2)).unsqueeze(1)
        return found.where(times < ctx.t_max, found.clamp(min=0)), None, None, None


def half_square(error: Tensor, t_max: float) -> Tensor:
    """Half the squared length of errors ``[B, C]``, in windows, for each sample."""
    return error.square().sum(1).mul_(0.5 / t_max**2)


def squared_error(times: Tensor, error: Tensor, loss: Tensor, t_max: float) -> Tensor:
    """Half the squared distance of spike times to their targets: ``loss [B]`` with its gradient.

    ``error [B, C]`` is target minus time, of finite times, and counts as a constant but for its
    time. A silent neuron, at ``t_max``, can only be asked to fire earlier.
    """
    return _SquaredError.apply(times, error, loss, t_max)
