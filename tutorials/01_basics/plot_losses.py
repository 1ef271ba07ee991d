r"""
What the losses ask for
=======================

.. rubric:: You will learn

- what four losses on first spikes cost, as the label's spike moves through the window,
- which of them keep pulling when the label is already first,
- what the same network becomes under each of them, on real digits,
- why the strict count belongs into every report.

A loss on first spikes gets the output times, ``inf`` where an output stayed silent, and the
labels. Three of the losses below see only times.
:class:`~snn_temporal_plugins.PotentialMarginLoss` sees the potentials behind them.
"""

# %%
# Three classes, one label
# ------------------------
# The two wrong outputs fire at steps 100 and 200. The label's spike goes from the beginning of the
# window to its end.

import matplotlib.pyplot as plt
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.plot import COLOURS

T = 256
label_time = torch.arange(0.0, T).requires_grad_()
others = torch.tensor([100.0, 200.0]).expand(T, 2)
times = torch.cat([label_time.unsqueeze(1), others], 1)  # [T, C=3]
labels = torch.zeros(T, dtype=torch.int64)
losses = {
    "RankOrderLoss": stp.RankOrderLoss(T, gamma=20, reduction="none"),
    "FirstSpikeCrossEntropy": stp.FirstSpikeCrossEntropy(T, tau=20.0, reduction="none"),
    "TargetTimeLoss": stp.TargetTimeLoss(T, label_time=50.0, reduction="none"),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for shade, (name, loss) in zip(COLOURS, losses.items(), strict=False):
    values = loss(times, labels)
    (pull,) = torch.autograd.grad(values.sum(), label_time)
    values, pull = values.detach(), pull / pull.abs().max()
    left.plot(values / values.max(), color=shade, label=name)
    right.plot(pull, color=shade, label=name)
for ax, what in ((left, "loss / largest"), (right, "pull on the label / largest")):
    ax.axvline(100, color="0.6", ls="--", lw=1)
    ax.set(xlabel="time of the label's spike (step)", ylabel=what)
left.set_title("dashed: the first wrong output")
right.set_title("gradient on the label's time")
left.legend(frameon=False, fontsize="small")
plt.show()

# %%
# The rank order loss lets go of the label as soon as it is first: its pull is zero left of the
# dashed line, whatever the distance. (It then pushes the *others* away until they are ``gamma``
# behind.) The cross-entropy fades out over ``tau``. Target times pull until the label is at its
# target, no matter where the others are.
#
# On potentials
# -------------
# The margin loss looks at how far a wrong output stays below the threshold, 100 here. Long before
# it would fire it is pushed down. That is why this loss leaves almost no ties.

margin = stp.PotentialMarginLoss(100.0, margin=50.0, temperature=10.0)
wrong = torch.linspace(-50, 150, 201).requires_grad_()
potential = torch.stack([torch.full_like(wrong, 105.0), wrong], 1)
first = torch.tensor([[10.0, float("inf")]]).expand(201, 2)
margin(first, torch.zeros(201, dtype=torch.int64), potential=potential).mul(201).backward()

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.plot(wrong.detach(), wrong.grad, color=COLOURS[3])
ax.axvline(100, color="0.4", ls="--", label="threshold")
ax.axvline(50, color="0.7", ls=":", label="threshold - margin")
ax.set(xlabel="potential of the wrong output", ylabel="push on it", title="PotentialMarginLoss")
ax.legend(frameon=False)
plt.show()

# %%
# The same network under each
# ---------------------------
# 784-100-10 on 3,000 digits, four epochs. Everything but the loss is the same: weights of both
# signs at the start, a triangular gate in the hidden layer, errors normalised per sample, plain
# SGD.

digits = stp.datasets.load("mnist", "train")
test = stp.datasets.load("mnist", "test")
print(digits)
EPOCHS, HIDDEN, THRESHOLD = 4, 100, 100.0
train_times = stp.latency(digits.pixels[:3000], T).flatten(1)
train_labels = digits.labels[:3000]
test_times, test_labels = stp.latency(test.pixels[:1000], T).flatten(1), test.labels[:1000]


def network():
    torch.manual_seed(0)
    hidden = stp.SingleSpikeIF(THRESHOLD, gate="triangle")
    return nn.Sequential(
        stp.Timed(
            nn.Linear(784, HIDDEN, bias=False),
            hidden,
            t_max=T,
            init=lambda weight: nn.init.normal_(weight, 0.8, 2.0),
            error_norm="sum",
        ),
        stp.Timed(
            nn.Linear(HIDDEN, 10, bias=False),
            stp.SingleSpikeIF(THRESHOLD),
            t_max=T,
            init=lambda weight: nn.init.normal_(weight, 2.0, 6.0),
            error_norm="sum",
            error_to_silent=True,
            return_potential=True,
        ),
    )


def learn(loss):
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.8)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(train_times)).split(32):
            with stp.set_validation(False):  # outputs may all be silent at first: no warning
                out, potential = net(train_times[batch])
            optimizer.zero_grad()
            loss(out, train_labels[batch], potential=potential).backward()
            optimizer.step()
        schedule.step()
    report = stp.metrics.FirstSpikeReport(t_max=T)
    with torch.no_grad():
        report.update(*with_labels(net(test_times)))
    return report.compute()


def with_labels(result):
    """Times, labels, potential."""
    out, potential = result
    return out, test_labels, potential


contestants = {
    "RankOrderLoss": stp.RankOrderLoss(T, gamma=20),
    "FirstSpikeCrossEntropy": stp.FirstSpikeCrossEntropy(T, tau=20.0),
    "TargetTimeLoss": stp.TargetTimeLoss(T, label_time=50.0),
    "PotentialMarginLoss": stp.PotentialMarginLoss(THRESHOLD),
}
found = {name: learn(loss) for name, loss in contestants.items()}

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
counts = ("authors", "potential", "strict", "strict_silent_wrong")
for k, count in enumerate(counts):
    heights = [100 * row[count] for row in found.values()]
    ax.bar([j + 0.2 * (k - 1.5) for j in range(4)], heights, 0.19, label=count, color=COLOURS[k])
ax.set_xticks(range(4), list(found), fontsize="small")
ax.set(ylabel="1,000 test digits (%)", ylim=(0, 118), title="One network, four losses, four counts")
ax.legend(frameon=False, ncols=4, fontsize="small", loc="upper center")
plt.show()

# %%
# Closing table
# -------------

print(f"{'loss':<24}{'authors':>9}{'strict':>9}{'silent wrong':>14}{'ties':>8}{'answer at':>11}")
for name, row in found.items():
    print(
        f"{name:<24}{row['authors']:>9.1%}{row['strict']:>9.1%}{row['strict_silent_wrong']:>14.1%}"
        f"{row['ties']:>8.1%}{row['decision_time']:>11.0f}"
    )

# %%
# References
# ----------
# - S. R. Kheradpisheh, T. Masquelier, arXiv:1910.09495: relative target times.
# - H. Mostafa, "Supervised learning based on temporal coding in spiking neural networks",
#   arXiv:1606.08165: cross-entropy over spike times.
# - S. M. Bohte, J. N. Kok, H. La Poutré, Neurocomputing 48, 2002: target times.
#
# **Next:** :doc:`plot_silent_neurons`, or the full training runs of
# :doc:`/auto_tutorials/02_papers/plot_s4nn`.

# sphinx_gallery_thumbnail_number = 3
assert found["PotentialMarginLoss"]["strict"] > 0.8 > found["FirstSpikeCrossEntropy"]["strict"]
assert found["PotentialMarginLoss"]["ties"] < 0.01 < 0.3 < found["FirstSpikeCrossEntropy"]["ties"]
