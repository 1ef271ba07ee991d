"""
One line changed in a snnTorch model: it answers with its first spike
=====================================================================

.. rubric:: You will learn

- how ``swap`` replaces the neurons of a model that you have, and what its plan says,
- what changes around the model: the input code, the loss, the accuracy,
- how to train it in snnTorch's own loop, and to run it without time steps afterwards.

A network of ``snn.Leaky`` neurons counts spikes over a window and answers at its end. Here its
neurons are replaced by single-spike units, in one call and without editing the model, so that the
class of the *first* output spike is the answer. What changes around the model is the input code,
the loss and the accuracy; the plan says so.
"""

# %%
# The model
# ---------
# The fully connected network of snnTorch's fifth tutorial, written for inputs that change over
# time: states are passed around explicitly, and a loop runs over the steps.

import matplotlib.pyplot as plt
import snntorch as snn
import torch
from torch import nn

import snn_temporal_plugins as stp

NUM_STEPS = 16


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, 200, bias=False)
        self.lif1 = snn.Leaky(beta=0.95)
        self.fc2 = nn.Linear(200, 10, bias=False)
        self.lif2 = snn.Leaky(beta=0.95)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for step in range(NUM_STEPS):
            spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec), torch.stack(mem2_rec)


# %%
# What would happen
# -----------------
# :func:`~snn_temporal_plugins.plan_swap` changes nothing. It shows what is replaced, which options
# are carried over and which are dropped, why, and what has to change around the model.

torch.manual_seed(0)
net = Net()
print(stp.plan_swap(net, {snn.Leaky: "single_spike_if"}))

# %%
# The line
# --------
# ``forward`` stays as it is: the new neurons *are* ``snn.Leaky`` neurons, with ``init_leaky`` and
# ``spk, mem = lif(current, mem)``.

net = stp.swap(net, {snn.Leaky: "single_spike_if"})
print(net)

# %%
# One spike per pixel
# -------------------
# Bright pixels fire early, black ones never. Fresh weights fit a leaky neuron that gets input in
# every step; :func:`~snn_temporal_plugins.calibrate_` scales them, layer by layer, until a third of
# the single-spike units fires.

digits = stp.datasets.load("mnist", "train")
unseen = stp.datasets.load("mnist", "test")
print(digits)
order = torch.randperm(len(digits))[:6000]
images, labels = digits.images[order], digits.labels[order]
test_images, test_labels = unseen.images[:1000], unseen.labels[:1000]


def encode(batch):
    return stp.spike_train(stp.latency(batch.flatten(1), NUM_STEPS), NUM_STEPS)


stp.calibrate_(net, encode(images[:100]), fire=0.3)
spikes, _ = net(encode(images[:100]))
print(f"before training, {spikes.any(0).float().mean():.0%} of the outputs fire")

# %%
# Training, in snnTorch's own loop
# --------------------------------
# :class:`~snn_temporal_plugins.PotentialMarginLoss` keeps the wrong outputs a margin below the
# threshold and pulls the label over it. It reads the spikes and the recorded ``mem``, of which it
# takes the value at a unit's spike, or at the last step. (After its spike a unit's potential is
# ``-inf``: losses of snnTorch on ``mem`` do not fit.)

loss_fn = stp.PotentialMarginLoss(1.0, margin=0.5)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
history = []
for _ in range(2):
    for i in range(0, len(images), 50):
        spk_rec, mem_rec = net(encode(images[i : i + 50]))
        loss = loss_fn.from_spikes(spk_rec, labels[i : i + 50], potential=mem_rec)
        optimizer.zero_grad()
        loss.backward()  # or stp.latency_backward(loss): the paper's normalised errors
        optimizer.step()
        history.append(loss.item())

# %%
# It answers with its first spike
# -------------------------------
# The report counts strictly: two outputs that fire first together are no answer. The lenient count
# of the S4NN authors stands beside it.

with torch.no_grad():
    spk_rec, mem_rec = net(encode(test_images))
times = stp.first_spike_times(spk_rec)
report = stp.metrics.FirstSpikeReport(t_max=NUM_STEPS)
report.update(times, test_labels, mem_rec)
print(report)

# %%
# Most answers are there long before the window is over, and the model need not run on.

decided = times.min(1).values
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
left.plot(history, color="0.8", linewidth=1)
smooth = torch.tensor(history).unfold(0, 10, 1).mean(1)
left.plot(range(9, len(history)), smooth, color="tab:blue", label="mean of 10")
left.set(xlabel="training step", ylabel="loss", title="training in the host's loop")
left.legend(frameon=False)
hit = times.argmin(1) == test_labels
fired = decided.isfinite()
groups = [decided[fired & hit], decided[fired & ~hit], decided[~fired].clamp(max=NUM_STEPS)]
bins = torch.arange(NUM_STEPS + 2) - 0.5
right.hist(groups, bins, stacked=True, color=["tab:blue", "tab:orange", "0.75"])
right.legend(["right", "wrong", "no output spike"], frameon=False)
right.set(xlabel="step of the first output spike", ylabel="digits", title="when it answers")
plt.show()

# %%
# The same network without time steps
# -----------------------------------
# :func:`~snn_temporal_plugins.to_timed` makes its event-driven twin: spike times in, spike times
# out, the same weights, and the same answers.

layers = nn.Sequential(net.fc1, net.lif1, net.fc2, net.lif2)
twin = stp.to_timed(layers, t_max=NUM_STEPS, return_potential=True)
with torch.no_grad():
    twin_times, potential = twin(stp.latency(test_images.flatten(1), NUM_STEPS))
same = loss_fn.predict(twin_times, potential=potential) == loss_fn.predict(times, potential=mem_rec)
print(f"the twin gives the same answer on {int(same.sum())} of {len(same)} digits")

# %%
# Closing table
# -------------
# 6,000 training digits, two epochs, seed 0; tested on 1,000 digits that were not
# seen. Where no output fired the largest potential answers; ``strict_silent_wrong`` counts those as
# wrong. This is a
# demonstration of the plug-in, not a benchmark.

figures = report.compute()
for name in ("strict", "authors", "strict_silent_wrong", "silent"):
    print(f"{name:<20}{figures[name]:.1%}")
print(f"{'answer at':<20}step {figures['decision_time']:.1f} of {NUM_STEPS}")

# %%
# References
# ----------
# - J. K. Eshraghian et al., "Training spiking neural networks using lessons from deep
#   learning", Proceedings of the IEEE 111(9), 2023 (snnTorch).
# - S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
#   networks with one spike per neuron", arXiv:1910.09495.
#
# **Next:** :doc:`plot_02_norse` does the same in Norse; :doc:`/choosing` says which neuron and loss
# fit which problem; :doc:`/faq` helps when nothing fires.

# sphinx_gallery_thumbnail_number = 1
assert figures["strict"] > 0.75 and int(same.sum()) >= len(same) - 2
