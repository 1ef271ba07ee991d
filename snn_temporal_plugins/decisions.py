"""Decisions from first spikes: which class answers.

The earliest output spike decides; among several at that time the larger potential, then the
lowest index. Where nobody fired the largest potential decides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _checks
from .codes import potential_at_spike


def output_potential(owner: str, potential: Tensor | None, times: Tensor) -> Tensor | None:
    """Potential ``[B, C]`` of each output, also from a recording ``[T, B, C]``."""
    if potential is None or potential.shape == times.shape:
        return potential
    if potential.dim() == 3 and potential.shape[1:] == times.shape:
        return potential_at_spike(potential, times)
    raise ValueError(
        f"{owner}: potential must have shape {list(times.shape)} or "
        f"{['T', *times.shape]}, got {list(potential.shape)}."
    )


def check_outputs(owner: str, times: Tensor) -> Tensor:
    """Raise unless ``times`` are output spike times ``[B, C]``."""
    _checks.spike_times(owner, times)
    if times.dim() != 2:
        hint = " Take the first spike: times[..., 0]." if times.dim() == 3 else ""
        raise ValueError(f"{owner}: times must have shape [B, C], got {list(times.shape)}.{hint}")
    return times


def first_class(times: Tensor, potential: Tensor | None = None) -> Tensor:
    """Class that answers first, by the rule above.

    Parameters
    ----------
    times : Tensor of shape [B, C]
        Output spike times, ``inf`` where silent.
    potential : Tensor of shape [B, C] or [T, B, C], optional
        Output potentials (at the spike, or at the last step), or their recording.

    Returns
    -------
    Tensor of shape [B], int64
        The class; -1 where nobody fired and there is no potential to decide.
    """
    check_outputs("first_class", times)
    potential = output_potential("first_class", potential, times)
    earliest = times.min(1, keepdim=True).values
    first = times == earliest  # everybody, where nobody fired
    if potential is None:
        silent = torch.isinf(earliest.squeeze(1))
        return first.to(torch.uint8).argmax(1).masked_fill(silent, -1)
    return potential.masked_fill(~first, float("-inf")).argmax(1)
