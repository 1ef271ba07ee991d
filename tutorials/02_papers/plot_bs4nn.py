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

import matplotlib.pyplot as plt
import torch
from bs4nn_rules import LATE_DRIVE, T_MAX, Margin
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

options = _training.parse(_training.options("BS4NN: one bit per synapse.", epochs=2))
docs = Path(stp.__file__).parents[1] / "docs"

synapse = stp.BinaryLinear(4, 1, scale=2.5)
synapse.weight.data = torch.tensor([[0.7, -0.1, 0.0, 3.0]])
print("latent weights", synapse.weight.tolist())
print("weights used  ", synapse.event_weights()[0].tolist())

# %%
# Latent weights move, now and then a sign flips
# ----------------------------------------------
# A short training on 10,000 digits with this project's rule (``bs4nn_rules.py``). The latent
# weights start in a narrow band and spread; the network only sees which side of 0 they are on.

train = stp.datasets.load("mnist", "train")
test = stp.datasets.load("mnist", "test")
print(train, test, sep="\n")
part = train.subset(torch.arange(len(train))[:10_000])
settings = SimpleNamespace(
    hidden=200, lr=0.01, margin=11.0, temperature=2.2, push=0.1, width=20.0, average=0.99, shift=0
)
batches = options.epochs * -(-len(part) // 64)
run = Margin(settings, batches)
latent = run.network[0].synapse.weight
snapshots, signs = [latent.detach().clone()], [latent.detach() >= 0]


def after_epoch(epoch):
    snapshots.append(latent.detach().clone())
    signs.append(latent.detach() >= 0)
    return {"flipped": (signs[-1] != signs[-2]).double().mean().item()}


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

axes = plt.figure(figsize=(6, 3.6), layout="constrained").subplots()
lit = (part.pixels.flatten(1) > 0).any(0)  # pixels that are always black teach nothing
for epoch, weights in enumerate(snapshots):
    axes.hist(
        weights[:, lit].flatten().numpy(),
        bins=80,
        range=(-1, 1),
        histtype="step",
        lw=1.5,
        color=plt.get_cmap("viridis")(epoch / max(len(snapshots), 2)),
        label=f"after epoch {epoch}" if epoch else "start",
    )
axes.axvline(0, color="0.5", lw=1)
axes.set(xlabel="latent weight", ylabel="synapses", title="Input synapses of lit pixels")
axes.legend(frameon=False)
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
strict = []
for steps in jitter:
    moves = torch.randint(-steps, steps + 1, times_in.shape)
    noisy = (times_in + moves).clamp(0, T_MAX - 2).where(times_in.isfinite(), times_in)
    report = _training.evaluate(timed, noisy, test.labels[:2000], t_max=T_MAX)
    strict.append(100 * report.compute()["strict"])
axes = plt.figure(figsize=(6, 3.6), layout="constrained").subplots()
axes.plot(jitter, strict, "o-")
axes.set(xlabel="largest shift (steps)", ylabel="strict accuracy (%)", ylim=(80, 100))
axes.set_title("Jitter of the input spikes (2,000 images)")
plt.show()

# %%
# Reported and reproduced
# -----------------------
# Full runs, 784-600-10 on MNIST and 784-1000-10 on Fashion-MNIST, mean over seeds. The test set
# was looked at once per run, with the averaged weights of the last epoch. *strict*: a tie is
# wrong, the potential decides where no output fires; *silent wrong*: the same without that rescue;
# *driven*: with the late drive, where spikes alone decide.

runs: dict[tuple[str, str], list] = {}
for file in sorted((docs / "results" / "bs4nn").glob("*.json")):
    record = _results.load(file)
    key = record["settings"]["data"], record["settings"]["rule"]
    runs.setdefault(key, []).append(record["figures"])


def mean(rows, kind, name):
    values = [row[kind][name] for row in rows if kind in row and name in row[kind]]
    return f"{statistics.mean(values):8.2%}" if values else f"{'':>8}"


print(f"{'':<24}{'runs':>5}{'strict':>9}{'silent wrong':>14}{'authors':>9}{'driven':>9}")
for (data, rule), rows in sorted(runs.items()):
    print(
        f"{data + ', ' + rule:<24}{len(rows):>5} {mean(rows, 'plain', 'strict')}"
        f"      {mean(rows, 'plain', 'strict_silent_wrong')} {mean(rows, 'plain', 'authors')}"
        f" {mean(rows, 'driven', 'strict')}"
    )
for data, bs4nn, bnn in (("mnist", 97.0, 96.8), ("fashion-mnist", 87.3, 86.4)):
    print(f"{data}: BS4NN {bs4nn:.1f} %, BNN {bnn:.1f} % in the paper's abstract (authors' count)")

# %%
# The authors' published BS4NN weights score 96.92 % by their own count and 94.72 % strictly. Their
# rule and settings leave four things to chance that the rule here does not: the scale of the
# output layer is learned and drifts without end; all latent weights start positive, in a range
# that only matters relative to the step; a hidden neuron that stayed silent learns nothing; and
# where no output fires there is no error, so a network that once falls silent stays so.

assert shipped["strict"] > 0.96

# %%
# References
# ----------
# S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, "BS4NN: binarized spiking neural networks with
# temporal coding and learning", Neural Processing Letters, 2021, arXiv:2007.04039.
