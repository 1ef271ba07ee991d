"""Losses on whole output trains: their distance to a target train, or their spike counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from .. import _checks
from ..psc import psc_filter


class SpikeTrainLoss(nn.Module, ABC):
    """Loss on output trains ``[T, B, C]``; subclasses write ``per_sample``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples of the batch.

    Raises
    ------
    ValueError, TypeError
        If ``reduction`` is unknown; in the call, if outputs or targets have another shape or type.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        owner = type(self).__name__
        self.__name__ = owner  # snnTorch's training loops read it
        self.reduction = _checks.choice(owner, "reduction", reduction, ("mean", "sum", "none"))

    @abstractmethod
    def per_sample(self, out: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample ``[B]`` from checked arguments."""

    def readout(self, out: Tensor) -> Tensor:
        """What the decision sums over time."""
        return out

    def forward(self, out: Tensor, targets: Tensor) -> Tensor:
        """Loss of outputs ``[T, B, C]`` (see ``targets`` of the class)."""
        owner = type(self).__name__
        _checks.outputs(owner, out)
        loss = self.per_sample(out, self._targets(out, targets))
        if self.reduction == "none":
            return loss
        return loss.sum() if self.reduction == "sum" else loss.mean()

    def _targets(self, out: Tensor, targets: Tensor) -> Tensor:
        return _checks.targets(type(self).__name__, targets, *out.shape[1:])

    def predict(self, out: Tensor, *, potential: Tensor | None = None) -> Tensor:
        """Class with the largest sum over time, int64 ``[B]``; -1 where nothing decides.

        Ties go to the larger ``potential [B, C]`` (of the last step) where it is given, then to
        the lowest index; where all outputs are silent the potential decides alone. Earlier spikes
        count more in PSCs: more of their effect lies inside the window. With few steps ties are
        common.
        """
        _checks.outputs(type(self).__name__, out)
        total = self.readout(out).sum(0)  # [B, C]
        if potential is None:
            return total.argmax(1).masked_fill(~total.any(1), -1)
        if potential.shape != total.shape:
            raise ValueError(
                f"{type(self).__name__}: potential must have shape {list(total.shape)}, "
                f"got {list(potential.shape)}."
            )
        first = total == total.max(1, keepdim=True).values
        return potential.masked_fill(~first, float("-inf")).argmax(1)


def _filtered(train: Tensor, tau_syn: float, times: int) -> Tensor:
    """Train that has passed the synaptic filter so often."""
    for _ in range(times):
        train = psc_filter(train, tau_syn)
    return train


def _pattern_psc(
    pattern: tuple[int, ...],
    tau_syn: float,
    times: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """PSC ``[T]`` of a target pattern."""
    return _filtered(torch.tensor(pattern, dtype=dtype, device=device), tau_syn, times)


_kept_pattern_psc = lru_cache(16)(_pattern_psc)


class SpikeTrainDistance(SpikeTrainLoss):
    r"""Distance between the PSCs of output and target trains (van Rossum).

    .. math:: L = \tfrac12 \sum_{j} \sum_{t} (a_j[t] - d_j[t])^2

    where :math:`d` is the target train, filtered like a spike train of the outputs.

    Parameters
    ----------
    tau_syn : float
        Synaptic time constant of the filter, in steps; that of the neurons.
    input : {"psc", "spikes"}, default="psc"
        What the outputs are. Spikes are filtered first.
    filter_target : {0, 1, 2}, default=1
        How often the target is filtered. 1 lets a spike train reach a loss of zero. 2 is what the
        authors' program does at its last public state; 0 takes the target as a PSC.
    pattern : sequence of 0 and 1, optional
        Target train of the true class, repeated to the length of the window; the other classes
        shall stay silent. By default ``(0, 1, 1, 1, 1)`` for five steps and ``(0, 1)`` else, as in
        the authors' program; in the paper it is ``(0, 1, 0, 1, 1)``. Step 0 is left free: the
        membrane needs a step to charge.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples. The authors take the sum and clip the norm of the gradient to 1.

    Raises
    ------
    ValueError
        If a constant is outside its range, or shapes do not fit.

    Notes
    -----
    *Targets* are class indices ``[B]``, or target trains ``[T, B, C]``.

    *Silent neurons* cost the energy of their target PSC and get the full gradient
    :math:`a - d = -d` on each step's PSC.

    References
    ----------
    .. [1] W. Zhang, P. Li, "Temporal spike sequence learning via backpropagation for deep spiking
       neural networks", NeurIPS 2020, arXiv:2002.10085.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> loss = stp.SpikeTrainDistance(3.0, input="spikes")
    >>> train = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0]).view(5, 1, 1)
    >>> outputs = torch.cat([torch.zeros_like(train), train], 2)  # the second class fires
    >>> loss(outputs, torch.tensor([1])).item()
    0.0
    """

    def __init__(
        self,
        tau_syn: float,
        *,
        input: str = "psc",
        filter_target: int = 1,
        pattern: Sequence[int] | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        owner = "SpikeTrainDistance"
        self.tau_syn = _checks.at_least(owner, "tau_syn", tau_syn, 1)
        self.input = _checks.choice(owner, "input", input, ("psc", "spikes"))
        self.filter_target = _checks.choice(owner, "filter_target", filter_target, (0, 1, 2))
        if pattern is not None:
            pattern = tuple(pattern)
            if not pattern or set(pattern) - {0, 1}:
                raise ValueError(f"{owner}: pattern must hold 0 and 1, got {pattern!r}.")
        self.pattern = pattern

    def extra_repr(self) -> str:
        return (
            f"tau_syn={self.tau_syn:g}, input={self.input!r}, filter_target={self.filter_target}, "
            f"pattern={self.pattern}, reduction={self.reduction!r}"
        )

    def readout(self, out: Tensor) -> Tensor:
        return psc_filter(out, self.tau_syn) if self.input == "spikes" else out

    def target_psc(self, num_steps: int, like: Tensor) -> Tensor:
        """PSC ``[T]`` that the true class shall have."""
        default = (0, 1, 1, 1, 1) if num_steps == 5 else (0, 1)
        pattern = default if self.pattern is None else self.pattern
        train = tuple(pattern[t % len(pattern)] for t in range(num_steps))
        psc = _pattern_psc if torch.compiler.is_compiling() else _kept_pattern_psc
        return psc(train, self.tau_syn, self.filter_target, like.dtype, like.device)

    def _targets(self, out: Tensor, targets: Tensor) -> Tensor:
        if isinstance(targets, Tensor) and targets.dim() == 3:
            return _checks.target_trains("SpikeTrainDistance", targets, out)
        return super()._targets(out, targets)

    def per_sample(self, out: Tensor, targets: Tensor) -> Tensor:
        if targets.dim() == 3:
            wanted = _filtered(targets, self.tau_syn, self.filter_target)
        else:
            label = torch.nn.functional.one_hot(targets, out.shape[2]).to(out.dtype)
            wanted = self.target_psc(len(out), out).view(-1, 1, 1) * label
        return 0.5 * (self.readout(out) - wanted).square().sum((0, 2))

    def from_spikes(self, spikes: Tensor, targets: Tensor) -> Tensor:
        """Loss of an output train ``[T, B, C]`` of zeros and ones, whatever ``input`` says."""
        _checks.spikes("SpikeTrainDistance", spikes)
        return self(psc_filter(spikes, self.tau_syn) if self.input == "psc" else spikes, targets)


class SpikeCountHinge(SpikeTrainLoss):
    r"""One-sided squared distance of spike counts to a wanted count.

    .. math::
        \delta_j = \frac{n_j - n^*_j}{T}, \qquad L = \tfrac12 \sum_j \sum_t \delta_j^2

    with the sum over time :math:`n_j`, the wanted count :math:`n^*` (``desired`` for the true
    class, ``undesired`` for the others), and :math:`\delta_j = 0` where the true class reaches
    its count or another class does not exceed its own.

    Parameters
    ----------
    desired : float, default=15
        Count from which on the true class costs nothing.
    undesired : float, default=3
        Count up to which another class costs nothing.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples. The authors take the sum.

    Raises
    ------
    ValueError
        Unless ``0 <= undesired < desired``.

    Notes
    -----
    *Outputs* ``[T, B, C]`` are PSCs, whose kernel sums to 1, or spikes. The gradient on every
    step's output is :math:`\delta_j`.

    *Silent neurons*: a silent true class costs ``desired^2 / (2 T)`` and is pulled in every step,
    another silent class costs nothing.

    References
    ----------
    .. [1] W. Zhang, P. Li, "Temporal spike sequence learning via backpropagation for deep spiking
       neural networks", NeurIPS 2020, arXiv:2002.10085; the loss of the authors' program for
       N-MNIST.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> loss = stp.SpikeCountHinge(desired=3, undesired=1)
    >>> counts = torch.tensor([[4.0, 1.0]]).expand(1, 1, 2)
    >>> loss(counts, torch.tensor([0])).item()
    0.0
    """

    def __init__(
        self, desired: float = 15.0, undesired: float = 3.0, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        owner = "SpikeCountHinge"
        self.desired = _checks.positive(owner, "desired", desired)
        self.undesired = _checks.non_negative(owner, "undesired", undesired)
        if not self.undesired < self.desired:
            raise ValueError(
                f"{owner}: undesired must be below desired, got undesired={undesired!r}, "
                f"desired={desired!r}."
            )

    def extra_repr(self) -> str:
        return (
            f"desired={self.desired:g}, undesired={self.undesired:g}, reduction={self.reduction!r}"
        )

    def per_sample(self, out: Tensor, targets: Tensor) -> Tensor:
        count = out.sum(0)  # [B, C]
        is_label = torch.nn.functional.one_hot(targets, count.shape[1]).bool()
        missing = (self.desired - count).clamp(min=0)
        surplus = (count - self.undesired).clamp(min=0)
        delta = torch.where(is_label, missing, surplus) / len(out)
        return 0.5 * len(out) * delta.square().sum(1)

    def from_spikes(self, spikes: Tensor, targets: Tensor) -> Tensor:
        """Loss of an output train ``[T, B, C]`` of zeros and ones."""
        return self(_checks.spikes("SpikeCountHinge", spikes), targets)
