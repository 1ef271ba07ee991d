r"""
S4NN: classify with the first spike
===================================

.. rubric:: You will learn

- how a network of neurons that fire **at most once** reads an image from spike times,
- how the rule of S4NN trains it with backpropagation through those times,
- what the published figure of 97.4 % becomes under four ways of counting,
- how better rules, which are options of the same neurons, layers and losses, pass it.

The network is 784-400-10. Bright pixels fire early; a neuron adds the weights of the spikes that
reach it, and fires once, when its potential exceeds the threshold:

.. math::
    V_j(t) = \sum_i w_{ji} \, [t_i \le t], \qquad t_j = \min\{t : V_j(t) > \theta\} + 1.

The output that fires **first** is the answer, and everything after that spike can be skipped.

Run it as a script: ``python tutorials/02_papers/plot_s4nn.py`` takes about a minute and a part of
the images; ``--full`` trains on all 60,000 and writes ``docs/results/s4nn_mnist.json``; ``--help``
lists the options.
"""

# %%
# The data
# --------
# Real MNIST digits, as spike times in steps 0 ... 255. A black pixel never fires (``inf``).

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

here = Path(globals().get("__file__", "plot_s4nn.py")).resolve()  # the gallery has no __file__
docs = here.parents[2] / "docs"
parser = _training.options("S4NN on MNIST: one spike per neuron, the first one decides.", epochs=0)
parser.add_argument("--hidden", type=int, default=400, help="hidden neurons")
parser.add_argument("--output", type=Path, help="result file of a full run")
options = _training.parse(parser)

T_MAX, THRESHOLD = 256, 100.0
train = stp.datasets.load("mnist", "train")
test = stp.datasets.load("mnist", "test")
if not options.full:
    train = train.subset(slice(20_000))
epochs = options.epochs or (20 if options.full else max(6, 120_000 // len(train)))
print(train, test, sep="\n")

train_times = stp.latency(train.pixels, T_MAX).flatten(1)  # [N, 784]
test_times = stp.latency(test.pixels, T_MAX).flatten(1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.imshow(test.pixels[0, 0], cmap="gray_r")
left.set(title="A test image", xticks=[], yticks=[])
stp.plot.latency_map(test_times[:1].view(28, 28), t_max=T_MAX, ax=right)
plt.show()

# %%
# The network
# -----------
# ``Timed`` makes an event-driven layer of an ordinary ``nn.Linear`` and a neuron: its cost depends
# on the number of spikes, not on the 256 steps. Two details belong to S4NN. The error of every
# image is scaled to length 1 in each layer (``error_norm``), so a batch adds up directions. And the
# authors update the output weights *before* they pass the error on, which adds a push towards
# firing, ``beta``; without it the hidden layer falls silent.


def layer(inputs, outputs, highest_weight, **more):
    return stp.Timed(
        nn.Linear(inputs, outputs, bias=False),
        stp.SingleSpikeIF(THRESHOLD, delay=1),
        t_max=T_MAX,
        init=(0.0, highest_weight),
        error_norm="sum",
        beta=0.1,
        **more,
    )


model = nn.Sequential(
    layer(784, options.hidden, 5.0), layer(options.hidden, 10, 48.0, return_potential=True)
)
print(model)

# %%
# Training
# --------
# The loss gives every output a target time *relative to the first spike* :math:`\tau`: the label
# should be at :math:`\tau`, and nobody else within ``gamma`` steps of it. We take minibatches of
# 32 instead of the authors' single images, and evaluate a running average of the weights.

loss = stp.RankOrderLoss(T_MAX, gamma=5, reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=0.8, fused=True)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.92)
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.998))


def step(times, labels):
    out, potential = model(times)
    optimizer.zero_grad()
    loss(out, labels).backward()
    optimizer.step()
    average.update_parameters(model)
    return (loss.predict(out.detach(), potential=potential.detach()) == labels).sum()


def after_epoch(epoch):
    schedule.step()
    with torch.no_grad(), stp.monitor(model) as seen:
        model(train_times[:10_000])
    revived = stp.revive_(model, seen, below=1e-3, optimizer=optimizer, averaged=average)
    report = _training.evaluate(average, train_times[:2000], train.labels[:2000], t_max=T_MAX)
    return {"revived": sum(revived.values()), "averaged": report.compute()["authors"]}


history = _training.fit(
    step,
    train_times,
    train.labels,
    epochs=epochs,
    batch_size=32,
    seed=options.seed,
    after_epoch=after_epoch,
    title="S4NN",
)

# %%
# Training accuracy over the epochs. The running average of the weights is ahead of the weights
# themselves, which jump: every update has the same length, however small the error.

stp.plot.training_curve(
    history, {"accuracy": "weights, on the fly", "averaged": "averaged weights (2,000 images)"}
)
plt.show()

# %%
# Four ways to count
# ------------------
# The test set has not been seen so far. Several outputs may fire first *together*, and on some
# images none fires at all. The authors call a tie right when it holds the label, and let the
# potential decide when nobody fired. Strictly, a tie is not an answer.

network = average.module
report = _training.evaluate(average, test_times, test.labels, t_max=T_MAX)
figures = report.compute()
print(report)

# %%
# The authors' count must not stand alone: a network whose outputs all fire at once would be
# perfect by it.

together = torch.zeros(len(test), 10)
gamed = stp.metrics.first_spike_accuracy(together, test.labels, ties="any")
honest = stp.metrics.first_spike_accuracy(together, test.labels, ties="strict")
print(f"everybody fires at step 0: {gamed:.0%} as the authors count, {honest:.0%} strictly")

# %%
# What happens inside
# -------------------
# One test image: the spikes of all layers, and the potentials of the label and of its strongest
# rival. The decision falls at the first spike of an output.

with torch.no_grad():
    hidden_times = network[0](test_times)
    output_times, potential = network[1](hidden_times)
first = output_times.min(1).values
shown = int(((output_times.argmin(1) == test.labels) & (first > 30) & (first < 90)).nonzero()[0])
rival = potential[shown].scatter(0, test.labels[shown], -torch.inf).argmax()

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
spikes = {"pixels": test_times, "hidden": hidden_times, "outputs": output_times}
stp.plot.raster({name: times[shown] for name, times in spikes.items()}, t_max=T_MAX, ax=left)
left.axvline(first[shown], color="0.5", lw=1)
left.set_title(f"Spikes; the decision falls at step {first[shown]:.0f}")
with torch.no_grad():
    current = network[1].synapse(stp.spike_train(hidden_times[shown][None], T_MAX))
    _, trace = network[1].neuron.trace(current)
pair = [int(test.labels[shown]), int(rival)]
stp.plot.potential_traces(
    trace[:, 0, pair], THRESHOLD, labels=[f"digit {pair[0]} (label)", f"digit {pair[1]}"], ax=right
)
if options.full:
    figure.savefig(docs / "images" / "first_spike.png", dpi=110)  # the picture of the README
plt.show()

# %%
# Fast decisions, few additions
# -----------------------------
# ``first_spike_decision`` stops at the first output spike, in one kernel call. Until then a neuron
# layer costs one addition per spike and neuron; a ReLU network multiplies and adds every weight.

decision = stp.first_spike_decision(network, test_times)
relu = 784 * options.hidden + options.hidden * 10
share = decision.additions.double().mean().item() / relu
print(f"additions per image: {decision.additions.double().mean():,.0f}")
print(
    f"a ReLU network of this shape: {relu:,} multiply-adds ({share:.0%} of them are additions here)"
)

stp.plot.accuracy_against_time(output_times, test.labels, t_max=T_MAX, potential=potential)
plt.show()

# %%
# Jitter
# ------
# Every input spike moved by a random number of steps. Relative order carries the information, so
# accuracy falls slowly.


def jittered(times, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    moves = torch.randint(-steps, steps + 1, times.shape, generator=generator)
    return (times + moves).clamp(0, T_MAX - 2).where(times.isfinite(), times)


jitter = (0, 8, 16, 32, 64, 128)
part = slice(0, None if options.full else 2000)
robust = {}
for steps in jitter:
    noisy = jittered(test_times[part], steps)
    robust[steps] = _training.evaluate(average, noisy, test.labels[part], t_max=T_MAX).compute()
axes = plt.figure(figsize=(6, 3.6), layout="constrained").subplots()
for name, label in (("authors", "as the authors count"), ("strict", "strict")):
    axes.plot(jitter, [100 * robust[steps][name] for steps in jitter], "o-", label=label)
axes.set(title="Jitter of the input spikes", xlabel="largest shift (steps)", ylim=(80, 100))
axes.set_ylabel("accuracy (%)")
axes.legend(frameon=False)
plt.show()

# %%
# Better rules
# ------------
# The paper's rule has three weak points: a hidden neuron that did not fire learns nothing, all
# weights start positive, and the error of a sample says nothing about how near to wrong it was.
# The package has an option against each: ``gate="triangle"`` gives gradient to neurons near the
# threshold, ``init`` takes any initialiser, and ``PotentialMarginLoss`` under ``DecisionWindow``
# asks for a margin on the potentials before the decision. ``s4nn_rules.py`` puts them together as
# rules C (first two), B (all three) and A (all three, with AdamW instead of normalised SGD).
# Full runs of all of them are in ``docs/results/s4nn``, made by ``run_s4nn.py``:

files = sorted((docs / "results" / "s4nn").glob("mnist_rule_*.json"))
rows = [_results.load(file) for file in files if "validation" not in file.name]
print(f"{'rule':<14} epochs seed   strict  silent wrong  authors  CPU s")
for row in rows:
    plain, settings = row["figures"]["plain"], row["settings"]
    name = settings["rule"] + (" +shift" if settings["shift"] else "")
    name += f" beta {settings['beta']:g}" if settings["beta"] is not None else ""
    print(
        f"{name:<14}{settings['epochs']:>7}{row['seed']:>5}{plain['strict']:>9.2%}"
        f"{plain['strict_silent_wrong']:>14.2%}{plain['authors']:>9.2%}"
        f"{row['figures']['cpu_seconds']:>7.0f}"
    )

# %%
# Reported and reproduced
# -----------------------
# The paper's abstract reports 97.4 %. The weights that its authors publish score 96.69 % by their
# own count (their program, run on the MNIST test set). A figure of ours on fewer images says so.

table = [
    ("paper, abstract (arXiv:1910.09495)", "97.40", ""),
    ("the authors' published weights", "96.69", "95.29"),
    (f"this run, {len(train):,} images", f"{figures['authors']:.2%}", f"{figures['strict']:.2%}"),
]
full = docs / "results" / "s4nn_mnist.json"
if full.exists() and not options.full:
    stored = _results.load(full)["figures"]["test"]
    table.append(("--full, 60,000 images", f"{stored['authors']:.2%}", f"{stored['strict']:.2%}"))
print(f"{'784-400-10 on the MNIST test set':<40}{'as the authors count':>22}{'strict':>9}")
for name, authors, strict in table:
    print(f"{name:<40}{authors:>22}{strict:>9}")

if options.full:
    path = _results.save(
        options.output or full,
        {
            "test": figures,
            "jitter": robust,
            "history": history,
            "additions_per_image": share * relu,
        },
        seed=options.seed,
        epochs=epochs,
        hidden=options.hidden,
        images=len(train),
        source=test.source,
    )
    print(f"written to {path.name}")

# %%
# With real MNIST this page must not fall below 94 %.

assert figures["authors"] > (0.94 if len(train) >= 20_000 else 0.85)

# %%
# References
# ----------
# S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
# with one spike per neuron", Int. J. Neural Systems 30(6), 2020, arXiv:1910.09495.
#
# **Next:** how the code of this page works on one neuron, and the same network inside snnTorch.
