"""Event-driven convolution: by the neuron itself, or as a dense problem per patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .neurons.base import TimedNeuron, Window


def convolve(
    neuron: TimedNeuron, conv: Any, times: Tensor, weight: Tensor, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Spike times and potentials ``[B, O, H', W']``: one problem per group of ``conv``.

    ``times [B, C, H, W]`` or ``[B, C, H, W, K]``; ``options`` are those of
    :meth:`TimedNeuron.spike_times` for all groups together.
    """
    window = Window(conv.stride, _padding(conv, weight.shape[2:]), conv.dilation)
    parts = []
    for g in range(conv.groups):
        rows = slice(g * len(weight) // conv.groups, (g + 1) * len(weight) // conv.groups)
        channels = slice(g * weight.shape[1], (g + 1) * weight.shape[1])
        problem = times[:, channels], weight[rows], window
        bias = options["bias"]
        own = {
            **options,
            "backward_weight": options["backward_weight"][rows],
            "bias": None if bias is None else bias[rows],
        }
        if options.get("delay") is not None:  # of each synapse, shaped like the weights
            own["delay"] = options["delay"][rows].flatten(1)
        several = times.dim() == 5  # spikes per input
        found = None if several else neuron.convolve(*problem, **own)
        parts.append(found or _patch_by_patch(neuron, *problem, own))
    if len(parts) == 1:
        return parts[0]
    out, potential = (torch.cat(group, 1) for group in zip(*parts, strict=True))
    return out, potential


def _patch_by_patch(
    neuron: TimedNeuron, times: Tensor, weight: Tensor, window: Window, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """One fully connected problem per patch."""
    patches, size = unfold_times(times, weight.shape[2:], window)  # [B*L, I, (K)]
    options = {**options, "backward_weight": options["backward_weight"].flatten(1)}
    out, potential = neuron.spike_times(patches, weight.flatten(1), **options)
    shape = (len(times), *size)
    return _fold(out, shape), _fold(potential, shape)


def _fold(values: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """``[B*H*W, O, ...]`` to ``[B, O, H, W, ...]``."""
    return values.unflatten(0, shape).movedim(3, 1)


def unfold_times(
    times: Tensor, kernel: Sequence[int], window: Window
) -> tuple[Tensor, tuple[int, int]]:
    """Patches ``[B*H'*W', I, (K)]`` of ``times [B, C, H, W, (K)]``, and ``(H', W')``.

    Outside the image nothing ever fires: the padding is ``inf``.
    """
    many = times.dim() == 5
    flat = times.movedim(4, 1).flatten(0, 1) if many else times  # [B*K, C, H, W]
    size = window.size(flat.shape[2:], kernel)
    top, bottom, left, right = window.padding
    flat = F.pad(flat, (left, right, top, bottom), value=float("inf"))
    patches = F.unfold(
        flat, tuple(kernel), dilation=tuple(window.dilation), stride=tuple(window.stride)
    )
    if many:
        patches = patches.unflatten(0, (len(times), -1)).movedim(1, 3)  # [B, CKK, L, K]
    return patches.movedim(2, 1).flatten(0, 1), size


def _padding(conv: Any, kernel: Any) -> tuple[int, int, int, int]:
    """Padding of a convolution as (top, bottom, left, right); ``"same"`` may be uneven."""
    if conv.padding == "valid":
        return 0, 0, 0, 0
    if conv.padding == "same":
        total = [d * (k - 1) for d, k in zip(conv.dilation, kernel, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    vertical, horizontal = conv.padding
    return vertical, vertical, horizontal, horizontal
