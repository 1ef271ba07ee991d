"""
The same in Norse
=================

.. rubric:: You will learn

- how ``swap`` turns the layers of a ``SequentialState`` into single-spike units,
- where the potential is that lets silent outputs learn: in Norse's recorded states,
- how to get the event-driven twin of a Norse model.

A Norse model of ``LIF`` layers in a ``SequentialState`` becomes a network of single-spike units in
one call. States are still Norse's: they travel beside the data, and can be recorded.
"""

# %%
# The model
# ---------
# Synapses are lifted over time, neurons run over the sequence. The last layer records its states:
# its potential lets outputs learn that stay silent.

import matplotlib.pyplot as plt
import norse.torch as norse
import torch
from torch import nn

import snn_temporal_plugins as stp

NUM_STEPS = 16
torch.manual_seed(0)
model = norse.SequentialState(
    norse.Lift(nn.Linear(28 * 28, 200, bias=False)),
    norse.LIF(),
    norse.Lift(nn.Linear(200, 10, bias=False)),
    norse.LIF(record_states=True),
)
print(stp.plan_swap(model, {norse.LIF: "single_spike_if"}))

# %%
# The line
# --------
# Cells become cells and sequences become sequences; ``record_states`` and the threshold are kept,
# time constants are dropped, for the new neuron does not leak.

model = stp.swap(model, {norse.LIF: "single_spike_if"})
print(model)

# %%
# Norse's way of writing it works as well: ``SingleSpikeIFCell`` for one step, with
# ``SingleSpikeIFParameters``, and a state that moves with ``.to()``.

from snn_temporal_plugins.frontends.norse import SingleSpikeIFCell, SingleSpikeIFParameters

cell = SingleSpikeIFCell(p=SingleSpikeIFParameters(threshold=0.6))
spikes, state = cell(torch.tensor([[0.4, 0.7]]))
print(spikes, state.to(torch.float64))

# %%
# Training
# --------

digits = stp.datasets.load("mnist", "train")
unseen = stp.datasets.load("mnist", "test")
order = torch.randperm(len(digits))[:6000]
images, labels = digits.images[order], digits.labels[order]
test_images, test_labels = unseen.images[:1000], unseen.labels[:1000]


def encode(batch):
    return stp.spike_train(stp.latency(batch.flatten(1), NUM_STEPS), NUM_STEPS)


stp.calibrate_(model, encode(images[:100]), fire=0.3)
loss_fn = stp.PotentialMarginLoss(1.0, margin=0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(2):
    for i in range(0, len(images), 50):
        spikes, states = model(encode(images[i : i + 50]))
        loss = loss_fn.from_spikes(spikes, labels[i : i + 50], potential=states[-1].v)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %%
# The answers
# -----------

with torch.no_grad():
    spikes, states = model(encode(test_images))
times = stp.first_spike_times(spikes)
report = stp.metrics.FirstSpikeReport(t_max=NUM_STEPS)
report.update(times, test_labels, states[-1].v)
print(report)

# %%
# The potentials of one digit's outputs, up to their spikes. The first line to cross the threshold
# is the answer; after its spike a unit has no potential any more.

sample = int(times.isfinite().any(1).nonzero()[0])
potentials = states[-1].v[:, sample]  # [T, C]
answer = int(times[sample].argmin())
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for output in range(10):
    shown = potentials[:, output].masked_fill(potentials[:, output].isneginf(), float("nan"))
    chosen = output == answer
    color, width = ("tab:blue", 2.5) if chosen else ("0.7", 1)
    label = f"output {output}, the answer" if chosen else None
    ax.plot(shown, color=color, linewidth=width, marker="o", markersize=3, label=label)
ax.axhline(1.0, color="tab:orange", linestyle="--", label="threshold")
ax.set(xlabel="time (step)", ylabel="potential", title=f"a {int(test_labels[sample])}")
ax.set_ylim(top=1.7)
ax.legend(frameon=False, loc="upper right", ncols=2)
plt.show()

# %%
# Without time steps
# ------------------
# :func:`~snn_temporal_plugins.to_timed` looks through ``Lift`` and ``SequentialState``.

twin = stp.to_timed(model, t_max=NUM_STEPS, return_potential=True)
with torch.no_grad():
    twin_times, potential = twin(stp.latency(test_images.flatten(1), NUM_STEPS))
same = loss_fn.predict(twin_times, potential=potential) == loss_fn.predict(
    times, potential=states[-1].v
)
print(f"the twin gives the same answer on {int(same.sum())} of {len(same)} digits")

# %%
# Closing table
# -------------
# 6,000 training digits, two epochs, seed 0; tested on 1,000 digits that were not
# seen. Where no output fired the largest potential answers; ``strict_silent_wrong`` counts those as
# wrong.

figures = report.compute()
for name in ("strict", "authors", "strict_silent_wrong", "silent"):
    print(f"{name:<20}{figures[name]:.1%}")
print(f"{'answer at':<20}step {figures['decision_time']:.1f} of {NUM_STEPS}")

# %%
# References
# ----------
# - C. Pehle, J. E. Pedersen, "Norse: a deep learning library for spiking neural networks",
#   2021, doi:10.5281/zenodo.4422025.
# - S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
#   with one spike per neuron", arXiv:1910.09495.
#
# **Next:** :doc:`plot_03_your_own_neuron` makes a neuron for both hosts.

# sphinx_gallery_thumbnail_number = 1
assert figures["strict"] > 0.75 and int(same.sum()) >= len(same) - 2
