"""Spike times and spike trains, and the way between them.

Here, and nowhere else, it is decided that a neuron which never fires has spike time ``inf``, and
how a gradient passes between a time and the train it was read from: the gradient on a spike's
entry in the train equals *minus* the gradient on its time (an entry that grows pulls the spike
forward). This is the convention of S4NN, not a derivative.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _checks


class _FirstSpikeTimes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, potential: Tensor | None) -> Tensor:
        fired = spikes != 0
        first = fired.to(torch.uint8).argmax(0)  # of equal entries argmax takes the first
        silent = ~fired.any(0)
        dtype = spikes.dtype if spikes.dtype.is_floating_point else torch.float32
        dtype = dtype if dtype == torch.float64 else torch.float32
        times = first.to(dtype).masked_fill(silent, float("inf"))
        ctx.save_for_backward(first, silent)
        ctx.train = spikes.shape, spikes.dtype
        ctx.potential = None if potential is None else potential.dtype
        return times

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        first, silent = ctx.saved_tensors
        shape, dtype = ctx.train
        grad_spikes = grad.new_zeros(shape)
        grad_spikes.scatter_(0, first.unsqueeze(0), -grad.masked_fill(silent, 0.0).unsqueeze(0))
        grad_potential = None
        if ctx.potential is not None:
            grad_potential = grad.new_zeros(shape, dtype=ctx.potential)
            grad_potential[-1] = -grad.masked_fill(~silent, 0.0)
        return grad_spikes.to(dtype), grad_potential


def first_spike_times(spikes: Tensor, potential: Tensor | None = None) -> Tensor:
    r"""Time of each neuron's first spike in a train.

    .. math:: t_j = \min \{\, t : S_j(t) = 1 \,\}, \qquad \min \emptyset = \infty

    Parameters
    ----------
    spikes : Tensor of shape [T, B, ...]
        Spike train of zeros and ones, time first.
    potential : Tensor of shape [T, B, ...], optional
        Recorded membrane potential. It only carries gradient: a silent neuron passes the gradient
        on its time to its potential at the last step.

    Returns
    -------
    Tensor of shape [B, ...]
        Spike times in steps, ``inf`` for a neuron that never fired; float64 for a float64 train,
        else float32.

    Raises
    ------
    ValueError
        If the train holds anything but 0 and 1, or the shapes differ.

    Notes
    -----
    The gradient on a spike's entry in the train is minus the gradient on its time [1]_.
    A silent neuron passes nothing to the train.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", arXiv:1910.09495, section 2.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> train = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]]).unsqueeze(1)
    >>> stp.first_spike_times(train)
    tensor([[1., inf, 2.]])
    """
    _checks.spikes("first_spike_times", spikes)
    if potential is not None and potential.shape != spikes.shape:
        raise ValueError(
            "first_spike_times: potential must have the shape of spikes, "
            f"{list(spikes.shape)}, got {list(potential.shape)}."
        )
    return _FirstSpikeTimes.apply(spikes, potential)


class _SpikeTrain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, num_steps: int) -> Tensor:
        inside = times < num_steps
        step = times.where(inside, torch.zeros_like(times)).long()
        train = times.new_zeros(num_steps, *times.shape)
        train.scatter_(0, step.unsqueeze(0), inside.to(times.dtype).unsqueeze(0))
        ctx.save_for_backward(step, inside)
        return train

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        step, inside = ctx.saved_tensors
        return -grad.gather(0, step.unsqueeze(0)).squeeze(0).where(inside, grad.new_zeros(())), None


def spike_train(times: Tensor, num_steps: int) -> Tensor:
    """Spike train with one spike per neuron, the inverse of :func:`first_spike_times`.

    Parameters
    ----------
    times : Tensor of shape [B, ...]
        Spike times in steps. A fractional time falls into the step it lies in (its floor).
    num_steps : int
        Number of steps T of the train.

    Returns
    -------
    Tensor of shape [T, B, ...]
        Zeros and ones of the dtype of ``times``. A time of ``inf``, or not before ``num_steps``,
        leaves the neuron silent.

    Raises
    ------
    ValueError
        If times are NaN or negative, or ``num_steps`` is below 1.

    Notes
    -----
    The gradient on a time is minus the gradient on its entry in the train [1]_; silent neurons
    get 0.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", arXiv:1910.09495, section 2.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.spike_train(torch.tensor([[1.0, float("inf"), 2.0]]), 3).squeeze(1)
    tensor([[0., 0., 0.],
            [1., 0., 0.],
            [0., 0., 1.]])
    """
    _checks.integer("spike_train", "num_steps", num_steps, 1)
    _checks.spike_times("spike_train", times)
    return _SpikeTrain.apply(times, num_steps)


class _FiniteTimes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, t_max: float) -> Tensor:
        ctx.save_for_backward(times >= t_max)
        return times.clamp(max=t_max)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (silent,) = ctx.saved_tensors
        return grad.where(~silent, grad.clamp(min=0)), None


def finite_times(times: Tensor, t_max: float) -> Tensor:
    """Spike times for use in a loss: silent neurons stand at ``t_max``.

    The gradient passes unchanged, except that a silent neuron can only be asked to fire
    *earlier* (positive gradient on its time): it cannot be later than never.
    """
    return _FiniteTimes.apply(times, t_max)


def potential_at_spike(potential: Tensor, times: Tensor) -> Tensor:
    """Read a recorded potential ``[T, B, ...]`` at each neuron's spike, or at the last step.

    Single-spike neurons mark "has fired" by a potential of ``-inf``; with a transmission delay
    that mark already stands at the time of the spike, and the value before it is meant.
    """
    last = potential.shape[0] - 1
    step = times.detach().clamp(max=last).long().unsqueeze(0)
    value = potential.gather(0, step).squeeze(0)
    before = potential.gather(0, (step - 1).clamp(min=0)).squeeze(0)
    return torch.where(torch.isneginf(value), before, value)
