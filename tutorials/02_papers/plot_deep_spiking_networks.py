r"""
Deep Spiking Networks: a ReLU network, forward and backward, in spikes
======================================================================

.. rubric:: You will learn

- how ``to_spiking`` turns any ReLU network into a spiking one, with a *guaranteed* error bound,
- why its error falls as :math:`1/T`, where random spikes give :math:`1/\sqrt T`,
- what a decision costs, in additions,
- how far a network gets that also *learns* by spikes alone.

A **herding unit** adds up what it receives, :math:`S(t)`, and fires whenever its count of spikes
lags behind by more than one half:

.. math::
    N(t) = \max\bigl(0, \max_{\tau \le t} \lceil S(\tau) - \tfrac12 \rceil\bigr), \qquad
    \Bigl| \frac{N(t)}{t} - a \Bigr| \le \frac{E}{t},

with :math:`a` the activation of the same unit in the ReLU network. The bound E of a unit in layer
l is :math:`E_l = \tfrac12 + |W_l| E_{l-1}`, whatever t. Inputs are herded with both signs.

Run it as a script: ``python tutorials/02_papers/plot_deep_spiking_networks.py``. Full training
runs are made by ``run_deep_spiking_networks.py``; their figures are read from
``docs/results/deep_spiking``.
"""

# %%
# Any ReLU network
# ----------------
# 784-200-200-10, trained as one always does. ``HerdingMLP`` comes later; here it lends its layers.

from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from deep_spiking_studies import SIZES, activations, error, herded, load, slope, spikes, stored
from torch import nn

import snn_temporal_plugins as stp

torch.manual_seed(0)
torch.set_num_threads(1)
x, labels, source = load("train")
x_test, labels_test, _ = load("test")
print(f"{len(x):,} images to learn, {len(x_test):,} to test ({source})")
event_net = stp.HerdingMLP(SIZES, order="event")
relu = event_net.relu()  # shares the weights
for layer in event_net.layers:
    nn.init.kaiming_normal_(layer.weight)
epochs = max(2, 120_000 // len(x))
optimiser = torch.optim.Adam(relu.parameters(), lr=2e-3, fused=True)
for _ in range(epochs):
    for batch in torch.randperm(len(x)).split(200):
        optimiser.zero_grad()
        nn.functional.cross_entropy(relu(x[batch]), labels[batch]).backward()
        optimiser.step()
relu.requires_grad_(False)
want = relu(x_test)

# %%
# Its spiking twin
# ----------------
# One call. The twin shares the weights, runs all steps at once, and returns the mean output.

twin = stp.to_spiking(relu, num_steps=20)
scores = torch.cat([twin(part) for part in x_test.split(500)])
changed = 100 * (scores.argmax(1) != want.argmax(1)).double().mean().item()
print(
    f"test error: ReLU {error(want, labels_test):.2f} %, spiking {error(scores, labels_test):.2f} %"
)
print(f"decisions that 20 steps change: {changed:.2f} %")

# %%
# The estimate runs, and the bound with it
# ----------------------------------------
# ``return_all=True`` gives the estimate after every step. Left: two hidden units and one image,
# with the interval that the bound leaves. Right: the largest share of the bound that any unit uses
# up, over 50 images. In the first layer the bound is within a factor of two of what happens; deeper
# down errors of both signs cancel, which a guarantee must not count on.

STEPS = 1000
images = x_test[:50]
output_bound, units = stp.herding_error_bound(twin, images, return_units=True)
bounds = [*units.values(), output_bound]
true = activations(relu, images)
time = torch.arange(1, STEPS + 1)
trains = spikes(relu, herded(images.expand(STEPS, -1, -1)))
running = [train.cumsum(0) / time.view(-1, 1, 1) for train in trains[1:]]
estimate = twin(images, return_all=True, num_steps=STEPS)
torch.testing.assert_close(running[-1], estimate, atol=1e-4, rtol=1e-4)

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for unit, colour in zip(true[0][0].topk(40).indices[[0, 39]], ("#0072B2", "#D55E00"), strict=True):
    a, e = true[0][0, unit], bounds[0][0, unit]
    left.plot(time, running[0][:, 0, unit], color=colour, label="spikes per step")
    left.axhline(a, color=colour, lw=0.8, ls="--", label="ReLU")
    left.fill_between(time, a - e / time, a + e / time, color=colour, alpha=0.15, label="bound")
left.set(xscale="log", xlabel="step t", ylabel="activation", title="Two units of the first layer")
left.set_ylim(-0.5, 1.6 * true[0][0].max())
left.legend(fontsize=7, ncols=2)
names = ("first hidden layer", "second hidden layer", "output")
for name, got, a, e in zip(names, running, true, bounds, strict=True):
    share = ((got - a).abs() * time.view(-1, 1, 1) / e).amax((1, 2))
    right.loglog(time, share, label=name)
right.axhline(1, color="0.3", ls="--")
right.set(xlabel="step t", ylabel="largest error / bound", title="All units, 50 images")
right.set_ylim(top=20)
right.legend(fontsize=7)
plt.show()

# %%
# One over T
# ----------
# The same images, with inputs sent as random (Bernoulli) spikes of the same mean: their error falls
# as a root, all the way through the network. That of herding falls with slope -1.

noisy = spikes(relu, torch.bernoulli(images.expand(STEPS, -1, -1)))
CHECKED = torch.logspace(1, 3, 40).round().long().tolist()
figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", sharey=True)
slopes = {}
for axes, k, name in zip(panels, (1, 3), ("first hidden layer", "output"), strict=True):
    for label, sent, style in (("herding", trains, "o-"), ("Bernoulli", noisy, "s--")):
        errors = [(sent[k][:t].mean(0) - true[k - 1]).abs().mean().item() for t in CHECKED]
        slopes[label, name] = slope(CHECKED, errors)
        axes.loglog(CHECKED, errors, style, ms=3, label=f"{label}, slope {slopes[label, name]:.2f}")
    axes.set(title=name, xlabel="steps T")
    axes.legend()
panels[0].set_ylabel("mean distance from ReLU")
plt.show()

full = stored("conversion")
print("full run, 200 images, T = 10 ... 1000, float64")
for name, value in full.get("slope", {}).items():
    share = full["largest_share_of_bound"].get(name)
    note = f", at most {max(share):.3f} of the bound" if share else ""
    print(f"{name:<20} slope {value:6.3f}{note}")

# %%
# What a decision costs
# ---------------------
# A spike costs one addition per unit that it reaches. *Step order* (``to_spiking``, time-parallel)
# tests thresholds after all spikes of a step; *event order* (the authors' program) after each one,
# and sends more spikes, on crossings that pass. A dense ReLU network multiplies and adds every
# weight. One that skips zeros is the honest rival: in *number* of operations only few steps beat
# it. What spikes offer is additions for multiply-adds, and an answer that is there early.

part, want_part, labels_part = x_test[:2000], want[:2000], labels_test[:2000]
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
for order, style, offset in (("event", "s-", 4), ("step", "o-", -10)):
    points = []
    for steps in (1, 2, 3, 5, 10, 20):
        net = stp.HerdingMLP(SIZES, steps, order=order)
        net.load_state_dict(event_net.state_dict())
        counts = net.count(part, labels_part)
        points.append((counts.additions / len(part), 100 * (1 - counts.right / len(part))))
        axes.annotate(f"T={steps}", points[-1], (4, offset), textcoords="offset points", fontsize=7)
    axes.semilogx(*zip(*points, strict=True), style, label=f"{order} order, additions")
dense = sum(n * m for n, m in pairwise(SIZES))
hidden = activations(relu, part)[:-1]
active = [(values != 0).sum(1).double().mean().item() for values in (part, *hidden)]
skipping = sum(n * m for n, m in zip(active, SIZES[1:], strict=True))
for macs, marker, name in ((dense, "D", "dense"), (skipping, "*", "zeros skipped")):
    label = f"ReLU, {name}, multiply-adds"
    axes.semilogx(macs, error(want_part, labels_part), marker, ms=10, color="0.3", label=label)
axes.set_xticks([5e4, 1e5, 2e5, 4e5, 8e5], ["50 k", "100 k", "200 k", "400 k", "800 k"])
axes.minorticks_off()
axes.set(xlabel="operations per image", ylabel="test error (%)", title="2,000 test images")
axes.legend(fontsize=8)
plt.show()

if full:
    print(f"full run: ReLU {full['relu_error']:.2f} %, {full['dense']:,} multiply-adds, of which")
    print(f"{full['skipping']:,.0f} not with 0; 10,000 images, spiking:")
print(f"{'order':<8}{'T':>4}{'error %':>9}{'changed %':>11}{'additions':>11}")
for row in full.get("rows", []):
    if row["images"] == 10_000:
        print(
            f"{row['order']:<8}{row['steps']:>4}{row['error']:>9.2f}{row['differs']:>11.2f}"
            f"{row['additions']:>11,.0f}"
        )

# %%
# Learning by spikes alone
# ------------------------
# Output spikes are compared with a one-hot target in each step; every difference is an *error
# spike*, which travels down over the weights, through the gate of units whose sum is not negative,
# and is herded again. ``HerdingMLP.learn`` does this sample by sample, compiled, without autograd,
# and counts. The error is sparse: learning costs little beside the forward pass.

learner = stp.HerdingMLP(SIZES, lr=0.02)
sample = torch.randperm(len(x))[:20_000]
counts = learner.learn(x[sample], labels[sample])
for name in ("forward", "backward", "update"):
    print(f"additions per image, {name:<9}{getattr(counts, name) / counts.samples:>10,.0f}")
learned = error(learner(x_test), labels_test)
swapped = error(learner.relu()(x_test), labels_test)
print(f"after {counts.samples:,} images: {learned:.2f} % error; as a ReLU network {swapped:.2f} %")

# %%
# Full runs, with weights swapped both ways: drawn through is the network as it learned, dotted the
# same weights in the other kind of network (ReLU for spiking ones, event-order spikes for ReLU).
# Left the authors' constants. Right a learning rate that falls to 0; it and its start were chosen
# on validation images. All start from the same weights.

RUNS = {
    "spiking SGD": ("sgd", "#D55E00"),
    "spiking FSGD": ("fsgd", "#0072B2"),
    "spiking SGD, step order": ("step_sgd", "#009E73"),
    "ReLU": ("relu", "0.3"),
}
last = {}
figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", sharey=True)
for axes, suffix in zip(panels, ("", "_chosen"), strict=True):
    for label, (name, colour) in RUNS.items():
        rows = stored(f"training_{name}{suffix}")
        if not rows:
            continue
        last[name + suffix] = rows[-1]
        epoch = [row["epoch"] for row in rows]
        kinds = ("relu_error", "spiking_error")[:: 1 if name == "relu" else -1]
        for kind, style in zip(kinds, ("-", ":"), strict=True):
            own = label if style == "-" else None
            axes.plot(epoch, [row.get(kind) for row in rows], style, color=colour, label=own)
    axes.set(xlabel="epoch", ylim=(1.3, 6))
panels[0].set(title="constant learning rate", ylabel="test error (%)")
panels[1].set_title("falling learning rate")
panels[1].legend(fontsize=8)
plt.show()

print(f"{'after 20 epochs, error %':<28}{'spiking':>9}{'as ReLU':>9}{'training':>10}{'as ReLU':>9}")
for name, row in last.items():
    print(
        f"{name:<28}{row['spiking_error']:>9.2f}{row['relu_error']:>9.2f}"
        f"{row['spiking_training_error']:>10.2f}{row['relu_training_error']:>9.2f}"
    )
print("authors' program, 10,000 images of the training file: SGD 2.68, FSGD 2.34, ReLU 1.81")

# %%
# What keeps step order behind the ReLU network is the coarseness of the error: whole error spikes
# become rare before learning ends. Spikes of a quarter close the gap, at four times the (few)
# additions of the backward pass. Validation images, learning rate falling from 0.02:

SETTINGS = {
    "step_sgd_double_decay": "whole error spikes",
    "step_sgd_fine": "spikes of a quarter (chosen)",
    "step_sgd_finer": "of a tenth",
    "step_sgd_fine_smooth": "of a quarter, exact inputs",
    "step_sgd_fine_t20": "of a quarter, T = 20",
    "relu_double_decay": "ReLU network",
}
print(f"{'step order, validation':<32}{'error %':>9}{'backward additions per image':>31}")
for name, label in SETTINGS.items():
    if not (rows := stored(f"settings_{name}")):
        print(f"{label:<32}{'not run':>9}")
        continue
    own = rows[-1]["relu_error" if name.startswith("relu") else "spiking_error"]
    additions = (
        f"{rows[-1]['backward_additions']:,.0f}" if "backward_additions" in rows[-1] else "-"
    )
    print(f"{label:<32}{own:>9.2f}{additions:>31}")

# %%
# Variants
# --------
# Four epochs each, constants of the authors' program. Their figures stand in comments of their
# code. Residues of the errors that start each sample at zero swallow whatever is smaller than half
# a spike: with the authors nothing is learned, here nothing in three epochs, until a few errors of
# the last layer have made its weights large. Step order learns better than event order with as many
# steps.

AUTHORS = {"baseline": 3.38, "fractional": 3.10, "smooth": 2.85, "smooth_fractional": 3.07}
AUTHORS |= {"back_zero": 87.87, "back_random": 3.15, "t5": 4.41, "t20": 2.65}
print(f"{'variant':<20}{'error %':>9}{'as ReLU':>9}{'authors':>9}{'additions':>11}{'images/s':>10}")
for name in (*AUTHORS, "step_order", "step_final_gate"):
    if not (rows := stored(f"variants_{name}")):
        print(f"{name:<20}{'not run':>9}")
        continue
    row = rows[-1]
    additions = sum(row[f"{kind}_additions"] for kind in ("forward", "backward", "update"))
    theirs = f"{AUTHORS[name]:.2f}" if name in AUTHORS else "-"
    print(
        f"{name:<20}{row['spiking_error']:>9.2f}{row['relu_error']:>9.2f}{theirs:>9}"
        f"{additions:>11,.0f}{row['images_per_second']:>10,}"
    )

# %%
# How good is the gradient of one sample?
# ---------------------------------------
# Cosine between the change that one sample makes and the exact gradient of the ReLU network. With
# few steps single samples teach the first layer noisily; sums over samples, which is what training
# adds up, are far better. "Equivalent in training" holds for hundreds of steps, or on average.


def show_cosines(rows):
    _, panels = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", sharey=True)
    for axes, stage in zip(panels, ("early", "late"), strict=True):
        for reset, style in (("none", "o-"), ("zero", "s:")):
            chosen = [row for row in rows if (row["stage"], row["back_reset"]) == (stage, reset)]
            steps = [row["steps"] for row in chosen]
            for k, colour in enumerate(("#0072B2", "#D55E00", "#009E73")):
                cosines = [row["cosine"][k] for row in chosen]
                label = f"layer {k + 1}, residues {'kept' if reset == 'none' else 'zeroed'}"
                axes.semilogx(steps, cosines, style, color=colour, label=label)
                if reset == "none":
                    sums = [row["cosine_of_sums"][k] for row in chosen]
                    axes.semilogx(steps, sums, "--", color=colour, lw=0.8)
        axes.set(xlabel="steps T", title=f"{stage} in training")
    panels[0].set_ylabel("cosine (dashed: of sums, residues kept)")
    panels[1].legend(fontsize=7)
    plt.show()


if rows := stored("gradients"):
    show_cosines(rows)
else:
    print("not run: run_deep_spiking_networks.py gradients --full")

# %%
# The engine's rule also exists for autograd and any optimiser: ``CountLinear``, ``HerdedErrors``,
# ``SpikeErrorLoss``. **Next:** a stream that changes slowly, in the page on sigma-delta.
#
# References
# ----------
# - P. O'Connor, M. Welling, *Deep Spiking Networks*, 2016, arXiv:1602.08323. Their program reports
#   errors on 10,000 images of the training file (it unpacks validation images as test images) after
#   learning the other 50,000; here all 60,000 are learned and the 10,000 test images are tested.

assert changed <= 0.2 or len(x) < 60_000
assert all(abs(value + 1) < 0.05 for (kind, _), value in slopes.items() if kind == "herding")
assert all(abs(full["slope"][k] + 1) < 0.02 for k in ("hidden_1", "hidden_2", "output") if full)
for name, limit in (("sgd_chosen", 2.68), ("fsgd_chosen", 2.34)):
    assert name not in last or last[name]["spiking_error"] <= limit
if {"step_sgd_chosen", "relu_chosen"} <= set(last):
    gap = last["step_sgd_chosen"]["spiking_error"] - last["relu_chosen"]["relu_error"]
    assert gap <= 0.3
