r"""
S4NN: classify with the first spike
===================================

.. rubric:: You will learn

- how a network of neurons that fire **at most once** reads an image from spike times,
- how the rule of S4NN trains it, and what its homeostatic term ``beta`` does,
- what the published figure of 97.4 % becomes under four ways of counting,
- how better rules, which are options of the same neurons, layers and losses, pass it.

The network is 784-400-10. Bright pixels fire early; a neuron adds the weights of the spikes that
reach it, and fires once, when its potential exceeds the threshold:

.. math::
    V_j(t) = \sum_i w_{ji} \, [t_i \le t], \qquad t_j = \min\{t : V_j(t) > \theta\} + 1.

The output that fires **first** is the answer, and everything after that spike can be skipped.

Run it as a script: ``python tutorials/02_papers/plot_s4nn.py`` trains on 5,000 images; ``--full``
trains the paper's rule for 20 epochs on all 60,000, too, and writes
``docs/results/s4nn_mnist.json``; ``--help`` lists the options. Figures of other full runs are those
of ``run_s4nn.py``, read from ``docs/results/s4nn``.
"""

# %%
# The data
# --------
# Real MNIST digits, as spike times in steps 0 ... 255. A black pixel never fires (``inf``).

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import run_s4nn
import s4nn_results
import s4nn_rules as rules
import torch
from s4nn_rules import T_MAX, THRESHOLD

import snn_temporal_plugins as stp
from snn_temporal_plugins import _training

docs = Path(s4nn_results.__file__).parents[2] / "docs"
parser = _training.options("S4NN on MNIST: one spike per neuron, the first one decides.", epochs=3)
options = _training.parse(parser)

train = stp.datasets.load("mnist", "train").subset(slice(5_000))
test = stp.datasets.load("mnist", "test").subset(slice(2_000))
print(train, test, sep="\n")
train_times = stp.latency(train.pixels, T_MAX).flatten(1)  # [N, 784]
test_times = stp.latency(test.pixels, T_MAX).flatten(1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.imshow(test.pixels[0, 0], cmap="gray_r")
left.set(title="A test image", xticks=[], yticks=[])
stp.plot.latency_map(test_times[:1].view(28, 28), t_max=T_MAX, ax=right)
plt.show()

# %%
# The network and four rules
# --------------------------
# ``Timed`` makes an event-driven layer of an ordinary ``nn.Linear`` and a neuron: its cost depends
# on the number of spikes, not on the 256 steps. ``s4nn_rules.py`` builds four trainings from the
# same parts. **The paper's rule** gives every output a target time *relative to the first spike*:
# the label should be there, and nobody else within ``gamma`` steps of it. The error of every image
# is scaled to length 1 in each layer (``error_norm``), so a batch adds up directions.

print(rules.dense("paper"))

# %%
# It has three weak points: a hidden neuron that did not fire learns nothing, all weights start
# positive, and the error says nothing about how near to wrong an image was. Against each there is
# an option. **Rule C** has ``gate="triangle"``, which gives gradient to hidden neurons near the
# threshold, and weights of both signs (``init``). **Rule B** replaces the target times by
# ``PotentialMarginLoss`` under ``DecisionWindow``: wrong outputs are kept a margin below the
# threshold up to the decision. **Rule A** is B with AdamW instead of normalised steps.

print(rules.dense("A"))


def fitted(rule, title, **more):
    """A trained network (averaged weights), and figures of it after every epoch."""
    torch.manual_seed(options.seed)
    steps = -(-len(train) // 32)
    training = rules.Training(rule, steps=steps, epochs=options.epochs, average=0.99, **more)
    network = training.average.module

    def after_epoch(epoch):
        network.eval()
        report = _training.evaluate(network, test_times, test.labels, t_max=T_MAX)
        spikes = decided(network).spikes.double().mean(0)
        return {"hidden": spikes[1].item(), "strict": report.compute()["strict"]}

    history = _training.fit(
        training.step,
        train_times,
        train.labels,
        epochs=options.epochs,
        batch_size=32,
        seed=options.seed,
        after_epoch=after_epoch,
        title=title,
    )
    return network, history


def decided(network):
    """Decisions of a network that stops at its first output spike."""
    return stp.first_spike_decision(getattr(network, "model", network), test_times)


# the weights of both signs start so weak that in the first batches no output fires
warnings.filterwarnings("ignore", category=stp.SilentLayerWarning)
NAMES = {"paper": "the paper's rule", "C": "rule C", "B": "rule B", "A": "rule A"}
COLOURS = dict(zip(rules.RULES, stp.plot.COLOURS, strict=False))
networks, histories = {}, {}
for rule in rules.RULES:
    networks[rule], histories[rule] = fitted(rule, NAMES[rule])

# %%
# A short training of each on the same images. Strict accuracy on test images, which nothing was
# chosen on.

axes = plt.figure(figsize=(6, 3.6), layout="constrained").subplots()
for rule, history in histories.items():
    epochs = [row["epoch"] for row in history]
    values = [100 * row["strict"] for row in history]
    axes.plot(epochs, values, "o-", color=COLOURS[rule], label=NAMES[rule])
axes.set(xlabel="epoch", ylabel="strict accuracy (%)", xticks=epochs)
axes.set_title(f"{len(train):,} training images")
axes.legend(frameon=False)
plt.show()

# %%
# What ``beta`` does
# ------------------
# The authors update the output weights *before* they pass the error on. So the hidden error is
#
# .. math::
#     \delta_i = \sum_j \delta_j (w_{ji} - \beta \delta_j) [t_i < t_j]:
#
# every hidden neuron that fired is pushed by up to :math:`\beta` to fire earlier and more often,
# whatever the error says. A little of it keeps the hidden layer alive, much of it makes everything
# fire. Without it, which is textbook backpropagation, fewer hidden neurons do. In a training as
# short as this one that does no harm; in full runs it costs less than seeds differ among themselves
# (the row *beta 0* of the table below).

figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
betas = {0.0: fitted("paper", "beta 0", beta=0.0)[1], 0.1: histories["paper"]}
betas[0.4] = fitted("paper", "beta 0.4", beta=0.4)[1]
for (beta, history), colour in zip(betas.items(), stp.plot.COLOURS, strict=False):
    for axes, (name, scale) in zip(panels, (("hidden", 1), ("strict", 100)), strict=True):
        values = [scale * row[name] for row in history]
        axes.plot(epochs, values, "o-", color=colour, label=f"beta {beta:g}")
for axes, label in zip(panels, ("hidden spikes before the decision", "strict (%)"), strict=True):
    axes.set(xlabel="epoch", xticks=epochs, title=label)
panels[0].set_ylim(bottom=0)
panels[0].legend(frameon=False)
plt.show()

# %%
# Four ways to count
# ------------------
# Several outputs may fire first *together*, and on some images none fires at all. The authors call
# a tie right when it holds the label, and let the potential decide when nobody fired. *Strictly*,
# a tie is wrong. Strictest of all, an image without an output spike is wrong, too.

for rule, network in networks.items():
    print(NAMES[rule], _training.evaluate(network, test_times, test.labels, t_max=T_MAX), sep="\n")

# %%
# The authors' count must not stand alone: a network whose outputs all fire at once would be
# perfect by it. (It happens: trained with a softmax on its potentials, this network scores 99.0 %
# on validation images as the authors count, and 2.4 % strictly.)

together = torch.zeros(len(test), 10)
gamed = stp.metrics.first_spike_accuracy(together, test.labels, ties="any")
honest = stp.metrics.first_spike_accuracy(together, test.labels, ties="strict")
print(f"everybody fires at step 0: {gamed:.0%} as the authors count, {honest:.0%} strictly")

# %%
# Reported and reproduced
# -----------------------
# Runs on all 60,000 images, 784-400-10, means over seeds. The abstract reports 97.4 %. It is a
# figure by the authors' count, of the epoch that is best *on the test set*; the weights that the
# authors publish score 96.69 % by that count and 95.29 % if ties are wrong. The paper's rule with
# minibatches and averaged weights comes to the same, last epoch. The better rules leave almost no
# ties, so that all counts but the strictest agree, and their strict figure is above 97.4.

if options.full:
    words = ["--rule=paper", "--batch-size=64", f"--seed={options.seed}"]
    run_s4nn.run(run_s4nn.options().parse_args(words), docs / "results" / "s4nn_mnist.json")
runs = s4nn_results.tables(docs / "results" / "s4nn")
dense = {
    s4nn_results.title(rows[0]): row
    for rows, row, _ in reversed(runs["mnist", False])
    if s4nn_results.network(rows[0]) == "784-400-10"
}
figure, axes = plt.subplots(figsize=(8, 0.55 * len(dense) + 1.4), layout="constrained")
marks = {"silent wrong": "x", "strict": "o", "authors": "|", "drive": "d"}
for (name, mark), colour in zip(marks.items(), stp.plot.COLOURS, strict=False):
    values = [100 * row[name] for row in dense.values()]
    axes.plot(values, list(dense), mark, color=colour, ms=9, mfc="none", mew=2, label=name)
axes.axvline(97.4, color="0.6", lw=1, label="paper, abstract")
axes.axvline(96.69, color="0.6", lw=1, ls=":", label="published weights")
axes.set(xlabel="test accuracy (%)", title="784-400-10 on MNIST, full runs")
axes.legend(frameon=False, ncols=2, fontsize=8)
plt.show()

print("\n".join(s4nn_results.text(docs / "results" / "s4nn", validation=False)))

# %%
# Silence
# -------
# Two per cent of the test images get no output spike; the potential decides them (*strict*), or
# they are wrong (*silent wrong*). *Drive* is a cure at inference: ``late_drive=(226, 250 / 28)``
# of ``SingleSpikeIF`` adds the same current to all outputs from step 226 on, so that the largest
# potential fires first. It is the fallback on the potential, made of spikes. Attempts to do
# without it are rows of the study, `docs/results/s4nn/README.md`, under *validation images*.
#
# What happens inside
# -------------------
# One test image under rule A: the spikes of all layers, and the potentials of the label and of
# its strongest rival. The decision falls at the first spike of an output.

first_layer, last_layer = (m for m in networks["A"].modules() if isinstance(m, stp.Timed))
with torch.no_grad():
    hidden_times = first_layer(test_times)
    output_times, potential = last_layer(hidden_times)
first = output_times.min(1).values
shown = int(((output_times.argmin(1) == test.labels) & (first > 30) & (first < 90)).nonzero()[0])
rival = potential[shown].scatter(0, test.labels[shown], -torch.inf).argmax()

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
spikes = {"pixels": test_times, "hidden": hidden_times, "outputs": output_times}
stp.plot.raster({name: times[shown] for name, times in spikes.items()}, t_max=T_MAX, ax=left)
left.axvline(first[shown], color="0.5", lw=1)
left.set_title(f"Spikes; the decision falls at step {first[shown]:.0f}")
with torch.no_grad():
    current = last_layer.synapse(stp.spike_train(hidden_times[shown][None], T_MAX))
    _, trace = last_layer.neuron.trace(current)
pair = [int(test.labels[shown]), int(rival)]
labels = [f"digit {pair[0]} (label)", f"digit {pair[1]}"]
stp.plot.potential_traces(trace[:, 0, pair], THRESHOLD, labels=labels, ax=right)
if options.full:
    figure.savefig(docs / "images" / "first_spike.png", dpi=110)  # the picture of the README
plt.show()

# %%
# Fast decisions, few additions
# -----------------------------
# ``first_spike_decision`` stops at the first output spike, in one kernel call. Until then a neuron
# layer costs one addition per spike and neuron; a ReLU network multiplies and adds every weight.
# The published weights were measured on the 10,000 test images by the authors' program.

table = dict(s4nn_results.REPORTED)
for rule, network in networks.items():
    found = _training.evaluate(network, test_times, test.labels, t_max=T_MAX).compute()
    accuracies = [100 * found[name] for name in ("strict", "potential", "authors")]
    spikes = decided(network).spikes.double().mean(0).tolist()
    name = f"{NAMES[rule]}, {len(train):,} images"
    table[name] = s4nn_results.Row(*accuracies, found["decision_time_all"], *spikes)
print("\n".join(s4nn_results.closing(table)))

stp.plot.accuracy_against_time(output_times, test.labels, t_max=T_MAX, potential=potential)
plt.show()

# %%
# Jitter
# ------
# Every input spike moved by a random number of steps. Relative order carries the information, so
# accuracy hardly falls.

jitter = (0, 16, 32, 64, 128)
axes = plt.figure(figsize=(6, 3.6), layout="constrained").subplots()
for rule, network in networks.items():
    strict = []
    for steps in jitter:
        moves = torch.randint(-steps, steps + 1, test_times.shape)
        noisy = (test_times + moves).clamp(0, T_MAX - 2).where(test_times.isfinite(), test_times)
        report = _training.evaluate(network, noisy, test.labels, t_max=T_MAX)
        strict.append(100 * report.compute()["strict"])
    axes.plot(jitter, strict, "o-", color=COLOURS[rule], label=NAMES[rule])
axes.set(title="Jitter of the input spikes", xlabel="largest shift (steps)", ylim=(80, 100))
axes.set_ylabel("strict accuracy (%)")
axes.legend(frameon=False)
plt.show()

# %%
# This page must not fall below 87 %.

assert histories["A"][-1]["strict"] > 0.87

# %%
# References
# ----------
# S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
# with one spike per neuron", Int. J. Neural Systems 30(6), 2020, arXiv:1910.09495.
#
# **Next:** how the code of this page works on one neuron, and the same network inside snnTorch.
