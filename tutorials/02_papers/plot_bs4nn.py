r"""
BS4NN: one bit per synapse
==========================

.. rubric:: You will learn

- how ``BinaryLinear`` trains weights of one bit through real *latent* weights,
- how ``pack`` makes a network 32 times smaller with the same spikes,
- what the trained network that ships with the package can do,
- how it compares with S4NN, with the paper, and with a binary network without time (BNN).

The synapses of BS4NN carry the *signs* of latent weights, times one scale per layer,

.. math::
    V_j(t) = \alpha \sum_i \operatorname{sign}(w_{ji}) \, [t_i \le t],

and the error is carried back by the latent weights :math:`w` themselves. A potential is a whole
number of spikes, so a network of these neurons only counts.

Run it as a script: ``python tutorials/02_papers/plot_bs4nn.py``. Full training runs are made by
``run_bs4nn.py``; their figures are read from ``docs/results/bs4nn``.
"""

# %%
# Signs forward, latent weights backward
# --------------------------------------
# ``BinaryLinear`` stands where ``nn.Linear`` does: under ``Timed``, before neurons of snnTorch or
# Norse, in a ReLU network.

import statistics
from pathlib import Path
from types import SimpleNamespace

import bs4nn_rules
import matplotlib.pyplot as plt
import torch
from bs4nn_rules import LATE_DRIVE, T_MAX, Margin
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

options = _training.parse(_training.options("BS4NN: one bit per synapse.", epochs=4))
docs = Path(bs4nn_rules.__file__).parents[2] / "docs"

synapse = stp.BinaryLinear(4, 1, scale=2.5)
synapse.weight.data = torch.tensor([[0.7, -0.1, 0.0, 3.0]])
print("latent weights", synapse.weight.tolist())
print("weights used  ", synapse.event_weights()[0].tolist())

# %%
# Latent weights move, now and then a sign flips
# ----------------------------------------------
# A short training on 5,000 digits with this project's rule (``bs4nn_rules.py``). The latent
# weights start in a narrow band and spread; the network only sees which side of 0 they are on, and
# fewer of them change sides with every epoch.

train = stp.datasets.load("mnist", "train")
test = stp.datasets.load("mnist", "test")
print(train, test, sep="\n")
part = train.subset(slice(0, 5000))
settings = SimpleNamespace(
    hidden=200, lr=0.01, margin=11.0, temperature=2.2, push=0.1, width=20.0, average=0.99, shift=0
)
run = Margin(settings, options.epochs * -(-len(part) // 64))
latent = run.network[0].synapse.weight
snapshots = [latent.detach().clone()]


def after_epoch(epoch):
    snapshots.append(latent.detach().clone())
    flipped = (snapshots[-1] >= 0) != (snapshots[-2] >= 0)
    return {"flipped": flipped.double().mean().item()}


with stp.set_validation(False):  # outputs may all be silent at first: no warning
    history = _training.fit(
        run.step,
        part.pixels,
        part.labels,
        epochs=options.epochs,
        batch_size=64,
        seed=options.seed,
        after_epoch=after_epoch,
        title="BS4NN",
    )

lit = (part.pixels.flatten(1) > 0).any(0)  # pixels that are always black teach nothing
traces = torch.stack([weights[:, lit].flatten()[::4001] for weights in snapshots])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for epoch, weights in enumerate(snapshots):
    left.hist(
        weights[:, lit].flatten().numpy(),
        bins=80,
        range=(-1, 1),
        histtype="step",
        lw=1.5,
        color=plt.get_cmap("viridis")(epoch / len(snapshots)),
        label=f"after epoch {epoch}" if epoch else "start",
    )
left.set(xlabel="latent weight", ylabel="synapses", title="Input synapses of lit pixels")
left.axvline(0, color="0.5", lw=1)
left.legend(frameon=False)
right.plot(traces.numpy(), "o-", ms=3, lw=1)
right.axhline(0, color="0.5", lw=1)
right.set(xlabel="epoch", ylabel="latent weight", title="Some of them", xticks=range(len(traces)))
plt.show()

# %%
# The network that ships with the package
# ---------------------------------------
# Trained on all 60,000 images by ``run_bs4nn.py``, packed, 784-600-10.

model = stp.models.bs4nn_mnist()
print(model)
times, potential = model(test.pixels)
figures = stp.metrics.FirstSpikeReport(T_MAX)
figures.update(times, test.labels, potential)
shipped = figures.compute()
print(figures)

# %%
# Some images, with the class and the time of the decision: clear digits are decided early. From
# step 226 on every output gets one more count per step (the *late drive*), so that in the end the
# largest potential fires.

chosen = torch.cat([torch.arange(10), (times.min(1).values > LATE_DRIVE[0]).nonzero()[:5, 0]])
figure, panels = plt.subplots(3, 5, figsize=(8, 5.2), layout="constrained")
for axes, k in zip(panels.flat, chosen.tolist(), strict=False):
    axes.imshow(test.pixels[k, 0], cmap="gray_r")
    axes.set_title(f"{times[k].argmin()} at step {times[k].min():.0f}", fontsize=9)
for axes in panels.flat:
    axes.axis("off")
plt.show()

# %%
# Memory and operations
# ---------------------
# A packed layer holds one bit per synapse in rows of whole bytes. Its kernel advances 64 neurons
# per machine word. A spike costs one *count* per neuron, and after the first output spike nothing
# has to be computed at all.

layers = model[2:]
size = {
    "float": sum(4 * layer.synapse.weight.numel() for layer in layers),
    "packed": sum(buffer.nbytes for buffer in layers.buffers()),
}
plain = stp.models.bs4nn_mnist(late_drive=False)[2:]
decision = stp.first_spike_decision(plain, stp.latency(test.pixels.flatten(1), T_MAX))
counts = decision.additions.double().mean().item()
macs = 784 * 600 + 600 * 10
print(f"weights: {size['float']:,} bytes as floats, {size['packed']:,} packed")
print(f"counts up to the decision: {counts:,.0f}; multiply-adds of a ReLU network: {macs:,}")
stored = docs / "results" / "packed_inference.json"
if stored.exists():
    for name, row in _results.load(stored)["figures"].items():
        if name.startswith("batch"):
            print(f"{name:<11}", row["microseconds per image"], "microseconds per image")

# %%
# Jitter
# ------
# Every input spike moved by a random number of steps: whole counts in a slightly wrong order.

timed = nn.Sequential(*layers)
jitter = (0, 8, 16, 32, 64, 128)
times_in = stp.latency(test.pixels.flatten(1), T_MAX)[:2000]
strict, decided = [], []
for steps in jitter:
    moves = torch.randint(-steps, steps + 1, times_in.shape)
    noisy = (times_in + moves).clamp(0, T_MAX - 2).where(times_in.isfinite(), times_in)
    found = _training.evaluate(timed, noisy, test.labels[:2000], t_max=T_MAX).compute()
    strict.append(100 * found["strict"])
    decided.append(found["decision_time"])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(jitter, strict, "o-")
left.set(ylabel="strict accuracy (%)", ylim=(90, 100))
right.plot(jitter, decided, "o-", color="C1")
right.set(ylabel="mean decision time (steps)", ylim=(0, T_MAX))
for axes in (left, right):
    axes.set_xlabel("largest shift of a spike (steps)")
figure.suptitle("Jitter of the input spikes (2,000 images)")
plt.show()

# %%
# Closing table: S4NN, BS4NN and a binary network without time
# ------------------------------------------------------------
# Full runs on all 60,000 images, mean over seeds; the test set was looked at once per run, after
# the last epoch. S4NN (:doc:`plot_s4nn`) has real weights and 400 or 1000 hidden neurons, all
# others one bit per synapse and 600 or 1000. A BNN has the shape and the binarisation of BS4NN,
# the same optimiser, step size and averaging (chosen for BS4NN), and no time: binary weights with
# ReLU, or with binary activations, too. *strict*: a tie is wrong, the potential decides where no
# output fires; *silent wrong*: no rescue for these; *drive*: with the late drive, where spikes
# decide.

NETWORKS = {
    "S4NN, real weights": "s4nn/{}_rule_A_*00_*epochs_seed?.json",
    "BS4NN, rule of this project": "bs4nn/{}_margin_seed?.json",
    "BS4NN, rule of the paper": "bs4nn/{}_paper_seed?.json",
    "BNN, ReLU": "bs4nn/{}_relu_seed?.json",
    "BNN, binary activations": "bs4nn/{}_sign_seed?.json",
}
COLUMNS = {
    "strict": ("plain", "strict"),
    "silent wrong": ("plain", "strict_silent_wrong"),
    "drive": ("driven", "strict"),
    "drive, silent wrong": ("driven", "strict_silent_wrong"),
    "authors": ("plain", "authors"),
}


def read(pattern):
    """Figures in per cent, ``{column: [one per seed]}``."""
    found = {}
    for file in sorted((docs / "results").glob(pattern)):
        figures = _results.load(file)["figures"]
        figures.setdefault("driven", figures.get("late_drive", {}))
        for column, (kind, name) in COLUMNS.items():
            found.setdefault(column, []).append(100 * figures[kind].get(name, float("nan")))
    return found


def show(title, rows):
    print(f"{title:<28}{'runs':>5}", *(f"{column:>{len(column) + 2}}" for column in COLUMNS))
    for name, found in rows.items():
        cells = (f"{statistics.mean(found[c]):{len(c) + 2}.2f}" for c in COLUMNS)
        print(f"{name:<28}{len(found['strict']):>5}", *(c.replace("nan", "  -") for c in cells))
    print()


figure, panels = plt.subplots(1, 2, figsize=(9.5, 3), layout="constrained", sharey=True)
table = {}
for axes, data in zip(panels, ("mnist", "fashion-mnist"), strict=True):
    table[data] = {name: read(pattern.format(data)) for name, pattern in NETWORKS.items()}
    show(data, table[data])
    for k, found in enumerate(reversed(table[data].values())):
        axes.plot(found["strict"], [k] * len(found["strict"]), "o", alpha=0.6)
    axes.set(xlabel="strict accuracy (%), each seed", title=data)
    axes.set_yticks(range(len(NETWORKS)), list(reversed(NETWORKS)))
panels[0].set_xlim(96.5, 98.6)
panels[1].set_xlim(84.5, 90.5)
plt.show()

# %%
# (The paper's rule is off the scale; see below.)
#
# Who wins? BS4NN against the better of the two BNNs, both trained here, and in the paper's
# abstract, by the authors' count:

for data, reported in (("mnist", (97.0, 96.8)), ("fashion-mnist", (87.3, 86.4))):
    rows = table[data]
    ours = rows["BS4NN, rule of this project"]["strict"]
    bnn = max((rows[n]["strict"] for n in NETWORKS if n[:3] == "BNN"), key=statistics.mean)
    gain = statistics.mean(ours) - statistics.mean(bnn)
    spread = max(statistics.stdev(ours), statistics.stdev(bnn))
    print(
        f"{data}: BS4NN {statistics.mean(ours):.2f} %, BNN {statistics.mean(bnn):.2f} %: "
        f"{gain:+.2f} points, spread over seeds {spread:.2f}; "
        f"in the paper {reported[0]} and {reported[1]}"
    )

# %%
# On Fashion-MNIST BS4NN wins clearly. On MNIST the difference is no larger than the spread over
# seeds: a draw. Both hold with the late drive. Without it, and without the potential's rescue,
# images that make no output fire count as wrong, and the BNNs, which always answer, win.

# %%
# What is missing in the paper's rule
# -----------------------------------
# The authors' published weights score 96.92 % by their own count and 94.72 % strictly, but not by
# the published settings. These leave five things to chance:
#
# * **scale**: the scale of the output layer is learned and drifts without end;
# * **range**: latent weights start positive, in a range that is large against a step, so that few
#   signs ever change;
# * **decay**: and nothing pulls them back;
# * **gate**: a hidden neuron that stayed silent learns nothing;
# * **silent**: where no output fires there is no error, so a network that once falls silent stays
#   so.
#
# Each can be put right by itself (``run_bs4nn.py --rule paper --repair ...``); this project's rule
# has none of the five. The first epochs of the authors' 200, on MNIST, in their own terms: how many
# latent weights are positive, the two scales, and the share of images without an output spike.

print("epoch  right  positive weights    scales       silent")
for row in _results.load(docs / "results/bs4nn/mnist_paper_seed0.json")["figures"]["history"]:
    shares = f"{row['accuracy']:6.1%} {row['positive_1']:9.1%} {row['positive_2']:8.1%}"
    scales = f"{row['scale_1']:8.3f} {row['scale_2']:6.3f}"
    print(f"{row['epoch']:>5} {shares} {scales} {row['silent']:8.2%}")

# %%
# References
# ----------
# - S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, "BS4NN: binarized spiking neural networks with
#   temporal coding and learning", Neural Processing Letters, 2021, arXiv:2007.04039.
#
# **Next:** :doc:`plot_tssl_bp` has many spikes per neuron and five time steps.

# sphinx_gallery_thumbnail_number = 4
assert shipped["strict"] > 0.96
