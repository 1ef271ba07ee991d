"""Event-driven layers of packed synapses: whole numbers of signs against whole needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from .packed import PackedLinear


REACH = 8_000  #: inputs up to which the counters of the kernel cannot overflow


class Events:
    """What the kernel needs of one synapse and one neuron, kept while neither changes."""

    def __init__(self) -> None:
        from ..kernels.packed import op

        self.op = op
        self.key: tuple[Any, ...] | None = None
        self.arguments: tuple[Any, ...] = ()

    def solve(
        self, synapse: PackedLinear, neuron: Any, times: Tensor, t_max: int | None, potential: bool
    ) -> tuple[Tensor, Tensor]:
        """Spike times and potentials ``[B, O]``."""
        drive = None if neuron.training else neuron.late_drive
        key = (*map(_identity, (synapse.bits, synapse.scale)), neuron.threshold, drive, t_max)
        if self.key != key:
            scale = synapse.scale.item()
            rows = self.op.weight_rows(synapse.positive())
            schedule = needs(neuron.threshold, scale, drive, t_max, synapse.scale.dtype)
            self.arguments = rows, synapse.out_features, scale, *schedule
            self.key = key
        limit = math.inf if t_max is None else float(t_max)
        return self.op.packed_single_spike_if(
            times, *self.arguments, neuron.delay, limit, potential
        )


def prepare() -> Events | None:
    """Load the kernel; ``None`` without numba."""
    try:
        return Events()
    except ImportError:
        return None


def _identity(tensor: Tensor) -> tuple[int, Any]:
    return tensor.data_ptr(), object() if tensor.is_inference() else tensor._version


def needs(
    threshold: float,
    scale: float,
    late_drive: tuple[int, float] | None,
    t_max: int | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, int]:
    """Least numbers of signs that fire, what the drive has added, and the step it begins at.

    The first entries hold before the drive, each further one after one more of its steps.
    """
    start, current = late_drive or (0, 0.0)
    if late_drive is not None and t_max is None:
        raise ValueError("SingleSpikeIF: late_drive needs t_max, the end of the window.")
    steps = max(t_max - start, 0) if late_drive is not None and t_max is not None else 0
    drive = torch.arange(steps + 1, dtype=dtype) * current
    level = np.float64 if dtype == torch.float64 else np.float32
    counts = []
    for extra in drive.tolist():
        need = math.floor((threshold - extra) / scale) - 1
        while not level(need) * level(scale) + level(extra) > level(threshold):
            need += 1
        counts.append(need)
    return torch.tensor(counts), drive, start
