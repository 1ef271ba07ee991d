r"""
Write and publish your own neuron
=================================

.. rubric:: You will learn

- how a neuron is written: a state and a step,
- how ``check_neuron`` tests it by itself and in both hosts,
- how others find it by its name: ``register`` in a notebook, an entry point in a package.

A neuron is written once, in plain torch: what its state is, and what one step does. From that the
package makes it a neuron of snnTorch and of Norse. Here it is an *adaptive* unit, whose threshold
rises with each of its spikes:

.. math::
    v \leftarrow \alpha v + I, \qquad s = [v > \theta + b], \qquad
    v \leftarrow v\,(1 - s), \qquad b \leftarrow \rho\, b + \kappa\, s
"""

# %%
# Two methods
# -----------
# All state is in a ``NamedTuple``; the field ``v`` is what hosts show as the membrane potential.
# The gradient of a spike is the slope of a fast sigmoid. What is learned is a ``Parameter``, what
# is constant a plain attribute.

from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import snn_temporal_plugins as stp


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(distance):
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (distance,) = ctx.saved_tensors
        return grad / (1 + 5 * distance.abs()) ** 2


class AdaptiveState(NamedTuple):
    v: Tensor  # membrane potential
    b: Tensor  # how much the threshold is raised


class AdaptiveLIF(stp.ClockedNeuron):
    State = AdaptiveState

    def __init__(self, threshold=1.0, *, leak=0.9, recovery=0.85, rise=0.4):
        super().__init__()
        self.threshold, self.leak, self.recovery = threshold, leak, recovery
        self.rise = nn.Parameter(torch.tensor(rise))

    def extra_repr(self):
        return f"threshold={self.threshold:g}, leak={self.leak:g}, rise={self.rise.item():g}"

    def initial_state(self, current):
        return AdaptiveState(torch.zeros_like(current), torch.zeros_like(current))

    def step(self, current, state):
        v = self.leak * state.v + current
        spike = Spike.apply(v - self.threshold - state.b)
        rise = self.rise.to(current.dtype)
        return spike, AdaptiveState(v * (1 - spike), self.recovery * state.b + rise * spike)


# %%
# Register it
# -----------
# In a notebook :func:`~snn_temporal_plugins.register` makes it known; a package does that by an
# entry point (below).

stp.register(
    stp.NeuronSpec("adaptive_lif", AdaptiveLIF, summary="LIF unit with an adaptive threshold")
)

# %%
# Does it keep the contract?
# --------------------------
# :func:`~snn_temporal_plugins.check_neuron` checks it by itself and in the hosts that are
# installed: shapes, state, copies, gradients, compilation, resets, checkpoints.
# ``parametrize_with_checks`` makes pytest tests of the same.

results = stp.check_neuron("adaptive_lif", on_skip=None)
print(results)

# %%
# In snnTorch
# -----------
# Two states make it a ``snn.Synaptic``: ``spk, syn, mem``. As a neuron that holds its states it
# takes the place of any other.

import snntorch as snn

net = nn.Sequential(
    nn.Linear(20, 8), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(8, 3),
    snn.Leaky(beta=0.9, init_hidden=True),
)  # fmt: skip
print(stp.swap(net, {snn.Leaky: "adaptive_lif"}, rise=0.25))

# %%
# In Norse
# --------

AdaptiveCell = stp.get("neuron", "adaptive_lif", host="norse.cell")
out, state = AdaptiveCell(threshold=0.8)(torch.full((1, 2), 0.9))
print(out, state)

# %%
# What it does
# ------------
# Under a constant current the unit fires ever more slowly, as its threshold rises. The same picture
# without the rise is a plain leaky unit.

steps, current = 60, 0.45
figure, axes = plt.subplots(2, 1, figsize=(8, 4.6), sharex=True, layout="constrained")
counts = []
for ax, rise in zip(axes, (0.0, 0.4), strict=True):
    neuron = AdaptiveLIF(rise=rise)
    state = neuron.initial_state(torch.zeros(1, 1))
    v, b, spikes = [], [], []
    with torch.no_grad():
        for step in range(steps):
            out, state = neuron.step(torch.full((1, 1), current), state)
            v.append(state.v.item())
            b.append(neuron.threshold + state.b.item())
            if out.item():
                spikes.append(step)
    counts.append(len(spikes))
    ax.plot(v, color="tab:blue", label="potential")
    ax.plot(b, color="tab:orange", linestyle="--", label="threshold")
    ax.vlines(spikes, -0.35, -0.1, color="0.2", label="spikes")
    ax.set(ylabel=f"rise = {rise:g}", ylim=(-0.5, 2.3))
axes[0].legend(frameon=False, ncols=3, loc="upper right")
axes[1].set_xlabel("time (step)")
plt.show()

# %%
# Publish it
# ----------
# Put the class into a package, describe it by a spec, and name the spec in ``pyproject.toml``.
# Whoever installs the package has the neuron in ``list_plugins()``, in both hosts and in ``swap``.
# Specs are light: the neuron is imported when it is used.
#
# .. code-block:: toml
#
#     [project.entry-points."snn_temporal_plugins.neurons"]
#     adaptive_lif = "my_package.specs:ADAPTIVE_LIF"
#
# .. code-block:: python
#
#     # my_package/specs.py
#     from snn_temporal_plugins import NeuronSpec
#
#     ADAPTIVE_LIF = NeuronSpec("adaptive_lif", "my_package.neurons:AdaptiveLIF")
#
# .. code-block:: sh
#
#     python -m snn_temporal_plugins list --kind neuron
#     python -m snn_temporal_plugins check adaptive_lif

# %%
# Closing table
# -------------

statuses = [result["status"] for result in results]
print(f"checks passed     {statuses.count('passed')}")
print(f"not applicable    {statuses.count('skipped')}")
print(f"spikes in {steps} steps without and with a rising threshold: {counts[0]}, {counts[1]}")

# %%
# References
# ----------
# - G. Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking
#   neurons", NeurIPS 2018: adaptive thresholds.
#
# **Next:** :doc:`/extending` has synapses, losses and plug-in packages.

# sphinx_gallery_thumbnail_number = 1
assert not results.failed and counts[1] < counts[0]
