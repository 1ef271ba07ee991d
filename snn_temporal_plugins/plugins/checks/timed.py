"""Checks of a neuron that maps spike times to spike times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...codes import first_spike_times, spike_train
from ...neurons.base import ClockedNeuron
from ...timed import SilentLayerWarning, Timed
from .subject import Skip, Subject, finite, same

STEPS, INPUTS, OUTPUTS, BATCH = 16, 9, 5, 4


def _times(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    times = torch.randint(0, STEPS + 4, (BATCH, INPUTS), generator=generator).to(dtype)
    return times.masked_fill(times >= STEPS, float("inf"))


def _first(times: Tensor) -> Tensor:
    return times[..., 0] if times.dim() == 3 else times


def _weights() -> Tensor:
    generator = torch.Generator().manual_seed(8)
    return torch.randn(OUTPUTS, INPUTS, generator=generator, dtype=torch.float64) + 0.4


def _layer(subject: Subject) -> Any:
    """Timed layer at a scale of weights at which a third of the units fires."""
    synapse = nn.Linear(INPUTS, OUTPUTS, bias=False, dtype=torch.float64)
    layer = Timed(synapse, subject.fresh(), t_max=STEPS, backend="torch")
    for k in range(-6, 24):
        with torch.no_grad():
            synapse.weight.copy_(_weights() * 2.0**k)
            fired = torch.isfinite(_first(_quietly(layer, _times()))).double().mean()
        if fired > 0.34:
            return layer
    raise AssertionError("the neuron does not fire for weights up to 8 million")


def _quietly(layer: Any, times: Tensor) -> Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SilentLayerWarning)
        return layer(times)


def check_timed_silence(subject: Subject) -> None:
    """Without any input spike no unit fires (``inf``), and every gradient is finite."""
    layer = _layer(subject)
    times = torch.full((BATCH, INPUTS), float("inf"), dtype=torch.float64, requires_grad=True)
    out = _quietly(layer, times)
    assert torch.isinf(out).all(), "a unit fires without input"
    if out.requires_grad:
        out.backward(torch.full_like(out, 0.3))
    finite(times.grad, "gradient on the times of silent inputs")
    finite(layer.synapse.weight.grad, "gradient on the weights of silent inputs")


def check_timed_spikes(subject: Subject) -> None:
    """Spikes are causal (not before the first input), ascending and within the window."""
    layer, times = _layer(subject), _times()
    out = _quietly(layer, times)
    fired = torch.isfinite(out)
    earliest = times.min(1).values.view(-1, *[1] * (out.dim() - 1)).expand_as(out)
    assert (out >= earliest)[fired].all(), "a unit fires before its first input"
    assert (out < STEPS)[fired].all(), "a unit fires after the window"
    if out.dim() == 3:
        later, before = out[..., 1:], out[..., :-1]
        assert ((later > before) | torch.isinf(later)).all(), "spike times do not ascend"


def check_timed_gradients(subject: Subject) -> None:
    """Gradients of spike times are finite, and some are not zero."""
    layer, times = _layer(subject), _times().requires_grad_()
    out = _quietly(layer, times)
    error = torch.linspace(0.3, 1.7, out.numel(), dtype=out.dtype).view_as(out)
    out.backward(error.masked_fill(torch.isinf(out.detach()), 0.0))
    finite(times.grad, "gradient on the input times")
    weight = layer.synapse.weight
    finite(weight.grad, "gradient on the weights")
    assert weight.grad is not None and weight.grad.any(), "all gradients are zero"


def check_timed_equals_clocked(subject: Subject) -> None:
    """Both forms of a neuron compute the same first spikes, on inputs at whole steps."""
    neuron = subject.fresh()
    if not isinstance(neuron, ClockedNeuron):
        raise Skip("the neuron has no clocked form")
    layer, times = _layer(subject), _times()
    got = _first(_quietly(layer, times))
    if not torch.equal(got[torch.isfinite(got)], got[torch.isfinite(got)].floor()):
        raise Skip("spike times are continuous; the clocked form has a grid")
    want = first_spike_times(neuron(layer.synapse(spike_train(times, STEPS)))[0])
    same(got, want, "first spikes of the timed form against the clocked one")
