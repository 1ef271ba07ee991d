"""Costs on all spike times of a layer: how late, how many, how far from a reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .. import _checks


class TemporalPenalty(nn.Module):
    r"""Squared distance of spike times to a reference time.

    .. math:: L = \frac{\gamma}{B} \sum_{b, j} (t_{bj} - t_{ref})^2

    Added to a loss on first spikes it keeps output times inside the window.

    Parameters
    ----------
    t_ref : float
        Reference time.
    strength : float
        Factor :math:`\gamma`.

    Raises
    ------
    ValueError
        If a constant is outside its range, or times are NaN or negative.

    Notes
    -----
    *Shapes.* Spike times ``[B, ...]`` to a scalar.

    *Silent neurons* cost nothing and get no gradient.

    References
    ----------
    .. [1] Y. Sakemi, K. Morino, T. Morie, K. Aihara, "A supervised learning algorithm for
       multilayer spiking neural networks based on temporal coding toward energy-efficient VLSI
       processor design", IEEE TNNLS, 2021, arXiv:2001.05348.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.TemporalPenalty(2.0, strength=0.5)(torch.tensor([[1.0, float("inf")]])).item()
    0.5
    """

    def __init__(self, t_ref: float, *, strength: float) -> None:
        super().__init__()
        self.t_ref = _checks.non_negative("TemporalPenalty", "t_ref", t_ref)
        self.strength = _checks.non_negative("TemporalPenalty", "strength", strength)

    def extra_repr(self) -> str:
        return f"t_ref={self.t_ref:g}, strength={self.strength:g}"

    def forward(self, times: Tensor) -> Tensor:
        """Cost of the spike times ``[B, ...]``."""
        _checks.spike_times("TemporalPenalty", times)
        fired = times[torch.isfinite(times)]
        return self.strength * (fired - self.t_ref).square().sum() / max(1, len(times))


class SpikeTimeSparsity(nn.Module):
    r"""Cost of every spike, the higher the earlier it comes: in time only.

    .. math:: L = \frac{\lambda}{B} \sum_{t < t_{max}} \frac{t_{max} - t}{t_{max}}

    The number of spikes has no derivative; this cost has one, and it pushes spikes later and in
    the end out of the window.

    Parameters
    ----------
    t_max : float
        End of the window; a spike there costs nothing.
    strength : float
        Factor :math:`\lambda`.

    Raises
    ------
    ValueError
        If a constant is outside its range, or times are NaN or negative.

    Notes
    -----
    *Shapes.* Spike times ``[B, ...]`` to a scalar.

    *Silent neurons* cost nothing and get no gradient.

    References
    ----------
    .. [1] Y. Sakemi, K. Yamamoto, T. Hosomi, K. Aihara, "Sparse-firing regularization methods for
       spiking neural networks with time-to-first-spike coding", Scientific Reports 13, 2023,
       arXiv:2307.13007: penalties on spike times alone, for single spikes.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.SpikeTimeSparsity(4.0, strength=2.0)(torch.tensor([[3.0, float("inf")]])).item()
    0.5
    """

    def __init__(self, t_max: float, *, strength: float) -> None:
        super().__init__()
        self.t_max = _checks.positive("SpikeTimeSparsity", "t_max", t_max)
        self.strength = _checks.non_negative("SpikeTimeSparsity", "strength", strength)

    def extra_repr(self) -> str:
        return f"t_max={self.t_max:g}, strength={self.strength:g}"

    def forward(self, times: Tensor) -> Tensor:
        """Cost of the spike times ``[B, ...]``."""
        _checks.spike_times("SpikeTimeSparsity", times)
        inside = times[times < self.t_max]
        return self.strength * (1 - inside / self.t_max).sum() / max(1, len(times))


class _Count(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor) -> Tensor:
        fired = torch.isfinite(times)
        ctx.save_for_backward(fired)
        return fired.sum(2).to(times.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (fired,) = ctx.saved_tensors
        pull = -grad.unsqueeze(2) * fired
        pull[..., 0] -= (grad * ~fired[..., 0]).clamp(max=0)  # silent: only towards a spike
        return pull


class SpikeCountSurrogate(nn.Module):
    r"""Squared distance of spike counts to target counts, with a made-up gradient.

    .. math:: L = \frac{1}{2B} \sum_{b, j} (n_{bj} - N_{bj})^2

    A count has no derivative. This heuristic writes :math:`N - n` as gradient on the time of
    *every* spike of the neuron: too few spikes pull all of them forward, too many push them back.

    Parameters
    ----------
    label_count, other_count : float
        Wanted spikes N of the label and of the other outputs.

    Raises
    ------
    ValueError
        If a count is negative, or times or targets have another shape.

    Notes
    -----
    *Shapes.* Output spike times ``[B, C, K]`` and class indices ``[B]`` to a scalar.

    *Silent neurons* that shall fire get the gradient on their first time, which
    :class:`ExactLIF` passes to their largest potential.

    References
    ----------
    .. [1] F. Bacho, D. Chu, "Exploring trade-offs in spiking neural networks", Neural
       Computation 35, 2023, arXiv:2212.09500: the error of the count on every spike.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> loss = stp.SpikeCountSurrogate(label_count=3.0, other_count=1.0)
    >>> times = torch.tensor([[[0.3, 0.7], [0.5, float("inf")]]])
    >>> loss(times, torch.tensor([0])).item()
    0.5
    """

    def __init__(self, *, label_count: float, other_count: float) -> None:
        super().__init__()
        owner = "SpikeCountSurrogate"
        self.label_count = _checks.non_negative(owner, "label_count", label_count)
        self.other_count = _checks.non_negative(owner, "other_count", other_count)

    def extra_repr(self) -> str:
        return f"label_count={self.label_count:g}, other_count={self.other_count:g}"

    def forward(self, times: Tensor, targets: Tensor) -> Tensor:
        """Loss of output spike times ``[B, C, K]``."""
        owner = "SpikeCountSurrogate"
        _checks.spike_times(owner, times)
        if times.dim() != 3:
            raise ValueError(f"{owner}: times must have shape [B, C, K], got {list(times.shape)}.")
        targets = _checks.targets(owner, targets, *times.shape[:2])
        count = _Count.apply(times)
        wanted = torch.full_like(count, self.other_count)
        wanted.scatter_(1, targets.unsqueeze(1), self.label_count)
        return 0.5 * (count - wanted).square().sum() / max(1, len(times))

    def predict(self, times: Tensor) -> Tensor:
        """Class with the most spikes, int64 ``[B]``; of several the first."""
        return torch.isfinite(times).sum(2).argmax(1)
