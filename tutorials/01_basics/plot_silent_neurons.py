r"""
Why is my network silent, and how do I wake it?
===============================================

.. rubric:: You will learn

- why a fresh network of spiking neurons is mostly dead or fires on a blank image,
- how :func:`~snn_temporal_plugins.monitor` shows it and
  :func:`~snn_temporal_plugins.calibrate_` cures it,
- how a network dies in training, and how :func:`~snn_temporal_plugins.revive_` brings it back.

A spiking neuron that never fires sends nothing and, under a rule that learns on spikes, gets no
gradient: it stays silent for good. There are two moments when this happens: **before** training,
because default weights know nothing of thresholds, and **during** training, after a step that was
too large. This page shows both on real digits, and the three tools against them:
:func:`~snn_temporal_plugins.monitor` sees it, :func:`~snn_temporal_plugins.calibrate_` and
:func:`~snn_temporal_plugins.revive_` cure it.
"""

# %%
# A fresh network
# ---------------
# A 784-200-10 network of single-spike neurons with the default weights of ``nn.Linear``, once
# without and once with bias. ``monitor`` counts while a ``with`` block runs the network: the share
# of neurons that fire in a sample, spikes, synaptic operations, and neurons that never fired.

import warnings

import matplotlib.pyplot as plt
import torch
from torch import nn

import snn_temporal_plugins as stp

digits = stp.datasets.load("mnist", "train")
print(digits)
T = 256
train = stp.latency(digits.images[:2000].flatten(1), T), digits.labels[:2000]
held_out = stp.latency(digits.images[-1000:].flatten(1), T), digits.labels[-1000:]
blank = torch.full((1, 784), float("inf"))  # a black image: no pixel ever fires


def fresh(bias, hidden=200, threshold=1.0):
    torch.manual_seed(0)
    return nn.Sequential(
        stp.Timed(nn.Linear(784, hidden, bias=bias), stp.SingleSpikeIF(threshold), t_max=T),
        stp.Timed(nn.Linear(hidden, 10, bias=bias), stp.SingleSpikeIF(threshold), t_max=T),
    )


def hidden_share(net, times):
    """Share of hidden neurons that fire."""
    with stp.monitor(net) as m, torch.no_grad():
        net(times)
    return m.layers["0"].fired


warnings.simplefilter("ignore", stp.SilentLayerWarning)  # we know, this once
plain, biased = fresh(bias=False), fresh(bias=True)
with stp.monitor(plain) as m:
    plain(held_out[0])
print(m)

# %%
# Without bias hardly anybody fires. (A ``Timed`` layer that stays silent for a whole batch warns
# about it; it was told not to above.) With bias many fire, but look what happens on a *blank*
# image: a bias is a constant current, and 256 steps of it lift nearly every neuron with a positive
# bias over the threshold, whatever the image shows.

for name, net in (("no bias", plain), ("bias", biased)):
    on_digits, on_blank = hidden_share(net, held_out[0]), hidden_share(net, blank)
    print(f"{name:8} hidden neurons that fire: {on_digits:.1%} on digits, {on_blank:.1%} on blank")

with torch.no_grad():
    groups = {
        "digit, no bias": plain[0](held_out[0][:1])[0],
        "digit, bias": biased[0](held_out[0][:1])[0],
        "blank, bias": biased[0](blank)[0],
    }
axes = plt.figure(figsize=(8, 4.2), layout="constrained").subplots()
stp.plot.raster(groups, t_max=T, ax=axes)
axes.set_title("spikes of 200 fresh hidden neurons, three times")
plt.show()

# %%
# Calibrating
# -----------
# ``calibrate_`` goes through the layers, first to last, and multiplies the weights (and the bias)
# of each by one factor, so that a wanted share of the neurons fires on some typical inputs. The
# weights keep their proportions. Here: 30 % of the neurons, on 300 training images.

calibrated = fresh(bias=False)
print(stp.calibrate_(calibrated, train[0][:300], fire=0.3))

nets = {"no bias": plain, "bias": biased, "no bias,\ncalibrated": calibrated}
shares = {"1,000 digits": held_out[0], "blank image": blank}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for k, (what, times) in enumerate(shares.items()):
    heights = [100 * hidden_share(net, times) for net in nets.values()]
    places = [j + 0.36 * (k - 0.5) for j in range(len(nets))]
    bars = left.bar(places, heights, 0.34, label=what, color=("#0072B2", "#E69F00")[k])
    left.bar_label(bars, fmt="%.0f %%", fontsize="small")
left.set_xticks(range(len(nets)), list(nets))
left.set(ylabel="hidden neurons that fire (%)", ylim=(0, 62), title="Fresh networks")
left.legend(frameon=False, loc="upper center", ncols=2)

wanted = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
reached = []
for share in wanted:
    net = fresh(bias=False)
    stp.calibrate_(net, train[0][:300], fire=share)
    reached.append(hidden_share(net, held_out[0]))
right.plot([0, 80], [0, 80], color="0.6", ls="--", lw=1, label="as wanted")
right.plot(
    [100 * s for s in wanted], [100 * s for s in reached], "o", color="#0072B2", label="reached"
)
right.set(
    xlabel="wanted share on 300 training images (%)",
    ylabel="share on 1,000 other images (%)",
    title="calibrate_: hidden layer",
)
right.legend(frameon=False, loc="lower right")
plt.show()

# %%
# The calibrated network is silent on a blank image and fires on digits, as often as it was asked
# to, also on images it was not calibrated on. ``fire`` is a choice: 0.3 leaves room to learn both
# ways. The same call works on clocked models of snnTorch and Norse.
#
# Dying in training
# -----------------
# Now the rule of S4NN: errors normalised per sample, plain SGD, the paper's positive weights and
# thresholds of 100. Nothing is silent at the start. But the very first step is made with a learning
# rate of 10 instead of 0.8, as an accident. It makes the weights so negative that next to nobody
# fires. The error of a silent output still reaches the output weights, but only from hidden neurons
# that fired; once there are none, the gradient is exactly zero.
#
# Both networks go through the same accident. One is left alone. In the other,
# :func:`~snn_temporal_plugins.revive_` runs after every epoch: neurons that fired on less than
# 0.1 % of the training images draw their weights anew from the ``init`` of their layer. (By default
# the output layer is left out; here it died, too.)

HIDDEN, EPOCHS = 100, 4


def run(revive):
    torch.manual_seed(0)
    options = {"t_max": T, "error_norm": "sum"}
    net = nn.Sequential(
        stp.Timed(
            nn.Linear(784, HIDDEN, bias=False), stp.SingleSpikeIF(100.0), init=(0, 5), **options
        ),
        stp.Timed(
            nn.Linear(HIDDEN, 10, bias=False),
            stp.SingleSpikeIF(100.0),
            init=(0, 48),
            return_potential=True,
            **options,
        ),
    )
    rule = stp.RankOrderLoss(T, gamma=3, reduction="sum")
    optimizer = torch.optim.SGD(net.parameters(), lr=10.0)  # the accident
    rows = []
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.randperm(len(train[0])).split(32):
            times, potential = net(train[0][batch])
            optimizer.zero_grad()
            rule(times, train[1][batch], potential=potential).backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] = 0.8
        with torch.no_grad():
            times, _ = net(held_out[0])
            right = stp.metrics.first_spike_accuracy(times, held_out[1])  # strict; silent is wrong
            with stp.monitor(net) as m:
                net(train[0])
        dead = m.layers["0"].dead
        revived = stp.revive_(net, m, optimizer=optimizer, outputs=True) if revive else {}
        rows.append((epoch, right, dead, m.layers["0"].fired, sum(revived.values())))
    optimizer.zero_grad()
    times, potential = net(train[0])
    rule(times, train[1], potential=potential).backward()
    steepest = max(weights.grad.abs().max().item() for weights in net.parameters())
    return rows, steepest


runs, steepest = {}, {}
for name in ("left alone", "revive_ after each epoch"):
    runs[name], steepest[name] = run(revive=name != "left alone")
print("                          epoch  right, strict  dead of 100  fired  drawn anew afterwards")
for name, rows in runs.items():
    for epoch, right, dead, fired, revived in rows:
        print(f"{name:25} {epoch:5}  {right:13.1%}  {dead:11}  {fired:5.1%}  {revived:21}")
print("largest entry of the gradient at the end:", steepest)

# %%
# The figures are those of 1,000 images that were not trained on, one seed; a tie and a silent
# sample count as wrong, so they waver from epoch to epoch. The accident costs the revived network
# one epoch. Note the order: evaluate first, then revive, as fresh neurons have learned nothing yet.

figure, (left, right_ax) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
styles = (("#D55E00", "s--"), ("#0072B2", "o-"))
for (name, rows), (colour, style) in zip(runs.items(), styles, strict=True):
    epochs = [row[0] for row in rows]
    left.plot(epochs, [row[2] for row in rows], style, color=colour, label=name)
    right_ax.plot(epochs, [100 * row[1] for row in rows], style, color=colour, label=name)
left.set(ylabel="dead hidden neurons (of 100)", title="Never fired on 2,000 training images")
right_ax.set(ylabel="right, strict (%)", ylim=(-4, 104), title="1,000 held-out images")
for ax in (left, right_ax):
    ax.set(xlabel="epoch", xticks=range(1, EPOCHS + 1))
    ax.legend(frameon=False, loc="center right" if ax is left else "upper left")
plt.show()

# %%
# Closing table
# -------------
# What to do, by symptom:
#
# =====================================  ========================================================
# symptom                                cure
# =====================================  ========================================================
# ``SilentLayerWarning``, or 0 % fired   ``calibrate_(model, inputs, fire=0.3)``, before the
# in a fresh network                     optimiser is made
# fires on a blank image                 no bias: ``nn.Linear(..., bias=False)``
# more dead neurons from epoch to epoch  ``revive_(model, m)`` after each epoch, a smaller
#                                        learning rate, ``beta`` of ``Timed``
# a silent neuron never learns           ``SingleSpikeIF(gate="triangle")``: gradient also for
#                                        neurons that came near the threshold
# =====================================  ========================================================
#
# References
# ----------
# * S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
#   with one spike per neuron", arXiv:1910.09495; the re-initialisation of dead neurons is in the
#   authors' program.
#
# **Next:** :doc:`/auto_tutorials/02_papers/plot_s4nn` trains such a network on all of MNIST.

# sphinx_gallery_thumbnail_number = 3
assert hidden_share(plain, held_out[0]) < 0.001
assert hidden_share(biased, blank) > 0.3 and hidden_share(calibrated, blank) == 0.0
assert all(abs(a - b) < 0.05 for a, b in zip(wanted, reached, strict=True))
assert runs["left alone"][-1][1:4] == (0.0, HIDDEN, 0.0)
assert steepest["left alone"] == 0.0
assert runs["revive_ after each epoch"][-1][1] > 0.5
