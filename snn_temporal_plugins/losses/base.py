"""What all losses on first spikes share."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .. import _checks
from ..codes import first_spike_times
from ..decisions import check_outputs, first_class, output_potential


class FirstSpikeLoss(nn.Module, ABC):
    """Loss on the first output spikes; subclasses write :meth:`per_sample`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples of the batch.

    Notes
    -----
    Silent outputs have time ``inf`` and enter as ``t_max``. They get gradient only in the
    direction of firing earlier; a :class:`~snn_temporal_plugins.Timed` layer, or the recorded
    ``potential`` of a clocked one, turns it into gradient on the potential at the last step.
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
