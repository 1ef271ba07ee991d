"""Neurons that break one rule each; the class says which check has to see it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_temporal_plugins import ClockedNeuron, SingleSpikeIF
from snn_temporal_plugins.nir import nodes


class Fire(torch.autograd.Function):
    @staticmethod
    def forward(distance: Tensor) -> Tensor:
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grad / (1 + 3 * distance.abs()) ** 2


class Good(ClockedNeuron):
    """A leaky unit that keeps every rule; the others change one thing in it."""

    class State(NamedTuple):
        v: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.tensor(0.8))

    def initial_state(self, current):
        return self.State(torch.zeros_like(current))

    def step(self, current, state):
        v = self.decay.to(current.dtype) * state[0] + current
        spike = Fire.apply(v - 0.7)
        return spike, self.State(v.masked_fill(spike > 0, 0.0))


class WrongType(Good):
    breaks = "check_shapes_and_types"

    def step(self, current, state):
        out, state = super().step(current, state)
        return out.float(), state


class FlatOutput(Good):
    breaks = "check_shapes_and_types"

    def step(self, current, state):
        out, state = super().step(current, state)
        return out.flatten(1), state


class SingleOnly(Good):
    breaks = "check_half_precision"

    def step(self, current, state):
        out, state = super().step(
            current.to(torch.promote_types(current.dtype, torch.float32)), state
        )
        return out, state


class PlainTuple(Good):
    breaks = "check_state_is_a_named_tuple"

    def step(self, current, state):
        out, state = super().step(current, state)
        return out, tuple(state)


class NumberInState(Good):
    breaks = "check_state_is_a_named_tuple"

    class State(NamedTuple):
        v: Tensor
        steps: int = 0


class HiddenState(Good):
    """Counts spikes in a buffer and tires, as the returned state does not tell."""

    breaks = "check_state_is_complete"

    def step(self, current, state):
        fresh = not state[0].any()
        self.tired = torch.zeros_like(current) if fresh else self.tired
        out, state = super().step(current - self.tired, state)
        self.tired = self.tired + 0.4 * out.detach()
        return out, state


class Remembers(Good):
    breaks = "check_same_arguments_same_answer"
    calls = 0

    def step(self, current, state):
        self.calls += 1
        return super().step(current * (1 + 0.1 * self.calls), state)


class OtherSequence(Good):
    breaks = "check_steps_equal_sequence"

    def forward(self, current, state=None):
        return super().forward(current * 1.3, state)


class Noisy(Good):
    breaks = "check_train_equals_eval"

    def step(self, current, state):
        return super().step(current * (1.4 if self.training else 1.0), state)


class Inhibited(Good):
    breaks = "check_batch_rows_are_independent"

    def step(self, current, state):
        return super().step(current - current.mean(0), state)


class InPlace(Good):
    breaks = "check_arguments_are_not_changed"

    def step(self, current, state):
        out, after = super().step(current, state)
        with torch.no_grad():
            state[0].add_(0.3)
        return out, after


class OverBudget(Good):
    breaks = "check_spike_budget"
    max_spikes = 1


class Overflows(Good):
    breaks = "check_outputs_are_finite"

    def step(self, current, state):
        out, state = super().step(current, state)
        return out * (1 + 0 * current.detach() ** 2), state


class SteepGradient(Good):
    breaks = "check_gradients_are_finite"

    def step(self, current, state):
        return super().step(current + (current.abs().sqrt() - current.abs().sqrt().detach()), state)


class Detached(Good):
    breaks = "check_gradient_where_firing"

    def step(self, current, state):
        out, state = super().step(current, state)
        return out.detach() + 0 * current, state


class DeadUnit(Good):
    breaks = "check_gradient_where_silent"

    def step(self, current, state):
        out, state = super().step(current, state)
        return out * out.detach(), state


class DecayedMark(Good):
    """Marks a spike by -inf and multiplies it by a learned decay: 0 * inf in the backward pass."""

    breaks = "check_learned_constants_after_a_spike"

    def step(self, current, state):
        v = (self.decay.to(current.dtype) * state[0]).nan_to_num(neginf=-99.0) + current
        spike = Fire.apply(v - 0.7)
        return spike, self.State(v.masked_fill(spike > 0, float("-inf")))


class StateInCheckpoint(Good):
    breaks = "check_state_dict_round_trip"

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def step(self, current, state):
        self.count = self.count + 1
        return super().step(current, state)


class LostParameter(Good):
    breaks = "check_state_dict_round_trip"

    def state_dict(self, *args, **options):
        return {}

    def load_state_dict(self, state_dict, strict=True):
        return None


class Unpicklable(Good):
    breaks = "check_copies"

    def __init__(self):
        super().__init__()
        self.slope = lambda x: x


class HoldsGraph(Good):
    breaks = "check_copies"

    def step(self, current, state):
        out, state = super().step(current, state)
        self.last = out
        return out, state


class ReadsValues(Good):
    breaks = "check_compiles"

    def step(self, current, state):
        if current.sum().item() > 1e9:
            raise ValueError("too much")
        return super().step(current, state)


class ChoosesByValue(Good):
    breaks = "check_exports"

    def step(self, current, state):
        return super().step(current * (2.0 if bool((current > 1e9).any()) else 1.0), state)


class FiveStates(Good):
    breaks = "check_snntorch_states"

    class State(NamedTuple):
        v: Tensor
        b: Tensor
        c: Tensor
        d: Tensor
        e: Tensor

    def initial_state(self, current):
        return self.State(*[torch.zeros_like(current)] * 5)

    def step(self, current, state):
        out, (v,) = Good.step(self, current, _One(state[0]))
        return out, self.State(v, *state[1:])

    def _single(self):
        return Good.State


class _One(NamedTuple):
    v: Tensor


class HoldsItself(Good):
    """Keeps every instance in a list, so that none is ever freed."""

    breaks = "check_snntorch_frees_neurons"
    everyone: list = []  # noqa: RUF012

    def step(self, current, state):
        self.everyone.append(self)
        return super().step(current, state)


class RefusesCheckpoint(Good):
    breaks = "check_snntorch_checkpoint"

    def state_dict(self, *args, **options):
        raise RuntimeError("no checkpoints, please")


class RestsElsewhere(Good):
    """Rests at a value drawn anew each time, so a reset is no reset."""

    breaks = "check_snntorch_reset"
    rests = 0.0

    def initial_state(self, current):
        type(self).rests += 0.05
        return self.State(torch.full_like(current, type(self).rests))


class NoGradientFromSwap(Good):
    breaks = "check_snntorch_swap"

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.0))

    def step(self, current, state):
        out, state = super().step(current, state)
        return out + self.gain.sqrt() * 0.5, state


class OwnSequenceState(Good):
    """Recorded and last states of a sequence are not those of its steps."""

    breaks = "check_norse_cell_and_sequence"

    def forward(self, current, state=None):
        out, state = super().forward(current, state)
        return out, self.State(state.v + 0.3)


class CountsCopies(Good):
    """Works alone, but not through containers that call it from a second state on."""

    breaks = "check_norse_containers"

    def step(self, current, state):
        if type(state) is not self.State and isinstance(state, self.State):
            current = current + 0.8  # a state that passed through the host
        return super().step(current, state)


class NoNorseGradient(NoGradientFromSwap):
    breaks = "check_norse_swap"


class OtherShapeInNIR(Good):
    breaks = "check_nir"


@nodes.register
def _(module: OtherShapeInNIR, shape, dt):
    import nir
    import numpy as np

    return [nir.I(r=np.ones(shape[0] + 1))]


class FiresAlone(SingleSpikeIF):
    breaks = "check_timed_silence"

    def spike_times(self, times, weight, **options):
        out, potential = super().spike_times(times, weight, **options)
        return out.masked_fill(times.isinf().all(1, keepdim=True), 2.0), potential


class TooEarly(SingleSpikeIF):
    breaks = "check_timed_spikes"

    def spike_times(self, times, weight, **options):
        out, potential = super().spike_times(times, weight, **options)
        return (out - 9).clamp(min=0), potential


class NoTimedGradient(SingleSpikeIF):
    breaks = "check_timed_gradients"

    def spike_times(self, times, weight, **options):
        out, potential = super().spike_times(times, weight * 0 + weight.detach(), **options)
        return out, potential


class TwoForms(SingleSpikeIF):
    breaks = "check_timed_equals_clocked"

    def forward(self, current, state=None):
        return super().forward(current * 0.5, state)


BROKEN = [c for c in vars().copy().values() if isinstance(c, type) and hasattr(c, "breaks")]
