"""Counts of one spiking layer, and what its synapses cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .synapses.base import Synapse

RUNS = 4  # samples of one neuron that may be under way at once: it may serve several layers


@dataclass
class _Run:
    """Samples that are under way, step by step."""

    fired: Tensor  # [B, units]
    before: Tensor  # output of the last step
    state: Tensor | None  # held, so that its memory cannot be given to another tensor
    version: int


class LayerActivity:
    """What one spiking layer did in all samples that :func:`monitor` saw.

    Attributes
    ----------
    kind : str
        Class of the neuron.
    units : tuple of int
        Shape of the neurons of one sample.
    samples : int
        Number of samples.
    drivers : tuple of str
        Names of the synapses and normalisations in front of the neurons; for a ``Timed`` layer
        its own name.
    shared : bool
        Whether several synapses drive these neurons by turns.
    """

    def __init__(
        self,
        kind: str,
        units: tuple[int, ...],
        drivers: tuple[str, ...],
        operations: Mapping[str, Tensor],
    ) -> None:
        self.kind, self.units, self.drivers = kind, units, drivers
        self.samples = 0
        self.is_spiking, self.shared = True, False
        self._costs = operations
        self._spikes: Any = 0
        self._unit_counts: Any = torch.zeros(units, dtype=torch.int64)
        self._row_counts: Any = torch.zeros(units[:1], dtype=torch.int64)
        self._runs: list[_Run] = []

    @property
    def fired(self) -> float:
        """Share of neurons that fired at least once in a sample, mean over samples."""
        return self.fired_per_unit.mean().item() if self.samples else float("nan")

    @property
    def spikes(self) -> int:
        """Number of spikes in all samples."""
        return int(self._spikes)

    @property
    def operations(self) -> int | None:
        """Weights that were added in the synapses of this layer; ``None`` where there are none."""
        found = [int(self._costs[name]) for name in self.drivers if name in self._costs]
        return sum(found) if found else None

    @property
    def dead(self) -> int:
        """Number of neurons that never fired."""
        return int((self._unit_counts == 0).sum())

    @property
    def fired_per_unit(self) -> Tensor:
        """Share of the samples in which each neuron fired, float64 of shape ``units``."""
        return self._unit_counts.double() / max(self.samples, 1)

    @property
    def fired_per_row(self) -> Tensor:
        """The same for each row of the weights: of a convolution, a channel at any position."""
        return self._row_counts.double() / max(self.samples, 1)

    def __repr__(self) -> str:
        return (
            f"LayerActivity({self.kind}, units={self.units}, samples={self.samples}, "
            f"fired={self.fired:.3g}, spikes={self.spikes}, operations={self.operations}, "
            f"dead={self.dead})"
        )

    def add_times(self, times: Tensor) -> None:
        """Add samples given by spike times ``[B, units]`` or ``[B, units, K]``."""
        spikes = torch.isfinite(times)
        self._spikes = self._spikes + spikes.sum()
        self.samples += len(times)
        self._count(spikes.view(len(times), *self.units, -1).any(-1), None)

    def add_train(
        self,
        train: Tensor,
        counts: Callable[[Tensor, Tensor], Tensor] | None,
        given: Tensor | None,
        state: Tensor | None,
    ) -> None:
        """Add the steps ``train [T, B, units]`` of new samples, or of those under way.

        ``counts`` maps the train and the output before it to numbers of spikes; ``given`` is the
        state that came in, ``state`` the one that went out.
        """
        run = self._run(train, given)
        if counts is not None:
            spikes = counts(train, run.before)
        else:
            spikes = train != 0
            self.is_spiking &= bool((train == train.round()).all())
        self._spikes = self._spikes + spikes.sum()
        fired = (spikes != 0).any(0)
        self._count(fired & ~run.fired, run.fired)
        run.fired |= fired
        run.before = train[-1]
        run.state = None if state is None else state.detach()
        run.version = 0 if state is None else state._version

    def _run(self, train: Tensor, given: Tensor | None) -> _Run:
        """Samples that the incoming state belongs to; new ones if it is not known."""
        for run in self._runs:
            if (
                given is not None
                and run.state is not None
                and run.fired.shape == train.shape[1:]
                and run.state.data_ptr() == given.data_ptr()
                and run.version == given._version
            ):
                return run
        first = torch.zeros_like(train[0])
        run = _Run(torch.zeros_like(first, dtype=torch.bool), first, None, 0)
        self._runs = [*self._runs[1 - RUNS :], run]
        self.samples += train.shape[1]
        return run

    def _count(self, fresh: Tensor, before: Tensor | None) -> None:
        """Count neurons ``[B, units]`` that fire for the first time in their sample."""
        self._unit_counts = self._unit_counts.to(fresh.device) + fresh.sum(0)
        rows = _any_of_row(fresh)
        if before is not None:
            rows = rows & ~_any_of_row(before)
        self._row_counts = self._row_counts.to(fresh.device) + rows.sum(0)

    def forget(self) -> None:
        """Let go of the samples under way, and of their memory."""
        self._runs.clear()


def _any_of_row(fired: Tensor) -> Tensor:
    return fired.flatten(2).any(2) if fired.dim() > 2 else fired


def operations(synapse: nn.Module, arrived: Tensor) -> Tensor | None:
    """Weights that arriving spikes add: ``arrived`` is shaped like the input, or ``[..., K]``."""
    if not isinstance(synapse, nn.Linear | nn.Conv2d | Synapse):
        return None
    layer: Any = synapse
    outputs, _, *kernel = layer.weight.shape
    if not kernel:
        return arrived.sum() * outputs
    if arrived.dim() == 5:
        arrived = arrived.sum(-1)
    each = arrived.float().sum(-3, keepdim=True)
    window = each.new_ones(1, 1, *kernel)
    reached = F.conv2d(each, window, None, layer.stride, layer.padding, layer.dilation)
    return (reached.double().sum() * (outputs // layer.groups)).round().long()
