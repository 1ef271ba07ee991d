r"""
S4NN on photographs: faces and motorbikes
=========================================

.. rubric:: You will learn

- how photographs become spike times: places with strong edges fire first,
- what hidden neurons that fire once learn to look for,
- how an S4NN network does on five random splits, beside a linear classifier.

The pictures are the categories *Faces* and *Motorbikes* of Caltech 101, 435 and 798 of them, grey
and resized to 160 x 250 pixels. Of each class 200 train, 50 validate and the rest test; settings
were chosen by cross-validation among the first two.

Run it as a script: ``python tutorials/02_papers/plot_s4nn_faces.py`` takes half a minute and needs
the data (``SNN_TEMPORAL_DATA``); without them it draws discs, and says so. ``--save`` writes
``docs/results/s4nn/caltech_faces.json``.
"""

# %%
# Photographs as spikes
# ---------------------
# Grey levels say more about the light than about the object. So the inputs are edges of four
# orientations, as in the visual cortex, and of both contrasts: light to dark and dark to light.
# Each is the mean around its place, which makes eight maps of 9 x 15. The stronger the edges, the
# earlier their input fires.

from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import s4nn_faces
import torch
from s4nn_faces import T_MAX, THRESHOLD, drawing, edges, load
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

docs = Path(s4nn_faces.__file__).parents[2] / "docs"
parser = _training.options("S4NN on faces and motorbikes, five splits.", epochs=20)
parser.add_argument("--hidden", type=int, default=64, help="hidden neurons")
parser.add_argument("--splits", type=int, default=5, help="random splits")
parser.add_argument("--validate", action="store_true", help="measure on validation pictures")
parser.add_argument("--save", action="store_true", help="write the result file")
options = _training.parse(parser)
CLASSES = ("face", "motorbike")
MEASURED = "validation" if options.validate else "test"

pictures, labels = load(0, "train")[0]
shown = [int((labels == k).nonzero()[n]) for k in (0, 1) for n in (0, 1)]
times = stp.latency(edges(pictures[shown]), T_MAX)  # [4, 8, 9, 15]
figure, panels = plt.subplots(3, 4, figsize=(9, 4.6), layout="constrained")
for column, k in enumerate(shown):
    panels[0, column].imshow(pictures[k, 0], cmap="gray")
    panels[0, column].set_title(CLASSES[labels[k]])
    for row, name in ((1, "lighter to the right"), (2, "lighter below")):
        image = panels[row, column].imshow(times[column, row - 1], cmap="viridis", vmax=T_MAX)
        panels[row, 0].set_ylabel(name)
for axes in panels.flat:
    axes.set(xticks=[], yticks=[])
figure.colorbar(image, ax=panels[1:], label="spike time (step)")
plt.show()

# %%
# The network
# -----------
# 64 hidden neurons and two outputs, trained by rule A of
# :ref:`sphx_glr_auto_tutorials_02_papers_plot_s4nn.py`, with averaged weights. There are only 400
# pictures to learn from, so 30 % of the input spikes are dropped in training.


def network(inputs, hidden):
    """Two layers; a hidden neuron needs about as many inputs as there are in a row to fire."""
    gated = stp.SingleSpikeIF(THRESHOLD, delay=1, gate="triangle")
    spread, strength = THRESHOLD / inputs**0.5, 2 * THRESHOLD / hidden**0.5
    first = stp.Timed(
        nn.Linear(inputs, hidden, bias=False),
        gated,
        t_max=T_MAX,
        init=lambda weight: nn.init.normal_(weight, 0.06 * spread, spread),
    )
    second = stp.Timed(
        nn.Linear(hidden, len(CLASSES), bias=False),
        stp.SingleSpikeIF(THRESHOLD, delay=1),
        t_max=T_MAX,
        init=lambda weight: nn.init.normal_(weight, 0.0, strength),
        error_to_silent=True,
        return_potential=True,
    )
    return nn.Sequential(nn.Flatten(), first, second), (0.03 * spread, 0.03 * strength)


def trained(times, labels, seed):
    """A trained network (averaged weights), its first weights, and its history."""
    torch.manual_seed(seed)
    model, rates = network(times[0].numel(), options.hidden)
    start = model[1].synapse.weight.detach().clone()
    window = stp.DecisionWindow(model, potential="decision")
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    loss = stp.PotentialMarginLoss(THRESHOLD, reduction="sum")
    groups = [
        {"params": layer.parameters(), "lr": rate}
        for layer, rate in zip(model[1:], rates, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, eps=1e-6, weight_decay=1e-3)
    steps = options.epochs * -(-len(times) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps)

    def step(batch, target):
        dropped = torch.rand_like(batch) < 0.3
        out, potential = window(batch.masked_fill(dropped, float("inf")))
        optimizer.zero_grad()
        loss(out, target, potential=potential).backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        return (loss.predict(out.detach(), potential=potential.detach()) == target).sum()

    history = _training.fit(
        step, times, labels, epochs=options.epochs, batch_size=20, seed=seed, title=f"split {seed}"
    )
    return average.module.eval(), start, history


# %%
# Five splits
# -----------
# Beside each network stand two linear classifiers (ridge regression): on the same edges, and on
# grey levels (means of 10 x 10 pixels).


def linear(known, labels, unknown, target, ridge=30.0):
    """Accuracy of ridge regression."""
    x, z = (nn.functional.pad(part.flatten(1), (0, 1), value=1.0) for part in (known, unknown))
    gram = x @ x.T + ridge * torch.eye(len(x))
    scores = z @ (x.T @ torch.linalg.solve(gram, 2.0 * labels - 1))
    return ((scores > 0).long() == target).double().mean().item()


rows, models, starts = [], [], []
for split in range(options.splits):
    parts = load(split, "train", MEASURED)
    (_, labels), (_, target) = parts
    known, unknown = (edges(pictures) for pictures, _ in parts)
    model, start, history = trained(stp.latency(known, T_MAX), labels, split)
    report = _training.evaluate(model, stp.latency(unknown, T_MAX), target, t_max=T_MAX).compute()
    blocks = [nn.functional.avg_pool2d(pictures, 10) for pictures, _ in parts]
    report["edges, linear"] = linear(known, labels, unknown, target)
    report["grey, linear"] = linear(blocks[0], labels, blocks[1], target)
    report["cpu_seconds"] = round(sum(row["cpu_seconds"] for row in history), 1)
    rows.append(report)
    models.append(model)
    starts.append(start)

names = ("strict", "strict_silent_wrong", "authors", "edges, linear", "grey, linear")
print(f"{'':<8}{MEASURED:>10}" + "".join(f"{name:>21}" for name in names))
for split, row in enumerate(rows):
    print(f"split {split}{row['samples']:>10}" + "".join(f"{row[name]:>21.2%}" for name in names))
means = {name: mean(row[name] for row in rows) for name in (*names, "decision_time", "cpu_seconds")}
print(f"mean{'':>14}" + "".join(f"{means[name]:>21.2%}" for name in names))
print("the paper's abstract (arXiv:1910.09495): 99.2 %")

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, mark in (("strict", "o"), ("edges, linear", "s"), ("grey, linear", "d")):
    axes.plot([100 * row[name] for row in rows], mark, label=f"{name}: {100 * means[name]:.2f}")
axes.axhline(99.2, color="0.6", lw=1, label="paper: 99.2")
axes.set(
    xlabel="split", ylabel="accuracy (%)", xticks=range(len(rows)), title=f"{MEASURED} pictures"
)
axes.legend(frameon=False, fontsize=8)
plt.show()

# %%
# What the hidden neurons look for
# --------------------------------
# What the weights of the first split learned, drawn as bars along the edges: red for edges that
# excite, blue for edges that inhibit. The upper pictures sum over all hidden neurons that speak for
# a class, each as loudly as its output weight; below are the four loudest.

first, last = (layer.synapse.weight.detach() for layer in models[0][1:])
fields = (first - starts[0]).unflatten(1, known.shape[1:])
voice = last[1] - last[0]
sums = [torch.einsum("h,h...->...", voice.mul(sign).clamp(min=0), fields) for sign in (-1, 1)]
loudest = voice.abs().argsort(descending=True)[:4].tolist()
pictures = drawing(torch.stack([*sums, *fields[loudest]]))
titles = [f"all for {name}" for name in CLASSES]
titles += [f"hidden neuron for {CLASSES[int(voice[k] > 0)]}" for k in loudest]
figure, panels = plt.subplots(3, 2, figsize=(8, 7.6), layout="constrained")
for axes, picture, title in zip(panels.flat, pictures, titles, strict=True):
    strongest = picture.abs().quantile(0.995)
    axes.imshow(picture, cmap="RdBu_r", vmin=-strongest, vmax=strongest)
    axes.set(title=title, xticks=[], yticks=[])
plt.show()

# %%
# Mistakes
# --------
# Pictures of the first split that the network gets wrong or decides last.

(unknown, target) = load(0, MEASURED)[0]
with torch.no_grad():
    out, potential = models[0](stp.latency(edges(unknown), T_MAX))
wrong = stp.PotentialMarginLoss(THRESHOLD).predict(out, potential=potential) != target
first_spike = out.min(1).values.clamp(max=T_MAX)
hardest = (first_spike + 2 * T_MAX * wrong).argsort(descending=True)[:8]
figure, panels = plt.subplots(2, 4, figsize=(9, 3.4), layout="constrained")
for axes, k in zip(panels.flat, hardest.tolist(), strict=True):
    axes.imshow(unknown[k, 0], cmap="gray")
    answer = "wrong" if wrong[k] else "right"
    when = f"step {first_spike[k]:.0f}" if first_spike[k] < T_MAX else "no spike"
    axes.set_title(f"{answer}, {when}", fontsize=9)
    axes.set(xticks=[], yticks=[])
plt.show()

if options.save:
    path = docs / "results" / "s4nn" / "caltech_faces.json"
    settings = {"hidden": options.hidden, "epochs": options.epochs, "measured_on": MEASURED}
    _results.save(path, {"mean": means, "splits": rows}, seed=options.seed, **settings)
    print(f"written to {path.name}")

# %%
# Settings were chosen by cross-validation: of the 500 pictures that are not for the test, 400 train
# and 100 are measured, four times in each of five splits. The mean of the edges around a place is
# better than the strongest of them, and both contrasts on their own are better than together.
# Mirrored pictures, more or fewer dropped spikes, a larger margin and more hidden neurons made
# no difference that such a sample could tell, or were worse. This page must not fall below 95 %.

assert means["strict"] > 0.95

# %%
# References
# ----------
# S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
# with one spike per neuron", Int. J. Neural Systems 30(6), 2020, arXiv:1910.09495.
#
# L. Fei-Fei, R. Fergus, P. Perona, "Learning generative visual models from few training examples",
# CVPR workshop, 2004 (Caltech 101).
