"""Decision of a network while its input spikes come in, one event at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .early import INF, Decision, timed_stack
from .synapses.base import event_weights


class DecisionStream:
    """Follow one sample event by event, until its first output spike.

    Give every input spike to :meth:`push` as it comes. Spikes of one time act together, so the
    decision of a time falls when a later spike arrives, or with :meth:`settle` or :meth:`finish`.
    The result is that of :func:`first_spike_decision`.

    Parameters
    ----------
    model : Timed or nn.Sequential of Timed
        As for :func:`first_spike_decision`, without bias and late drive.

    Raises
    ------
    TypeError, ValueError
        For a model of another kind, times that go backwards, inputs that do not exist.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.Timed(torch.nn.Linear(2, 2, bias=False), stp.SingleSpikeIF(threshold=1.5))
    >>> _ = layer.synapse.weight.data.copy_(torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
    >>> stream = stp.DecisionStream(layer)
    >>> stream.push(3.0, 0)     # both spikes of one time may still be on their way
    >>> stream.push(7.0, 1).label.item()
    1
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = timed_stack("DecisionStream", model)
        for k, layer in enumerate(self.layers):
            neuron = layer.neuron
            if layer.synapse.bias is not None or getattr(neuron, "late_drive", None) is not None:
                raise ValueError(
                    f"DecisionStream: layer {k} has a bias or a late drive, a current without "
                    "events; use first_spike_decision."
                )
        self.reset()

    def reset(self) -> None:
        """Begin a new sample, with the weights as they are now."""
        with torch.no_grad():
            weights = [event_weights(layer.synapse)[0] for layer in self.layers]
        self._rows = [weight.detach().t().contiguous() for weight in weights]  # [I, O] each
        self._v = [rows.new_zeros(rows.shape[1]) for rows in self._rows]
        self._fired = [torch.zeros_like(v, dtype=torch.bool) for v in self._v]
        self._waiting: list[deque[tuple[float, list[int]]]] = [deque() for _ in self.layers]
        self._spikes = [0] * len(self.layers)
        self._now = 0.0
        self.decision: Decision | None = None

    def push(self, time: float, inputs: int | Sequence[int]) -> Decision | None:
        """Give the input spikes of one time; returns the decision once it has fallen."""
        time = float(time)
        inputs = [inputs] if isinstance(inputs, int) else [int(i) for i in inputs]
        if not self._now <= time < INF:
            raise ValueError(
                f"DecisionStream: times must be finite and not go backwards, got {time:g} after "
                f"{self._now:g}."
            )
        size = len(self._rows[0])
        if any(not 0 <= i < size for i in inputs):
            raise ValueError(f"DecisionStream: inputs must lie in 0 ... {size - 1}, got {inputs}.")
        self.settle(time)
        self._now = time
        if self.decision is None and time < self._limit(0):
            self._arrive(0, time, inputs)
        return self.decision

    def settle(self, time: float) -> Decision | None:
        """Let everything before ``time`` act, because no more input spikes will come before it."""
        while self.decision is None:
            heads = [queue[0][0] for queue in self._waiting if queue]
            if not heads or min(heads) >= time:
                break
            self._step(min(heads))
        return self.decision

    def finish(self) -> Decision:
        """No more input: the decision, by the potential if no output fired."""
        if self.settle(INF) is None:
            self.decision = self._decide(INF, torch.ones_like(self._fired[-1]))
        assert self.decision is not None
        return self.decision

    def _limit(self, k: int) -> float:
        t_max = self.layers[k].t_max
        return INF if t_max is None else t_max

    def _arrive(self, k: int, time: float, neurons: list[int]) -> None:
        queue = self._waiting[k]
        if queue and queue[-1][0] == time:
            queue[-1][1].extend(neurons)
        else:
            queue.append((time, list(neurons)))

    def _step(self, now: float) -> None:
        """Let all spikes of one time act, layer after layer."""
        for k, layer in enumerate(self.layers):
            if not self._waiting[k] or self._waiting[k][0][0] != now:
                continue
            _, neurons = self._waiting[k].popleft()
            self._spikes[k] += len(neurons)
            total = self._v[k].clone()
            for i in neurons:
                total += self._rows[k][i]
            self._v[k] = torch.where(self._fired[k], self._v[k], total)
            neuron: Any = layer.neuron
            fires = ~self._fired[k] & (self._v[k] > neuron.threshold)
            self._fired[k] |= fires
            spike = now + neuron.delay
            if spike >= self._limit(k) or not fires.any():
                continue
            if k + 1 == len(self.layers):
                self.decision = self._decide(spike, fires)
            elif spike < self._limit(k + 1):
                self._arrive(k + 1, spike, fires.nonzero().flatten().tolist())

    def _decide(self, time: float, candidates: Tensor) -> Decision:
        v = self._v[-1].masked_fill(~candidates, -INF)
        spikes = torch.tensor([self._spikes])
        fan_out = torch.tensor([rows.shape[1] for rows in self._rows])
        return Decision(
            v.argmax(0, keepdim=True), v.new_tensor([time]), spikes, (spikes * fan_out).sum(1)
        )
