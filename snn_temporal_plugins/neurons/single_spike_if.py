"""Non-leaky integrate-and-fire neuron that fires at most once (S4NN), clocked and timed."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import _checks
from .base import ClockedNeuron, TimedNeuron

CHUNK = 32  # input spikes handled at once: keeps [B, CHUNK, O] inside the cache


class _Fire(torch.autograd.Function):
    """Step function whose pseudo-derivative is 1 at the spike and 0 elsewhere."""

    @staticmethod
    def forward(v: Tensor, threshold: float) -> Tensor:
        return (v > threshold).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (spike,) = ctx.saved_tensors
        return grad * spike, None


class SingleSpikeIFState(NamedTuple):
    """State of :class:`SingleSpikeIF`."""

    v: Tensor  #: membrane potential; ``-inf`` from the step after the spike


class SingleSpikeIF(ClockedNeuron, TimedNeuron):
    r"""Non-leaky integrate-and-fire neuron that fires at most once.

    .. math::
        V_j(t) = V_j(t-1) + I_j(t), \qquad
        t_j = \min \{\, t : V_j(t) > \theta \,\} + d

    with input current :math:`I_j(t) = \sum_i w_{ji} S_i(t) + b_j`, threshold :math:`\theta` and
    transmission delay :math:`d`. The neuron has a clocked form (this module) and an event-driven
    form (under :class:`~snn_temporal_plugins.Timed`); both give the same spikes and gradients.

    Parameters
    ----------
    threshold : float, default=1.0
        Firing threshold, in the unit of the weights. The comparison is strict.
    delay : {0, 1}, default=0
        Steps between the crossing of the threshold and the spike. 1 gives the numbers of the
        authors' program.

    Raises
    ------
    ValueError
        If ``threshold`` is not positive or ``delay`` is neither 0 nor 1.

    Notes
    -----
    *Shapes.* Clocked: current ``[T, B, ...]`` (or ``[B, ...]`` per :meth:`step`) to spikes of the
    same shape; the state is ``(v,)``. Timed: spike times ``[B, I]`` to ``[B, O]``.

    *After the spike* the potential is ``-inf``: no extra buffer, and the neuron stays silent.

    *Gradient.* The spike has pseudo-derivative 1 where it is fired and 0 elsewhere, which is the
    rule :math:`\partial t_j / \partial V_j = -1` of [1]_ (equation 10) in the convention of
    :func:`~snn_temporal_plugins.first_spike_times`. Every input of the causal set (spikes up to
    the crossing) gets it. It is *not* the derivative of the spike time.

    *Silent neurons* have time ``inf``. A silent hidden neuron gets no gradient. A silent output
    neuron gets the gradient on its time through its potential at the last step.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", Int. J. Neural Systems 30(6), 2020, arXiv:1910.09495.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> neuron = stp.SingleSpikeIF(threshold=1.5)
    >>> spikes, state = neuron(torch.ones(4, 1, 1))
    >>> spikes.flatten().tolist()
    [0.0, 1.0, 0.0, 0.0]
    """

    State = SingleSpikeIFState

    def __init__(self, threshold: float = 1.0, *, delay: int = 0) -> None:
        super().__init__()
        self.threshold = _checks.positive("SingleSpikeIF", "threshold", threshold)
        self.delay: int = _checks.choice("SingleSpikeIF", "delay", delay, (0, 1))

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:g}, delay={self.delay}"

    def initial_state(self, current: Tensor) -> SingleSpikeIFState:
        """Potential 0 everywhere, for currents shaped like ``current [B, ...]``."""
        return SingleSpikeIFState(torch.zeros_like(current))

    def step(
        self, current: Tensor, state: SingleSpikeIFState | tuple[Tensor]
    ) -> tuple[Tensor, SingleSpikeIFState]:
        """Advance one step: ``current [B, ...]`` and ``(v,)`` to spikes and ``(v,)``."""
        (v,) = state
        v_next = (v + current).masked_fill(v > self.threshold, float("-inf"))
        spike = _Fire.apply(v if self.delay else v_next, self.threshold)
        return spike, SingleSpikeIFState(v_next)

    def forward(
        self, current: Tensor, state: SingleSpikeIFState | tuple[Tensor] | None = None
    ) -> tuple[Tensor, SingleSpikeIFState]:
        """Run over time: ``current [T, B, ...]`` to spikes ``[T, B, ...]`` and the last state."""
        spikes, v = self.trace(current, state)
        return spikes, SingleSpikeIFState(v[-1])

    def trace(
        self, current: Tensor, state: SingleSpikeIFState | tuple[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and potentials, both ``[T, B, ...]``; one cumulative sum instead of a loop."""
        if current.dim() < 2 or not current.shape[0]:
            raise ValueError(
                "SingleSpikeIF: current must have shape [T, B, ...] with T >= 1, "
                f"got {list(current.shape)}."
            )
        (v0,) = self.initial_state(current[0]) if state is None else state
        start = v0.masked_fill(v0 > self.threshold, float("-inf"))
        v = torch.cat([start.unsqueeze(0), current]).cumsum(0)[1:]
        above = (v > self.threshold).cumsum(0) > 0
        fired = torch.cat([torch.zeros_like(above[:1]), above[:-1]])  # in an earlier step
        v = v.masked_fill(fired, float("-inf"))
        crossing = torch.cat([v0.unsqueeze(0), v[:-1]]) if self.delay else v
        return _Fire.apply(crossing, self.threshold), v

    def spike_times(
        self,
        times: Tensor,
        weight: Tensor,
        *,
        backward_weight: Tensor | None = None,
        bias: Tensor | None = None,
        t_max: int | None = None,
        beta: float = 0.0,
        backend: str = "torch",
    ) -> tuple[Tensor, Tensor]:
        """Spike times and potentials of a fully connected layer (see ``TimedNeuron``).

        Several spikes per input, ``[B, I, K]``, act like ``K`` inputs with one weight.
        """
        _checks.choice("SingleSpikeIF", "backend", backend, ("torch", *self.backends))
        backward_weight = weight if backward_weight is None else backward_weight
        if times.dim() == 3:
            spikes_per_input = times.shape[2]
            times = times.flatten(1)
            weight = weight.repeat_interleave(spikes_per_input, dim=1)
            backward_weight = backward_weight.repeat_interleave(spikes_per_input, dim=1)
        limit = float("inf") if t_max is None else float(t_max)
        return _SpikeTimes.apply(
            times, weight, backward_weight.detach(), bias, self.threshold, self.delay, limit, beta
        )


class _SpikeTimes(torch.autograd.Function):
    """Reference of the event-driven layer: sort, gather, chunked cumulative sum."""

    @staticmethod
    def forward(
        ctx: Any,
        times: Tensor,
        weight: Tensor,
        backward_weight: Tensor,
        bias: Tensor | None,
        threshold: float,
        delay: int,
        t_max: float,
        beta: float,
    ) -> tuple[Tensor, Tensor]:
        times = times.masked_fill(times >= t_max, float("inf"))
        crossing, potential = first_crossings(times, weight, bias, threshold, t_max)
        ctx.save_for_backward(times, weight, backward_weight, crossing)
        ctx.constants = bias is not None, t_max, beta
        out = crossing + delay
        return out.masked_fill(out >= t_max, float("inf")), potential

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_times: Tensor, grad_potential: Tensor) -> tuple[Any, ...]:
        times, weight, backward_weight, crossing = ctx.saved_tensors
        has_bias, t_max, beta = ctx.constants
        delta = grad_potential - grad_times  # dL/dV at the spike, or at the last step  # [B, O]
        last = min(t_max - 1, torch.finfo(times.dtype).max)
        until = crossing.clamp(max=last)  # the causal set: inputs at or before this time
        grad_in, grad_weight = torch.empty_like(times), torch.empty_like(weight)
        for start in range(0, times.shape[1], CHUNK):
            inputs = slice(start, start + CHUNK)
            causal = times[:, inputs, None] <= until[:, None, :]  # [B, CHUNK, O]
            passed = delta[:, None, :] * causal
            grad_weight[:, inputs] = passed.sum(0).T
            carried = backward_weight[:, inputs].T - beta * delta[:, None, :]
            grad_in[:, inputs] = -(passed * carried).sum(2)
        grad_bias = (delta * (until + 1)).sum(0) if has_bias else None
        return grad_in, grad_weight, None, grad_bias, None, None, None, None


def first_crossings(
    times: Tensor, weight: Tensor, bias: Tensor | None, threshold: float, t_max: float
) -> tuple[Tensor, Tensor]:
    """Times at which the potential first exceeds the threshold, and the potentials there.

    ``times [B, I]``, ``weight [O, I]``, ``bias [O]`` to crossings and potentials ``[B, O]``.
    A silent neuron has crossing ``inf`` and the potential of the last step.
    """
    if bias is not None:  # an input without weight at step 0 opens the ramp of the bias
        times = torch.cat([times.new_zeros(len(times), 1), times], 1)
        weight = torch.cat([weight.new_zeros(len(weight), 1), weight], 1)
    times, order = times.sort(dim=1, stable=True)
    following = torch.cat([times[:, 1:], times.new_full((len(times), 1), t_max)], 1)
    following = following.clamp(max=t_max)
    rows = weight.T.contiguous()  # [I, O]
    crossing = times.new_full((len(times), len(weight)), float("inf"))
    potential = torch.zeros_like(crossing)
    v = torch.zeros_like(crossing)
    for start in range(0, times.shape[1], CHUNK):
        ranks = slice(start, start + CHUNK)
        now, then = times[:, ranks, None], following[:, ranks, None]  # [B, CHUNK, 1]
        arrived = now < t_max
        if not arrived.any():
            break
        steps = (rows[order[:, ranks]] * arrived).cumsum(1) + v[:, None, :]  # [B, CHUNK, O]
        v = steps[:, -1]
        # inputs of one time act together: only the last of them is compared
        reached, at = _crossing_of_ramp(steps, now, then, bias, threshold)
        reached = reached & (now < then) & arrived
        first = reached.to(torch.uint8).argmax(1, keepdim=True)
        fresh = reached.any(1) & torch.isinf(crossing)
        crossing = torch.where(fresh, at.expand_as(steps).gather(1, first).squeeze(1), crossing)
        potential = torch.where(fresh, steps.gather(1, first).squeeze(1), potential)
    fired = torch.isfinite(crossing)
    potential = torch.where(fired, potential, v)
    if bias is not None:
        potential = potential + bias * torch.where(fired, crossing + 1, t_max)
    return crossing, potential


def _crossing_of_ramp(
    v: Tensor, now: Tensor, then: Tensor, bias: Tensor | None, threshold: float
) -> tuple[Tensor, Tensor]:
    """Whether and when ``v + bias * (t + 1)`` exceeds the threshold in ``now <= t < then``."""
    if bias is None:
        return v > threshold, now
    rising = bias > 0
    wait = ((threshold - v) / bias.where(rising, torch.ones_like(bias))).floor()
    at = torch.where(v + bias * (now + 1) > threshold, now, torch.maximum(wait, now + 1))
    at = torch.where(v + bias * (at + 1) > threshold, at, at + 1)  # floor may round down
    reached = (at == now) | (rising & (at < then))
    return reached & (v + bias * (at + 1) > threshold), at
