r"""
One neuron: potential, threshold, spike
=======================================

.. rubric:: You will learn

- how input spikes become a membrane potential, and the potential a spike,
- that a neuron can be stepped through time or solved from event to event, with one result,
- how the threshold and the strength of the input set the *latency* of the spike,
- how a leaky neuron differs from one that does not leak.

The simplest neuron of this package adds the weights of the spikes that reach it and fires once,
when the sum exceeds its threshold:

.. math:: V(t) = \sum_i w_i \, [t_i \le t], \qquad t_{out} = \min\{t : V(t) > \theta\}
"""

# %%
# Five inputs
# -----------
# Every input fires once. Four of them excite, one inhibits.

import matplotlib.pyplot as plt
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.plot import COLOURS

T = 40
times = torch.tensor([[3.0, 8.0, 14.0, 20.0, 29.0]])  # [B=1, I=5], in steps
weights = torch.tensor([[0.5, 0.4, -0.3, 0.6, 0.5]])  # [O=1, I=5]
fc = nn.Linear(5, 1, bias=False)
fc.weight.data = weights

# %%
# Step by step
# ------------
# In a clocked simulation the spikes become a train, the synapse makes a current of each step, and
# the neuron integrates it. ``trace`` returns the potential, too. From the step after its spike the
# potential is ``-inf``: a neuron that has fired is out of the race.

neuron = stp.SingleSpikeIF(threshold=1.0)
train = stp.spike_train(times, T)  # [T, B, I]
spikes, potential = neuron.trace(fc(train).detach())
clocked = stp.first_spike_times(spikes)
print(f"the neuron fires in step {clocked.item():.0f}")

figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(8, 5), sharex=True, layout="constrained", height_ratios=(1, 2)
)
for i, (t, w) in enumerate(zip(times[0], weights[0], strict=True)):
    top.plot([t, t], [i - 0.35, i + 0.35], lw=3, color=COLOURS[0] if w > 0 else COLOURS[1])
    top.annotate(f"{w:+.1f}", (t, i), xytext=(6, 0), textcoords="offset points", va="center")
top.set(yticks=range(5), ylabel="input", title="Input spikes and their weights")
stp.plot.potential_traces(potential[:, 0], 1.0, labels=["potential"], ax=bottom)
bottom.set(xlim=(0, T), ylim=(-0.1, 1.5))
plt.show()

# %%
# From event to event
# -------------------
# Between two input spikes nothing happens, so nothing need be computed. ``Timed`` makes an
# event-driven layer of the same synapse and neuron: spike times in, spike times out. The 40 steps
# are gone, the result is the same, also on ten thousand random problems.

layer = stp.Timed(fc, neuron, t_max=T)
print(f"event-driven: {layer(times).item():.0f}, step by step: {clocked.item():.0f}")

torch.manual_seed(0)
many = torch.randint(0, T, (10_000, 5)).float()
in_steps = stp.first_spike_times(neuron(fc(stp.spike_train(many, T)))[0])
equal = torch.equal(in_steps, layer(many))
silent = in_steps.isinf().double().mean().item()
print(f"10,000 random problems: {'all equal' if equal else 'DIFFERENT'}, {silent:.0%} stay silent")

# %%
# Strength becomes time
# ---------------------
# This is where the temporal code comes from. A higher threshold is reached later, stronger input
# earlier; and where the threshold is never exceeded there is no spike at all (``inf``).

thresholds = torch.linspace(0.05, 2.0, 200)
gains = torch.linspace(0.3, 4.0, 200)
with torch.no_grad(), stp.set_validation(False):  # silence is no mistake here: no warning
    by_threshold = [stp.Timed(fc, stp.SingleSpikeIF(float(x)), t_max=T)(times) for x in thresholds]
    by_gain = []
    for gain in gains:
        fc.weight.data = weights * gain
        by_gain.append(layer(times))
    fc.weight.data = weights
latency = {"threshold": (thresholds, torch.cat(by_threshold)[:, 0])}
latency["strength of the input"] = (gains, torch.cat(by_gain)[:, 0])

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, (name, (x, y)) in zip(axes, latency.items(), strict=True):
    fired = y.isfinite()
    ax.step(x[fired], y[fired], where="post", color=COLOURS[0], label="spike time")
    if not fired.all():
        gone = x[~fired]
        ax.axvspan(gone.min(), gone.max(), color="0.9", label="silent")
    ax.set(xlabel=name, ylim=(0, T))
    ax.legend(frameon=False)
axes[0].set_ylabel("spike time (step)")
figure.suptitle("The latency of the spike")
plt.show()

# %%
# With a leak
# -----------
# Most neuron models forget. :class:`~snn_temporal_plugins.TSSLLIF` leaks in time steps,
# :class:`~snn_temporal_plugins.ExactLIF` in continuous time, where each input starts a decaying
# current. Only inputs that come close together add up. Both may fire several times; here the
# weights are doubled so that they do.

with torch.no_grad():
    fc.weight.data = 2 * weights
    exact = stp.Timed(fc, stp.ExactLIF(tau_mem=8.0, tau_syn=4.0), t_max=float(T))
    times_exact = exact(times)[0, 0]
    leaky = stp.TSSLLIF(tau_mem=8.0, tau_syn=4.0, output="spikes")
    spikes_leaky, _ = leaky(4.0 * fc(train))
    fc.weight.data = weights
steps_leaky = spikes_leaky[:, 0, 0].nonzero().flatten()

rows = {
    "SingleSpikeIF": clocked.flatten(),
    "ExactLIF": times_exact[times_exact.isfinite()],
    "TSSLLIF": steps_leaky.float(),
}
figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
ax.eventplot([row.numpy() for row in rows.values()], colors=COLOURS[:3], linelengths=0.6, lw=3)
ax.set(yticks=range(3), yticklabels=list(rows), xlim=(0, T), xlabel="time (step)")
ax.set_title("Output spikes of three neurons")
plt.show()

# %%
# Closing table
# -------------

print(f"{'neuron':<16}{'spikes':>7}  times")
for name, row in rows.items():
    print(f"{name:<16}{len(row):>7}  {', '.join(f'{t:.1f}' for t in row.tolist())}")

# %%
# References
# ----------
# - S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
#   with one spike per neuron", arXiv:1910.09495: the neuron that fires once.
# - K. Yamamoto, Y. Sakemi, K. Aihara, "Timing-based backpropagation in spiking neural networks
#   without single-spike restrictions", arXiv:2211.16113: the neuron in continuous time.
#
# **Next:** :doc:`plot_causal_sets` asks which inputs caused a spike, and what their gradient is.

# sphinx_gallery_thumbnail_number = 1
assert equal and clocked.item() == layer(times).item() == 20
